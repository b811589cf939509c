"""A service of a small random model, in this process, behind a real server on a free port."""

import base64
import contextlib
import dataclasses
import functools
import io
import json
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import soundfile

from spirit_jax.generation.spirit_lm import SpiritLM
from spirit_jax.serving.application import make_application
from spirit_jax.serving.limits import Limits
from spirit_jax.serving.server import Server, open_socket
from spirit_jax.serving.service import Service, State
from spirit_jax.speech.codec import Codec
from spirit_jax.speech.codec_folder import save_codec
from spirit_jax.tokens.vocabulary import Vocabulary
from tests.generation.tiny import one_layer, random_llama
from tests.generation.world import tokenizer
from tests.speech.tiny_codec import tiny_codec
from tests.weights_folder import save_weights

NAME, PATIENCE, SLOTS = "tiny", 60.0, 256
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def write_checkpoint(folder: Path, codec: Codec | None = None) -> Path:
    """Random weights over the tokens of a codec, by default the tiny one, with that codec."""
    codec = codec or tiny_codec("base")
    vocabulary = Vocabulary(tokenizer().size, codec.streams)
    cfg = one_layer(vocabulary.rows())
    with tempfile.TemporaryDirectory() as parts:
        tokenizer().save(Path(parts) / "tokenizer")
        save_codec(codec, Path(parts) / "codec")
        save_weights(
            folder, random_llama(cfg, 0.1), vocabulary, Path(parts) / "tokenizer", Path(parts) / "codec"
        )
    return folder


def load_lm(codec: Codec | None = None) -> SpiritLM:
    """A model of `write_checkpoint`."""
    with tempfile.TemporaryDirectory() as parts:
        lm = SpiritLM.load(write_checkpoint(Path(parts) / "checkpoint", codec))
        assert lm.codec.decoder is not None  # while the folder is there
    return lm


@functools.cache
def make_lm() -> SpiritLM:
    return load_lm()


@dataclasses.dataclass
class Running:
    """A service that listens."""

    url: str
    service: Service
    server: Server
    thread: threading.Thread

    def client(self, **options) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=PATIENCE, **options)

    def wait_until(self, holds, what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, f"{what} never came"
            time.sleep(0.01)

    def wait_idle(self) -> None:
        engine = self.service.engine
        self.wait_until(
            lambda: not (self.service.taken or engine.running or engine.waiting), "the end of all requests"
        )


@contextlib.contextmanager
def serve(
    lm: SpiritLM | None = None, rows: int = 2, slots: int = SLOTS, page: Path = Path("/nowhere"),
    token: str | None = None, hosts=LOOPBACK, small_buffers: bool = False, **limits,
) -> Iterator[Running]:  # fmt: skip
    changed = threading.Event()
    service = Service(
        lm or make_lm(),
        rows,
        slots,
        Limits(**{"seconds_of_sound": 4.0, **limits}),
        NAME,
        lambda _: changed.set(),
    )
    opened, listening = open_socket("127.0.0.1:0"), threading.Event()
    if small_buffers:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    server = Server(make_application(service, token, hosts, page), service, listening.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
    service.start()
    thread.start()
    try:
        assert listening.wait(PATIENCE)
        assert changed.wait(600)
        assert service.state is State.READY
        yield Running(f"http://127.0.0.1:{opened.getsockname()[1]}", service, server, thread)
    finally:
        server.end()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        service.close()


def make_sound(seconds: float = 1.0, seed: int = 0, rate: int = 16_000) -> np.ndarray:
    """Noise, 16-bit, which no decoder changes."""
    return np.random.default_rng(seed).integers(-9000, 9000, round(seconds * rate)).astype(np.int16)


def sound_file(samples: np.ndarray, form: str = "WAV", rate: int = 16_000) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form)
    return file.getvalue()


def as_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def read_wav(text: str) -> np.ndarray:
    """Samples of a wav in base64, int16."""
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(text)), dtype="int16")
    assert rate == 16_000
    return samples


def read_events(lines) -> Iterator[tuple[str | None, dict]]:
    """The events of a response, from its lines."""
    name = None
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))
        else:
            assert line == ""
            name = None
