"""A Lambda executor for LocalStack on machines without Docker.

LocalStack runs each function in a container. This runs its `bootstrap` as a process of this machine instead, and serves
it the Lambda Runtime API (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html) on a port of its own. Chosen
by LAMBDA_RUNTIME_EXECUTOR=process. A function is not fenced in: it may read whatever LocalStack may, and nothing holds
it to its memory.
"""

import contextlib
import json
import logging
import os
import queue
import subprocess
import tempfile
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TimedOut
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from localstack.services.lambda_.invocation.executor_endpoint import StatusErrorException
from localstack.services.lambda_.invocation.lambda_models import InvocationResult
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

LOG = logging.getLogger(__name__)
ADDRESS = "127.0.0.1"
GRACE = 2  # seconds that a function has to end in


class ProcessRuntimeExecutorPlugin(RuntimeExecutorPlugin):
    name = "process"

    def load(self, *args, **kwargs):
        return ProcessRuntimeExecutor


class ProcessRuntimeExecutor(RuntimeExecutor):
    """One process of a function, which takes one invocation at a time."""

    def __init__(self, id, function_version):
        super().__init__(id, function_version)
        self.invocations = queue.Queue()
        self.ready = Future()
        self.outcome = Future()
        self.output = tempfile.TemporaryFile()
        self.told = 0  # how much of the output went with earlier invocations
        self.process = None
        self.server = ThreadingHTTPServer((ADDRESS, 0), RuntimeApi)
        self.server.daemon_threads = True
        self.server.executor = self

    def start(self, env_vars):
        code = self.function_version.config.code.get_unzipped_code_location()
        environment = {name: str(value) for name, value in env_vars.items()} | {
            "AWS_LAMBDA_RUNTIME_API": f"{ADDRESS}:{self.server.server_port}",
            "LAMBDA_TASK_ROOT": str(code),
            "PATH": os.defpath,
        }
        self.process = subprocess.Popen(
            [str(code / "bootstrap")],
            cwd=code,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=subprocess.STDOUT,
        )
        for work in (self.server.serve_forever, self.watch):
            threading.Thread(target=work, daemon=True).start()
        self.ready.result()

    def watch(self):
        """Tells whoever waits for the function that it has ended."""
        status = self.process.wait()
        ended = failure("Runtime.ExitError", f"Runtime exited with status {status}")
        for waiting in (self.ready, self.outcome):
            with contextlib.suppress(Exception):  # it was told before
                waiting.set_exception(ended)

    def invoke(self, payload):
        timeout = self.function_version.config.timeout
        self.outcome = Future()
        if self.process.poll() is not None:
            raise failure("Runtime.ExitError", f"Runtime exited with status {self.process.returncode}")
        self.invocations.put(payload | {"deadline": time.time() + timeout})
        try:
            body, is_error = self.outcome.result(timeout)
        except (TimedOut, StatusErrorException) as error:
            LOG.warning("%s: %r; it wrote:\n%s", self.function_version.qualified_arn, error, self.written())
            if isinstance(error, TimedOut):
                error = failure("Sandbox.Timedout", f"Task timed out after {timeout}.00 seconds")
            # LocalStack then stops this executor, and starts another one for the next invocation.
            raise error from None
        return InvocationResult(payload["invoke-id"], body, is_error=is_error, logs=self.written())

    def written(self):
        """What the function wrote since this was asked last; never nothing, which LocalStack warns of."""
        text = os.pread(self.output.fileno(), 1 << 20, self.told)
        self.told += len(text)
        return text.decode(errors="replace") or "\n"

    def stop(self):
        self.invocations.put(None)
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(GRACE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.server.shutdown()
        self.server.server_close()
        self.output.close()

    def get_address(self):
        return ADDRESS

    def get_endpoint_from_executor(self):
        return ADDRESS

    def get_runtime_endpoint(self):
        return f"http://{ADDRESS}:{self.server.server_port}"

    def get_logs(self):
        return os.pread(self.output.fileno(), 1 << 20, 0).decode(errors="replace")

    @classmethod
    def prepare_version(cls, function_version):
        if function_version.config.code:
            function_version.config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version):
        pass


def failure(kind, message):
    """What LocalStack answers an invocation with that no function answered."""
    return StatusErrorException(message, json.dumps({"errorType": kind, "errorMessage": message}).encode())


class RuntimeApi(BaseHTTPRequestHandler):
    """Gives the function its invocations, and takes what comes of them."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        executor = self.server.executor
        if self.path != "/2018-06-01/runtime/invocation/next":
            return self.answer(404)
        with contextlib.suppress(Exception):  # every invocation but the first
            executor.ready.set_result(True)
        invocation = executor.invocations.get()
        if invocation is None:
            self.close_connection = True
            return None
        headers = {
            "Lambda-Runtime-Aws-Request-Id": invocation["invoke-id"],
            "Lambda-Runtime-Invoked-Function-Arn": invocation["invoked-function-arn"],
            "Lambda-Runtime-Trace-Id": invocation["trace-id"],
            "Lambda-Runtime-Deadline-Ms": str(int(1000 * invocation["deadline"])),
            "Content-Type": "application/json",
        }
        return self.answer(200, invocation["payload"].encode(), headers)

    def do_POST(self):
        executor = self.server.executor
        body = self.rfile.read(int(self.headers["Content-Length"]))
        what = self.path.rpartition("/")[2]
        if self.path == "/2018-06-01/runtime/init/error":
            executor.ready.set_exception(StatusErrorException("the function did not start", body))
        elif self.path.startswith("/2018-06-01/runtime/invocation/") and what in ("response", "error"):
            with contextlib.suppress(Exception):  # it comes too late
                executor.outcome.set_result((body, what == "error"))
        else:
            return self.answer(404)
        return self.answer(202)

    def answer(self, status, body=b"", headers=None):
        self.send_response_only(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
