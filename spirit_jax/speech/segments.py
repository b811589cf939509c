"""Long audio in pieces, as the published release cuts it, and pieces in groups that fit into memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from spirit_jax.speech.audio import MIN_SAMPLES
from spirit_jax.tokens.streams import SAMPLE_RATE, SpeechTokens

PIECE_SECONDS = 100  # longer audio is encoded in pieces of this length, as in the published release
GROUP_SECONDS = 600  # audio encoded at a time, which bounds memory


def cut(wavs: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[int]]:
    """Pieces of at most 100 s of wavs [samples] at 16 kHz, a last one under 1280 samples dropped, and each
    piece's wav by its place.
    """
    pieces, owners, most = [], [], round(PIECE_SECONDS * SAMPLE_RATE)
    for owner, wav in enumerate(wavs):
        cuts = [wav[i : i + most] for i in range(0, len(wav), most)]
        kept = [piece for piece in cuts if len(piece) >= MIN_SAMPLES]
        pieces += kept
        owners += [owner] * len(kept)
    return pieces, owners


def unit_starts(units: int, samples: int, count_units: Callable[[int], int], hop: int) -> np.ndarray:
    """The sample at which each of a wav's units begins, int64 [units]: every piece begins anew, though the
    one before may lack its last unit.
    """
    most = round(PIECE_SECONDS * SAMPLE_RATE)
    at_N = np.arange(units) * hop
    for place, first in enumerate(range(most, samples, most), 1):
        before = place * count_units(most)
        at_N[before:] = first + np.arange(max(0, units - before)) * hop
    return at_N


def join(
    pieces: Sequence[SpeechTokens], owners: Sequence[int], count: int, expressive: bool
) -> list[SpeechTokens]:
    """The pieces' codes by wav, end to end; a wav without pieces has none of any stream."""
    parts: list[list[SpeechTokens]] = [[] for _ in range(count)]
    for owner, speech in zip(owners, pieces):
        parts[owner].append(speech)
    return [_concatenate(part, expressive) for part in parts]


def groups(wavs: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Lists of wavs that are about ten minutes together."""
    group, samples = [], 0
    for wav in wavs:
        group.append(wav)
        samples += len(wav)
        if samples >= GROUP_SECONDS * SAMPLE_RATE:
            yield group
            group, samples = [], 0
    if group:
        yield group


def _concatenate(parts: Sequence[SpeechTokens], expressive: bool) -> SpeechTokens:
    names = ("units", "pitch", "style") if expressive else ("units",)
    return SpeechTokens(
        *(np.concatenate([np.zeros(0, np.int32), *(getattr(part, name) for part in parts)]) for name in names)
    )
