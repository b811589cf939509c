"""Prompts of ids to new ids: many at a time in batches, or one that is followed while it runs.

`Job` is what the engine is asked for, `Continuation` what it answers. `generate` runs jobs to the end,
`follow` gives the continuation so far after each chunk of tokens; `scheduler` runs jobs that come and go.

A row draws with a key of its seed and its prompt alone, so a job gives the same ids alone, in a batch and in
any order, as far as the device computes the same logits: sums of another order differ in the last bits.
"""

import collections
import dataclasses
import enum
import zlib
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from spirit_jax.core.errors import SEEDS, UserError, require_seed
from spirit_jax.generation.engine import DecodeState, DrawRules, close, decode, prefill
from spirit_jax.generation.prompt_batches import batch_prompts
from spirit_jax.generation.sampling import GREEDY, Sampling
from spirit_jax.model.llama import Llama
from spirit_jax.sharding import use_mesh_of

NEW_SLOTS = 32  # slots for new tokens are a multiple of it, so that few shapes are compiled
# tokens between two looks at the ids, where a job has a `find_end`: a look costs 0.1 ms (our choice)
CHUNK = 16


class Finish(enum.Enum):
    """Why a continuation has ended: the model's EOS, `find_end`, or the limit of its length."""

    EOS = "eos"
    STOP = "stop"
    LIMIT = "limit"


@dataclasses.dataclass(frozen=True)
class Job:
    """A prompt and how it is continued.

    ids: int32, at least one. forbidden_V: bool [V], ids never drawn. eos: the id that ends it, unless it is
    forbidden. occurrence: among equal jobs of one call, so that they draw differently. find_end: from the new
    ids so far, how many of them to keep where a stop was found, else None.
    """

    ids: np.ndarray
    forbidden_V: np.ndarray
    eos: int
    max_new_tokens: int
    sampling: Sampling = GREEDY
    seed: int = 0
    occurrence: int = 0
    find_end: Callable[[np.ndarray], int | None] | None = None

    def __post_init__(self):
        if not 1 <= self.max_new_tokens < 2**30:
            raise UserError(
                "max_new_tokens",
                self.max_new_tokens,
                "must be at least 1 and below 2^30",
                "the paper uses 50 for text, 200 to 300 for speech",
            )
        require_seed("seed", self.seed)

    @property
    def draw(self) -> int:
        """Tells jobs of one seed apart: of the prompt and the occurrence alone, below 2^32."""
        return zlib.crc32(np.asarray(self.ids, np.int32).tobytes(), self.occurrence % SEEDS)


@dataclasses.dataclass(frozen=True)
class Continuation:
    """ids: new ones, int32 without EOS. log_probs: of each, float32, in nats, by the model alone (see
    `DecodeState`). finish: None while it runs.
    """

    ids: np.ndarray
    log_probs: np.ndarray
    finish: Finish | None


def generate(llama: Llama, jobs: Sequence[Job]) -> list[Continuation]:
    """Continues each job to its end, in the order of the jobs. Equal jobs draw differently."""
    jobs = _number_equals(jobs)
    outputs: list[Continuation | None] = [None] * len(jobs)
    with use_mesh_of(llama):
        for numbers, chunks in _batches(llama, jobs):
            *_, last = chunks
            for number, continuation in zip(numbers, last):
                outputs[number] = continuation
    return [output for output in outputs if output is not None]


def follow(llama: Llama, job: Job, chunk: int = CHUNK) -> Iterator[Continuation]:
    """The continuation so far: after the first token, then after each `chunk` tokens, up to its end."""
    batches = _batches(llama, [job], chunk)
    with use_mesh_of(llama):
        _, chunks = next(batches)
    while True:
        with use_mesh_of(llama):  # not while the caller works
            if (continuations := next(chunks, None)) is None:
                return
        yield continuations[0]


def rules_of(jobs: Sequence[Job | None]) -> DrawRules:
    """The rules of each row; None for an empty row, of which nothing is drawn."""
    some = next(job for job in jobs if job is not None)
    filled = [job or dataclasses.replace(some, sampling=GREEDY) for job in jobs]
    size = len(some.forbidden_V)
    top_k = [min(job.sampling.top_k or size, size) for job in filled]
    return DrawRules(
        forbidden_BV=jnp.asarray(np.stack([job.forbidden_V for job in filled])),
        eos_B=np.array([job.eos for job in filled], np.int32),
        limit_B=np.array([job.max_new_tokens for job in filled], np.int32),
        temperature_B=np.array([job.sampling.temperature for job in filled], np.float32),
        top_p_B=np.array([job.sampling.top_p for job in filled], np.float32),
        top_k_B=np.array(top_k, np.int32),
        penalty_B=np.array([job.sampling.repetition_penalty for job in filled], np.float32),
    )


def keys_of(jobs: Sequence[Job | None]) -> tuple[np.ndarray, np.ndarray]:
    """What the random key of each row depends on: seeds_B and draws_B of `prefill`, uint32."""
    pairs = [(job.seed, job.draw) if job else (0, 0) for job in jobs]
    return np.array([seed for seed, _ in pairs], np.uint32), np.array([draw for _, draw in pairs], np.uint32)


def read_rows(state: DecodeState, jobs: Sequence[Job | None]) -> tuple[list[Continuation | None], np.ndarray]:
    """Each row's continuation so far, None for an empty row; and the rows to be closed, bool [B], because a
    stop was found.
    """
    read = jax.device_get(
        (state.tokens_BS, state.log_probs_BS, state.lengths_B, state.counts_B, state.open_B)
    )
    outputs: list[Continuation | None] = []
    stopped_B = np.zeros(len(jobs), bool)
    for row, (job, tokens_S, log_probs_S, length, count, is_open) in enumerate(zip(jobs, *read)):
        if job is None:
            outputs.append(None)
            continue
        new = slice(length, length + count)
        kept = job.find_end(tokens_S[new]) if job.find_end else None
        stopped_B[row] = kept is not None
        reached = Finish.LIMIT if count >= job.max_new_tokens else Finish.EOS
        finish = Finish.STOP if kept is not None else None if is_open else reached
        outputs.append(Continuation(tokens_S[new][:kept].copy(), log_probs_S[new][:kept].copy(), finish))
    return outputs, stopped_B


def _number_equals(jobs: Sequence[Job]) -> list[Job]:
    """The jobs, each with its occurrence among those of the same prompt that draw in the same way."""
    seen: collections.Counter[tuple] = collections.Counter()
    numbered = []
    for job in jobs:
        arrays = np.asarray(job.ids, np.int32).tobytes(), job.forbidden_V.tobytes()
        same = job.seed, job.sampling, job.max_new_tokens, *arrays
        numbered.append(dataclasses.replace(job, occurrence=seen[same]))
        seen[same] += 1
    return numbered


def _batches(
    llama: Llama, jobs: Sequence[Job], chunk: int | None = None
) -> Iterator[tuple[list[int], Iterator[list[Continuation]]]]:
    """The numbers of the jobs of each batch, and their continuations after each chunk."""
    longest = max((job.max_new_tokens for job in jobs), default=1)
    new_slots = -(-longest // NEW_SLOTS) * NEW_SLOTS
    for batch in batch_prompts([job.ids for job in jobs], llama.cfg, new_slots):
        rows = [jobs[number] if length else None for number, length in zip(batch.numbers_B, batch.lengths_B)]
        state = prefill(
            llama,
            batch.tokens_BP,
            batch.lengths_B,
            *keys_of(rows),
            slots=batch.tokens_BP.shape[1] + new_slots,
        )
        numbers = [int(number) for number, job in zip(batch.numbers_B, rows) if job]
        yield numbers, _run(llama, state, rows, chunk)


def _run(
    llama: Llama, state: DecodeState, jobs: Sequence[Job | None], chunk: int | None
) -> Iterator[list[Continuation]]:
    """The rows' continuations after each chunk, up to the end of all. chunk: None for as many tokens as can
    be drawn without a look at them; a followed row gives its first token alone.
    """
    rules = rules_of(jobs)
    watched = any(job and job.find_end for job in jobs)
    count = 1 if chunk else CHUNK if watched else int(rules.limit_B.max())
    while True:
        state = decode(llama, state, rules, count)
        outputs, stopped_B = read_rows(state, jobs)
        yield [output for output in outputs if output is not None]
        if all(output is None or output.finish for output in outputs):
            return
        if stopped_B.any():
            state = close(state, stopped_B)
        count = chunk or count
