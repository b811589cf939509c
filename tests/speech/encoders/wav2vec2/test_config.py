import jax.numpy as jnp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spirit_jax.core.errors import UserError
from spirit_jax.speech.encoders.wav2vec2.config import Wav2Vec2Config
from tests.speech.tiny_encoders import CONVS, TINY


@given(st.integers(1, 500))
def test_frames_and_samples_fit(frames):
    samples = TINY.sample_count(frames)
    assert TINY.frame_count(samples) == frames
    assert TINY.frame_count(samples - 1) == frames - 1
    assert TINY.frame_count(TINY.most_samples(frames)) == frames
    assert TINY.sample_count(frames + 1) - samples == TINY.hop


@pytest.mark.parametrize("samples", [0, 9, 10, 100, 204, 205, 206])
def test_too_few_samples_give_no_frame(samples):
    assert TINY.frame_count(samples) == (samples >= TINY.sample_count(1))
    assert int(TINY.frame_count(jnp.int32(samples))) == TINY.frame_count(samples)


def test_sizes_must_fit():
    with pytest.raises(UserError, match="heads = 3: must divide the width 16"):
        Wav2Vec2Config(CONVS, width=16, mlp_width=24, heads=3, layers=3, position_taps=6, position_groups=4)
    with pytest.raises(UserError, match="project"):
        Wav2Vec2Config(
            CONVS,
            width=16,
            mlp_width=24,
            heads=2,
            layers=3,
            position_taps=6,
            position_groups=4,
            project=False,
        )
