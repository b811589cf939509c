"""The service behind the routes: places for requests, the engine's thread, and a few threads for sound, text
and JSON, so that the event loop is never blocked.
"""

import asyncio
import contextlib
import dataclasses
import enum
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from spirit_jax.core.errors import UserError
from spirit_jax.generation.inputs import Sound
from spirit_jax.generation.jobs import Continuation, Job
from spirit_jax.generation.options import Request
from spirit_jax.generation.output import Output
from spirit_jax.generation.scheduler import Scheduler
from spirit_jax.generation.spirit_lm import SpiritLM
from spirit_jax.generation.streaming import Event, NewSound
from spirit_jax.serving.engine_thread import EngineThread
from spirit_jax.serving.limits import Limits
from spirit_jax.serving.messages.about import describe_model
from spirit_jax.serving.messages.errors import ServiceError
from spirit_jax.serving.metrics import Metrics
from spirit_jax.serving.warm_up import warm_up

T = TypeVar("T")
# threads for short work, such as the next event of a stream, and for long work, such as a recording to units,
# so that streams do not wait for recordings (our choice)
SHORT_THREADS, LONG_THREADS = 4, 2


class State(enum.Enum):
    """Of the service: not ready yet, ready, asked to stop, or without an engine."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    FAILED = "failed"


class Service:
    """A model that answers requests. Start it, use it from one event loop, and close it."""

    def __init__(
        self,
        lm: SpiritLM,
        rows: int,
        slots: int,
        limits: Limits,
        name: str,
        on_change: Callable[[State], None] = lambda _: None,
    ):
        self.lm, self.limits, self.name, self.metrics = lm, limits, name, Metrics()
        self._scheduler = Scheduler(lm.llama, rows, slots)
        self.slots = self._scheduler.slots
        self.state, self._on_change = State.STARTING, on_change
        self.about: dict[str, Any] | None = None  # the answer of /v1/model
        self.aborted = asyncio.Event()  # requests that still run end at once
        self._taken, self._held = 0, 0
        self._short = ThreadPoolExecutor(SHORT_THREADS, "short")
        self._long = ThreadPoolExecutor(LONG_THREADS, "long")
        self.engine = EngineThread(self._prepare, self._report_ready, self._report_failure)
        watch = self.metrics.watch
        watch("spirit_running", "requests that have a row", lambda: self.engine.running)
        watch("spirit_waiting", "requests that wait for a row", lambda: self.engine.waiting)
        watch("spirit_taken", "requests that were taken and not answered", lambda: self._taken)

    def start(self) -> None:
        """Begins to compile; the state is READY when that is done."""
        self.engine.start()

    def stop_taking(self) -> None:
        """Answers no further request; those that run go on."""
        self._change(State.STOPPING)

    def close(self) -> None:
        """Ends the threads."""
        self.engine.stop()
        for pool in (self._short, self._long):
            pool.shutdown(cancel_futures=True)

    @property
    def taken(self) -> int:
        """Requests that were taken and not answered."""
        return self._taken

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """A request's place. ServiceError 503 while the service is not ready, 429 where it is full."""
        if self.state is not State.READY:
            raise ServiceError.busy(503, "not_ready", f"the service is {self.state.value}")
        if self._taken >= self._scheduler.rows + self.limits.waiting:
            raise ServiceError.busy(429, "full", f"{self._taken} requests are being answered; try again")
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    def hold(self, count: int) -> None:
        """Counts bytes of a body; negative when they are released. ServiceError 429 where all bodies together
        are too large.
        """
        if count > 0 and self._held + count > self.limits.bodies_bytes:
            raise ServiceError.busy(429, "full", "too many large requests are being answered; try again")
        self._held += count

    async def in_pool(self, function: Callable[..., T], *args: Any, long: bool = False) -> T:
        """The function's result, computed in another thread; a UserError as what the client is told. long: it
        handles a whole sound.
        """
        pool = self._long if long else self._short
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, function, *args)
        except UserError as error:
            raise ServiceError.of(error) from error

    async def plan(self, request: Request, fill: bool = False) -> Job:
        """The request for the engine, its sounds encoded. Where it does not say how many new tokens it wants,
        it gets the default, as far as a row has room. fill: all that a row has.

        ServiceError 400 for a request that does not fit into a row.
        """
        hears = any(isinstance(part, Sound) for part in request.prompt)
        (job,) = await self.in_pool(self.lm.plan, [request], long=hears)
        if request.options.max_new_tokens is None:
            room = max(1, self.slots - len(job.ids))
            job = dataclasses.replace(job, max_new_tokens=room if fill else min(room, job.max_new_tokens))
        if (needed := len(job.ids) + job.max_new_tokens) > self.slots:
            says = (
                f"the prompt has {len(job.ids):,} tokens, with {job.max_new_tokens:,} new ones {needed:,}; "
                f"at most {self.slots:,} fit: shorten the prompt, or ask for fewer (max_new_tokens)"
            )
            raise ServiceError(400, "too_many_tokens", says)
        self.metrics.tokens.labels("prompt").inc(len(job.ids))
        return job

    async def follow(self, job: Job) -> AsyncGenerator[Continuation, None]:
        """The continuation so far, as often as it is asked for, up to its end."""
        began, counted = time.monotonic(), 0
        with self.engine.follow(job) as followed:
            async for so_far in followed:
                if not counted and len(so_far.ids):
                    self.metrics.first_token.observe(time.monotonic() - began)
                self.metrics.tokens.labels("new").inc(len(so_far.ids) - counted)
                counted = len(so_far.ids)
                yield so_far

    async def answer(self, request: Request, job: Job) -> Output:
        """The whole output."""
        async with contextlib.aclosing(self.follow(job)) as continuations:
            *_, last = [so_far async for so_far in continuations]
        return self.lm.read(request, last)

    async def stream(self, request: Request, job: Job) -> AsyncGenerator[Event, None]:
        """What is new, one event after the other as they are asked for, and the output at the end."""
        stream, began, heard = self.lm.open_stream(request.options), time.monotonic(), False
        async with contextlib.aclosing(self.follow(job)) as continuations:
            async for so_far in continuations:
                events = stream.feed(so_far)
                while (event := await self.in_pool(_next, events)) is not None:
                    if isinstance(event, NewSound) and not heard:
                        heard = True
                        self.metrics.first_sound.observe(time.monotonic() - began)
                    yield event
                if so_far.finish is not None:
                    yield self.lm.read(request, so_far)

    def _prepare(self) -> Scheduler:
        self.about = describe_model(self.name, self.lm, self.slots, self.limits)
        seconds = self.limits.seconds_of_sound
        warm_up(self.lm, self._scheduler, seconds, lambda: self.engine.stopping)
        return self._scheduler

    def _report_ready(self) -> None:
        if self.state is State.STARTING:
            self._change(State.READY)

    def _report_failure(self, _: Exception) -> None:
        self._change(State.FAILED)

    def _change(self, state: State) -> None:
        self.state = state
        self._on_change(state)


def _next(events: Iterator[Event]) -> Event | None:
    return next(events, None)
