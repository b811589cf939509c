"""A HiFi-GAN as a codec's decoder (paper, section 3.3)."""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.speech.decoders.hifigan import Generator
from spirit_jax.speech.decoders.hifigan_synthesis import (
    Utterance,
    choose_voice,
    lay_out,
    synthesize,
    synthesize_section,
)
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
    def speakers(self) -> int:
        """Speakers of the generator."""
        return self.vocoder.cfg.speakers

    @property
    def styles(self) -> int:
        """Style ids of the generator."""
        return self.vocoder.cfg.style_ids

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
        utterance = self._complete(units, speech.codes, counts, Voice(speaker, style))
        return synthesize(fastest(self.vocoder), [utterance], predicts)[0]

    def speak_units(self, spoken: SpokenUnits, speaker: int | None, style: int | None) -> np.ndarray:
        """float32 [samples] at 16 kHz. A unit lasts what the generator predicts, or one frame if
        it cannot.
        """
        units = self._speakable(spoken.units)
        if not len(units):
            return np.zeros(len(spoken.units) * self.vocoder.cfg.hop, np.float32)
        utterance, predicts = self._utterance(units, spoken, speaker, style)
        return synthesize(fastest(self.vocoder), [utterance], predicts)[0]

    def count_settled(self, spoken: SpokenUnits) -> int:
        """Units whose sound does not change when more units follow: the others are nearer to the end than
        the durations' and the generator's reach. None, if a blank comes first, which the last unit fills, or
        if a stream was not yet said, whose first code is for all units before it.
        """
        cfg = self.vocoder.cfg
        if not len(self._speakable(spoken.units)) or spoken.units[0] == cfg.units:
            return 0
        if cfg.streams.keys() - spoken.codes.keys():
            return 0
        _, frames_N = self._lay_out(spoken, None, None)
        known_N = frames_N[: max(0, len(frames_N) - cfg.duration_reach)]
        behind_N = np.cumsum(known_N[::-1])[::-1] - known_N  # known frames behind each unit
        return int(np.count_nonzero(behind_N >= cfg.reach))

    def speak_section(
        self, spoken: SpokenUnits, first: int, last: int, speaker: int | None, style: int | None
    ) -> np.ndarray:
        """The samples of the units [first, last) in the sound of all: float32 at 16 kHz, up to rounding those
        of `speak_units`.
        """
        if not len(self._speakable(spoken.units)):
            return np.zeros((last - first) * self.vocoder.cfg.hop, np.float32)
        codes, frames_N = self._lay_out(spoken, speaker, style)
        ends = np.cumsum([0, *frames_N])
        return synthesize_section(fastest(self.vocoder), codes, int(ends[first]), int(ends[last]))

    def _lay_out(
        self, spoken: SpokenUnits, speaker: int | None, style: int | None
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        utterance, predicts = self._utterance(self._speakable(spoken.units), spoken, speaker, style)
        return lay_out(fastest(self.vocoder), [utterance], predicts)[0]

    def _utterance(
        self, units: np.ndarray, spoken: SpokenUnits, speaker: int | None, style: int | None
    ) -> tuple[Utterance, bool]:
        """What is synthesized for spoken units, and whether with predicted durations."""
        cfg, voice = self.vocoder.cfg, Voice(speaker, style)
        if self.vocoder.duration is not None:
            counts = dict.fromkeys(cfg.streams, len(units))
            return self._complete(units, spoken.codes, counts, voice), True
        steps = {name: round(hop / cfg.hop) for name, (_, hop) in cfg.streams.items()}
        codes = {name: codes_N[:: steps[name]] for name, codes_N in spoken.codes.items() if name in steps}
        counts = {name: -(-len(units) // step) for name, step in steps.items()}
        return self._complete(units, codes, counts, voice), False

    def _complete(
        self,
        units: np.ndarray,
        codes: Mapping[str, np.ndarray],
        counts: Mapping[str, int],
        voice: "Voice",
    ) -> Utterance:
        """The utterance, with the usual codes of streams that it has none of."""
        streams = {UNITS: units}
        for name in self.vocoder.cfg.streams.keys() - {UNITS}:
            given = codes.get(name, units[:0])
            streams[name] = given if len(given) else np.full(counts[name], self.usual[name], np.int32)
        return Utterance(streams, voice.speaker, voice.style)

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
