"""The embedded codec's encoder with a HiFi-GAN that was trained for its units as the decoder, in place of
Griffin-Lim.

A folder: codec.json, encoder/ (an embedded codec), weights/ of the generator.
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json, require_place, write_atomically, write_json
from spirit_jax.speech.codes import Codes, read_codes
from spirit_jax.speech.decoders.hifigan import Generator, for_cpu
from spirit_jax.speech.decoders.hifigan_synthesis import Utterance, generate, voice_of
from spirit_jax.speech.embedded_codec import EmbeddedCodec
from spirit_jax.speech.stored_parts import load_part, save_part
from spirit_jax.tokens.streams import SpeechTokens, SpokenUnits

ENCODER, WEIGHTS = "encoder", "weights"


@dataclasses.dataclass(frozen=True)
class VocodedCodec:
    """usual_pitch, usual_style: the codes of speech that has none. voices: the names of the generator's
    speakers, in order.
    """

    encoder: EmbeddedCodec
    generator: Generator
    voices: tuple[str, ...] = ()
    usual_pitch: int = 0
    usual_style: int = 0

    def __post_init__(self):
        cfg, encoder = self.generator.cfg, self.encoder
        if (cfg.units, cfg.pitches, cfg.styles) != (
            encoder.unit_count,
            encoder.pitch_count,
            encoder.style_count,
        ):
            rule = (
                f"must be the encoder's, {encoder.unit_count}, "
                f"{encoder.pitch_count} and {encoder.style_count}"
            )
            raise UserError(
                "vocoder units, pitches, styles",
                (cfg.units, cfg.pitches, cfg.styles),
                rule,
                "train the vocoder for this codec",
            )

    @property
    def unit_count(self) -> int:
        """Phonetic codes."""
        return self.encoder.unit_count

    @property
    def pitch_count(self) -> int:
        """Pitch codes, or 0."""
        return self.encoder.pitch_count

    @property
    def style_count(self) -> int:
        """Style codes, or 0."""
        return self.encoder.style_count

    @property
    def fingerprint(self) -> str:
        """The encoder's: units are the same whatever speaks them."""
        return self.encoder.fingerprint

    @property
    def rates(self) -> dict[str, float]:
        """Codes a second of each stream."""
        return self.encoder.rates

    def count_units(self, samples: int) -> int:
        """Units of a wav of so many samples, 100 s at most."""
        return self.encoder.count_units(samples)

    def encode_batch(self, wavs: Sequence[np.ndarray]) -> list[SpeechTokens]:
        """The encoder's units of float32 wavs [samples] at 16 kHz."""
        return self.encoder.encode_batch(wavs)

    def decode(self, speech: Codes, speaker: int | None = None, style: int | None = None) -> np.ndarray:
        """The generator's sound, float32 [samples] at 16 kHz: a unit of an utterance lasts 40 ms, a spoken
        unit, or one of a token string, what the generator predicts, or 40 ms too if it can't.

        speaker: one of `voices` by its place. UserError for codes out of range and for a `style`, of which it
        has none but the codes.
        """
        speech = read_codes(speech, self.unit_count, self.pitch_count, self.style_count)
        if not len(speech.units):
            return np.zeros(0, np.float32)
        if isinstance(speech, SpokenUnits) and self.generator.duration is None:
            speech = speech.last(np.ones(len(speech.units), int))
        spoken = isinstance(speech, SpokenUnits)
        pitches = self._stream(speech, "pitch", self.usual_pitch) if self.pitch_count else None
        styles = self._stream(speech, "style", self.usual_style) if self.style_count else None
        utterance = Utterance(speech.units, pitches, styles, speaker, style)
        return generate(self._fastest, utterance, predict_durations=spoken, deduplicate=False)

    def check_voice(self, speaker: int | None, style: int | None) -> None:
        """UserError for a speaker that isn't one of `voices`, and for a style."""
        voice_of(self.generator.cfg, speaker, style)

    def save(self, folder: str | Path) -> None:
        """Writes the folder, whole or not at all."""
        require_place(folder, "codec folder", "codec.json")
        with write_atomically(folder) as partial:
            partial.mkdir()
            self.encoder.save(partial / ENCODER)
            about = {"kind": "vocoded", "fingerprint": self.fingerprint, "voices": self.voices}
            about |= {
                "unit_count": self.unit_count,
                "pitch_count": self.pitch_count,
                "style_count": self.style_count,
            }
            about |= {"usual_pitch": self.usual_pitch, "usual_style": self.usual_style}
            write_json(
                partial / "codec.json", about | {"vocoder": save_part(partial / WEIGHTS, self.generator)}
            )

    @classmethod
    def load(cls, folder: str | Path) -> "VocodedCodec":
        """Reads what `save` wrote; a UserError for what isn't whole."""
        about, encoder = read_json(Path(folder) / "codec.json"), EmbeddedCodec.load(Path(folder) / ENCODER)
        if not {"vocoder", "voices", "usual_pitch", "usual_style"} <= about.keys():
            raise UserError(
                f"{folder}/codec.json", ", ".join(about), "lacks a part", "train the vocoder again"
            )
        generator = load_part(Path(folder) / WEIGHTS, about["vocoder"])
        return cls(encoder, generator, tuple(about["voices"]), about["usual_pitch"], about["usual_style"])

    def _stream(self, speech: SpeechTokens | SpokenUnits, name: str, usual: int) -> np.ndarray:
        """The codes, or the usual one throughout where there are none."""
        codes = getattr(speech, name)
        if codes is not None and len(codes):
            return codes
        needed = len(speech.units)
        if isinstance(speech, SpeechTokens):
            needed = -(-round(needed * self.rates[name]) // round(self.rates["units"]))
        return np.full(max(1, needed), usual, np.int32)

    @functools.cached_property
    def _fastest(self) -> Generator:
        """The generator in the form in which this kind of device speaks fastest."""
        return for_cpu(self.generator) if jax.default_backend() == "cpu" else self.generator
