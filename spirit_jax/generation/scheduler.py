"""Continuous batching: jobs that come and go share one state of the engine.

A waiting job takes the place of one that has ended, between two chunks of decoding. All shapes are fixed: the
state's, and for a new job one prefill for each bucket of prompt lengths.
"""

import collections
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from spirit_jax.core.batching import round_up_doubling
from spirit_jax.core.errors import UserError
from spirit_jax.generation.engine import DecodeState, DrawRules, close, decode, insert, prefill
from spirit_jax.generation.jobs import Continuation, Job, keys_of, read_rows, rules_of
from spirit_jax.generation.prompt_batches import MIN_PROMPT
from spirit_jax.model.llama import Llama
from spirit_jax.sharding import mesh_sizes, use_mesh_of


class Scheduler:
    """At most `rows` jobs are generated at a time, each of at most `slots` tokens, prompt and new ones.

    A job gives the ids that `jobs.generate` gives for it alone. Use it from one thread.
    """

    def __init__(self, llama: Llama, rows: int, slots: int):
        self._llama, self.slots = llama, round_up_doubling(slots, MIN_PROMPT)
        with use_mesh_of(llama):
            sizes = mesh_sizes()
        self._parts = sizes["data"] * sizes["fsdp"]  # rows of a prefill, of which the first is used
        self.rows = -(-rows // self._parts) * self._parts
        self._tickets = itertools.count()
        self._waiting: collections.deque[tuple[int, Job]] = collections.deque()
        self._running: list[tuple[int, Job] | None] = [None] * self.rows
        self._state: tuple[DecodeState, DrawRules] | None = None

    @property
    def waiting(self) -> int:
        """Jobs that have no row yet."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Jobs that have a row."""
        return sum(place is not None for place in self._running)

    def submit(self, job: Job) -> int:
        """Takes a job; the number by which `step` and `cancel` name it. UserError for one that does not fit
        into a row.
        """
        if (needed := len(job.ids) + job.max_new_tokens) > self.slots or not len(job.ids):
            rule = f"prompt and new tokens must be 2 to {self.slots:,}"
            raise UserError("tokens of a request", needed, rule, "shorten the prompt, or ask for fewer")
        ticket = next(self._tickets)
        self._waiting.append((ticket, job))
        return ticket

    def cancel(self, ticket: int) -> None:
        """Forgets a job; nothing happens for one that has ended."""
        self._waiting = collections.deque(pair for pair in self._waiting if pair[0] != ticket)
        held = np.array([place is not None and place[0] == ticket for place in self._running])
        if held.any() and self._state is not None:
            self._close(held)

    def step(self, count: int) -> list[tuple[int, Continuation]]:
        """Gives waiting jobs a row, and generates at most `count` tokens in each row: each job with its
        continuation so far. One with a `finish` has ended and left its row.
        """
        with use_mesh_of(self._llama):
            self._admit()
            if self._state is None or not self.running:
                return []
            state, rules = self._state
            state = decode(self._llama, state, rules, count)
            self._state = state, rules
            jobs = [place[1] if place else None for place in self._running]
            outputs, _ = read_rows(state, jobs)
        places = list(self._running)
        self._close(np.array([bool(output and output.finish) for output in outputs]))
        return [(place[0], output) for place, output in zip(places, outputs) if place and output]

    def _admit(self) -> None:
        for row in [row for row, place in enumerate(self._running) if place is None]:
            if not self._waiting:
                return
            self._running[row] = ticket, job = self._waiting.popleft()
            new = self._prefill([job, *[None] * (self._parts - 1)])
            if self._state is None:
                empty = self._prefill([None] * self.rows)
                self._state = empty, jax.tree.map(jnp.asarray, rules_of([job] * self.rows))
            self._state = insert(*self._state, new, rules_of([job]), row)

    def _prefill(self, jobs: list[Job | None]) -> DecodeState:
        longest = max((len(job.ids) for job in jobs if job), default=1)
        tokens_BP = np.zeros((len(jobs), round_up_doubling(longest, MIN_PROMPT)), np.int32)
        lengths_B = np.array([len(job.ids) if job else 0 for job in jobs], np.int32)
        for row, job in enumerate(jobs):
            tokens_BP[row, : lengths_B[row]] = job.ids if job else ()
        return prefill(self._llama, tokens_BP, lengths_B, *keys_of(jobs), slots=self.slots)

    def _close(self, closed_B: np.ndarray) -> None:
        """Frees rows."""
        self._running = [None if closed else place for place, closed in zip(self._running, closed_B)]
        if closed_B.any() and self._state is not None:
            state, rules = self._state
            with use_mesh_of(self._llama):
                self._state = close(state, closed_B), rules
