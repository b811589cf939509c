"""Codes to waveforms with a HiFi-GAN: aligning the streams, durations, and batches of few compiled shapes.

Legend: B rows, T frames, N units before they are repeated.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import jax
import numpy as np

from spirit_jax.core.batching import buckets, lengths_of, stack
from spirit_jax.core.errors import UserError
from spirit_jax.speech.decoders.durations import SHORTEST, predict
from spirit_jax.speech.decoders.hifigan import Generator
from spirit_jax.speech.decoders.hifigan_config import TABLES, GeneratorConfig
from spirit_jax.speech.segments import SEGMENT_SECONDS
from spirit_jax.tokens.streams import SAMPLE_RATE, UNITS

VOICE = {"spkr": "speaker", "style": "style id"}  # by the checkpoint's embedding
DEFAULTS = {"spkr": 2, "style": 8}  # where none is given (observed in Meta's release)
LONGEST = 1024  # frames of a compiled call; longer utterances are synthesized in overlapping chunks


@dataclasses.dataclass(frozen=True)
class Utterance:
    """What is to be spoken: int codes [n] of each stream that the generator takes; speaker and style id, by
    default `DEFAULTS`.
    """

    codes: Mapping[str, np.ndarray]
    speaker: int | None = None
    style_id: int | None = None


def synthesize(
    generator: Generator, utterances: Sequence[Utterance], predict_durations: bool = False
) -> list[np.ndarray]:
    """Waveforms, float32 at the generator's rate. The other utterances of the batch have no influence.

    Without predicted durations a unit lasts one frame, and the other codes as long as their hops say. A
    stream that is too short repeats its last code, and one too long is cut, by at most one code for each end
    of the 100 s segments that it was encoded in. With predicted durations there must be one code of each
    stream for each unit. UserError for codes that do not fit.
    """
    return _speak_all(generator, [codes for codes, _ in lay_out(generator, utterances, predict_durations)])


def lay_out(
    generator: Generator, utterances: Sequence[Utterance], predict_durations: bool = False
) -> list[tuple[dict[str, np.ndarray], np.ndarray]]:
    """Of each utterance the codes of every frame, by embedding, and the frames of each unit, int32 [N]; see
    `synthesize`.
    """
    checked = [_check(generator.cfg, utterance) for utterance in utterances]
    if not predict_durations:
        ones = [np.ones(len(codes["dict"]), np.int32) for codes in checked]
        return [(align(generator.cfg, codes), frames_N) for codes, frames_N in zip(checked, ones)]
    durations = predict(generator, [codes["dict"] for codes in checked])
    return [(_repeat(codes, frames_N), frames_N) for codes, frames_N in zip(checked, durations)]


def synthesize_section(
    generator: Generator, codes: Mapping[str, np.ndarray], begin: int, end: int
) -> np.ndarray:
    """The samples of the frames [begin, end) of an utterance whose codes are laid out: those of the whole
    one, up to rounding. Frames farther away than the generator's reach are not looked at.
    """
    frames, hop = len(codes["dict"]), math.prod(generator.cfg.rates)
    first, last = max(0, begin - generator.cfg.reach), min(frames, end + generator.cfg.reach)
    near = {name: values[first:last] if values.ndim else values for name, values in codes.items()}
    (wav,) = _speak_all(generator, [near])
    return wav[(begin - first) * hop : None if end == frames else (end - first) * hop]


def choose_voice(cfg: GeneratorConfig, speaker: int | None, style_id: int | None) -> dict[str, np.ndarray]:
    """Speaker and style id by the checkpoint's embedding, as scalar arrays, where the generator has
    them.

    UserError for one that it does not have.
    """
    codes = {}
    for name, given in (("spkr", speaker), ("style", style_id)):
        if name in cfg.tables:
            number = min(DEFAULTS[name], cfg.tables[name] - 1) if given is None else given
            if not isinstance(number, (int, np.integer)) or not 0 <= number < cfg.tables[name]:
                rule = f"must be 0 to {cfg.tables[name] - 1}"
                raise UserError(VOICE[name], number, rule, "name one that this vocoder has")
            codes[name] = np.array(number, np.int32)
        elif given is not None:
            raise UserError(VOICE[name], given, "this vocoder has none to choose from", "leave it out")
    return codes


def align(
    cfg: GeneratorConfig, codes: Mapping[str, np.ndarray], starts_T: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Codes of all streams, by embedding, at the units' rate and length.

    starts_T: the samples at which the units begin, by default one after the other.
    """
    frames = len(codes["dict"])
    starts_T = np.arange(frames) * cfg.hop if starts_T is None else starts_T
    ends = 1 + frames * cfg.hop // (SEGMENT_SECONDS * SAMPLE_RATE)
    aligned = dict(codes)
    for stream, (_, hop) in cfg.streams.items():
        if stream == UNITS or TABLES[stream] not in codes:
            continue
        values = codes[TABLES[stream]]
        if abs(frames * cfg.hop - len(values) * hop) > ends * hop:
            rule = (
                f"at {hop} samples each they must fit {frames} units of {cfg.hop} samples to within "
                f"{ends} code{'s' * (ends > 1)}"
            )
            raise UserError(f"{stream} codes", len(values), rule, "pass the streams of one utterance")
        aligned[TABLES[stream]] = values[np.minimum(starts_T // hop, len(values) - 1)]
    return aligned


def _check(cfg: GeneratorConfig, utterance: Utterance) -> dict[str, np.ndarray]:
    """The streams by embedding, as int32 arrays within range; speaker and style id as scalar arrays."""
    if utterance.codes.keys() != cfg.streams.keys():
        rule = f"must be {', '.join(cfg.streams)}, which this generator has embeddings for"
        fix = "pass the codes that belong to this checkpoint"
        raise UserError("streams to be spoken", ", ".join(utterance.codes), rule, fix)
    codes = {}
    for stream, (size, _) in cfg.streams.items():
        values = np.asarray(utterance.codes[stream], np.int32)
        if not len(values):
            raise UserError(f"{stream} codes", "none", "nothing is to be spoken", "pass one code at least")
        if len(unknown := values[(values < 0) | (values >= size)]):
            fix = "use this checkpoint's codes"
            raise UserError(f"{stream} codes", int(unknown[0]), f"must be 0 to {size - 1}", fix)
        codes[TABLES[stream]] = values
    return codes | choose_voice(cfg, utterance.speaker, utterance.style_id)


def _repeat(codes: dict[str, np.ndarray], durations_N: np.ndarray) -> dict[str, np.ndarray]:
    """Every code of unit n, durations_N[n] times."""
    for name, values in codes.items():
        if values.ndim and len(values) != len(durations_N):
            rule = f"with predicted durations there must be one for each of the {len(durations_N)} units"
            raise UserError(f"{name} codes", len(values), rule, "pass one code for each unit")
    return {name: np.repeat(values, durations_N) if values.ndim else values for name, values in codes.items()}


def _speak_all(generator: Generator, streams: list[dict[str, np.ndarray]]) -> list[np.ndarray]:
    """Frames to waveforms, in batches of chunks that are then concatenated."""
    hop = math.prod(generator.cfg.rates)
    chunks = [
        (i, *chunk)
        for i, codes in enumerate(streams)
        for chunk in _chunks(len(codes["dict"]), generator.cfg.reach)
    ]
    cut = [
        {name: values[first:last] if values.ndim else values for name, values in streams[i].items()}
        for i, first, last, _ in chunks
    ]
    spoken = [np.zeros(0, np.float32)] * len(chunks)
    for bucket, count, indices in buckets([len(codes["dict"]) for codes in cut], SHORTEST):
        codes = {
            name: stack([cut[index][name] for index in indices], bucket, count)
            for name in generator.cfg.tables
        }
        wav_BS = np.asarray(
            _speak()(generator, codes, lengths_of([cut[index]["dict"] for index in indices], count))
        )
        for wav_S, index in zip(wav_BS, indices):
            _, first, last, kept = chunks[index]
            end = (
                (kept.stop - first) * hop
                if kept.stop < len(streams[chunks[index][0]]["dict"])
                else generator.cfg.samples(last - first)
            )
            spoken[index] = wav_S[(kept.start - first) * hop : end]
    return [
        np.concatenate([spoken[index] for index, chunk in enumerate(chunks) if chunk[0] == i])
        for i in range(len(streams))
    ]


def _chunks(frames: int, reach: int) -> Iterator[tuple[int, int, slice]]:
    """Sections (first, last) of at most `LONGEST` frames to speak, with the frames to keep of each; together
    they cover all. They are longer where `reach` would take more than half of them.
    """
    longest = max(LONGEST, 4 * reach)
    if frames <= longest:
        yield 0, frames, slice(0, frames)
        return
    step = longest - 2 * reach
    for begin in range(0, frames, step):
        end = min(frames, begin + step)
        yield max(0, begin - reach), min(frames, end + reach), slice(begin, end)


@functools.cache
def _speak() -> Callable[[Generator, dict[str, jax.Array], jax.Array], jax.Array]:
    """Generator, codes and frames to waveforms. On a CPU XLA's older code for loops gathers the samples of
    a tile 5 % faster.
    """
    options = {"xla_cpu_use_fusion_emitters": False} if jax.default_backend() == "cpu" else None
    return jax.jit(
        lambda generator, codes, stop_B: generator(generator.condition(codes), stop_B),
        compiler_options=options,
    )
