import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.speech.encoders.wav2vec2.batches import layer_output
from spirit_jax.speech.encoders.wav2vec2.network import Wav2Vec2
from spirit_jax.speech.kernels.choice import fast_form
from spirit_jax.speech.weights.readers import RandomReader
from tests.speech.tiny_encoders import (
    BATCH_NORM,
    PRE_NORM,
    TINY,
    Varied,
    noisy_rows,
    own_frames,
    random_encoder,
)

KINDS = {"group": TINY, "pre_norm": PRE_NORM, "batch_norm": BATCH_NORM}


@pytest.fixture(scope="module", params=KINDS)
def encoder(request):
    return random_encoder(KINDS[request.param])


def test_padding_is_without_influence(encoder):
    cfg, lengths = encoder.cfg, (20_000, 9_000, 300)
    wav_BS, counts_B = noisy_rows(cfg, *lengths)
    together = layer_output(encoder, wav_BS, counts_B)
    clean_BS = jnp.where(jnp.arange(wav_BS.shape[1])[None] < counts_B[:, None], wav_BS, 0)
    assert np.array_equal(
        own_frames(cfg, layer_output(encoder, clean_BS, counts_B), lengths),
        own_frames(cfg, together, lengths),
    )
    for row, length in enumerate(lengths):
        alone_B = jnp.arange(3) == row
        alone = layer_output(
            encoder, jnp.where(alone_B[:, None], wav_BS, 7.0), jnp.where(alone_B, counts_B, 0)
        )
        np.testing.assert_allclose(
            own_frames(cfg, alone[row:], (length,)), own_frames(cfg, together[row:], (length,)), atol=2e-5
        )


def test_every_frame_sees_every_other(encoder):
    """Attention and the norm over time carry a change of the first samples to the last frame, unlike the
    convolutions alone.
    """
    wav_BS, counts_B = noisy_rows(encoder.cfg, 20_000)
    before, after = (layer_output(encoder, wav, counts_B, 1) for wav in (wav_BS, wav_BS.at[:, :500].mul(3.0)))
    last = encoder.cfg.frame_count(20_000) - 1
    assert np.abs(np.asarray(before - after)[0, last]).max() > 1e-4


def test_layers_are_counted_from_one(encoder):
    cfg = encoder.cfg
    wav_BS, counts_B = noisy_rows(cfg, 20_000)
    outputs, named = jax.jit(lambda e: (e(wav_BS, counts_B), e(wav_BS, counts_B, cfg.layers)))(encoder)
    assert len(outputs) == len(named) == cfg.layers
    np.testing.assert_allclose(layer_output(encoder, wav_BS, counts_B, 1), outputs[0], atol=1e-5)
    np.testing.assert_allclose(encoder.norm(named[-1]) if cfg.pre_norm else named[-1], outputs[-1], atol=2e-5)
    assert np.abs(named[-1] - named[-2]).max() > 1e-2


def test_a_checkpoint_can_be_restored_from_the_configuration_alone(encoder):
    shapes, concrete = (
        jax.tree.flatten(jax.eval_shape(lambda: Wav2Vec2(RandomReader(jax.random.key(0)), encoder.cfg))),
        jax.tree.flatten(encoder),
    )
    assert shapes[1] == concrete[1]
    assert [(a.shape, a.dtype) for a in shapes[0]] == [(a.shape, a.dtype) for a in concrete[0]]
    assert not any(isinstance(a, jax.Array) for a in shapes[0])


def test_the_batch_norm_comes_before_the_padding_of_the_convolution():
    """Frame by frame, with zeros past both ends: not the norm of zeros, as a folded kernel would have."""
    given = Varied(0)
    encoder = Wav2Vec2(given, BATCH_NORM)
    frames, taps = 9, BATCH_NORM.position_taps
    x_TD = np.random.default_rng(0).normal(size=(frames, BATCH_NORM.width))
    scale, shift, mean, variance = (
        given.arrays[f"encoder.pos_conv.0.{part}"].astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    normed_TD = scale * (x_TD - mean) / np.sqrt(variance + 1e-5) + shift
    padded_TGI = np.pad(normed_TD, ((taps // 2, taps // 2), (0, 0))).reshape(
        frames + taps, BATCH_NORM.position_groups, -1
    )
    kernel_GOIK = given.kernels["encoder.pos_conv.1"].reshape(BATCH_NORM.position_groups, -1, 4, taps)
    seen_TGIK = np.lib.stride_tricks.sliding_window_view(padded_TGI, taps, axis=0)[:frames]
    y_TD = np.einsum("TGIK,GOIK->TGO", seen_TGIK, kernel_GOIK).reshape(frames, -1)
    expected_TD = jax.nn.gelu(jnp.asarray(y_TD + given.arrays["encoder.pos_conv.1.bias"]), approximate=False)
    inside_1T = jnp.arange(frames + 3)[None] < frames
    x_1TD = jnp.asarray(np.pad(x_TD, ((0, 3), (0, 0))), jnp.float32)[None]
    for form in (encoder, fast_form(encoder, "cpu")):
        y_1TD = form.encode_positions(x_1TD, inside_1T)
        np.testing.assert_allclose(y_1TD[0, :frames], expected_TD, atol=1e-5)
