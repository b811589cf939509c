"""The codec of trained networks: HuBERT units, VQ-VAE pitch codes and wav2vec 2.0 style codes in, a HiFi-GAN
out (paper section 3).

A folder: codec.json, and weights/NAME for each of its parts, written once by `convert-speech`.
"""

import dataclasses
import enum
import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import jax
import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import fingerprint, read_json, require_place, write_atomically, write_json
from spirit_jax.speech import segments as pieces
from spirit_jax.speech.audio import check_numbers
from spirit_jax.speech.codes import Codes, read_codes
from spirit_jax.speech.decoders.hifigan import Generator, for_cpu
from spirit_jax.speech.decoders.hifigan_synthesis import Utterance, generate, voice_of
from spirit_jax.speech.encoders.hubert_units import Hubert, extract_features
from spirit_jax.speech.encoders.pitch import fcpe as fcpe_tracker
from spirit_jax.speech.encoders.pitch import vqvae as pitch_vqvae
from spirit_jax.speech.encoders.pitch.contour import interpolate
from spirit_jax.speech.encoders.pitch.cross_correlation import track_f0
from spirit_jax.speech.encoders.pitch.vqvae import PitchVqVae
from spirit_jax.speech.encoders.style.classifier import StyleEncoder, encode_style
from spirit_jax.speech.encoders.wav2vec2.batches import mix_down
from spirit_jax.speech.quantizers.linear import UnitQuantizer, fill_blanks
from spirit_jax.speech.stored_parts import load_part, part_fingerprint, save_part
from spirit_jax.tokens.streams import MISSING_STYLES, RATES, SAMPLE_RATE, SpeechTokens, SpokenUnits

WEIGHTS = "weights"
ENCODERS = {"units": "HuBERT", "pitch": "pitch VQ-VAE", "style": "style encoder"}  # by what they give
# a level pitch for speech that says none: the middle of so many codes; a choice
LEVEL_HZ, LEVEL_CODES = 120.0, 9


class Variant(enum.Enum):
    """Phonetic units alone, or with pitch and style."""

    BASE = "base"
    EXPRESSIVE = "expressive"


@dataclasses.dataclass(frozen=True)
class Parts:
    """The networks. Without `fcpe` F0 comes from the tracker that needs no weights; without a vocoder the
    codec encodes only.
    """

    hubert: Hubert
    quantizer: UnitQuantizer
    pitch: PitchVqVae | None = None
    fcpe: fcpe_tracker.Fcpe | None = None
    style: StyleEncoder | None = None
    vocoder_base: Generator | None = None
    vocoder_expressive: Generator | None = None

    def __post_init__(self):
        if self.quantizer.width != self.hubert.encoder.cfg.width:
            rule = f"must be the width of HuBERT, {self.hubert.encoder.cfg.width}"
            raise UserError(
                "quantizer width",
                self.quantizer.width,
                rule,
                "use the quantizer that belongs to this HuBERT and layer",
            )
        for name in ("vocoder_base", "vocoder_expressive"):
            if (generator := getattr(self, name)) is not None:
                self._check_vocoder(name, generator)

    @property
    def variants(self) -> tuple[Variant, ...]:
        """What these parts can be, the richest first."""
        whole = self.pitch is not None and self.style is not None
        return (Variant.EXPRESSIVE, Variant.BASE) if whole else (Variant.BASE,)

    def _check_vocoder(self, name: str, generator: Generator) -> None:
        cfg = generator.cfg
        if name == "vocoder_base" and (cfg.pitches or cfg.styles):
            raise UserError(
                name,
                "with pitch or style",
                "must have an embedding of units alone",
                "use it as the expressive vocoder",
            )
        if cfg.sample_rate != SAMPLE_RATE:
            raise UserError(
                f"{name} sampling_rate", cfg.sample_rate, f"must be {SAMPLE_RATE}", "use a vocoder for 16 kHz"
            )
        if not self.quantizer.spoken_count <= cfg.units <= self.quantizer.unit_count:
            rule = (
                f"must be those of the quantizer, {self.quantizer.unit_count}; a "
                "linear one's blank may be left out"
            )
            raise UserError(f"{name} units", cfg.units, rule, "use the vocoder and the quantizer of one set")
        coded = {
            "pitches": self.pitch.cfg.codes if self.pitch else 0,
            "styles": self.style.style_count if self.style else 0,
        }
        for stream, count in coded.items():
            if 0 < getattr(cfg, stream) < count:
                rule = f"must be as many as are encoded, {count}"
                raise UserError(
                    f"{name} {stream}",
                    getattr(cfg, stream),
                    rule,
                    "use the vocoder and the encoders of one set",
                )


@dataclasses.dataclass(frozen=True)
class SpeechCodec:
    """The networks as a codec of one variant. `fingerprint` names what makes the codes: equal fingerprints
    give equal codes, whatever the vocoder.
    """

    parts: Parts
    variant: Variant
    fingerprint: str

    @classmethod
    def assemble(cls, parts: Parts, variant: Variant | None = None) -> "SpeechCodec":
        """From networks in memory; the richest variant if none is named. UserError for one that the parts
        can't be.
        """
        variant = _choose(parts.variants, variant)
        return cls(
            parts,
            variant,
            _fingerprint_of({name: part_fingerprint(part) for name, part in _named(parts).items()}, variant),
        )

    @classmethod
    def load(cls, folder: str | Path, variant: Variant | str | None = None) -> "SpeechCodec":
        """Reads what `save` wrote, without PyTorch: all parts, as the folder's own variant, or of a named
        variant only those that it uses.
        """
        about = read_json(Path(folder) / "codec.json")
        if about.get("kind") != "speech" or not {"variant", "variants", "parts"} <= about.keys():
            raise UserError(
                f"{folder}/codec.json kind",
                about.get("kind"),
                "must be speech, and whole",
                "python -m spirit_jax convert-speech makes one",
            )
        chosen = _choose([Variant(name) for name in about["variants"]], variant or about["variant"])
        named = {
            name: part
            for name, part in about["parts"].items()
            if variant is None or _belongs(name, chosen, about["parts"])
        }
        parts = Parts(
            **{name: load_part(Path(folder) / WEIGHTS / name, part) for name, part in named.items()}
        )
        return cls(
            parts,
            chosen,
            _fingerprint_of({name: part["fingerprint"] for name, part in named.items()}, chosen),
        )

    def save(self, folder: str | Path) -> None:
        """Writes codec.json and the weights of all parts, whole or not at all."""
        require_place(folder, "codec folder", "codec.json")
        with write_atomically(folder) as partial:
            (partial / WEIGHTS).mkdir(parents=True)
            parts = {
                name: save_part(partial / WEIGHTS / name, part) for name, part in _named(self.parts).items()
            }
            counts = {
                "unit_count": self.unit_count,
                "pitch_count": self.pitch_count,
                "style_count": self.style_count,
            }
            variants = [variant.value for variant in self.parts.variants]
            about = {
                "kind": "speech",
                "variant": self.variant.value,
                "variants": variants,
                "sample_rate": SAMPLE_RATE,
                **counts,
            }
            write_json(partial / "codec.json", {**about, "fingerprint": self.fingerprint, "parts": parts})

    @property
    def unit_count(self) -> int:
        """Phonetic codes, the blank of a linear quantizer among them."""
        return self.parts.quantizer.unit_count

    @property
    def pitch_count(self) -> int:
        """Pitch codes; 0 for base."""
        return self._pitch.cfg.codes if self.variant is Variant.EXPRESSIVE else 0

    @property
    def style_count(self) -> int:
        """Style codes; 0 for base."""
        return self._style.style_count if self.variant is Variant.EXPRESSIVE else 0

    @property
    def rates(self) -> dict[str, float]:
        """Codes a second of each stream."""
        units = {"units": self.parts.hubert.frame_rate}
        if self.variant is Variant.BASE:
            return units
        return {**units, "pitch": self._pitch.cfg.rate, "style": self._style.rate}

    def count_units(self, samples: int) -> int:
        """Units of a wav of so many samples, 100 s at most."""
        return self.parts.hubert.encoder.cfg.frame_count(samples)

    @overload
    def encode(self, wavs: np.ndarray) -> SpeechTokens: ...
    @overload
    def encode(self, wavs: Sequence[np.ndarray]) -> list[SpeechTokens]: ...
    def encode(self, wavs: np.ndarray | Sequence[np.ndarray]) -> SpeechTokens | list[SpeechTokens]:
        """Codes of one wav, or of each of a list; see `encode_batch`."""
        return self.encode_batch([wavs])[0] if isinstance(wavs, np.ndarray) else self.encode_batch(wavs)

    def encode_batch(self, wavs: Sequence[np.ndarray]) -> list[SpeechTokens]:
        """Codes, not deduplicated, of 16 kHz wavs, float [S] or [C, S] whose channels are averaged; the same
        for a wav alone and among others.

        A wav over 100 s is encoded in pieces of 100 s, a last one under 1280 samples dropped [B]; a wav under
        1280 samples has no codes. BadAudio for samples that are not finite, or beyond 32-bit integers.
        """
        mono = [mix_down(wav) for wav in wavs]
        for wav in mono:
            check_numbers(wav)
        cuts, owners = pieces.cut(mono)
        encoded = [speech for group in pieces.groups(cuts) for speech in self._encode_group(group)]
        return pieces.join(encoded, owners, len(mono), self.variant is Variant.EXPRESSIVE)

    def decode(self, speech: Codes, speaker: int | None = None, style: int | None = None) -> np.ndarray:
        """The vocoder's sound, float32 [samples] at 16 kHz. speaker, style: of its voices and manners (2 and
        8 where it has them [B]).

        Each spoken unit, and each of a token string, lasts what the vocoder predicts, or one frame if it
        can't. So does each unit of an utterance, repeated ones too, if the vocoder hears nothing but units
        [B]: that is slower than what was encoded. With pitch and style each lasts one frame. Pitch that isn't
        said is level, style that isn't said is 71. A vocoder without pitch and style embeddings leaves those
        codes out. UserError for codes out of range, and where the codec has no vocoder.
        """
        speech = read_codes(speech, self.unit_count, self.pitch_count, self.style_count)
        if isinstance(speech, SpokenUnits) and self._vocoder.duration is None:
            speech = speech.last(np.ones(len(speech.units), int))
        units = self._speakable(speech.units)
        if not len(units):
            return np.zeros(len(speech.units) * self._vocoder.cfg.hop, np.float32)
        streams = self._streams(speech)
        predict = self._vocoder.duration is not None and (isinstance(speech, SpokenUnits) or not streams)
        utterance = Utterance(units, streams.get("pitch"), streams.get("style"), speaker, style)
        return generate(self._vocoder, utterance, predict_durations=predict, deduplicate=False)

    def check_voice(self, speaker: int | None, style: int | None) -> None:
        """UserError where the codec has no vocoder, or that one no such speaker or manner."""
        voice_of(self._vocoder.cfg, speaker, style)

    def f0_tracks(self, wavs: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        """F0 in Hz and voicing (0 or 1) at 200 Hz of each wav, as the pitch codes' encoder wants them:
        filled, or 0 where unvoiced.
        """
        fill = self._pitch.cfg.interpolated
        if self.parts.fcpe is not None:
            return fcpe_tracker.track_f0(self.parts.fcpe, wavs, fill)
        return [
            (interpolate(f0_F) if fill else f0_F, (f0_F > 0).astype(np.float32)) for f0_F in track_f0(wavs)
        ]

    def _encode_group(self, wavs: Sequence[np.ndarray]) -> list[SpeechTokens]:
        units = self.parts.quantizer.quantize(extract_features(self.parts.hubert, wavs))
        if self.variant is Variant.BASE:
            return [SpeechTokens(codes) for codes in units]
        tracks = [pitch_vqvae.features(self._pitch.cfg, *track) for track in self.f0_tracks(wavs)]
        pitches, styles = pitch_vqvae.encode_batch(self._pitch, tracks), encode_style(self._style, wavs)
        return [SpeechTokens(*codes) for codes in zip(units, pitches, styles)]

    def _speakable(self, units_N: np.ndarray) -> np.ndarray:
        """The units with the blank, for which a vocoder has no sound, filled as in encoding; none if there is
        nothing else.
        """
        blank = self._vocoder.cfg.units
        filled_N = fill_blanks(units_N, blank)
        return filled_N[:0] if (filled_N == blank).all() else filled_N

    def _streams(self, speech: SpeechTokens | SpokenUnits) -> dict[str, np.ndarray]:
        """Pitch and style codes as the vocoder takes them, which may be not at all."""
        cfg, streams = self._vocoder.cfg, {}
        for name, count, hop, missing in (
            ("pitch", cfg.pitches, cfg.pitch_hop, self._level_pitch),
            ("style", cfg.styles, cfg.style_hop, _usual_style),
        ):
            if not count:
                continue
            codes = getattr(speech, name)
            if isinstance(speech, SpokenUnits):
                streams[name] = np.full(len(speech.units), missing(count)) if codes is None else codes
            else:
                needed = -(-len(speech.units) * cfg.hop // hop)
                streams[name] = np.full(needed, missing(count)) if codes is None or not len(codes) else codes
        return streams

    def _level_pitch(self, count: int) -> int:
        """The code of a voice that stays at its mean."""
        track = np.full(LEVEL_CODES * self._pitch.cfg.frames_per_code, LEVEL_HZ, np.float32)
        codes = pitch_vqvae.encode_f0(self._pitch, track, np.ones_like(track))
        return min(int(codes[LEVEL_CODES // 2]), count - 1)

    @functools.cached_property
    def _vocoder(self) -> Generator:
        """The variant's, in the form in which this kind of device speaks fastest; one that knows units alone
        may stand in for expressive.
        """
        generator = self.parts.vocoder_base
        if self.variant is Variant.EXPRESSIVE:
            generator = self.parts.vocoder_expressive or generator
        if generator is None:
            raise UserError(
                "codec vocoder",
                None,
                f"this codec has none for {self.variant.value}",
                "convert a HiFi-GAN with it, or train one",
            )
        return for_cpu(generator) if jax.default_backend() == "cpu" else generator

    @property
    def _pitch(self) -> PitchVqVae:
        assert self.parts.pitch is not None, "an expressive codec has it"
        return self.parts.pitch

    @property
    def _style(self) -> StyleEncoder:
        assert self.parts.style is not None, "an expressive codec has it"
        return self.parts.style


def check_rates(codec: SpeechCodec) -> None:
    """UserError for a codec whose codes come at other rates than a language model's, and for vocoders that
    make another time of them.
    """
    for name, rate in codec.rates.items():
        if rate != RATES[name]:
            rule, fix = (
                f"must be {RATES[name]}: times, alignments and token strings count on it",
                "use a network of that rate",
            )
            raise UserError(f"{ENCODERS[name]} codes a second", rate, rule, fix)
    for part in ("vocoder_base", "vocoder_expressive"):
        if (generator := getattr(codec.parts, part)) is None:
            continue
        cfg = generator.cfg
        hops = [
            ("upsample_rates' product", math.prod(cfg.rates), "units"),
            ("code_hop_size", cfg.hop, "units"),
        ]
        hops += [("f0_hop_size", cfg.pitch_hop, "pitch")] if cfg.pitches else []
        hops += [("style_hop_size", cfg.style_hop, "style")] if cfg.styles else []
        for name, samples, stream in hops:
            if samples != SAMPLE_RATE / RATES[stream]:
                rule = f"must be {SAMPLE_RATE / RATES[stream]:.0f}, what a code of {stream} stands for"
                raise UserError(
                    f"{part} {name}",
                    samples,
                    rule,
                    "use the vocoder of one set with the encoders, or leave it out",
                )


def _usual_style(count: int) -> int:
    return min(MISSING_STYLES[0], count - 1)


def _named(parts: Parts) -> dict[str, Any]:
    """The parts that are there, by field."""
    return {
        field.name: part
        for field in dataclasses.fields(parts)
        if (part := getattr(parts, field.name)) is not None
    }


def _belongs(name: str, variant: Variant, there: Mapping[str, Any]) -> bool:
    """Whether a variant uses a part of a folder."""
    if variant is Variant.BASE:
        return name in ("hubert", "quantizer", "vocoder_base")
    return name != "vocoder_base" or "vocoder_expressive" not in there


def _choose(variants: Sequence[Variant], wanted: Variant | str | None) -> Variant:
    if wanted is None:
        return variants[0]
    value = wanted.value if isinstance(wanted, Variant) else wanted
    for variant in variants:
        if variant.value == value:
            return variant
    rule = f"must be {' or '.join(variant.value for variant in variants)} with these parts"
    raise UserError("codec variant", value, rule, "expressive needs the pitch VQ-VAE and the style encoder")


def _fingerprint_of(prints: Mapping[str, str], variant: Variant) -> str:
    """Of the parts that make codes."""
    encoders = {
        name: value
        for name, value in prints.items()
        if not name.startswith("vocoder") and _belongs(name, variant, prints)
    }
    return fingerprint(*(f"{name} {value}".encode() for name, value in sorted(encoders.items())))
