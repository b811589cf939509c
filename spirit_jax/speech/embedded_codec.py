"""The codec that needs no download, trained here: codec.json says its sizes, arrays.npz holds its arrays.

Legend: F frames (10 ms), M mel bands, N units, K codes, D features.
"""

import dataclasses
import json
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import (
    fingerprint,
    read_json,
    require_file,
    require_place,
    write_atomically,
    write_json,
)
from spirit_jax.speech import audio
from spirit_jax.speech import segments as pieces
from spirit_jax.speech.codes import Codes, read_codes
from spirit_jax.speech.decoders import griffin_lim as vocoder
from spirit_jax.speech.encoders import mfcc
from spirit_jax.speech.encoders.pitch import cross_correlation as pitch
from spirit_jax.speech.encoders.style import pooled as styles
from spirit_jax.speech.quantizers import kmeans as quantizer
from spirit_jax.tokens.streams import (
    PITCH_RATE,
    SAMPLE_RATE,
    STYLE_RATE,
    UNIT_RATE,
    SpeechTokens,
    SpokenUnits,
)

RECIPE = 2  # 1 had no unit_frames
PITCH_CODES = 64
# a choice: the features tell no more apart, and each code costs the language model tokens of training
STYLE_CODES = 32
# of a short k-means and each utterance's nearest warp, before the last k-means; a choice, measured
WARP_ROUNDS = 6
WARP_ITERATIONS = 2
# in mean squared distances to the nearest code; a choice, measured: fewer changes inside a phone
UNIT_CHANGE_COST = 1.0
# octaves squared: leaving a code pays once the contour is about two semitones off; a choice
PITCH_CHANGE_COST = 0.02


@dataclasses.dataclass(frozen=True)
class EmbeddedCodec:
    """The codec that needs no download: k-means over cepstra, F0 codes and pooled style, all trained here;
    Griffin-Lim back.

    Arrays (float32): unit_centroids [K, 52] of features over scale [] · unit_change_cost [] · unit_frames
    [K], how often a unit is said on end · unit_mel [K, 4, 64], log-mel around the utterance's mean · mel_mean
    [64] · unit_voiced [K], the share of voice · pitch_mean [], octaves over 128 Hz · expressive:
    pitch_octaves [64] ascending · style_mean, style_scale [7] · style_centroids [S, 7].
    """

    arrays: dict[str, np.ndarray]

    @property
    def unit_count(self) -> int:
        """Phonetic codes."""
        return len(self.arrays["unit_centroids"])

    @property
    def pitch_count(self) -> int:
        """Pitch codes, or 0."""
        return len(self.arrays.get("pitch_octaves", ()))

    @property
    def style_count(self) -> int:
        """Style codes, or 0."""
        return len(self.arrays.get("style_centroids", ()))

    @property
    def rates(self) -> dict[str, float]:
        """Codes a second of each stream."""
        return {
            "units": UNIT_RATE,
            **({"pitch": PITCH_RATE, "style": STYLE_RATE} if self.pitch_count else {}),
        }

    @property
    def fingerprint(self) -> str:
        """Names config and arrays."""
        parts = [json.dumps(self._config(), sort_keys=True).encode()]
        for name, array in sorted(self.arrays.items()):
            parts += [f"{name} {array.dtype} {array.shape}".encode(), np.ascontiguousarray(array).tobytes()]
        return fingerprint(*parts)

    def count_units(self, samples: int) -> int:
        """Units of a wav of so many samples, 100 s at most."""
        return mfcc.unit_count(samples)

    def encode_batch(self, wavs: Sequence[np.ndarray]) -> list[SpeechTokens]:
        """Units (and pitch and style) of float32 wavs [samples] at 16 kHz; the same for a wav alone and among
        others.

        A wav over 100 s is encoded in pieces of 100 s, a last one under 1280 samples dropped. BadAudio for
        what `audio.check` refuses.
        """
        for wav in wavs:
            audio.check(wav)
        cuts, owners = pieces.cut(wavs)
        encoded = [speech for group in pieces.groups(cuts) for speech in self._encode_group(group)]
        return pieces.join(encoded, owners, len(wavs), expressive=self.pitch_count > 0)

    def decode(self, speech: Codes, speaker: int | None = None, style: int | None = None) -> np.ndarray:
        """Each unit's mean log-mel, smoothed over unit borders, as sound: float32 [640 units] at 16 kHz. A
        spoken unit, or one of a token string, lasts its mean.

        The pitch is that of the pitch codes around the mean of the style codes', or even. UserError for a
        code that the codec hasn't, and for a speaker or style: it has one voice.
        """
        self.check_voice(speaker, style)
        speech = read_codes(speech, self.unit_count, self.pitch_count, self.style_count)
        if isinstance(speech, SpokenUnits):
            speech = speech.last(_whole_frames(self.arrays["unit_frames"][speech.units]))
        if len(speech.units) == 0:
            return np.zeros(0, np.float32)
        frames_FM = self.arrays["unit_mel"][speech.units].reshape(-1, mfcc.MELS)
        ends_FM = np.pad(frames_FM, ((1, 1), (0, 0)), mode="edge")
        smooth_FM = 0.25 * ends_FM[:-2] + 0.5 * frames_FM + 0.25 * ends_FM[2:]
        return vocoder.synthesize(smooth_FM + self.arrays["mel_mean"], self._pitch_of(speech))

    def check_voice(self, speaker: int | None, style: int | None) -> None:
        """UserError for any: it has one voice."""
        for name, given in (("speaker", speaker), ("style", style)):
            if given is not None:
                raise UserError(name, given, "this codec has one voice", "leave it out")

    def _pitch_of(self, speech: SpeechTokens) -> np.ndarray:
        """F0 in Hz of each frame, 0 where the unit is mostly unvoiced: [4 units]."""
        frames = np.arange(mfcc.FRAMES_PER_UNIT * len(speech.units))
        octaves_F = np.full(len(frames), self.arrays["pitch_mean"])
        if speech.style is not None and len(speech.style):
            octaves_F[:] = styles.mean_octaves(
                self.arrays["style_centroids"][speech.style] * self.arrays["style_scale"]
                + self.arrays["style_mean"]
            )
        if speech.pitch is not None and len(speech.pitch):
            frames_per_code = pitch.FRAMES_PER_CODE * pitch.HOP / mfcc.HOP
            centres = (np.arange(len(speech.pitch)) + 0.5) * frames_per_code - 0.5
            octaves_F += np.interp(frames, centres, self.arrays["pitch_octaves"][speech.pitch])
        voiced_F = np.repeat(self.arrays["unit_voiced"][speech.units] > 0.5, mfcc.FRAMES_PER_UNIT)
        return np.where(voiced_F, styles.REFERENCE_HZ * 2**octaves_F, 0)

    def save(self, folder: str | Path) -> None:
        """Writes codec.json and arrays.npz, whole or not at all."""
        require_place(folder, "codec folder", "codec.json")
        with write_atomically(folder) as partial:
            partial.mkdir()
            np.savez(partial / "arrays.npz", allow_pickle=False, **self.arrays)
            write_json(partial / "codec.json", {**self._config(), "fingerprint": self.fingerprint})

    @classmethod
    def load(cls, folder: str | Path) -> "EmbeddedCodec":
        """Reads what `save` wrote; a UserError if the arrays are not those that codec.json names."""
        path, about = (
            require_file(Path(folder) / "arrays.npz", "codec arrays"),
            read_json(Path(folder) / "codec.json"),
        )
        if about.get("recipe") != RECIPE:
            raise UserError(
                f"{folder}/codec.json recipe",
                about.get("recipe"),
                f"must be {RECIPE}",
                "train the codec again",
            )
        try:
            with np.load(path, allow_pickle=False) as stored:
                codec = cls(dict(stored))
        except (zipfile.BadZipFile, ValueError, EOFError) as error:
            raise UserError(
                "codec arrays", path, f"must be an npz file ({error})", "train the codec again"
            ) from error
        if (told := about.get("fingerprint")) != codec.fingerprint:
            raise UserError(
                f"{folder} fingerprint",
                told,
                f"must be that of its arrays, {codec.fingerprint}",
                "train the codec again",
            )
        return codec

    @classmethod
    def train(
        cls, wavs: Iterable[np.ndarray], units: int = 100, expressive: bool = False, seed: int = 0
    ) -> "EmbeddedCodec":
        """Trains on all of `wavs` (float32 [samples] at 16 kHz; half a GB of memory an hour); the same for
        the same wavs and seed.

        UserError if there is less audio than codes.
        """
        mels, f0s = _analyze(wavs)
        if not mels:
            raise UserError(
                "codec training audio", "none", "is what the codes are made from", "give more audio"
            )
        arrays = _unit_codebook(mels, f0s, units, seed)
        if expressive:
            arrays |= _pitch_codebook(f0s, mels, seed) | _style_codebook(mels, f0s, seed)
        return cls({name: np.asarray(array, np.float32) for name, array in arrays.items()})

    def _config(self) -> dict:
        counts = {
            "unit_count": self.unit_count,
            "pitch_count": self.pitch_count,
            "style_count": self.style_count,
        }
        return {"kind": "embedded", "recipe": RECIPE, "sample_rate": SAMPLE_RATE, **counts}

    def _encode_group(self, wavs: Sequence[np.ndarray]) -> list[SpeechTokens]:
        mels = mfcc.log_mel(wavs)
        features = [mfcc.unit_features(mel_FM) / self.arrays["scale"] for mel_FM in mels]
        chosen = _nearest_warps(features, self.arrays["unit_centroids"])
        read = [feature_AND[warp] for feature_AND, warp in zip(features, chosen)]
        units = quantizer.assign_paths(
            read, self.arrays["unit_centroids"], float(self.arrays["unit_change_cost"])
        )
        if not self.pitch_count:
            return [SpeechTokens(codes) for codes in units]
        f0s = pitch.track_f0(wavs)
        contours = [
            pitch.contour(f0_F, pitch.code_count(len(codes)))[:, None] for f0_F, codes in zip(f0s, units)
        ]
        pitches = quantizer.assign_paths(contours, self.arrays["pitch_octaves"][:, None], PITCH_CHANGE_COST)
        pooled = [styles.style_features(mel_FM, f0_F) for mel_FM, f0_F in zip(mels, f0s)]
        scaled_KD = (np.concatenate(pooled) - self.arrays["style_mean"]) / self.arrays["style_scale"]
        style_codes = np.split(
            quantizer.assign(scaled_KD, self.arrays["style_centroids"]),
            np.cumsum([len(rows) for rows in pooled[:-1]]),
        )
        return [SpeechTokens(*codes) for codes in zip(units, pitches, style_codes)]


def _analyze(wavs: Iterable[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Log-mels and F0 of the wavs."""
    mels, f0s = [], []
    for group in pieces.groups(wavs):
        mels += mfcc.log_mel(group)
        f0s += pitch.track_f0(group)
    return mels, f0s


def _nearest_warps(features: Sequence[np.ndarray], centroids_KD: np.ndarray) -> np.ndarray:
    """For each utterance's features [warps, units, 52] the warp that is nearest to the codes: vocal tract
    length normalisation.
    """
    squares_AN = np.stack([quantizer.nearest(np.concatenate(x), centroids_KD)[1] for x in zip(*features)])
    ends = np.cumsum([x_AND.shape[1] for x_AND in features])[:-1]
    return np.stack(
        [part_AN.sum(axis=1, dtype=np.float64) for part_AN in np.split(squares_AN, ends, axis=1)]
    ).argmin(axis=1)


def _unit_codebook(
    mels: Sequence[np.ndarray], f0s: Sequence[np.ndarray], units: int, seed: int
) -> dict[str, np.ndarray]:
    """Phonetic codes and their sound: k-means in turn with each utterance's choice of warp, from
    no warp on.
    """
    features = [mfcc.unit_features(mel_FM) for mel_FM in mels]
    warps = np.full(len(mels), mfcc.WARPS.index(1.0))
    scale = np.concatenate([x_AND[warp] for x_AND, warp in zip(features, warps)]).std() + np.float32(1e-6)
    features = [x_AND / scale for x_AND in features]
    for _ in range(WARP_ROUNDS):
        points_ND = np.concatenate([x_AND[warp] for x_AND, warp in zip(features, warps)])
        warps = _nearest_warps(features, quantizer.train_kmeans(points_ND, units, seed, WARP_ITERATIONS))
    read = [x_AND[warp] for x_AND, warp in zip(features, warps)]
    centroids_KD = quantizer.train_kmeans(np.concatenate(read), units, seed)
    change_cost = UNIT_CHANGE_COST * float(quantizer.nearest(np.concatenate(read), centroids_KD)[1].mean())
    paths = quantizer.assign_paths(read, centroids_KD, change_cost)
    straight = [mel_FM @ mfcc.warp_matrix(warp) for mel_FM, warp in zip(mels, warps)]
    arrays = {
        "scale": scale,
        "unit_centroids": centroids_KD,
        "unit_change_cost": np.float32(change_cost),
        "unit_frames": mean_runs(paths, units),
    }
    return arrays | _sound_codebook(straight, f0s, np.concatenate(paths), units)


def mean_runs(paths: Sequence[np.ndarray], units: int) -> np.ndarray:
    """How many times on end each unit is said, on average over the runs of all paths: float32 [units], 1 for
    one never said.
    """
    starts = np.concatenate([np.diff(path, prepend=-1) != 0 for path in paths])
    codes = np.concatenate(paths)
    runs_K = np.bincount(codes[starts], minlength=units)
    return (np.bincount(codes, minlength=units) / np.maximum(runs_K, 1)).clip(1).astype(np.float32)


def _whole_frames(frames_N: np.ndarray) -> np.ndarray:
    """Durations as whole numbers, at least 1, whose sums stay as near as can be: rounding where each ends,
    not how long it lasts.
    """
    return np.diff(np.floor(np.cumsum(frames_N, dtype=np.float64) + 0.5), prepend=0).astype(np.int64)


def _sound_codebook(
    mels: Sequence[np.ndarray], f0s: Sequence[np.ndarray], codes_N: np.ndarray, units: int
) -> dict[str, np.ndarray]:
    """Each unit's mean log-mel around its utterances' means, as cepstra are centred too, and its share of
    voice; the means over all.
    """
    centred_NM = np.concatenate([mel_FM - mel_FM.mean(0) for mel_FM in mels]).reshape(len(codes_N), -1)
    f0_N8 = np.concatenate([f0_F[: 2 * len(mel_FM)] for f0_F, mel_FM in zip(f0s, mels)]).reshape(
        len(codes_N), -1
    )
    rows_NX = np.concatenate([centred_NM, (f0_N8 > 0).mean(1, keepdims=True)], axis=1)
    mean_KX = np.zeros((units, rows_NX.shape[1]))
    np.add.at(mean_KX, codes_N, rows_NX)
    mean_KX /= np.maximum(np.bincount(codes_N, minlength=units), 1)[:, None]
    voiced = f0_N8[f0_N8 > 0]
    return {
        "unit_mel": mean_KX[:, :-1].reshape(units, mfcc.FRAMES_PER_UNIT, mfcc.MELS),
        "unit_voiced": mean_KX[:, -1],
        "mel_mean": np.concatenate(mels).mean(0),
        "pitch_mean": np.asarray(np.log2(voiced / styles.REFERENCE_HZ).mean() if len(voiced) else 0),
    }


def _pitch_codebook(
    f0s: Sequence[np.ndarray], mels: Sequence[np.ndarray], seed: int
) -> dict[str, np.ndarray]:
    counts = [pitch.code_count(len(mel_FM) // mfcc.FRAMES_PER_UNIT) for mel_FM in mels]
    octaves_N = np.concatenate([pitch.contour(f0_F, count) for f0_F, count in zip(f0s, counts)])
    return {"pitch_octaves": np.sort(quantizer.train_kmeans(octaves_N[:, None], PITCH_CODES, seed)[:, 0])}


def _style_codebook(
    mels: Sequence[np.ndarray], f0s: Sequence[np.ndarray], seed: int
) -> dict[str, np.ndarray]:
    pooled_KD = np.concatenate([styles.style_features(mel_FM, f0_F) for mel_FM, f0_F in zip(mels, f0s)])
    mean, scale = pooled_KD.mean(0), pooled_KD.std(0) + 1e-6
    codes = min(STYLE_CODES, len(pooled_KD))
    return {
        "style_mean": mean,
        "style_scale": scale,
        "style_centroids": quantizer.train_kmeans((pooled_KD - mean) / scale, codes, seed),
    }
