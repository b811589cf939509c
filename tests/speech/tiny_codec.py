"""A codec of small random networks: 20 units and a blank, 12 pitches, 9 styles."""

import dataclasses
import functools
from typing import Any

import numpy as np

from spirit_jax.speech.codec import Codec
from spirit_jax.speech.commands.convert import assemble
from spirit_jax.speech.decoders.hifigan import Generator
from spirit_jax.speech.decoders.hifigan_config import GeneratorConfig
from spirit_jax.speech.encoders.hubert import Hubert
from spirit_jax.speech.encoders.pitch.vqvae import PitchVqVae
from spirit_jax.speech.encoders.pitch.vqvae_config import PitchConfig, StackConfig
from spirit_jax.speech.encoders.style.classifier import StyleEncoder, StyleHead
from spirit_jax.speech.encoders.wav2vec2.config import ConvShape
from spirit_jax.speech.encoders.wav2vec2.network import Wav2Vec2
from spirit_jax.speech.quantizers.linear import LinearQuantizer
from tests.speech.tiny_encoders import AT_25_HZ, TINY, Varied, random_encoder

UNITS, PITCHES, STYLES, SPEAKERS, MANNERS = 20, 12, 9, 3, 5
AT_50_HZ = dataclasses.replace(
    TINY, convs=(ConvShape(6, 20, 16), ConvShape(6, 10, 10), ConvShape(6, 2, 2)), layers=1
)
STACK = StackConfig(inner_width=6, width=5, downs=4, stride=2, depth=1, hidden_width=6, dilation_growth=3)
PITCH = PitchConfig(("norm_f0_interp", "vuv"), STACK, STACK, PITCHES)
VOCODER = GeneratorConfig(
    rates=(20, 32),
    rate_kernels=(40, 64),
    channels=8,
    block_kind=1,
    block_kernels=(3,),
    block_dilations=((1,),),
    units=UNITS,
    width=4,
    hop=640,
    speakers=SPEAKERS,
    style_ids=MANNERS,
    duration_width=6,
)


@functools.cache
def tiny_networks() -> dict[str, Any]:
    """All parts of the published layout, by the names of `convert`."""
    given = Varied(3)
    return {
        "hubert": Hubert(random_encoder(AT_25_HZ), 1),
        "quantizer": LinearQuantizer(
            [
                (given.array("0", (16, 18)), given.array("a", (18,))),
                (given.array("1", (18, UNITS + 1)), np.zeros(UNITS + 1)),
            ]
        ),
        "pitch": PitchVqVae(PITCH, Varied(1)),
        "style": StyleEncoder(Wav2Vec2(Varied(2), AT_50_HZ), StyleHead(Varied(2), AT_50_HZ.width, 7, STYLES)),
        "vocoder_base": Generator(VOCODER, Varied(4)),
        "vocoder_expressive": Generator(
            dataclasses.replace(VOCODER, pitches=PITCHES, styles=STYLES, style_ids=0), Varied(5)
        ),
    }


@functools.cache
def tiny_codec(variant: str = "expressive") -> Codec:
    return assemble(tiny_networks(), variant)


def with_parts(variant: str | None = None, **changes) -> Codec:
    """The tiny codec with other parts; None leaves one out."""
    parts = {name: part for name, part in {**tiny_networks(), **changes}.items() if part is not None}
    return assemble(parts, variant)
