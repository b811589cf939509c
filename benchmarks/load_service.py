"""The service under load: latencies, tokens/s and memory. The last line is JSON.

    make bench-service
    python -m benchmarks.load_service [--checkpoint RUN] [--clients 32] [--seconds 120] [--hostile 6]

Starts `python -m spirit_jax serve` on a free port, and clients that each ask one request after the other, as
soon as the last was answered: streams of text and of speech, transcripts, and prompts that mix both. A client
that is told 429 waits as long as Retry-After says. `--hostile`: so many more clients that send broken JSON,
endless bodies, sound that unpacks to an hour, bodies that stop, and that go away in mid-stream.

Memory is that of the server, by its /metrics. At the end the server gets SIGTERM while requests run, and must
end with 0. The exit code is 1 if an answer had another status than 200 or 429.
"""

import argparse
import asyncio
import base64
import collections
import contextlib
import io
import itertools
import json
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import numpy as np
import soundfile

TEXTS = (
    "the brave sailor reached the harbor,",
    "the old farmer",
    "she opened the door and",
    "after the storm",
)
MODEL = "spirit-lm"
RETRY_SECONDS = 1.0
BROKEN = (b"{", b'{"prompt": 3}', b'{"prompt": [{"audio": "aGVsbG8="}]}', b'{"prompt": "a", "top_p": 9}')
PHASES = ("start", "middle", "end")


class Server:
    """The command in a process of its own."""

    def __init__(self, checkpoint: str, words: list[str]):
        command = [sys.executable, "-m", "spirit_jax", "serve", "--checkpoint", checkpoint, "--address"]
        began = time.monotonic()
        self._child = subprocess.Popen([*command, "127.0.0.1:0", *words], stdout=subprocess.PIPE, text=True)
        self.url = self._read(r"listening on (\S+)")
        self._read(r"ready: (\S+)")
        self.ready_seconds = time.monotonic() - began

    def stop(self) -> tuple[int, float]:
        """Sends SIGTERM; the exit code, and the seconds until it came."""
        began = time.monotonic()
        self._child.send_signal(signal.SIGTERM)
        return self._child.wait(120), time.monotonic() - began

    def _read(self, pattern: str) -> str:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        match = re.fullmatch(pattern, line.strip())
        if match is None:
            raise SystemExit(f"error: the server said {line!r}")
        return match[1]


class Load:
    """What the clients saw. statuses: by kind of request."""

    def __init__(self, client: httpx.AsyncClient, sounds: list[bytes]):
        self._client, self._sounds, self._ended = client, sounds, asyncio.Event()
        self._bomb_file = _bomb()
        self.statuses: collections.Counter[tuple[str, str]] = collections.Counter()
        self.seconds: dict[str, list[float]] = collections.defaultdict(list)
        self.kinds: dict[str, Callable[[int], Awaitable[int]]] = {
            "text": self._text,
            "speech": self._speech,
            "transcript": self._transcript,
            "mixed": self._mixed,
        }

    def end(self) -> None:
        """No client begins another request."""
        self._ended.set()

    async def ask(self, number: int) -> None:
        """One client: a request after the other, of the kinds in turn."""
        for turn in itertools.count(number):
            if self._ended.is_set():
                return
            kind = list(self.kinds)[turn % len(self.kinds)]
            began = time.monotonic()
            try:
                status = str(await self.kinds[kind](turn))
            except httpx.HTTPError as error:
                status = type(error).__name__
            if status == "200":
                self.seconds[kind].append(time.monotonic() - began)
            self.statuses["after SIGTERM" if self._ended.is_set() else kind, status] += 1
            if status == "429":
                await asyncio.sleep(RETRY_SECONDS)

    async def disturb(self, number: int) -> None:
        """One hostile client."""
        attacks = [self._break, self._flood, self._bomb, self._stall, self._leave]
        for turn in itertools.count(number):
            if self._ended.is_set():
                return
            attack = attacks[turn % len(attacks)]
            try:
                status = str(await attack(turn))
            except httpx.HTTPError as error:
                status = type(error).__name__
            self.statuses[attack.__name__.strip("_"), status] += 1
            await asyncio.sleep(0.1)

    async def _text(self, turn: int) -> int:
        return await self._stream({"prompt": TEXTS[turn % len(TEXTS)], "seed": turn})

    async def _speech(self, turn: int) -> int:
        return await self._stream({"prompt": TEXTS[turn % len(TEXTS)], "output": "speech", "seed": turn})

    async def _mixed(self, turn: int) -> int:
        sound = base64.b64encode(self._sounds[turn % len(self._sounds)]).decode()
        parts = [{"audio": sound}, {"text": TEXTS[turn % len(TEXTS)]}]
        return await self._stream(
            {"prompt": parts, "output": "arbitrary", "seed": turn, "max_new_tokens": 100}
        )

    async def _transcript(self, turn: int) -> int:
        files = {"file": ("a.wav", self._sounds[turn % len(self._sounds)])}
        answer = await self._client.post("/v1/audio/transcriptions", files=files, data={"model": MODEL})
        return answer.status_code

    async def _stream(self, body: dict[str, Any]) -> int:
        began, seen, name = time.monotonic(), set(), ""
        async with self._client.stream("POST", "/v1/generate", json={**body, "stream": True}) as response:
            async for line in response.aiter_lines():
                if line.startswith("event: ") and (name := line.removeprefix("event: ")) not in seen:
                    seen.add(name)
                    if name in ("tokens", "sound"):
                        self.seconds[f"first {name}"].append(time.monotonic() - began)
        if response.status_code == 200 and name != "done":
            raise httpx.RemoteProtocolError(f"a stream ended with {name}")
        return response.status_code

    async def _break(self, turn: int) -> int:
        headers = {"Content-Type": "application/json"}
        content = BROKEN[turn % len(BROKEN)]
        return (await self._client.post("/v1/generate", content=content, headers=headers)).status_code

    async def _flood(self, turn: int) -> int:
        async def endless() -> AsyncIterator[bytes]:
            for _ in range(1024):
                yield bytes(1 << 20)

        headers = {"Content-Type": "application/json"}
        return (await self._client.post("/v1/generate", content=endless(), headers=headers)).status_code

    async def _bomb(self, turn: int) -> int:
        files = {"file": ("a.flac", self._bomb_file)}
        answer = await self._client.post("/v1/audio/transcriptions", files=files, data={"model": MODEL})
        return answer.status_code

    async def _stall(self, turn: int) -> int:
        async def stalling() -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.sleep(600)

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await self._client.post("/v1/generate", content=stalling())
        return 0

    async def _leave(self, turn: int) -> int:
        body = {"prompt": TEXTS[turn % len(TEXTS)], "output": "speech", "stream": True}
        async with self._client.stream("POST", "/v1/generate", json=body) as response:
            if response.status_code == 200:
                await anext(response.aiter_lines())
        return response.status_code


def _bomb() -> bytes:
    """An hour of silence."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 16_000, 1, format="FLAC") as sound:
        for _ in range(3600):
            sound.write(np.zeros(16_000, np.int16))
    return file.getvalue()


def numbers_of(metrics: str) -> dict[str, float]:
    """The numbers of /metrics by name and labels."""
    found = re.findall(r"^(\w+(?:{.*})?) (\S+)$", metrics, re.MULTILINE)
    return {name: float(value) for name, value in found}


def spread(seconds: list[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    if len(seconds) < 2:
        return {"n": len(seconds)}
    cuts = statistics.quantiles(seconds, n=20)
    return {"n": len(seconds), "p50": round(statistics.median(seconds), 3), "p95": round(cuts[-1], 3)}


async def speak(client: httpx.AsyncClient) -> list[bytes]:
    """Sounds to ask about: what the service says."""
    sounds = []
    for text in TEXTS:
        body = {"model": MODEL, "voice": "default", "input": text, "response_format": "wav"}
        answer = await client.post("/v1/audio/speech", json=body)
        answer.raise_for_status()
        sounds.append(answer.content)
    return sounds


async def measure(server: Server, args: argparse.Namespace) -> dict[str, Any]:
    """Runs the load, and stops the server under it."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=server.url, timeout=120, limits=limits) as client:
        load, memory, counts = Load(client, await speak(client)), {}, []

        async def look(phase: str) -> None:
            numbers = numbers_of((await client.get("/metrics")).text)
            memory[phase] = round(numbers["process_resident_memory_bytes"] / 2**20)
            counts.append(numbers['spirit_tokens_total{kind="new"}'])

        clients = [load.ask(number) for number in range(args.clients)]
        clients += [load.disturb(number) for number in range(args.hostile)]
        tasks = [asyncio.create_task(one) for one in clients]
        await asyncio.sleep(args.seconds * 0.1)
        await look("start")
        for phase in PHASES[1:]:
            await asyncio.sleep(args.seconds * 0.45)
            await look(phase)
        load.end()
        code, seconds = await asyncio.to_thread(server.stop)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    statuses: dict[str, dict[str, int]] = {}
    for (kind, status), count in sorted(load.statuses.items()):
        statuses.setdefault(kind, {})[status] = count
    asked = sum(sum(statuses.get(kind, {}).values()) for kind in load.kinds)
    others = {status for kind in load.kinds for status in statuses.get(kind, {})} - {"200", "429"}
    return {
        "clients": args.clients,
        "hostile": args.hostile,
        "seconds": args.seconds,
        "requests": asked,
        "statuses": statuses,
        "other_statuses": sorted(others),
        "latency_s": {name: spread(found) for name, found in sorted(load.seconds.items())},
        "tokens_per_s": round((counts[-1] - counts[0]) / (args.seconds * 0.9), 1),
        "memory_mib": memory,
        "ready_s": round(server.ready_seconds, 1),
        "sigterm": {"exit_code": code, "seconds": round(seconds, 2)},
    }


def main() -> None:
    """Prints the figures, one a line, and then all as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--checkpoint", default="runs/demo/base/run")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--hostile", type=int, default=0)
    parser.add_argument(
        "--serve", nargs=argparse.REMAINDER, default=[], help="options of the server, the last"
    )
    args = parser.parse_args()
    figures = asyncio.run(measure(Server(args.checkpoint, args.serve), args))
    for name, value in figures.items():
        print(f"{name}: {value}")
    print(json.dumps(figures), flush=True)
    if figures["other_statuses"] or figures["sigterm"]["exit_code"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
