import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spirit_jax.errors import UserError
from spirit_jax.speech.wav2vec2 import ConvNorm, Wav2Vec2Config, gelu, init_encoder
from spirit_jax.speech.wav2vec2_rows import last_state
from tests.speech.encoders import CONVS, PRE_NORM, TINY, random_encoder, random_wavs

KINDS = {"group": TINY, "pre_norm": PRE_NORM}
TILES = 2


@pytest.fixture(scope="module", params=KINDS)
def encoder(request):
    return random_encoder(KINDS[request.param])


def rows(cfg: Wav2Vec2Config, *lengths: int) -> tuple[jax.Array, jax.Array]:
    """Wavs padded with noise, which must not matter."""
    size = cfg.most_samples(TILES * cfg.tile)
    padding = random_wavs(*(size - length for length in lengths), seed=1)
    return jnp.stack([jnp.concatenate(parts) for parts in zip(random_wavs(*lengths), padding)]), jnp.array(lengths)


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


def test_padding_is_without_influence(encoder):
    cfg, lengths = encoder.cfg, (20_000, 9_000, 300)
    wav_BS, counts_B = rows(cfg, *lengths)
    together = last_state(encoder, wav_BS, counts_B)
    clean_BS = jnp.where(jnp.arange(wav_BS.shape[1])[None] < counts_B[:, None], wav_BS, 0)
    assert np.array_equal(own(cfg, last_state(encoder, clean_BS, counts_B), lengths), own(cfg, together, lengths))
    for row, length in enumerate(lengths):
        alone = last_state(encoder, wav_BS[row : row + 1], counts_B[row : row + 1])
        np.testing.assert_allclose(own(cfg, alone, (length,)), own(cfg, together[row : row + 1], (length,)), atol=2e-5)


def test_tiles_leave_no_seam(encoder):
    cfg = encoder.cfg
    wav_BS, counts_B = rows(cfg, 25_000)
    moments = encoder.convs.moments(wav_BS, counts_B) if cfg.conv_norm is ConvNorm.GROUP else None
    whole = encoder.convs.convolve(wav_BS, moments)[-1]
    tiled = jax.jit(lambda convs: convs(wav_BS, counts_B))(encoder.convs)
    np.testing.assert_allclose(own(cfg, tiled, (25_000,)), own(cfg, whole, (25_000,)), atol=1e-5)


def test_group_norm_makes_each_channel_standard_before_its_scale():
    encoder = random_encoder(TINY)
    wav_BS, counts_B = rows(TINY, 20_000)
    y_BTO = encoder.convs.layers[0](wav_BS[:, :20_000, None])
    mean_BO, scale_BO = encoder.convs.moments(wav_BS, counts_B)
    np.testing.assert_allclose(mean_BO[0], y_BTO[0].mean(0), atol=1e-5)
    np.testing.assert_allclose(scale_BO[0], encoder.convs.norms[0].scale_D[...] / jnp.sqrt(y_BTO[0].var(0) + 1e-5), rtol=1e-4)


def test_every_frame_sees_every_other(encoder):
    """Attention and the norm over time carry a change of the first samples to the last frame, unlike the convolutions alone."""
    wav_BS, counts_B = rows(encoder.cfg, 20_000)
    before, after = (last_state(encoder, wav, counts_B, 1) for wav in (wav_BS, wav_BS.at[:, :500].mul(3.0)))
    last = encoder.cfg.frame_count(20_000) - 1
    assert np.abs(np.asarray(before - after)[0, last]).max() > 1e-4


def test_layers_are_counted_from_one(encoder):
    cfg = encoder.cfg
    wav_BS, counts_B = rows(cfg, 9_000)
    outputs = jax.jit(lambda e: e(wav_BS, counts_B))(encoder)
    assert len(outputs) == cfg.layers
    np.testing.assert_allclose(last_state(encoder, wav_BS, counts_B, 1), outputs[0], atol=1e-5)
    final = np.asarray(last_state(encoder, wav_BS, counts_B, cfg.layers))
    np.testing.assert_allclose(encoder.norm(jnp.asarray(final)) if cfg.pre_norm else final, outputs[-1], atol=2e-5)


def test_a_checkpoint_can_be_restored_from_the_configuration_alone(encoder):
    shapes, concrete = jax.tree.flatten(jax.eval_shape(lambda: init_encoder(encoder.cfg, jax.random.key(0)))), jax.tree.flatten(encoder)
    assert shapes[1] == concrete[1]
    assert [(a.shape, a.dtype) for a in shapes[0]] == [(a.shape, a.dtype) for a in concrete[0]]
    assert not any(isinstance(a, jax.Array) for a in shapes[0])


def test_gelu_is_exact():
    x = jnp.linspace(-8, 8, 1001)
    np.testing.assert_allclose(gelu(x), jax.nn.gelu(x, approximate=False), atol=1e-6)


def test_sizes_must_fit():
    with pytest.raises(UserError, match="heads = 3: must divide the width 16"):
        Wav2Vec2Config(CONVS, width=16, mlp_width=24, heads=3, layers=3, position_taps=6, position_groups=4)
    with pytest.raises(UserError, match="project"):
        Wav2Vec2Config(CONVS, width=16, mlp_width=24, heads=2, layers=3, position_taps=6, position_groups=4, project=False)


def own(cfg: Wav2Vec2Config, states_BTD: jax.Array, lengths: tuple[int, ...]) -> np.ndarray:
    """The frames that are no padding, row after row."""
    return np.concatenate([np.asarray(states_BTD[row, : cfg.frame_count(length)]) for row, length in enumerate(lengths)])
