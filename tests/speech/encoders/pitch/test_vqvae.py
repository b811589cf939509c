"""Pitch codes on small random weights."""

import re

import jax
import numpy as np
import pytest
import yaml

from spirit_jax.core.errors import UserError
from spirit_jax.speech.encoders.pitch.vqvae import (
    PitchVqVae,
    decode_f0,
    encode_batch,
    encode_f0,
    features,
    init_pitch_vqvae,
    load_pitch_vqvae,
)
from spirit_jax.speech.encoders.pitch.vqvae_config import PitchConfig
from tests.speech.tiny_encoders import Varied

STACK = {
    "input_emb_width": 2,
    "output_emb_width": 6,
    "levels": 1,
    "downs_t": [3],
    "strides_t": [2],
    "width": 4,
    "depth": 2,
    "m_conv": 1.0,
    "dilation_growth_rate": 3,
}
VALUES = {
    "features": "norm_f0_interp,vuv",
    "encoder_params": STACK,
    "decoder_params": STACK,
    "vq_params": {"l_bins": 8, "emb_width": 6, "mu": 0.99, "levels": 1},
}
CONFIG = PitchConfig.from_yaml(VALUES)
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def model():
    return PitchVqVae(CONFIG, Varied(0))


def track(frames):
    return 150 + 20 * RNG.standard_normal(frames), RNG.random(frames) < 0.7


def test_config():
    assert CONFIG.frames_per_code == 8
    assert CONFIG.interpolated
    for wrong, says in (
        ({"features": "loudness"}, "features"),
        ({"encoder_params": STACK | {"levels": 2}}, "levels"),
        ({"encoder_params": STACK | {"gating": True}}, "gating"),
        ({"vq_params": {"l_bins": 8, "emb_width": 5}}, "widths"),
        ({"decoder_params": {}}, "levels"),
    ):
        with pytest.raises(UserError, match=says):
            PitchConfig.from_yaml(VALUES | wrong)


def test_codes_of_a_batch_are_those_of_each_alone(model):
    tracks = [track(frames) for frames in (0, 7, 8, 100, 301)]
    together = encode_batch(model, [features(CONFIG, *pair) for pair in tracks])
    for pair, codes in zip(tracks, together):
        assert codes.shape == (len(pair[0]) // 8,)
        np.testing.assert_array_equal(codes, encode_f0(model, *pair))
    assert len(np.unique(together[-1])) > 2


@pytest.mark.parametrize(("stride", "downs"), [(1, 1), (3, 2), (4, 1), (5, 1)])
def test_lengths_are_those_of_the_convolutions(stride, downs):
    sizes = STACK | {"strides_t": [stride], "downs_t": [downs]}
    network = PitchVqVae(
        PitchConfig.from_yaml(VALUES | {"encoder_params": sizes, "decoder_params": sizes}), Varied(0)
    )
    encode = jax.jit(lambda x, count: network.nearest(network.encoder(x, count)))
    rows = [features(network.cfg, *track(frames)) for frames in (stride**downs - 1, 45, 60)]
    for x_FC, codes in zip(rows, encode_batch(network, rows)):
        count = np.array([len(x_FC)])
        if len(x_FC) > 2 * stride**downs:
            assert len(codes) == jax.eval_shape(network.encoder, x_FC[None], count).shape[1] > 0
        np.testing.assert_array_equal(
            codes, encode(np.pad(x_FC, ((0, 90 - len(x_FC)), (0, 0)))[None], count)[0, : len(codes)]
        )
    made_FC, vectors = decode_f0(network, codes), np.asarray(network.codebook_KD[...])[codes][None]
    alone = jax.jit(lambda x, count: network.decoder(x, count))(vectors, np.array([len(codes)]))[0]
    np.testing.assert_allclose(made_FC, alone, rtol=0, atol=1e-6 * np.abs(alone).max())


def test_padding_changes_nothing(model):
    """Up to float32's rounding, a few times 1.2e-7 of the largest value: another length is
    another program.
    """
    encode, decode = (
        jax.jit(lambda x, count, part=part: part(x, count)) for part in (model.encoder, model.decoder)
    )
    x_FC, count = features(CONFIG, *track(43)), np.array([43], np.int32)
    padded_FC = np.pad(x_FC, ((0, 21), (0, 0)), constant_values=5)
    alone = encode(x_FC[None], count)
    np.testing.assert_allclose(
        encode(padded_FC[None], count)[:, :5], alone, rtol=0, atol=1e-6 * np.abs(alone).max()
    )
    vectors, count = np.asarray(model.codebook_KD[...])[None, [3, 1, 4, 1, 5, 0, 0]], np.array([5], np.int32)
    alone = decode(vectors[:, :5], count)
    np.testing.assert_allclose(decode(vectors, count)[:, :40], alone, rtol=0, atol=1e-6 * np.abs(alone).max())


def test_random_weights_have_the_same_structure(model):
    drawn = jax.eval_shape(lambda key: init_pitch_vqvae(CONFIG, key), jax.random.key(0))
    assert jax.tree.structure(drawn) == jax.tree.structure(model)


def test_nearest_code(model):
    vectors = np.asarray(model.codebook_KD[...])[None] + 1e-3
    np.testing.assert_array_equal(model.nearest(vectors)[0], np.arange(8))


def test_decoding(model):
    assert decode_f0(model, np.array([1, 2, 3])).shape == (24, 2)
    assert decode_f0(model, np.zeros(0, int)).shape == (0, 2)
    np.testing.assert_array_equal(decode_f0(model, [1, 2, 3]), decode_f0(model, np.array([1, 2, 3])))
    with pytest.raises(UserError, match="0 to 7"):
        decode_f0(model, [8])


def test_speaker_norm_subtracts_the_mean_whatever_the_features():
    f0, vuv = track(20)
    f0[3] = 0
    for names in ("f0,vuv", "f0_interp,vuv", "norm_f0,vuv"):
        normed = PitchConfig.from_yaml(VALUES | {"features": names, "speaker_norm": True})
        by_name = PitchConfig.from_yaml(VALUES | {"features": "norm_f0,vuv", "speaker_norm": None})
        for mean in (None, 130.0):
            np.testing.assert_array_equal(features(normed, f0, vuv, mean), features(by_name, f0, vuv, mean))
        assert features(normed, f0, vuv)[3, 0] == 0
    assert not PitchConfig.from_yaml(VALUES | {"features": "f0,vuv", "speaker_norm": False}).mean_free


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"f0_log": True}, "config.yaml f0_log = True: is a key that is neither read"),
        ({"f0_log": None}, "config.yaml f0_log = None"),
        ({"f0_hop_size": 160}, "f0_hop_size = 160: must be 80"),
        ({"sampling_rate": 8000}, "sampling_rate = 8000: must be 16000"),
        ({"speaker_stats": "f0_stats.pth"}, "speaker_stats = 'f0_stats.pth': must be None"),
        ({"decoder_params": STACK | {"gating": False}}, "decoder_params gating = False"),
        ({"decoder_params": STACK | {"reverse_decoder_dilation": True}}, "reverse_decoder_dilation = True"),
        ({"vq_params": {"l_bins": 8, "emb_width": 6, "levels": 2}}, "vq_params levels = 2: must be 1"),
        ({"vq_params": {"l_bins": 8, "emb_width": 6, "cosine": True}}, "vq_params cosine = True"),
    ],
)
def test_a_key_that_nothing_reads_stops_it(changed, says):
    published = {"sampling_rate": 16000, "f0_hop_size": 80, "lambda_commit": 0.02, "batch_size": 16}
    assert PitchConfig.from_yaml(VALUES | published) == CONFIG
    with pytest.raises(UserError, match=re.escape(says)):
        PitchConfig.from_yaml(VALUES | published | changed)


def test_only_norm_features_subtract_the_mean():
    f0, vuv = track(20)
    plain = PitchConfig.from_yaml(VALUES | {"features": "vuv,f0_interp"})
    np.testing.assert_allclose(features(plain, f0, vuv), np.stack([vuv, f0], axis=1), rtol=1e-6)
    np.testing.assert_allclose(features(CONFIG, f0, vuv)[:, 0], f0 - f0[vuv].mean(), rtol=1e-4, atol=1e-4)
    with pytest.raises(UserError, match="one length"):
        features(plain, f0, vuv[1:])


def test_reading_a_folder_accounts_for_every_weight(tmp_path):
    torch = pytest.importorskip("torch")
    source = Varied(0)
    PitchVqVae(CONFIG, source)
    arrays = source.arrays | {f"{name}.weight": kernel for name, kernel in source.kernels.items()}
    weights = {name: torch.tensor(array) for name, array in arrays.items()}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(VALUES))
    for change, says in (
        ({}, None),
        ({"surplus": torch.zeros(1)}, "surplus"),
        ({"decoder.out.bias": torch.zeros(3)}, "decoder.out.bias"),
    ):
        torch.save({"model": weights | change, "steps": 1}, tmp_path / "model.pt")
        if says:
            with pytest.raises(UserError, match=says):
                load_pitch_vqvae(tmp_path)
        else:
            np.testing.assert_array_equal(
                load_pitch_vqvae(tmp_path).codebook_KD[...], weights["vq.level_blocks.0.k"]
            )
    (tmp_path / "config.yaml").write_text("features: [")
    with pytest.raises(UserError, match="YAML"):
        load_pitch_vqvae(tmp_path)
