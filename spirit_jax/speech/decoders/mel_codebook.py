"""Sound without a learned network: the mean log-mel of each unit, smoothed over unit borders, by Griffin-Lim.

Legend: N units, K codes, M mel bands, F frames (10 ms).
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.speech.decoders.griffin_lim import synthesize
from spirit_jax.speech.encoders import mfcc
from spirit_jax.speech.encoders.style.pooled import REFERENCE_HZ, mean_octaves
from spirit_jax.speech.weights.table import Table
from spirit_jax.tokens.streams import (
    SAMPLE_RATE,
    SpeechTokens,
    SpokenUnits,
    Streams,
    lengthen,
    pitch_stream,
    style_stream,
    unit_stream,
)


@dataclasses.dataclass(frozen=True)
class MelCodebook:
    """A decoder of MFCC units, contour pitch and pooled style; without pitch and style its voice is monotone.

    Arrays: frames [K], the mean run of a unit · mel [K, 4, 64], log-mel around the utterance's mean ·
    mel_mean [64] · voiced [K], the share of voice · pitch_mean [], octaves over 128 Hz · where the codec has
    those streams: pitch_octaves [codes], style_features [codes, 7].
    """

    mel_codebook: Table

    @property
    def keep_durations(self) -> bool:
        """A unit of an utterance lasts one frame."""
        return True

    @property
    def speakers(self) -> int:
        """None to choose: it has one voice."""
        return 0

    @property
    def styles(self) -> int:
        """None to choose."""
        return 0

    @property
    def streams(self) -> Streams:
        """The streams that it takes."""
        table, rate = self.mel_codebook, SAMPLE_RATE / mfcc.UNIT_HOP
        spoken = (unit_stream(len(table["mel"]), rate),)
        spoken += (pitch_stream(len(table["pitch_octaves"]), rate / 2),) if "pitch_octaves" in table else ()
        return spoken + (
            (style_stream(len(table["style_features"]), 1.0),) if "style_features" in table else ()
        )

    def check_streams(self, streams: Streams, spoken_count: int) -> None:
        """UserError for an encoder of other streams."""
        if streams != self.streams:
            sizes = [f"{stream.name} {stream.size} at {stream.rate:g} Hz" for stream in streams]
            rule = f"must be those of the decoder, {[(s.name, s.size, s.rate) for s in self.streams]}"
            raise UserError("codec streams", ", ".join(sizes), rule, "fit encoder and decoder together")

    def check_voice(self, speaker: int | None, style: int | None) -> None:
        """UserError for any: it has one voice."""
        for name, given in (("speaker", speaker), ("style", style)):
            if given is not None:
                raise UserError(name, given, "this codec has one voice", "leave it out")

    def speak(self, speech: SpeechTokens, speaker: int | None, style: int | None) -> np.ndarray:
        """float32 [640 units] at 16 kHz. F0 follows the pitch codes around the mean of the style codes;
        without them it is constant.
        """
        self.check_voice(speaker, style)
        table = self.mel_codebook
        frames_FM = table["mel"][speech.units].reshape(-1, mfcc.MELS)
        ends_FM = np.pad(frames_FM, ((1, 1), (0, 0)), mode="edge")
        smooth_FM = 0.25 * ends_FM[:-2] + 0.5 * frames_FM + 0.25 * ends_FM[2:]
        return synthesize(smooth_FM + table["mel_mean"], self._f0_of(speech))

    def speak_units(self, spoken: SpokenUnits, speaker: int | None, style: int | None) -> np.ndarray:
        """As `speak`; each unit lasts its mean run."""
        frames_N = whole_frames(self.mel_codebook["frames"][spoken.units])
        return self.speak(lengthen(spoken, frames_N, self.streams), speaker, style)

    def count_settled(self, spoken: SpokenUnits) -> int:
        """None: Griffin-Lim's phases and the loudness depend on the whole utterance."""
        return 0

    def speak_section(
        self, spoken: SpokenUnits, first: int, last: int, speaker: int | None, style: int | None
    ) -> np.ndarray:
        """The samples of the units [first, last) in the sound of all: float32 at 16 kHz."""
        ends = np.cumsum([0, *whole_frames(self.mel_codebook["frames"][spoken.units])]) * mfcc.UNIT_HOP
        return self.speak_units(spoken, speaker, style)[ends[first] : ends[last]]

    def _f0_of(self, speech: SpeechTokens) -> np.ndarray:
        """F0 in Hz of each frame, 0 where the unit is mostly unvoiced: [4 units]."""
        table, codes = self.mel_codebook, speech.codes
        frames = np.arange(mfcc.FRAMES_PER_UNIT * len(speech.units))
        octaves_F = np.full(len(frames), table["pitch_mean"])
        if len(style := codes.get("style", ())):
            octaves_F[:] = mean_octaves(table["style_features"][style])
        if len(pitch := codes.get("pitch", ())):
            frames_per_code = 2 * mfcc.FRAMES_PER_UNIT
            centres = (np.arange(len(pitch)) + 0.5) * frames_per_code - 0.5
            octaves_F += np.interp(frames, centres, table["pitch_octaves"][pitch])
        voiced_F = np.repeat(table["voiced"][speech.units] > 0.5, mfcc.FRAMES_PER_UNIT)
        return np.where(voiced_F, REFERENCE_HZ * 2**octaves_F, 0)


def fit_mel_codebook(
    mels: Sequence[np.ndarray], f0s: Sequence[np.ndarray], units: Sequence[np.ndarray], count: int
) -> dict[str, np.ndarray]:
    """Each unit's mean run, mean log-mel and share of voice, and the means over all: arrays of `MelCodebook`.

    mels: [4 N, 64], f0s: [F], units: int32 [N], of each utterance; count: number of codes.
    """
    codes_N = np.concatenate(units)
    centred_NM = np.concatenate([mel_FM - mel_FM.mean(0) for mel_FM in mels]).reshape(len(codes_N), -1)
    f0_N8 = np.concatenate([f0_F[: 2 * len(mel_FM)] for f0_F, mel_FM in zip(f0s, mels)])
    f0_N8 = f0_N8.reshape(len(codes_N), -1)
    rows_NX = np.concatenate([centred_NM, (f0_N8 > 0).mean(1, keepdims=True)], axis=1)
    mean_KX = np.zeros((count, rows_NX.shape[1]))
    np.add.at(mean_KX, codes_N, rows_NX)
    mean_KX /= np.maximum(np.bincount(codes_N, minlength=count), 1)[:, None]
    voiced = f0_N8[f0_N8 > 0]
    return {
        "frames": mean_runs(units, count),
        "mel": mean_KX[:, :-1].reshape(count, mfcc.FRAMES_PER_UNIT, mfcc.MELS),
        "mel_mean": np.concatenate(mels).mean(0),
        "voiced": mean_KX[:, -1],
        "pitch_mean": np.asarray(np.log2(voiced / REFERENCE_HZ).mean() if len(voiced) else 0),
    }


def make_mel_codebook(arrays: Mapping[str, np.ndarray]) -> MelCodebook:
    """The decoder of these arrays, as float32."""
    return MelCodebook(Table({name: np.asarray(array, np.float32) for name, array in arrays.items()}))


def mean_runs(paths: Sequence[np.ndarray], units: int) -> np.ndarray:
    """Mean length of the runs of each unit over all paths: float32 [units], 1 for a unit that
    never occurs.
    """
    starts = np.concatenate([np.diff(path, prepend=-1) != 0 for path in paths])
    codes = np.concatenate(paths)
    runs_K = np.bincount(codes[starts], minlength=units)
    return (np.bincount(codes, minlength=units) / np.maximum(runs_K, 1)).clip(1).astype(np.float32)


def whole_frames(frames_N: np.ndarray) -> np.ndarray:
    """Durations as whole numbers, with sums as close as possible: the ends are rounded, not the lengths."""
    return np.diff(np.floor(np.cumsum(frames_N, dtype=np.float64) + 0.5), prepend=0).astype(np.int64)
