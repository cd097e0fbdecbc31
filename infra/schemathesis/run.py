"""Asks `darkroom serve` all that its own description allows, and much that it does not, by Schemathesis.

  python infra/schemathesis/run.py BINARY  start `BINARY serve`, open and then with keys, and ask each in turn

It is run by the Python of a venv that has what requirements.txt names; `make schemathesis` makes one.

What is asked follows from the description at /openapi.json, from schemathesis.toml, and from the seed there. A failure
is printed with the request as a command of curl. Nothing is asked but on 127.0.0.1, and no process is left behind.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def main() -> int:
    arguments = sys.argv[1:]
    if arguments[:1] == ["--started"]:
        return ask(arguments[1])
    if len(arguments) != 1:
        sys.exit(__doc__)
    binary, statuses = arguments[0], []
    for access in ["open", "keys"]:
        print(f"ACCESS={access}", flush=True)
        started = [sys.executable, __file__, "--started", binary]
        command = [sys.executable, HERE.parent / "serve", binary, "--", *started]
        # Where anything fails, infra/serve prints the log, in which every refused request would stand at `info`.
        environment = os.environ | {"ACCESS": access, "LOG_LEVEL": "error"}
        statuses.append(subprocess.run(command, env=environment, check=False).returncode)
    return int(any(statuses))


def ask(binary: str) -> int:
    """Asks the service that infra/serve has started."""
    url, headers = os.environ["API_URL"], {}
    if os.environ["ACCESS"] == "keys":
        create = [binary, "keys", "create", "schemathesis", "--data-dir", Path(os.environ["MODELS_DIR"]).parent]
        made = subprocess.run(create, stdout=subprocess.PIPE, text=True, check=True)
        headers["X-Api-Key"] = made.stdout.split()[0]
    with tempfile.TemporaryDirectory(prefix="schemathesis-") as folder:
        settings = ["--config-file", HERE / "schemathesis.toml"]
        command = [sys.executable, "-m", "schemathesis.cli", *settings, "run", "--no-color", f"{url}/openapi.json"]
        for name, value in headers.items():
            command += ["--header", f"{name}:{value}"]
        environment = os.environ | {"PYTHONPATH": str(HERE), "DARKROOM_JOB": ended_job(url, headers)}
        return subprocess.run(command, cwd=folder, env=environment, check=False).returncode


def ended_job(url: str, headers: dict[str, str]) -> str:
    """The id of a job that has a thumbnail and a list of points."""
    request = urllib.request.Request(
        f"{url}/jobs?algorithms=thumbnail,poi_detection",
        data=(ROOT / "tests/data/rocket.jpg").read_bytes(),
        headers=headers | {"Content-Type": "image/jpeg", "Prefer": "wait=20"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        job = json.load(answer)
    if job["status"] != "succeeded":
        sys.exit(f"the job to read has not succeeded: {json.dumps(job)}")
    return job["job_id"]


if __name__ == "__main__":
    sys.exit(main())
