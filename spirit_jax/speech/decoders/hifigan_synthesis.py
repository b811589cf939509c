"""Codes to waveforms with a HiFi-GAN: lining up the streams, durations, and batches of few compiled shapes.

Legend: B rows, T frames, N units before they are repeated.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from spirit_jax.core.batching import buckets, lengths_of, stack
from spirit_jax.core.errors import UserError
from spirit_jax.speech.decoders.hifigan import Generator, GeneratorConfig
from spirit_jax.speech.segments import PIECE_SECONDS
from spirit_jax.tokens.streams import SAMPLE_RATE

# by table
CALLED = {
    "dict": "unit codes",
    "f0_dict": "pitch codes",
    "style_dict": "style codes",
    "spkr": "speaker",
    "style": "style id",
}
DEFAULTS = {"spkr": 2, "style": 8}  # the published release's speaker and style id where none is given [B]
# frames of a compiled call; more are made in pieces that overlap by all that a sample depends on
SHORTEST, LONGEST = 32, 1024
Codes = str | Sequence[int] | Sequence[str] | np.ndarray  # "3 4 5", [3, 4, 5] or ["3", "4", "5"]


@dataclasses.dataclass(frozen=True)
class Utterance:
    """What is to be spoken: unit codes; pitch and style codes if the generator has them; speaker and style
    id, by default `DEFAULTS`.
    """

    units: Codes
    pitch: Codes | None = None
    style: Codes | None = None
    speaker: int | None = None
    style_id: int | None = None


def generate(
    generator: Generator, utterance: Utterance, predict_durations: bool = False, deduplicate: bool = True
) -> np.ndarray:
    """The waveform, float32 at the generator's rate; see `generate_batch`."""
    return generate_batch(generator, [utterance], predict_durations, deduplicate)[0]


def generate_batch(
    generator: Generator,
    utterances: Sequence[Utterance],
    predict_durations: bool = False,
    deduplicate: bool = True,
) -> list[np.ndarray]:
    """Waveforms, float32 at the generator's rate. Each is what it is alone, whatever else is in the batch.

    Without predicted durations a unit lasts one frame, and pitch and style codes as long as their hops say; a
    stream that is too short is held, one too long is cut, by at most one code for each end of the 100 s
    pieces that it was encoded in. With them, repeated units become one (if `deduplicate`), each lasts what
    the generator predicts, and there must be one pitch and one style code for each unit. Negative units are
    left out, after deduplication [B]. Raises UserError for codes that don't fit.
    """
    streams = [
        _check(generator.cfg, utterance, predict_durations and deduplicate) for utterance in utterances
    ]
    if predict_durations:
        durations = predict(generator, [codes["dict"] for codes in streams])
        streams = [_repeat(codes, counts) for codes, counts in zip(streams, durations)]
    else:
        streams = [line_up(generator.cfg, codes) for codes in streams]
    return _speak_all(generator, streams)


def predict(generator: Generator, units: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Frames of each unit, int32 [N] at least 1, for each sequence: round(exp(x) - 1), halves to the even
    number [B].
    """
    if generator.duration is None:
        raise UserError(
            "predicted durations",
            True,
            "this generator has no duration predictor",
            "speak units that aren't deduplicated without it",
        )
    durations = [np.zeros(0, np.int32)] * len(units)
    for bucket, count, indices in buckets([len(codes) for codes in units], SHORTEST):
        rows = [units[i] for i in indices]
        for i, frames_N in zip(
            indices, np.asarray(_durations(generator, stack(rows, bucket, count), lengths_of(rows, count)))
        ):
            durations[i] = frames_N[: len(units[i])]
    return durations


def parse_codes(codes: Codes, what: str) -> np.ndarray:
    """Codes as int32 [N]."""
    values = codes.split() if isinstance(codes, str) else codes
    try:
        whole = [int(code) for code in values]
        if any(not isinstance(code, str) and code != number for code, number in zip(values, whole)):
            raise ValueError
        return np.array(whole, np.int32)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(
            what,
            codes,
            "must be whole numbers of 32 bits, in a list or in a string between spaces",
            "pass codes such as [3, 4] or '3 4'",
        ) from error


def _check(cfg: GeneratorConfig, utterance: Utterance, deduplicate: bool) -> dict[str, np.ndarray]:
    """The streams by their table's name, as arrays within range; speaker and style id as arrays
    of no axis.
    """
    units_N = parse_codes(utterance.units, "unit codes")
    if deduplicate:
        units_N = units_N[np.flatnonzero(np.diff(units_N, prepend=~units_N[:1]))]
    units_N = units_N[units_N >= 0]
    if not len(units_N):
        raise UserError("unit codes", utterance.units, "nothing is to be spoken", "pass at least one unit")
    codes = {"dict": units_N}
    for name, given in (("f0_dict", utterance.pitch), ("style_dict", utterance.style)):
        if (given is not None) != (name in cfg.tables):
            rule = (
                "this generator needs them"
                if name in cfg.tables
                else "this generator has no embedding for them"
            )
            raise UserError(CALLED[name], given, rule, "pass the codes that belong to this checkpoint")
        if given is not None:
            codes[name] = parse_codes(given, CALLED[name])
            if not len(codes[name]):
                raise UserError(
                    CALLED[name], "none", "must be one at least", "pass the streams of one utterance"
                )
    for name, values in codes.items():
        if len(unknown := values[(values < 0) | (values >= cfg.tables[name])]):
            raise UserError(
                CALLED[name],
                int(unknown[0]),
                f"must be 0 to {cfg.tables[name] - 1}",
                "use this checkpoint's codes",
            )
    return codes | voice_of(cfg, utterance.speaker, utterance.style_id)


def voice_of(cfg: GeneratorConfig, speaker: int | None, style_id: int | None) -> dict[str, np.ndarray]:
    """Speaker and style id by their tables, where the generator has those, as arrays of no axis. UserError
    for one that it hasn't.
    """
    codes = {}
    for name, given in (("spkr", speaker), ("style", style_id)):
        if name in cfg.tables:
            number = min(DEFAULTS[name], cfg.tables[name] - 1) if given is None else given
            if not isinstance(number, (int, np.integer)) or not 0 <= number < cfg.tables[name]:
                raise UserError(
                    CALLED[name],
                    number,
                    f"must be 0 to {cfg.tables[name] - 1}",
                    "name one that this vocoder has",
                )
            codes[name] = np.array(number, np.int32)
        elif given is not None:
            raise UserError(CALLED[name], given, "this vocoder has none to choose from", "leave it out")
    return codes


def _repeat(codes: dict[str, np.ndarray], durations_N: np.ndarray) -> dict[str, np.ndarray]:
    """Every code of unit n, durations_N[n] times."""
    for name, values in codes.items():
        if values.ndim and len(values) != len(durations_N):
            rule = (
                f"with predicted durations there must be one for each of the {len(durations_N)} units "
                "(after deduplication, if that is asked for)"
            )
            raise UserError(
                CALLED[name], f"{len(values)} of them", rule, "pass one for each unit, or deduplicate=False"
            )
    return {name: np.repeat(values, durations_N) if values.ndim else values for name, values in codes.items()}


def line_up(
    cfg: GeneratorConfig, codes: dict[str, np.ndarray], starts_T: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Pitch and style codes at the units' rate and length. starts_T: the samples at which the units begin, by
    default one after the other.
    """
    frames = len(codes["dict"])
    starts_T = np.arange(frames) * cfg.hop if starts_T is None else starts_T
    ends = 1 + frames * cfg.hop // (PIECE_SECONDS * SAMPLE_RATE)
    lined_up = dict(codes)
    for name, hop in (("f0_dict", cfg.pitch_hop), ("style_dict", cfg.style_hop)):
        if name in codes:
            values = codes[name]
            if abs(frames * cfg.hop - len(values) * hop) > ends * hop:
                rule = (
                    f"at {hop} samples each they must fit {frames} units of {cfg.hop} samples to "
                    f"within {ends} code{'s' * (ends > 1)}"
                )
                raise UserError(
                    CALLED[name], f"{len(values)} of them", rule, "pass the streams of one utterance"
                )
            lined_up[name] = values[np.minimum(starts_T // hop, len(values) - 1)]
    return lined_up


def _speak_all(generator: Generator, streams: list[dict[str, np.ndarray]]) -> list[np.ndarray]:
    """Frames to waveforms: cut into pieces, spoken in batches, joined again."""
    hop = math.prod(generator.cfg.rates)
    pieces = [
        (i, *piece)
        for i, codes in enumerate(streams)
        for piece in _pieces(len(codes["dict"]), generator.cfg.reach)
    ]
    cut = [
        {name: values[first:last] if values.ndim else values for name, values in streams[i].items()}
        for i, first, last, _ in pieces
    ]
    spoken = [np.zeros(0, np.float32)] * len(pieces)
    for bucket, count, indices in buckets([len(codes["dict"]) for codes in cut], SHORTEST):
        codes = {
            name: stack([cut[index][name] for index in indices], bucket, count)
            for name in generator.cfg.tables
        }
        wav_BS = np.asarray(
            _speak()(generator, codes, lengths_of([cut[index]["dict"] for index in indices], count))
        )
        for wav_S, index in zip(wav_BS, indices):
            _, first, last, kept = pieces[index]
            end = (
                (kept.stop - first) * hop
                if kept.stop < len(streams[pieces[index][0]]["dict"])
                else generator.cfg.samples(last - first)
            )
            spoken[index] = wav_S[(kept.start - first) * hop : end]
    return [
        np.concatenate([spoken[index] for index, piece in enumerate(pieces) if piece[0] == i])
        for i in range(len(streams))
    ]


def _pieces(frames: int, reach: int) -> Iterator[tuple[int, int, slice]]:
    """Stretches (first, last) of at most `LONGEST` frames to speak, with the frames to keep of each; together
    they cover all. They are longer where more than half of them would be there for `reach` alone.
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
    """Generator, codes and frames to waveforms. On a CPU XLA's older code for loops brings the samples of a
    tile together faster, by 5 %.
    """
    options = {"xla_cpu_use_fusion_emitters": False} if jax.default_backend() == "cpu" else None
    return jax.jit(
        lambda generator, codes, stop_B: generator(generator.condition(codes), stop_B),
        compiler_options=options,
    )


@jax.jit
def _durations(generator: Generator, units_BN: jax.Array, stop_B: jax.Array) -> jax.Array:
    frames_BN = jnp.round(jnp.exp(generator.log_durations(units_BN, stop_B)) - 1)
    return jnp.maximum(1, frames_BN).astype(jnp.int32)
