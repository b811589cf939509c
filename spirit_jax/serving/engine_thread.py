"""The thread that owns the scheduler: requests that come and go share its rows.

The event loop hands jobs over and gets the continuation so far after each chunk of tokens. Only the newest
one is kept, so a client that reads slowly takes no memory.
"""

import asyncio
import contextlib
import queue
import threading
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial

from spirit_jax.generation.jobs import Continuation, Job
from spirit_jax.generation.scheduler import Scheduler
from spirit_jax.serving.messages.errors import ServiceError

NOT_READY = ServiceError.busy(503, "not_ready", "the model is not ready")
CHUNK = 8  # tokens of each row between two looks: others join and leave then (our choice)


class Followed:
    """A job in the engine. Iterate to get its continuation so far, up to one with a `finish`."""

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self._loop, self._changed = loop, asyncio.Event()
        self._latest: Continuation | Exception | None = None

    def post(self, news: Continuation | Exception) -> None:
        """From the engine's thread: what is new, or why nothing more comes."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for it
            self._loop.call_soon_threadsafe(self._put, news)

    async def __aiter__(self) -> AsyncIterator[Continuation]:
        while True:
            await self._changed.wait()
            self._changed.clear()
            latest = self._latest  # it may be replaced while the caller works
            if isinstance(latest, Exception):
                raise latest
            assert latest is not None
            yield latest
            if latest.finish is not None:
                return

    def _put(self, news: Continuation | Exception) -> None:
        self._latest = news
        self._changed.set()


class EngineThread:
    """prepare: makes the scheduler, in the thread, with its programs compiled. on_ready, on_failure: called
    in the thread, once at most each; after a failure every job fails.
    """

    def __init__(
        self,
        prepare: Callable[[], Scheduler],
        on_ready: Callable[[], None],
        on_failure: Callable[[Exception], None],
    ):
        self._prepare, self._on_ready, self._on_failure = prepare, on_ready, on_failure
        self._scheduler: Scheduler | None = None
        self.stopping = False  # `prepare` may return early
        self._inbox: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._followed: dict[int, Followed] = {}
        self._tickets: dict[Followed, int] = {}
        self._failure: ServiceError | None = None
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)

    def start(self) -> None:
        """Begins to prepare."""
        self._thread.start()

    def stop(self) -> None:
        """Ends after the chunk that is being generated."""
        self.stopping = True
        self._inbox.put(None)
        self._thread.join()

    @property
    def running(self) -> int:
        """Jobs that have a row."""
        return self._scheduler.running if self._scheduler else 0

    @property
    def waiting(self) -> int:
        """Jobs that wait for a row."""
        return self._scheduler.waiting if self._scheduler else 0

    @contextlib.contextmanager
    def follow(self, job: Job) -> Iterator[Followed]:
        """Generates a job while the context is open; its row is free afterwards."""
        followed = Followed(asyncio.get_running_loop())
        self._inbox.put(partial(self._submit, followed, job))
        try:
            yield followed
        finally:
            self._inbox.put(partial(self._forget, followed))

    def _work(self) -> None:
        try:
            self._scheduler = self._prepare()
            self._on_ready()
            while self._take():
                for ticket, continuation in self._scheduler.step(CHUNK):
                    self._followed[ticket].post(continuation)
        except Exception as error:
            traceback.print_exc()
            self._fail(error)
            while (command := self._inbox.get()) is not None:
                command()

    def _take(self) -> bool:
        """Does what was asked for; waits where there is nothing to generate. False: stop."""
        while True:
            idle = not (self.running or self.waiting)
            try:
                command = self._inbox.get(block=idle)
            except queue.Empty:
                return True
            if command is None:
                return False
            command()

    def _submit(self, followed: Followed, job: Job) -> None:
        if self._failure or not self._scheduler:
            followed.post(self._failure or NOT_READY)
            return
        ticket = self._scheduler.submit(job)
        self._followed[ticket], self._tickets[followed] = followed, ticket

    def _forget(self, followed: Followed) -> None:
        if (ticket := self._tickets.pop(followed, None)) is None:
            return
        del self._followed[ticket]
        if self._scheduler and not self._failure:
            self._scheduler.cancel(ticket)

    def _fail(self, error: Exception) -> None:
        self._failure = ServiceError(500, "engine_failed", f"generation has failed ({type(error).__name__})")
        self._on_failure(error)
        for followed in self._followed.values():
            followed.post(self._failure)
