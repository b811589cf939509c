"""What every POST passes: a place, a time limit, a bounded body, and an end when its client goes away."""

import asyncio
import contextlib
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from spirit_jax.serving.limits import BODY_SECONDS, Limits
from spirit_jax.serving.messages.answers import EVENT_STREAM, write_event
from spirit_jax.serving.messages.errors import CLOSE, ServiceError
from spirit_jax.serving.service import Service

# so much of a body beyond the limit is read and dropped, so that its client can read the answer (our choice)
LINGER_SECONDS, LINGER_BYTES = 1.0, 8 << 20
LAST_WORD_SECONDS = 1.0  # for the event that ends a stream
Message = MutableMapping[str, Any]


class Admission:
    """Runs requests of the method POST in a task of their own, which is cancelled when the client goes away,
    when the time is over, and when the service is closed. Others pass.
    """

    def __init__(self, app: ASGIApp, service: Service):
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            with self._service.place(), contextlib.closing(Body(scope, receive, self._service)) as body:
                await self._run(scope, body, send)
        except ServiceError as error:
            await error.respond()(scope, receive, send)

    async def _run(self, scope: Scope, body: "Body", send: Send) -> None:
        await body.check_length()
        reply = Reply(send)
        work = asyncio.create_task(self._app(scope, body.receive, reply.send))
        gone = asyncio.create_task(body.wait_gone())
        closed = asyncio.create_task(self._service.aborted.wait())
        try:
            seconds = self._service.limits.request_seconds
            done, _ = await asyncio.wait({work, gone, closed}, timeout=seconds, return_when="FIRST_COMPLETED")
        finally:
            for task in (work, gone, closed):
                task.cancel()
            await asyncio.wait({work, gone, closed})
        if work in done:
            work.result()
        elif gone not in done:
            await reply.end(scope, _too_slow(self._service.limits) if not done else STOPPED)


STOPPED = ServiceError.busy(503, "stopping", "the service is stopping")


def _too_slow(limits: Limits) -> ServiceError:
    return ServiceError(504, "timeout", f"the answer took more than {limits.request_seconds:g} s", CLOSE)


class Body:
    """The body of a request, as the application receives it."""

    def __init__(self, scope: Scope, receive: Receive, service: Service):
        self._scope, self._receive, self._service = scope, receive, service
        self._count, self._complete, self._broken_off = 0, asyncio.Event(), False
        self._gone: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

    def close(self) -> None:
        """Releases what it holds."""
        self._service.hold(-self._count)
        self._gone.cancel()

    async def check_length(self) -> None:
        """ServiceError 413 for a body that is said to be too large."""
        headers = Headers(scope=self._scope)
        if int(headers.get("content-length", 0)) > self._service.limits.body_bytes:
            if "expect" not in headers:
                await self._discard()
            raise self._too_large()

    async def receive(self) -> Message:
        """The next message. ServiceError 413 or 429 where the body is too large, and 408 where it is slow."""
        if self._complete.is_set():
            return await asyncio.shield(self._gone)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                message = await self._receive()
        except TimeoutError as error:
            says = f"nothing of the body came for {BODY_SECONDS:g} s"
            raise ServiceError(408, "body_timeout", says, CLOSE) from error
        if message["type"] != "http.request":
            self._broken_off = True
            self._complete.set()
            await asyncio.Event().wait()  # until the request is cancelled
        await self._take(message)
        return message

    async def wait_gone(self) -> None:
        """Returns when the client has gone away."""
        await self._complete.wait()
        if self._broken_off:
            return
        message = await self._receive()
        if not self._gone.done():
            self._gone.set_result(message)

    async def _take(self, message: Message) -> None:
        size = len(message.get("body", b""))
        if self._count + size > self._service.limits.body_bytes:
            message.clear()
            await self._discard()
            raise self._too_large()
        self._service.hold(size)
        self._count += size
        if not message.get("more_body"):
            self._complete.set()

    async def _discard(self) -> None:
        dropped, goes_on = 0, True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while goes_on and dropped < LINGER_BYTES:
                    message = await self._receive()
                    dropped += len(message.get("body", b""))
                    goes_on = message.get("more_body", False)

    def _too_large(self) -> ServiceError:
        says = f"the body has more than {self._service.limits.body_bytes:,} bytes"
        return ServiceError(413, "body_too_large", says, CLOSE)


class Reply:
    """The answer as it is sent."""

    def __init__(self, send: Send):
        self._send, self._begun, self._events = send, False, False

    async def send(self, message: Message) -> None:
        """Sends a message of the application."""
        if message["type"] == "http.response.start":
            self._begun = True
            self._events = Headers(raw=message["headers"]).get("content-type", "").startswith(EVENT_STREAM)
        await self._send(message)

    async def end(self, scope: Scope, error: ServiceError) -> None:
        """Ends it early: the error as the response, or as the last event; another answer breaks off."""
        if not self._begun:
            await error.respond()(scope, _nothing, self._send)
        elif self._events:
            last = {"type": "http.response.body", "body": write_event(error.body, "error").encode()}
            with contextlib.suppress(TimeoutError):  # a client that does not read has no last word
                async with asyncio.timeout(LAST_WORD_SECONDS):
                    await self._send(last)


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
