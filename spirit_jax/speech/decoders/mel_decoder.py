"""A mel network with Griffin-Lim as a codec's decoder."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.speech.decoders.durations import predict
from spirit_jax.speech.decoders.griffin_lim import synthesize
from spirit_jax.speech.decoders.mel_network import SPEAKER, MelNetwork, align, predict_frames
from spirit_jax.speech.encoders import mfcc
from spirit_jax.speech.quantizers.linear import fill_blanks
from spirit_jax.speech.weights.table import Table
from spirit_jax.tokens.streams import UNITS, SpeechTokens, SpokenUnits, Streams, lengthen


@dataclasses.dataclass(frozen=True)
class MelDecoder:
    """A decoder for the table of streams that its network was trained with.

    usual: the code of each other stream for speech that has none, and the usual speaker where there are any.
    voices: names of the speakers, in order. voice_units: `log_shares` [S, K] of the units of each speaker:
    where none is asked for, the one speaks whose units the utterance's most likely are (naive Bayes). A voice
    in which these units were never heard, as of another accent, would be hard to understand. Decoders of
    earlier versions have no `voice_units`: the usual one speaks.
    """

    mel_network: MelNetwork
    usual: Mapping[str, int]
    voices: tuple[str, ...] = ()
    voice_units: Table | None = None

    def __post_init__(self):
        object.__setattr__(self, "usual", dict(self.usual))
        object.__setattr__(self, "voices", tuple(self.voices))
        if missing := self.mel_network.cfg.tables.keys() - {UNITS} - self.usual.keys():
            raise UserError("mel network usual codes", self.usual, f"must have {min(missing)}", "name a code")

    @property
    def keep_durations(self) -> bool:
        """A unit of an utterance lasts one frame."""
        return True

    @property
    def speakers(self) -> int:
        """Voices of the network."""
        return self.mel_network.cfg.speakers

    @property
    def styles(self) -> int:
        """None to choose."""
        return 0

    def check_streams(self, streams: Streams, spoken_count: int) -> None:
        """UserError for an encoder of other streams."""
        cfg = self.mel_network.cfg
        if (streams, spoken_count) != (cfg.streams, cfg.spoken):
            sizes = [[(s.name, s.size, s.rate) for s in table] for table in (streams, cfg.streams)]
            rule = f"must be those that the mel network was trained with, {sizes[1]}"
            raise UserError("codec streams", sizes[0], rule, "train a mel network for this codec")

    def check_voice(self, speaker: int | None, style: int | None) -> None:
        """UserError for a speaker that the network does not have, and for any style id."""
        count = self.speakers
        if style is not None:
            raise UserError("style", style, "this decoder has none to choose from", "leave it out")
        if speaker is not None and not 0 <= speaker < count:
            rule = f"must be 0 to {count - 1}" if count else "this decoder has none to choose from"
            raise UserError("speaker", speaker, rule, "leave it out")

    def speak(self, speech: SpeechTokens, speaker: int | None, style: int | None) -> np.ndarray:
        """float32 [samples] at 16 kHz, as many for each unit; silence for blanks alone."""
        self.check_voice(speaker, style)
        cfg = self.mel_network.cfg
        units = self._speakable(speech.units)
        if not len(units):
            return np.zeros(len(speech.units) * cfg.frames_per_unit * mfcc.HOP, np.float32)
        codes = {UNITS: units}
        for name in (stream.name for stream in cfg.streams[1:]):
            given = speech.codes.get(name, units[:0])
            codes[name] = given if len(given) else np.array([self.usual[name]], np.int32)
        aligned = align(cfg.streams, codes)
        if cfg.speakers:
            aligned[SPEAKER] = np.array(self._likeliest(units) if speaker is None else speaker, np.int32)
        return synthesize(*predict_frames(self.mel_network, aligned))

    def speak_units(self, spoken: SpokenUnits, speaker: int | None, style: int | None) -> np.ndarray:
        """As `speak`; each unit lasts what the network predicts."""
        frames_N = self._durations(spoken)
        return self.speak(lengthen(spoken, frames_N, self.mel_network.cfg.streams), speaker, style)

    def count_settled(self, spoken: SpokenUnits) -> int:
        """None: Griffin-Lim's phases and the loudness depend on the whole utterance."""
        return 0

    def speak_section(
        self, spoken: SpokenUnits, first: int, last: int, speaker: int | None, style: int | None
    ) -> np.ndarray:
        """The samples of the units [first, last) in the sound of all: float32 at 16 kHz."""
        samples = self.mel_network.cfg.frames_per_unit * mfcc.HOP
        ends = np.cumsum([0, *self._durations(spoken)]) * samples
        return self.speak_units(spoken, speaker, style)[ends[first] : ends[last]]

    def _likeliest(self, units_T: np.ndarray) -> int:
        if self.voice_units is None:
            return self.usual[SPEAKER]
        return int(self.voice_units["log_shares"][:, units_T].sum(axis=1, dtype=np.float64).argmax())

    def _durations(self, spoken: SpokenUnits) -> np.ndarray:
        """Frames of each unit at the units' rate; one for each where all are blanks."""
        units = self._speakable(spoken.units)
        return predict(self.mel_network, [units])[0] if len(units) else np.ones(len(spoken.units), np.int64)

    def _speakable(self, units_N: np.ndarray) -> np.ndarray:
        """The units with blanks, which have no sound, filled as in encoding; none if all are blanks."""
        blank = self.mel_network.cfg.spoken
        filled_N = fill_blanks(np.minimum(units_N, blank), blank)
        return filled_N[:0] if (filled_N == blank).all() else filled_N
