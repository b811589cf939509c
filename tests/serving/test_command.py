"""The command in a process of its own: how it starts, and how it ends."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from spirit_jax.cli import COMMANDS
from spirit_jax.core import commands
from spirit_jax.serving import command
from tests.serving.test_generation import check_error
from tests.serving.world import PATIENCE, write_checkpoint
from tests.verbs import ROOT

NEW, SLOTS = 450, 512
LONG = {"prompt": "the fox", "output": "speech", "max_new_tokens": NEW, "temperature": 1.0}


def run_command(*words):
    return commands.run("spirit", "", COMMANDS, ["serve", *map(str, words)])


def says(capsys, *words):
    assert run_command(*words) == 2
    return capsys.readouterr().err


def test_what_cannot_be_served_is_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.delenv(command.TOKEN_VARIABLE, raising=False)
    given = "--checkpoint", tmp_path
    assert "needs a token" in says(capsys, *given, "--address", "0.0.0.0:0")
    assert "must be HOST:PORT" in says(capsys, *given, "--address", "8765")
    assert "contains no model" in says(capsys, *given, "--address", "127.0.0.1:0")
    assert "limits.waiting = 0: must be" in says(capsys, *given, "--waiting", "0")
    assert "--rows = 0" in says(capsys, *given, "--rows", "0")
    (tmp_path / "token").write_text("short\n")
    assert "must be 16 or more" in says(capsys, *given, "--token-file", tmp_path / "token")
    assert "no such" in says(capsys, *given, "--token-file", tmp_path / "none")
    monkeypatch.setenv(command.TOKEN_VARIABLE, "a-token-of-tests-0123456789")
    assert "cannot be listened on" in says(capsys, *given, "--address", "192.0.2.1:80")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert "cannot be listened on (Address already in use)" in says(capsys, *given, "--address", address)


def test_missing_packages_are_named_with_what_installs_them(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "PACKAGES", ("json", "no_such_package"))
    said = says(capsys, "--checkpoint", tmp_path)
    assert "no_such_package" in said
    assert "make .venv/serve" in said
    assert "json," not in said


def test_the_token_is_never_a_word_of_the_command(monkeypatch, tmp_path):
    monkeypatch.setenv(command.TOKEN_VARIABLE, "from-the-environment")
    assert command.read_token(None) == "from-the-environment"
    (tmp_path / "token").write_text("from-a-file-0123456\n")
    assert command.read_token(tmp_path / "token") == "from-a-file-0123456"
    monkeypatch.delenv(command.TOKEN_VARIABLE)
    assert command.read_token(None) is None


class Process:
    """`python -m spirit_jax serve` on a free port."""

    def __init__(self, *words, **variables):
        environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "", **variables}
        self.child = subprocess.Popen(
            [sys.executable, "-m", "spirit_jax", "serve", "--address", "127.0.0.1:0", *map(str, words)],
            cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.errors = []
        self._reader = threading.Thread(target=lambda: self.errors.extend(self.child.stderr), daemon=True)
        self._reader.start()
        self.url = re.fullmatch(r"listening on (http://127.0.0.1:\d+)\n", self._line())[1]

    def wait_ready(self):
        assert self._line() == f"ready: {self.url}\n"
        return self

    def _line(self):
        line = self.child.stdout.readline()
        assert line, "".join(self.errors)
        return line

    def end(self):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("served") / "checkpoint")


@pytest.fixture
def started(checkpoint):
    processes = []
    cache = {"JAX_COMPILATION_CACHE_DIR": str(checkpoint / "cache")}
    cache["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    given = "--checkpoint", checkpoint, "--seconds-of-sound", 2, "--slots", SLOTS

    def start(*words, **variables):
        processes.append(Process(*given, *words, **cache, **variables))
        return processes[-1]

    yield start
    for process in processes:
        process.end()


def post(url, body, **options):
    return httpx.post(f"{url}/v1/generate", json=body, timeout=PATIENCE, **options)


def wait_begun(url, count):
    """Until that many requests have begun. On a fast machine the first are answered before the last begin, so
    those that were answered count too.
    """
    deadline = time.monotonic() + PATIENCE
    while (begun := count_begun(httpx.get(f"{url}/metrics").text)) < count:
        assert time.monotonic() < deadline, f"{begun} of {count} requests have begun"
        time.sleep(0.02)


def count_begun(metrics):
    samples = [sample for family in text_string_to_metric_families(metrics) for sample in family.samples]
    answered = [one for one in samples if one.name == "spirit_requests_total"]
    answered = [one for one in answered if one.labels["route"] == "/v1/generate"]
    return sum(one.value for one in (*answered, *(one for one in samples if one.name == "spirit_taken")))


@pytest.mark.slow
def test_requests_end_after_sigterm_and_no_new_ones_begin(started):
    process = started("--rows", 2).wait_ready()
    with ThreadPoolExecutor(6) as pool, httpx.Client(base_url=process.url, timeout=PATIENCE) as kept:
        assert kept.get("/readyz").status_code == 200
        running = [pool.submit(post, process.url, LONG) for _ in range(6)]
        wait_begun(process.url, 6)
        process.child.send_signal(signal.SIGTERM)
        while (ready := kept.get("/readyz")).status_code == 200:
            time.sleep(0.01)
        assert ready.json() == {"state": "stopping"}
        check_error(kept.post("/v1/generate", json=LONG), 503, "not_ready")
        answers = [future.result() for future in running]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["tokens"] for answer in answers} == {NEW}
    assert process.child.wait(PATIENCE) == 0
    assert "SIGTERM: requests that run may end" in "".join(process.errors)
    assert "Traceback" not in "".join(process.errors)


@pytest.mark.slow
def test_requests_that_take_too_long_are_ended(started):
    process = started("--rows", 1, "--shutdown-seconds", 0.5).wait_ready()
    with ThreadPoolExecutor(20) as pool:
        running = [pool.submit(post, process.url, LONG) for _ in range(20)]
        wait_begun(process.url, 20)
        process.child.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert process.child.wait(PATIENCE) == 0
        assert time.monotonic() - began < 20
        statuses = {future.result().status_code for future in running}
    assert 503 in statuses
    assert statuses <= {200, 503}


@pytest.mark.slow
def test_a_second_signal_ends_it_at_once(started):
    process = started("--rows", 1).wait_ready()
    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(post, process.url, LONG) for _ in range(8)]
        wait_begun(process.url, 8)
        process.child.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        process.child.send_signal(signal.SIGINT)
        assert process.child.wait(5) == 1
        for future in running:
            assert future.exception(PATIENCE) is not None or future.result().status_code == 200


@pytest.mark.slow
def test_it_listens_before_it_is_ready_and_asks_for_the_token(started):
    process = started(SPIRIT_TOKEN="a-token-of-tests-0123456789")
    client = httpx.Client(
        base_url=process.url, headers={"Authorization": "Bearer a-token-of-tests-0123456789"}
    )
    with client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").json() in ({"state": "starting"}, {"state": "ready"})
        process.wait_ready()
        assert client.get("/readyz").status_code == 200
        assert httpx.post(f"{process.url}/v1/generate", json=LONG).status_code == 401
        assert client.post("/v1/generate", json={"prompt": "a", "max_new_tokens": 2}).status_code == 200
    process.child.send_signal(signal.SIGINT)
    assert process.child.wait(PATIENCE) == 0
