"""The executor runs a small function: .local/localstack/venv/bin/python infra/localstack/test_process_executor.py"""

import json
import os
import sys
import tempfile
import threading
import unittest
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parent / "plugin"))

from localstack.services.lambda_.invocation.executor_endpoint import StatusErrorException
from localstack.services.lambda_.invocation.runtime_executor import EXECUTOR_PLUGIN_MANAGER
from process_executor import ProcessRuntimeExecutor

BOOTSTRAP = f"""#!{sys.executable}
import json, os, sys, time, urllib.request

base = f"http://{{os.environ['AWS_LAMBDA_RUNTIME_API']}}/2018-06-01/runtime"
if os.environ.get("REFUSES"):
    urllib.request.urlopen(f"{{base}}/init/error", data=b'{{"errorType": "Refused"}}')
    time.sleep(60)
while True:
    with urllib.request.urlopen(f"{{base}}/invocation/next") as answer:
        headers, order = answer.headers, json.load(answer)
    print("was told to", order["do"], flush=True)
    if order["do"] == "exit":
        sys.exit(3)
    if order["do"] == "sleep":
        time.sleep(60)
    result = {{"environment": dict(os.environ), "headers": dict(headers), "pid": os.getpid(), "folder": os.getcwd()}}
    outcome = "error" if order["do"] == "fail" else "response"
    request = f"{{base}}/invocation/{{headers['Lambda-Runtime-Aws-Request-Id']}}/{{outcome}}"
    urllib.request.urlopen(request, data=json.dumps(result).encode())
"""


class Executor(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.code = Path(folder.name).resolve()
        bootstrap = self.code / "bootstrap"
        bootstrap.write_text(BOOTSTRAP)
        bootstrap.chmod(0o755)

    def executor(self, timeout=20):
        code = SimpleNamespace(get_unzipped_code_location=lambda: self.code)
        config = SimpleNamespace(code=code, timeout=timeout)
        executor = ProcessRuntimeExecutor("an-executor", SimpleNamespace(config=config, qualified_arn="a-function"))
        self.addCleanup(executor.stop)
        return executor

    def invoke(self, executor, order, request_id="a-request"):
        payload = {"invoke-id": request_id, "invoked-function-arn": "an-arn", "trace-id": "a-trace"}
        return executor.invoke(payload | {"payload": json.dumps({"do": order})})

    def test_localstack_finds_it_by_its_name(self):
        self.assertIs(EXECUTOR_PLUGIN_MANAGER.load("process").load(), ProcessRuntimeExecutor)

    def test_a_function_answers_many_invocations_and_what_it_writes_goes_with_each(self):
        executor = self.executor()
        executor.start({"LIMIT": 5})
        first, second = (self.invoke(executor, "answer", name) for name in ("first", "second"))
        for result, name in [(first, "first"), (second, "second")]:
            self.assertEqual((result.request_id, result.is_error, result.logs), (name, False, "was told to answer\n"))
        told = json.loads(second.payload)
        self.assertEqual(told["pid"], json.loads(first.payload)["pid"])
        self.assertEqual(told["folder"], str(self.code))
        self.assertEqual(told["headers"]["Lambda-Runtime-Invoked-Function-Arn"], "an-arn")
        self.assertEqual(executor.get_logs(), 2 * "was told to answer\n")

    def test_a_function_has_its_own_environment_and_not_localstacks(self):
        os.environ["SECRET_OF_LOCALSTACK"] = "1"
        self.addCleanup(os.environ.pop, "SECRET_OF_LOCALSTACK")
        executor = self.executor()
        executor.start({"LIMIT": 5})
        environment = json.loads(self.invoke(executor, "answer").payload)["environment"]
        self.assertEqual((environment["LIMIT"], environment["LAMBDA_TASK_ROOT"]), ("5", str(self.code)))
        self.assertNotIn("SECRET_OF_LOCALSTACK", environment)

    def test_an_error_of_the_function_is_a_result_and_the_function_goes_on(self):
        executor = self.executor()
        executor.start({})
        self.assertTrue(self.invoke(executor, "fail").is_error)
        self.assertFalse(self.invoke(executor, "answer").is_error)

    def test_a_function_that_ends_or_takes_too_long_is_told_of(self):
        for order, kind, timeout in [("exit", "Runtime.ExitError", 20), ("sleep", "Sandbox.Timedout", 1)]:
            executor = self.executor(timeout)
            executor.start({})
            with self.assertRaises(StatusErrorException) as caught:
                self.invoke(executor, order)
            self.assertEqual(json.loads(caught.exception.payload)["errorType"], kind)

    def test_a_function_that_does_not_start_is_told_of(self):
        executor = self.executor()
        with self.assertRaises(StatusErrorException) as caught:
            executor.start({"REFUSES": 1})
        self.assertEqual(json.loads(caught.exception.payload), {"errorType": "Refused"})
        (self.code / "bootstrap").write_text("#!/bin/sh\nexit 4\n")
        with self.assertRaisesRegex(StatusErrorException, "status 4"):
            self.executor().start({})

    def test_no_process_and_no_thread_is_left_when_it_is_stopped(self):
        before = threading.active_count()
        executor = self.executor()
        executor.start({})
        process = executor.process
        executor.stop()
        self.assertIsNotNone(process.returncode)
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and thread.name.startswith("Thread-"):
                thread.join(5)
        self.assertLessEqual(threading.active_count(), before)


if __name__ == "__main__":
    unittest.main()
