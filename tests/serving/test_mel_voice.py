"""A service whose model speaks by a mel network, as the demo's does."""

import dataclasses

import numpy as np
import pytest

from spirit_jax.speech.codec import Codec
from spirit_jax.speech.decoders.mel_decoder import MelDecoder
from spirit_jax.speech.decoders.mel_network import MelNetwork, MelNetworkConfig
from tests.serving.test_generation import ask, check_error
from tests.serving.world import load_lm, read_wav, serve
from tests.speech.tiny_codec import UNITS, tiny_codec
from tests.speech.tiny_encoders import Varied

VOICES = ("low", "high", "other")
SPEAKING = {"task": "speak", "max_new_tokens": 40, "temperature": 1.0}


def mel_codec() -> Codec:
    tiny = tiny_codec("base")
    sizes = {"width": 16, "blocks": 2, "fine_width": 8, "duration_width": 8}
    cfg = MelNetworkConfig(tiny.streams, UNITS, len(VOICES), **sizes)
    decoder = MelDecoder(MelNetwork(cfg, Varied(0)), {"speaker": 1}, VOICES)
    return dataclasses.replace(tiny, decoder=decoder)


@pytest.fixture(scope="module")
def client():
    with serve(load_lm(mel_codec())) as running, running.client() as client:
        yield client


def test_its_voices_are_described(client):
    about = client.get("/v1/model").json()
    assert (about["speakers"], about["styles"]) == (len(VOICES), 0)
    assert not about["streaming_sound"]


def test_a_voice_can_be_chosen(client):
    sounds = []
    for speaker in (0, 1, None):
        chosen = {} if speaker is None else {"speaker": speaker}
        parts = ask(client, "the fox", **SPEAKING, **chosen)["parts"]
        sounds.append(read_wav(next(part["audio"] for part in parts if part["kind"] == "speech")))
    assert len(sounds[0]) == len(sounds[1]) > 0
    assert not np.array_equal(sounds[0], sounds[1])
    np.testing.assert_array_equal(sounds[2], sounds[1])  # the usual one


@pytest.mark.parametrize("wrong", [{"speaker": len(VOICES)}, {"style": 0}])
def test_what_it_does_not_have_is_refused(client, wrong):
    answer = client.post("/v1/generate", json={"prompt": "the fox", **SPEAKING, **wrong})
    check_error(answer, 400, "invalid_value")
