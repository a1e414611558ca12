"""Starts the clients, and keeps what came of each operation.

`cargo xtask clients` starts a cluster, says where it is by the usual AWS variables, and in STRONGROOM_CLIENTS
names a file of {name: {"command": [program, …]} or {"missing": why}}. Results go to STRONGROOM_RESULTS.
"""

import contextlib
import itertools
import json
import os
import pathlib
import queue
import random
import subprocess
import threading

import boto3
import pytest
from botocore.config import Config

SCHEMES = {"http": "STRONGROOM_S3", "https": "STRONGROOM_S3_TLS"}
CLIENTS = json.loads(pathlib.Path(os.environ["STRONGROOM_CLIENTS"]).read_text())
# One verb. The largest file has 24 MiB; a machine that builds beside it must not fail a test.
PATIENCE = 120

_numbers = itertools.count()
_results = {}


class Refused(Exception):
    """What a client said when it could not do as it was told."""


class Client:
    """A client program, and the conversation with it."""

    def __init__(self, command, scheme, work):
        keys = boto3.session.Session().get_credentials()
        environment = {
            **os.environ,
            "CLIENT_ENDPOINT": os.environ[SCHEMES[scheme]],
            "CLIENT_WORK": str(work),
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
            "AWS_REGION": "us-east-1",
            # Node reads it when it starts.
            "NODE_EXTRA_CA_CERTS": os.environ["AWS_CA_BUNDLE"],
            "HOME": str(work),
        }
        environment.pop("AWS_SHARED_CREDENTIALS_FILE")
        self._log = open(work / "stderr", "w+")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, env=environment
        )
        self._lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        hello = self._answer()
        self.version, self.verbs, self.algorithms = hello["version"], hello["verbs"], hello["algorithms"]

    def _read(self):
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _answer(self):
        try:
            line = self._lines.get(timeout=PATIENCE)
        except queue.Empty:
            self._process.kill()
            raise Refused(f"no answer within {PATIENCE} s") from None
        if line is None:
            self._lines.put(None)  # for whoever asks next
            self._log.seek(0)
            raise Refused(f"the client ended: {self._log.read()[-2000:]}")
        return json.loads(line)

    def __getattr__(self, verb):
        def call(**words):
            words = {name: str(word) if isinstance(word, pathlib.Path) else word for name, word in words.items()}
            with contextlib.suppress(BrokenPipeError):  # what there is to read tells more
                self._process.stdin.write(json.dumps({"verb": verb, **words}) + "\n")
                self._process.stdin.flush()
            answer = self._answer()
            if "error" in answer:
                raise Refused(answer["error"])
            return answer["ok"]

        return call

    def close(self):
        with contextlib.suppress(BrokenPipeError):  # it may have ended by itself
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@pytest.fixture(scope="module", params=[(name, scheme) for name in CLIENTS for scheme in SCHEMES], ids="-".join)
def started(request, tmp_path_factory):
    """The program of one client over one scheme, shared by all its tests. None when it is not there."""
    name, scheme = request.param
    if "missing" in CLIENTS[name]:
        yield None
        return
    client = Client(CLIENTS[name]["command"], scheme, tmp_path_factory.mktemp(f"{name}-{scheme}"))
    _results.setdefault(name, {})["version"] = client.version
    yield client
    client.close()


@pytest.fixture
def client(request, started):
    """A client that offers all verbs that the test uses, by `@pytest.mark.verbs`."""
    if started is None:
        pytest.skip("not installed")
    lacking = [verb for verb in request.node.get_closest_marker("verbs").args if verb not in started.verbs]
    if lacking:
        pytest.skip(f"does not offer {', '.join(lacking)}")
    return started


def make_client(scheme, **config):
    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, **config)
    return boto3.client("s3", endpoint_url=os.environ[SCHEMES[scheme]], config=config)


@pytest.fixture(scope="session")
def reference():
    """What a client did is looked at by another: boto3 without its transfer manager, over http."""
    return make_client("http")


@pytest.fixture
def bucket(reference):
    name = f"clients-{os.getpid()}-{next(_numbers)}"
    reference.create_bucket(Bucket=name)
    return name


@pytest.fixture
def make(tmp_path):
    """Makes a file of some length: `make(5)`. The same length gives the same bytes."""

    def make(length, seed=0):
        path = tmp_path / f"made-{length}-{seed}"
        path.write_bytes(random.Random(seed * 1_000_003 + length).randbytes(length))
        return path

    return make


@pytest.fixture
def record_operation():
    """Keeps what came of an S3 operation over a scheme."""

    def record(operation, scheme, outcome):
        _results.setdefault(operation, {})[scheme] = outcome

    return record


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if "started" not in item.fixturenames:
        return report
    if report.when == "call" or (report.when == "setup" and not report.passed):
        name, scheme = item.callspec.params["started"]
        operation = item.originalname.removeprefix("test_")
        outcome = {"outcome": report.outcome, "seconds": round(report.duration, 2)}
        if report.failed:
            outcome["why"] = str(call.excinfo.value)[:600]
        _results.setdefault(name, {}).setdefault(scheme, {})[operation] = outcome
    return report


def pytest_sessionfinish():
    path = os.environ.get("STRONGROOM_RESULTS")
    if path:
        for name, told in CLIENTS.items():
            if "missing" in told:
                _results[name] = told
        pathlib.Path(path).write_text(json.dumps(_results, indent=1, sort_keys=True) + "\n")
