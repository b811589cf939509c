"""The HTTP server: its socket, and how it stops.

The first SIGTERM or SIGINT: no new requests, those that run may end; then the process ends with 0. The
second: it ends at once.
"""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType

import h11
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from spirit_jax.core.errors import UserError
from spirit_jax.serving.service import Service, State

# of what was sent and not received, after which a connection is dropped (our choice)
UNREAD_SECONDS = 30
HEAD_SECONDS = 10  # for the head of a request (our choice)
CLOSING_SECONDS = 5  # for connections that do not close when their answers have ended
POLL_SECONDS = 0.05
AT_ONCE = 1  # exit code of the second signal


def open_socket(address: str) -> socket.socket:
    """A bound socket for HOST:PORT; port 0 is any free one. UserError where it cannot be had."""
    host, port = split_address(address)
    try:
        (family, *_, bound), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        opened = socket.socket(family, socket.SOCK_STREAM)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # connections inherit it: one whose client does not read is dropped, with what it holds
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_SECONDS * 1000)
        opened.bind(bound)
    except OSError as error:
        rule = f"cannot be listened on ({error.strerror or error})"
        raise UserError("--address", address, rule, "choose another, such as 127.0.0.1:8766") from error
    return opened


def split_address(address: str) -> tuple[str, int]:
    """Host and port of HOST:PORT or [HOST]:PORT."""
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise UserError("--address", address, "must be HOST:PORT", "for example 127.0.0.1:8765")
    return host, int(port)


class Connection(H11Protocol):
    """A connection that is closed when the head of a request does not come."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Waits for the first head."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Waits on while a head is not complete."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Waits no longer."""
        super().connection_lost(exc)
        self._stop_watching()

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._stop_watching()
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _stop_watching(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Server(uvicorn.Server):
    """Serves until it is told to stop. on_listening: called when requests are accepted."""

    def __init__(self, application: Starlette, service: Service, on_listening: Callable[[], None]):
        config = uvicorn.Config(
            application,
            http=Connection,
            ws="none",
            lifespan="off",
            access_log=False,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=CLOSING_SECONDS,
        )
        super().__init__(config)
        self._service, self._on_listening = service, on_listening
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Task | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._on_listening()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """On a signal."""
        if self._service.state is State.STOPPING:
            print(f"{signal.Signals(sig).name} again: ends at once", file=sys.stderr, flush=True)
            os._exit(AT_ONCE)
        print(f"{signal.Signals(sig).name}: requests that run may end", file=sys.stderr, flush=True)
        self.stop()

    def stop(self) -> None:
        """Takes no more requests, and ends when the last one has ended. From the event loop's thread."""
        self._service.stop_taking()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._begin_stopping)

    def end(self) -> None:
        """Ends without waiting. From any thread."""
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._service.aborted.set)

    def _begin_stopping(self) -> None:
        self._stopping = asyncio.create_task(self._stop())

    async def _stop(self) -> None:
        deadline = time.monotonic() + self._service.limits.shutdown_seconds
        while self._service.taken and time.monotonic() < deadline:
            await asyncio.sleep(POLL_SECONDS)
        self.end()
