"""Pitch codes from an F0 tracker and the VQ-VAE: the published encoder (paper, section 3.3)."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from spirit_jax.speech.encoders.f0 import HOP, track_f0
from spirit_jax.speech.encoders.pitch import fcpe as fcpe_tracker
from spirit_jax.speech.encoders.pitch.contour import interpolate
from spirit_jax.speech.encoders.pitch.fcpe import Fcpe
from spirit_jax.speech.encoders.pitch.vqvae import PitchVqVae, encode_batch, encode_f0, features
from spirit_jax.speech.segments import Sounds, merge_rate
from spirit_jax.tokens.streams import Stream, pitch_stream

LEVEL_HZ, LEVEL_CODES = 120.0, 9  # a constant F0, coded by the middle one of this many codes; our choice


@dataclasses.dataclass(frozen=True)
class VqvaePitch:
    """A pitch encoder. Without `fcpe` F0 comes from cross-correlation."""

    pitch: PitchVqVae
    fcpe: Fcpe | None = None

    @property
    def stream(self) -> Stream:
        """The pitch codes."""
        rate = self.pitch.cfg.rate
        return pitch_stream(self.pitch.cfg.codes, rate, merge_rate(rate, self._count))

    def _count(self, samples: int) -> int:
        """Codes of a segment of `samples` samples."""
        return int(self.pitch.encoder.length(samples // HOP + 1))

    def encode(self, sounds: Sounds) -> list[np.ndarray]:
        """Codes of each segment, int32 [K]."""
        tracks = self.f0_tracks(sounds.wavs)
        return encode_batch(self.pitch, [features(self.pitch.cfg, *track) for track in tracks])

    def f0_tracks(self, wavs: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        """F0 in Hz and voicing (0 or 1) at 200 Hz of each wav, as the VQ-VAE takes them: filled, or 0 where
        unvoiced.
        """
        fill = self.pitch.cfg.interpolated
        if self.fcpe is not None:
            return fcpe_tracker.track_f0(self.fcpe, wavs, fill)
        tracks = track_f0(wavs)
        return [(interpolate(f0) if fill else f0, (f0 > 0).astype(np.float32)) for f0 in tracks]

    def level_code(self) -> int:
        """The code of a voice that stays at its mean."""
        track = np.full(LEVEL_CODES * self.pitch.cfg.frames_per_code, LEVEL_HZ, np.float32)
        return int(encode_f0(self.pitch, track, np.ones_like(track))[LEVEL_CODES // 2])
