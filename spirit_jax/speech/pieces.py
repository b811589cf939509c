"""Long audio in pieces, as the published release cuts it, and pieces in groups that fit into memory."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from spirit_jax.speech import audio
from spirit_jax.units import SAMPLE_RATE, SpeechTokens

PIECE_SECONDS = 100  # longer audio is encoded in pieces of this length, as in the published release
GROUP_SECONDS = 600  # audio encoded at a time, which bounds memory


def cut(wavs: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[int]]:
    """Pieces of at most 100 s of wavs [samples] at 16 kHz, a last one under 1280 samples dropped, and each piece's wav by its place.

    BadAudio for what `audio.check` refuses.
    """
    pieces, owners = [], []
    for owner, wav in enumerate(wavs):
        audio.check(wav)
        cuts = [wav[i : i + PIECE_SECONDS * SAMPLE_RATE] for i in range(0, len(wav), PIECE_SECONDS * SAMPLE_RATE)]
        kept = [piece for piece in cuts if len(piece) >= audio.MIN_SAMPLES]
        pieces += kept
        owners += [owner] * len(kept)
    return pieces, owners


def join(pieces: Sequence[SpeechTokens], owners: Sequence[int], count: int) -> list[SpeechTokens]:
    """The pieces' codes by wav, end to end."""
    parts: list[list[SpeechTokens]] = [[] for _ in range(count)]
    for owner, speech in zip(owners, pieces):
        parts[owner].append(speech)
    return [_concatenate(part) for part in parts]


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


def _concatenate(parts: Sequence[SpeechTokens]) -> SpeechTokens:
    pitches = [part.pitch for part in parts if part.pitch is not None]
    styles = [part.style for part in parts if part.style is not None]
    units = np.concatenate([part.units for part in parts])
    return SpeechTokens(units, np.concatenate(pitches) if pitches else None, np.concatenate(styles) if styles else None)
