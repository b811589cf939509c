"""A codec: an encoder and a decoder. All conversion between sound and units uses it (paper, section 3).

An encoder is a tuple of stream encoders, the phonetic units first; the codec's table of streams is theirs.
The decoder can be exchanged without a change of the encoder's fingerprint. `codec_folder` saves and loads
codecs.
"""

import dataclasses
import functools
import json
from collections.abc import Sequence
from typing import Protocol, cast

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import fingerprint
from spirit_jax.speech import segments
from spirit_jax.speech.audio import check_numbers, mix_down
from spirit_jax.speech.segments import Sounds
from spirit_jax.speech.stored_parts import part_fingerprint, part_names, parts_of, settings_of
from spirit_jax.tokens.streams import (
    PUBLISHED_EXPRESSIVE,
    UNITS,
    SpeechTokens,
    SpokenUnits,
    Stream,
    Streams,
    check_streams,
)
from spirit_jax.tokens.strings import parse

Speech = SpeechTokens | SpokenUnits | str  # what a codec can speak; a string holds tokens such as [Hu3]


class StreamEncoder(Protocol):
    """Gives the codes of one stream. A frozen dataclass: its networks are stored, its other
    fields are JSON. Both are in the codec's fingerprint, under the fields' names: two kinds of encoders have
    different ones.
    """

    @property
    def stream(self) -> Stream:
        """The row of the table."""
        ...

    def encode(self, sounds: Sounds) -> list[np.ndarray]:
        """Codes of each segment, int32 [n], not deduplicated."""
        ...


class UnitEncoder(StreamEncoder, Protocol):
    """Gives the phonetic units."""

    @property
    def spoken_count(self) -> int:
        """Units that a sound belongs to; the codes from here on are blanks."""
        ...

    def features(self, sounds: Sounds) -> list[np.ndarray]:
        """What the units are codes of: float32 [units, D] of each segment."""
        ...

    def count_units(self, samples: int) -> int:
        """Units of a segment of `samples` samples."""
        ...


class Decoder(Protocol):
    """Makes sound from codes. A frozen dataclass: its networks are stored, its other fields are JSON."""

    @property
    def keep_durations(self) -> bool:
        """Whether an utterance's units last as long in its sound as they did where they were encoded."""
        ...

    def check_streams(self, streams: Streams, spoken_count: int) -> None:
        """UserError for an encoder that the decoder does not fit."""
        ...

    def check_voice(self, speaker: int | None, style: int | None) -> None:
        """UserError for a speaker or a style that the decoder does not have."""
        ...

    def speak(self, speech: SpeechTokens, speaker: int | None, style: int | None) -> np.ndarray:
        """Sound of an utterance whose codes have their durations: float32 [samples] at 16 kHz."""
        ...

    def speak_units(self, spoken: SpokenUnits, speaker: int | None, style: int | None) -> np.ndarray:
        """Sound of units whose durations the decoder predicts: float32 [samples] at 16 kHz."""
        ...

    def count_settled(self, spoken: SpokenUnits) -> int:
        """How many of the first units have their sound already, whatever units follow, so that sound can be
        made while units come. 0 where a sample depends on the whole utterance.
        """
        ...

    def speak_section(
        self, spoken: SpokenUnits, first: int, last: int, speaker: int | None, style: int | None
    ) -> np.ndarray:
        """The samples of the units [first, last) in the sound that `speak_units` makes of all."""
        ...


@dataclasses.dataclass(frozen=True)
class Codec:
    """encoders: one for each stream, in the order of the table. decoder: None where the codec
    only encodes.
    """

    encoders: tuple[StreamEncoder, ...]
    decoder: Decoder | None = None

    def __post_init__(self):
        if not check_streams(self.streams):
            raise UserError("codec encoders", "none", f"must include one of {UNITS}", "give a unit encoder")
        if self.decoder is not None:
            self.decoder.check_streams(self.streams, self.unit_encoder.spoken_count)

    @functools.cached_property
    def streams(self) -> Streams:
        """The table of streams."""
        return tuple(encoder.stream for encoder in self.encoders)

    @property
    def unit_encoder(self) -> UnitEncoder:
        """The first of the encoders."""
        return cast(UnitEncoder, self.encoders[0])

    @functools.cached_property
    def fingerprint(self) -> str:
        """Names what makes the codes, the encoders' networks and settings, whatever the decoder."""
        lines = []
        for encoder, names in zip(self.encoders, self.part_names):
            lines += [f"{names[field]} {part_fingerprint(part)}" for field, part in parts_of(encoder).items()]
            settings = {field: value for field, value in settings_of(encoder).items() if value is not None}
            lines += [f"{encoder.stream.name} {field} {json.dumps(settings[field])}" for field in settings]
        return fingerprint(*(line.encode() for line in sorted(lines)))

    @property
    def part_names(self) -> list[dict[str, str]]:
        """The name of each encoder's networks within the codec, by field."""
        names = [stream.name for stream in self.streams]
        return part_names(names, [list(parts_of(encoder)) for encoder in self.encoders])

    def count_units(self, samples: int) -> int:
        """Units of a wav of `samples` samples, 100 s at most."""
        return self.unit_encoder.count_units(samples)

    def encode_batch(self, wavs: Sequence[np.ndarray]) -> list[SpeechTokens]:
        """Codes, not deduplicated, of 16 kHz wavs: float [samples] or [channels, samples], which are
        averaged.

        A wav gives the same codes alone and among others. Over 100 s it is encoded in segments of 100 s, a
        last one under 1280 samples dropped (observed in Meta's release); under 1280 samples it has no codes.
        BadAudio for samples that are not finite, or beyond 32-bit integers.
        """
        mono = [mix_down(wav) for wav in wavs]
        for wav in mono:
            check_numbers(wav)
        cuts, owners = segments.cut(mono)
        encoded = [speech for group in segments.groups(cuts) for speech in self._encode_group(group)]
        return segments.join(encoded, owners, len(mono), [stream.name for stream in self.streams])

    def decode(self, speech: Speech, speaker: int | None = None, style: int | None = None) -> np.ndarray:
        """Sound: float32 [samples] at 16 kHz. Spoken units and token strings get durations from the decoder.

        speaker, style: numbers of the decoder's; None: the decoder's default. UserError for codes out of
        range, and where the codec has no decoder.
        """
        decoder, codes = self._require_decoder(), self.read(speech)
        if not len(codes.units):
            return np.zeros(0, np.float32)
        if isinstance(codes, SpokenUnits):
            return decoder.speak_units(codes, speaker, style)
        return decoder.speak(codes, speaker, style)

    def count_settled(self, spoken: SpokenUnits) -> int:
        """How many of the first units have their sound already, whatever units follow; see `Decoder`."""
        return self._require_decoder().count_settled(spoken) if len(spoken.units) else 0

    def decode_section(
        self,
        spoken: SpokenUnits,
        first: int,
        last: int,
        speaker: int | None = None,
        style: int | None = None,
    ) -> np.ndarray:
        """The sound of the units [first, last) in the sound of all: float32 [samples] at 16 kHz."""
        self.read(spoken)
        if first == last:
            return np.zeros(0, np.float32)
        return self._require_decoder().speak_section(spoken, first, last, speaker, style)

    def read(self, speech: Speech) -> SpeechTokens | SpokenUnits:
        """The codes themselves, a token string parsed. UserError for a code that the codec does not have."""
        read = parse(speech, self.streams) if isinstance(speech, str) else speech
        sizes = {stream.name: stream.size for stream in self.streams}
        for name, codes in read.codes.items():
            size = sizes.get(name, 0)
            if len(unknown := codes[(codes < 0) | (codes >= size)]):
                rule = (
                    f"must be one of the codec's {size}, from 0"
                    if size
                    else f"this codec has no {name} codes"
                )
                fix = "decode with the codec that encoded"
                raise UserError(f"{name} code", int(unknown[0]), rule, fix)
        return read

    def check_voice(self, speaker: int | None, style: int | None) -> None:
        """UserError where the codec has no decoder, or the decoder no such speaker or style."""
        self._require_decoder().check_voice(speaker, style)

    def replace_encoder(self, encoder: StreamEncoder) -> "Codec":
        """The codec with this encoder for its stream, in place of the one before or added in the published
        order.

        The decoder is kept where the table of streams stays as it is.
        """
        order = [stream.name for stream in PUBLISHED_EXPRESSIVE]
        encoders = {known.stream.name: known for known in (*self.encoders, encoder)}
        names = sorted(encoders, key=lambda name: order.index(name) if name in order else len(order))
        kept = self.decoder if self.keeps_decoder(encoder.stream) else None
        return Codec(tuple(encoders[name] for name in names), kept)

    def keeps_decoder(self, stream: Stream) -> bool:
        """Whether `replace_encoder` keeps the decoder for an encoder of this stream: the table has it."""
        return stream in self.streams

    def _require_decoder(self) -> Decoder:
        if self.decoder is None:
            fix = "convert a vocoder with it, or train one"
            raise UserError("codec decoder", None, "this codec only encodes", fix)
        return self.decoder

    def _encode_group(self, wavs: Sequence[np.ndarray]) -> list[SpeechTokens]:
        sounds = Sounds(wavs)
        columns = [encoder.encode(sounds) for encoder in self.encoders]
        names = [stream.name for stream in self.streams]
        return [SpeechTokens(dict(zip(names, codes))) for codes in zip(*columns)]
