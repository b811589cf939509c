"""What is beyond a limit is refused at once, and harms nobody else."""

import contextlib
import functools
import io
import resource
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
import soundfile

from spirit_jax.serving import server
from tests.serving.test_generation import JSON, ask, check_error
from tests.serving.world import (
    NAME,
    as_base64,
    make_sound,
    read_events,
    serve,
    sound_file,
)

MIB = 1 << 20
LONG = {"prompt": "the fox", "output": "speech", "max_new_tokens": 200}


def endless(total, chunk=MIB):
    """A body that is made while it is sent; counts what was taken."""
    sent = [0]

    def content():
        while sent[0] < total:
            sent[0] += chunk
            yield b" " * chunk

    return sent, content()


@pytest.mark.parametrize("declared", [True, False])
def test_a_gigabyte_is_cut_off_and_not_kept(declared):
    with serve(body_bytes=MIB) as running, running.client() as client:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sent, content = endless(1024 * MIB)
        headers = {**JSON, "Content-Length": str(1024 * MIB)} if declared else JSON
        began = time.monotonic()
        try:
            answer = client.post("/v1/generate", content=content, headers=headers)
            check_error(answer, 413, "body_too_large")
        except httpx.WriteError:  # the connection was closed while the client still wrote
            pass
        assert time.monotonic() - began < 20
        assert sent[0] < 1024 * MIB
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # in KiB
        running.wait_idle()
        assert ask(client, "the fox", max_new_tokens=2)


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_that_is_a_little_too_large_is_told_so(declared):
    with serve(body_bytes=MIB) as running, running.client() as client:
        content = b" " * (2 * MIB)
        answer = client.post(
            "/v1/generate",
            content=content if declared else iter([content[:MIB], content[MIB:]]),
            headers=JSON,
        )
        check_error(answer, 413, "body_too_large")


def flac(samples, rate=16_000):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="FLAC")
    return file.getvalue()


def without_length(content):
    """The header of a FLAC that was written to a pipe: its number of samples is 0, unknown."""
    return content[:21] + bytes([content[21] & 0xF0, 0, 0, 0, 0]) + content[26:]


@functools.cache
def hour():
    """An hour of silence: a few hundred kilobytes."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 16_000, 1, format="FLAC") as sound:
        for _ in range(3600):
            sound.write(np.zeros(16_000, np.int16))
    return file.getvalue()


BOMBS = {
    "an hour": (hour, "too_long"),
    "an hour, length unknown": (lambda: without_length(hour()), "too_long"),
    "a very high rate": (lambda: flac(make_sound(0.1), 600_000), "high_rate"),
    "a very low rate": (lambda: sound_file(make_sound(1.0), "WAV", 1), "too_long"),
    "a little too long": (lambda: sound_file(make_sound(4.1)), "too_long"),
}


@pytest.mark.parametrize("what", BOMBS)
def test_sound_that_unpacks_to_too_much_is_refused(client, what):
    make, code = BOMBS[what]
    content = make()
    assert len(content) < 4 * MIB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    body = {"prompt": [{"audio": as_base64(content)}], "task": "transcribe"}
    check_error(client.post("/v1/generate", json=body), 413, code)
    files = {"file": ("a.flac", content)}
    answer = client.post("/v1/audio/transcriptions", files=files, data={"model": NAME})
    check_error(answer, 413, code)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


def test_the_sounds_of_a_request_are_limited_together(client):
    part = {"audio": as_base64(sound_file(make_sound(1.5)))}
    answer = client.post("/v1/generate", json={"prompt": [part] * 3})
    check_error(answer, 413, "too_long")
    assert "sound 3" in answer.json()["error"]["message"]


def test_a_full_service_says_so_and_when_to_come_again():
    with serve(rows=1, waiting=2) as running, running.client() as client:
        held = threading.Event()
        running.service.engine._inbox.put(held.wait)  # the engine stands still
        with ThreadPoolExecutor(3) as pool:
            taken = [pool.submit(ask, client, "the fox", max_new_tokens=3) for _ in range(3)]
            running.wait_until(lambda: running.service.taken == 3, "three requests")
            refused = client.post("/v1/generate", json=LONG)
            check_error(refused, 429, "full")
            assert int(refused.headers["retry-after"]) >= 1
            held.set()
            assert all(future.result()["tokens"] <= 3 for future in taken)
        assert ask(client, "the fox", max_new_tokens=2)


def test_all_bodies_together_are_limited():
    with serve(body_bytes=MIB, rows=30) as running, running.client() as client:
        held = threading.Event()
        running.service.engine._inbox.put(held.wait)
        body = b'{"prompt": "a", "max_new_tokens": 2' + b" " * (MIB - 100) + b"}"

        def post(_):
            return client.post("/v1/generate", content=body, headers=JSON).status_code

        with ThreadPoolExecutor(12) as pool:
            statuses = [pool.submit(post, number) for number in range(12)]
            running.wait_until(lambda: sum(one.done() for one in statuses) >= 3, "refusals")
            held.set()
            found = sorted(one.result() for one in statuses)
        assert set(found) == {200, 429}
        running.wait_idle()
        assert post(0) == 200


def test_an_answer_that_takes_too_long_ends():
    with serve(rows=1, request_seconds=1.0) as running, running.client() as client:
        held = threading.Event()
        running.service.engine._inbox.put(held.wait)
        check_error(client.post("/v1/generate", json=LONG), 504, "timeout")
        held.set()
        running.wait_idle()


def test_a_stream_that_takes_too_long_ends_with_an_error():
    with serve(rows=1, request_seconds=1.5) as running, running.client() as client:
        held = threading.Event()
        with client.stream("POST", "/v1/generate", json={**LONG, "stream": True}) as response:
            lines = response.iter_lines()
            assert next(lines) == "event: tokens"
            running.service.engine._inbox.put(held.wait)
            *_, (kind, data) = read_events(["event: tokens", *lines])
        assert (kind, data["error"]["code"]) == ("error", "timeout")
        held.set()
        running.wait_idle()


def test_a_body_that_does_not_come_ends(monkeypatch):
    monkeypatch.setattr("spirit_jax.serving.guards.admission.BODY_SECONDS", 0.5)
    with serve() as running, socket.create_connection(running.url[7:].split(":")) as raw:
        raw.settimeout(30)
        head = "POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        raw.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
        assert raw.recv(9999).startswith(b"HTTP/1.1 408")
        running.wait_idle()


def test_a_head_that_does_not_come_ends(monkeypatch):
    monkeypatch.setattr(server, "HEAD_SECONDS", 1.0)
    with serve() as running, running.client() as client:
        address = running.url[7:].split(":")
        with socket.create_connection(address) as silent, socket.create_connection(address) as slow:
            began = time.monotonic()
            slow.sendall(b"POST /v1/generate HTTP/1.1\r\n")
            while time.monotonic() - began < 0.7:
                slow.sendall(b"X-A: b\r\n")
                time.sleep(0.1)
            for raw in (silent, slow):
                raw.settimeout(20)
                with contextlib.suppress(ConnectionResetError):
                    assert raw.recv(100) == b""
        for _ in range(4):  # a connection that is used lives on
            assert client.get("/healthz").status_code == 200
            time.sleep(0.4)


def test_a_client_that_does_not_read_holds_up_nobody_and_is_dropped(monkeypatch):
    """Its answer is larger than the system's buffers, which are made small."""
    monkeypatch.setattr(server, "UNREAD_SECONDS", 2)
    with serve(rows=2, request_seconds=4.0, small_buffers=True) as running, running.client() as client:
        body = httpx.Request("POST", running.url, json={**LONG, "stream": True}).content
        slow = []
        for _ in range(3):
            raw = socket.socket()
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.connect(("127.0.0.1", int(running.url.rpartition(":")[2])))
            head = "POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            raw.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            slow.append(raw)
        running.wait_until(lambda: running.service.taken == 3, "three requests")
        assert ask(client, "the fox", max_new_tokens=5)["tokens"] <= 5
        running.wait_until(lambda: running.service.taken == 3, "the end of the fourth")
        client.close()
        running.wait_idle()
        running.wait_until(lambda: not running.server.server_state.connections, "the end of connections")
        for raw in slow:
            raw.close()
