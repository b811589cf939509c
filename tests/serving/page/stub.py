"""A service that answers as a test says, for what a real one does seldom: refusals, silence, a broken answer.

It has the interface of docs/service.md, as far as the page uses it.
"""

import base64
import contextlib
import dataclasses
import json
import mimetypes
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

PAGE = Path(__file__).parents[3] / "spirit_jax/serving/page"
RATE = 16_000
UNITS = {"name": "units", "mark": "Hu", "size": 100, "rate": 25.0}
PITCH = {"name": "pitch", "mark": "Pi", "size": 64, "rate": 12.5}
STYLE = {"name": "style", "mark": "St", "size": 100, "rate": 1.0}
MODEL = {
    "id": "stub",
    "streams": [UNITS, PITCH, STYLE],
    "rate": RATE,
    "speakers": 4,
    "styles": 0,
    "tasks": ["continue", "transcribe", "speak"],
    "outputs": ["text", "speech", "arbitrary"],
    "longest_tokens": 4096,
    "limits": {"body_bytes": 4_000_000, "seconds_of_sound": 60.0, "waiting": 8},
    "streaming_sound": True,
}
PING_S = 0.02


class Event(NamedTuple):
    """A server-sent event."""

    name: str
    data: dict


class Refusal(NamedTuple):
    """An answer that is none."""

    status: int
    message: str
    headers: dict[str, str] = {}


Step = Event | threading.Event  # a threading.Event: nothing is sent before it is set


def tokens(*strings: str, kind: str = "") -> Event:
    """Tokens, each with an id that its string gives, and a probability of a half."""
    kinds = [kind or kind_of(string) for string in strings]
    ids = [sum(string.encode()) for string in strings]
    return Event("tokens", {"ids": ids, "log_probs": [-0.7] * len(ids), "strings": strings, "kinds": kinds})


def kind_of(string: str) -> str:
    """units, pitch and style by their marks, tags, and else text."""
    if string in ("[Text]", "[Speech]"):
        return "tag"
    return {"[Hu": "units", "[Pi": "pitch", "[St": "style"}.get(string[:3], "text")


def text(part: int, letters: str) -> Event:
    return Event("text", {"part": part, "text": letters})


def sound(part: int, wav: np.ndarray) -> Event:
    pcm = base64.b64encode(wav.astype("<i2").tobytes()).decode()
    return Event("sound", {"part": part, "rate": RATE, "pcm": pcm})


def done(*parts: dict, finish: str = "eos") -> Event:
    """parts: without log-probabilities."""
    data = {"id": "1", "finish": finish, "text": "", "log_prob": -0.7, "tokens": "", "parts": parts}
    return Event("done", data)


def part_of(event: Event, **says: str) -> dict:
    """A part of a `done` that consists of an event's tokens."""
    kind = "text" if "text" in says else "speech"
    return {"kind": kind, **says, "ids": event.data["ids"], "log_probs": event.data["log_probs"]}


def tone(seconds: float, hertz: float = 440) -> np.ndarray:
    """Int16 samples."""
    times = np.arange(round(seconds * RATE)) / RATE
    return np.round(8_000 * np.sin(2 * np.pi * hertz * times)).astype(np.int16)


SPOKEN = tokens("[St7]", "[Pi3]", "[Hu1]", "[Hu2]", "[Pi5]", "[Hu3]", "[Hu4]")


def spoken_answer(seconds: float = 1.0) -> list[Step]:
    """Four units with pitch and style, their sound in two sections."""
    half = tone(seconds / 2)
    return [
        SPOKEN,
        sound(0, half),
        sound(0, half),
        done(part_of(SPOKEN, string="".join(SPOKEN.data["strings"]))),
    ]


@dataclasses.dataclass
class Stub:
    """answers: to the requests for an answer, in order; the last one is given again. model: of /v1/model, or
    a refusal. token: that must come along. asked: bodies of requests. left: is set when a client goes away.
    """

    answers: list[list[Step] | Refusal] = dataclasses.field(default_factory=list)
    model: dict[str, Any] | Refusal = dataclasses.field(default_factory=lambda: dict(MODEL))
    token: str | None = None
    asked: list[dict] = dataclasses.field(default_factory=list)
    left: threading.Event = dataclasses.field(default_factory=threading.Event)
    origin: str = ""


@contextlib.contextmanager
def serve_stub():
    """A stub at a free port of this machine."""
    stub = Stub()
    handler = type("Handler", (_Handler,), {"stub": stub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    stub.origin = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield stub
    server.shutdown()
    server.server_close()
    thread.join()


class _Handler(BaseHTTPRequestHandler):
    stub: Stub

    def log_message(self, format, *args):
        """Nothing: the tests say what they saw."""

    def do_GET(self):
        if self.path == "/v1/model":
            if not self._refuse_stranger():
                self._give(self.stub.model)
            return
        file = PAGE / ("index.html" if self.path == "/" else self.path.removeprefix("/page/"))
        if file.is_file():
            self._send(200, file.read_bytes(), {"Content-Type": mimetypes.guess_type(file)[0] or ""})
        else:
            self._send(404, b"")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._refuse_stranger():
            return
        self.stub.asked.append(body)
        answers = self.stub.answers
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Refusal):
            self._give(answer)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        try:
            for step in answer:
                self._do(step)
        except (BrokenPipeError, ConnectionResetError):
            self.stub.left.set()

    def _do(self, step: Step) -> None:
        if isinstance(step, Event):
            self.wfile.write(f"event: {step.name}\r\ndata: {json.dumps(step.data)}\r\n\r\n".encode())
        else:
            while not step.is_set():
                self.wfile.write(b": still there\r\n\r\n")
                time.sleep(PING_S)

    def _refuse_stranger(self) -> bool:
        strange = self.stub.token and self.headers["Authorization"] != f"Bearer {self.stub.token}"
        if strange:
            self._give(Refusal(401, "a token is needed"))
        return bool(strange)

    def _give(self, answer: dict | Refusal) -> None:
        if isinstance(answer, Refusal):
            error = {"error": {"message": answer.message, "type": "some_error", "code": "some_code"}}
            self._send(answer.status, json.dumps(error).encode(), answer.headers)
        else:
            self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
