"""A HiFi-GAN as a codec's decoder (paper, section 3.3)."""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.speech.decoders.hifigan import Generator
from spirit_jax.speech.decoders.hifigan_synthesis import Utterance, choose_voice, synthesize
from spirit_jax.speech.kernels.choice import fastest
from spirit_jax.speech.quantizers.linear import fill_blanks
from spirit_jax.tokens.streams import SAMPLE_RATE, UNITS, SpeechTokens, SpokenUnits, Streams


@dataclasses.dataclass(frozen=True)
class HifiganDecoder:
    """A decoder. It may take fewer streams than the codec has; codes of the others are ignored.

    usual: the code of each other stream for speech that has none. voices: names of the speakers, in order,
    where they are known. keep_durations: units of an utterance last one frame each; False: a generator that
    takes units alone predicts how long each lasts, repeated ones too, so that speech becomes slower than the
    encoded one (observed in Meta's release).
    """

    vocoder: Generator
    usual: Mapping[str, int]
    voices: tuple[str, ...] = ()
    keep_durations: bool = True

    def __post_init__(self):
        object.__setattr__(self, "usual", dict(self.usual))
        object.__setattr__(self, "voices", tuple(self.voices))
        if missing := self.vocoder.cfg.streams.keys() - {UNITS} - self.usual.keys():
            raise UserError("vocoder usual codes", self.usual, f"must have {min(missing)}", "name a code")

    @property
    def reach(self) -> int:
        """Units on either side that a sample depends on."""
        return self.vocoder.cfg.reach

    def check_streams(self, streams: Streams, spoken_count: int) -> None:
        """UserError where the generator's codes or rates are not those of the encoder.

        It must have all units that have a sound; the blank may be missing.
        """
        cfg, table = self.vocoder.cfg, {stream.name: stream for stream in streams}
        fix = "use the vocoder and the encoder of one set, or leave the vocoder out"
        if cfg.sample_rate != SAMPLE_RATE:
            raise UserError("vocoder sampling_rate", cfg.sample_rate, f"must be {SAMPLE_RATE}", fix)
        for name, (size, hop) in cfg.streams.items():
            if name not in table:
                raise UserError("vocoder streams", name, f"must be among {', '.join(table)}", fix)
            least, most = (spoken_count, table[name].size) if name == UNITS else (table[name].size, math.inf)
            if not least <= size <= most:
                rule = (
                    f"must be the encoder's, {table[name].size}; a linear quantizer's blank may be left out"
                )
                raise UserError(f"vocoder {name}", size, rule, fix)
            if not math.isclose(hop * table[name].rate, SAMPLE_RATE, rel_tol=1e-9):
                rule = f"must be {SAMPLE_RATE / table[name].rate:g}, what a code of {name} stands for"
                raise UserError(f"vocoder samples a code of {name}", hop, rule, fix)
        if math.prod(cfg.rates) != cfg.hop:
            rule = f"must be code_hop_size, {cfg.hop}"
            raise UserError("vocoder upsample_rates' product", math.prod(cfg.rates), rule, fix)

    def check_voice(self, speaker: int | None, style: int | None) -> None:
        """UserError for a speaker or a style id that the generator does not have."""
        choose_voice(self.vocoder.cfg, speaker, style)

    def speak(self, speech: SpeechTokens, speaker: int | None, style: int | None) -> np.ndarray:
        """float32 [samples] at 16 kHz; silence for blanks alone."""
        cfg = self.vocoder.cfg
        units = self._speakable(speech.units)
        if not len(units):
            return np.zeros(len(speech.units) * cfg.hop, np.float32)
        predicts = not self.keep_durations and self.vocoder.duration is not None and len(cfg.streams) == 1
        counts = {name: -(-len(units) * cfg.hop // hop) for name, (_, hop) in cfg.streams.items()}
        return self._synthesize(units, speech.codes, counts, Voice(speaker, style), predicts)

    def speak_units(self, spoken: SpokenUnits, speaker: int | None, style: int | None) -> np.ndarray:
        """float32 [samples] at 16 kHz. A unit lasts what the generator predicts, or one frame if
        it cannot.
        """
        cfg = self.vocoder.cfg
        units = self._speakable(spoken.units)
        if not len(units):
            return np.zeros(len(spoken.units) * cfg.hop, np.float32)
        counts = dict.fromkeys(cfg.streams, len(units))
        if self.vocoder.duration is not None:
            return self._synthesize(units, spoken.codes, counts, Voice(speaker, style), True)
        ratios = {name: hop / cfg.hop for name, (_, hop) in cfg.streams.items()}
        codes = {
            name: codes_N[:: round(ratios[name])] for name, codes_N in spoken.codes.items() if name in ratios
        }
        return self.speak(SpeechTokens({**codes, UNITS: units}), speaker, style)

    def _synthesize(
        self,
        units: np.ndarray,
        codes: Mapping[str, np.ndarray],
        counts: Mapping[str, int],
        voice: "Voice",
        predicts: bool,
    ) -> np.ndarray:
        streams = {UNITS: units}
        for name in self.vocoder.cfg.streams.keys() - {UNITS}:
            given = codes.get(name, units[:0])
            streams[name] = given if len(given) else np.full(counts[name], self.usual[name], np.int32)
        utterance = Utterance(streams, voice.speaker, voice.style)
        return synthesize(fastest(self.vocoder), [utterance], predicts)[0]

    def _speakable(self, units_N: np.ndarray) -> np.ndarray:
        """The units with blanks, which have no sound, filled as in encoding; none if all are
        blanks.
        """
        blank = self.vocoder.cfg.units
        filled_N = fill_blanks(units_N, blank)
        return filled_N[:0] if (filled_N == blank).all() else filled_N


@dataclasses.dataclass(frozen=True)
class Voice:
    """Who speaks and how: numbers of the generator's speakers and style ids; None: the default."""

    speaker: int | None
    style: int | None
