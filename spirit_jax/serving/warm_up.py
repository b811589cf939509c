"""Compiles what requests need, before the first one comes."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from spirit_jax.core.batching import round_up_length
from spirit_jax.core.progress import track
from spirit_jax.generation.jobs import Job
from spirit_jax.generation.prompt_batches import MIN_PROMPT
from spirit_jax.generation.scheduler import Scheduler
from spirit_jax.generation.spirit_lm import SpiritLM
from spirit_jax.generation.streaming import FIRST_SECTION
from spirit_jax.speech.audio import MIN_SAMPLES
from spirit_jax.speech.codec import Codec
from spirit_jax.speech.segments import SEGMENT_SECONDS
from spirit_jax.tokens.streams import SAMPLE_RATE, UNITS, SpokenUnits


def warm_up(lm: SpiritLM, scheduler: Scheduler, seconds: float, should_stop: Callable[[], bool]) -> None:
    """Runs each program once: prompts of every bucket of lengths, sounds of up to `seconds`, and speech of
    every length. Shows progress. should_stop: asked before each.
    """
    speech = _sounds(lm.codec, scheduler.slots, seconds) if lm.codec_path else ()
    for step in track([*_prompts(lm, scheduler), *speech], "compile", unit="programs"):
        if should_stop():
            return
        step()


def _prompts(lm: SpiritLM, scheduler: Scheduler) -> Iterator[Callable[[], None]]:
    length, free_V = MIN_PROMPT, np.zeros(lm.llama.cfg.rows, bool)
    while length <= scheduler.slots:
        ids = np.full(length - 2, lm.vocabulary.bos, np.int32)
        yield partial(_run, scheduler, Job(ids, free_V, lm.vocabulary.eos, 2))
        length *= 2


def _run(scheduler: Scheduler, job: Job) -> None:
    scheduler.submit(job)
    while scheduler.running or scheduler.waiting:
        scheduler.step(1)


def _sounds(codec: Codec, slots: int, seconds: float) -> Iterator[Callable[[], None]]:
    longest = round(min(seconds, SEGMENT_SECONDS) * SAMPLE_RATE)
    for samples in _lengths(MIN_SAMPLES, longest):
        yield partial(_listen, codec, samples)
    for count in _lengths(1, slots) if codec.decoder else ():
        yield partial(_speak, codec, count)


def _listen(codec: Codec, samples: int) -> None:
    noise = np.random.default_rng(0).standard_normal(samples, np.float32)
    codec.encode_batch([np.float32(0.1) * noise])


def _speak(codec: Codec, count: int) -> None:
    codes = {stream.name: np.zeros(count, np.int32) for stream in codec.streams}
    codes[UNITS] = np.arange(count, dtype=np.int32) % 2
    spoken = SpokenUnits(codes)
    codec.decode(spoken)
    if settled := codec.count_settled(spoken):
        codec.decode_section(spoken, max(0, settled - FIRST_SECTION), settled)


def _lengths(shortest: int, longest: int) -> list[int]:
    """The lengths that programs are compiled for, up to the one that holds `longest`."""
    lengths = [round_up_length(shortest)]
    while lengths[-1] < longest:
        lengths.append(round_up_length(lengths[-1] + 1))
    return [min(length, longest) for length in lengths]
