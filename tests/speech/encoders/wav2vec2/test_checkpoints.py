import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.speech.encoders.wav2vec2.checkpoints import (
    canonical,
    config_from_fairseq,
    config_from_hf,
    load_encoder,
    parse_convs,
)
from spirit_jax.speech.encoders.wav2vec2.config import ConvNorm, ConvShape
from spirit_jax.speech.encoders.wav2vec2.network import POSITION_CONV, Wav2Vec2
from spirit_jax.speech.weights.torch_files import Tensors
from tests.speech.tiny_encoders import TINY, Varied


def stored_weights() -> dict[str, np.ndarray]:
    """The content of a fairseq checkpoint of TINY."""
    given = Varied(0)
    Wav2Vec2(given, TINY)
    arrays = {"mask_emb": np.zeros(16), "final_proj.weight": np.zeros((4, 16))} | given.arrays
    for name, kernel in given.kernels.items():
        arrays |= {
            f"{name}.weight_v": 2 * kernel,
            f"{name}.weight_g": np.linalg.norm(kernel, axis=(0, 1), keepdims=True),
        }
    return arrays


def load(arrays):
    tensors = Tensors("checkpoint", arrays)
    encoder = load_encoder(tensors, TINY)
    tensors.finish()
    return encoder


def test_convolutions_are_parsed():
    assert parse_convs("[(32,10,5)] + [(16, 3, 2)]*2 + 1 * [(8,2,2)]") == (
        ConvShape(32, 10, 5),
        ConvShape(16, 3, 2),
        ConvShape(16, 3, 2),
        ConvShape(8, 2, 2),
    )


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')",
        "[(32,10,5)] * 10**9",
        "[(32,10)]",
        "(32,10,5)",
        "[(32,10,5)] - [(1,1,1)]",
        "[(32,10,'5')]",
        "[(0,1,1)]",
        "",
        "[",
        "[(x,10,5)]",
        "[(32,10,5)] * True",
        "+".join(["[(1,1,1)]"] * 5000),
        "[1]",
        "[]",
        "[(1,1,1)] * 0",
        "[(1,1,1)]" + " * 100" * 6,
    ],
)
def test_anything_else_is_refused(expression):
    with pytest.raises(UserError):
        parse_convs(expression)


def test_fairseq_configuration():
    cfg = config_from_fairseq(
        {
            "encoder_layers": 3,
            "encoder_embed_dim": 16,
            "encoder_ffn_embed_dim": 24,
            "encoder_attention_heads": 2,
            "conv_pos": 6,
            "conv_pos_groups": 4,
            "conv_feature_layers": "[(8,10,5), (8,8,8), (12,5,4)]",
            "dropout": 0.1,
        }
    )
    assert cfg == TINY
    assert config_from_fairseq({}).hop == 320
    assert config_from_fairseq({"extractor_mode": "layer_norm"}).conv_norm is ConvNorm.LAYER
    assert not config_from_fairseq({"encoder_embed_dim": 512, "encoder_attention_heads": 8}).project


def test_hugging_face_configuration():
    cfg = config_from_hf(
        {
            "num_hidden_layers": 3,
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_attention_heads": 2,
            "num_conv_pos_embeddings": 6,
            "num_conv_pos_embedding_groups": 4,
            "conv_dim": [8, 8, 12],
            "conv_kernel": [10, 8, 5],
            "conv_stride": [5, 8, 4],
        }
    )
    assert cfg == TINY
    with pytest.raises(UserError, match="equally long"):
        config_from_hf({"conv_dim": [8]})
    with pytest.raises(UserError, match="equally long"):
        config_from_hf({"conv_dim": 8})


def test_other_architectures_are_refused():
    with pytest.raises(UserError, match="layer_type = 'conformer'"):
        config_from_fairseq({"layer_type": "conformer"})
    with pytest.raises(UserError, match="hidden_act"):
        config_from_hf({"hidden_act": "relu"})


def test_weight_norm_is_folded():
    encoder, arrays = load(stored_weights()), stored_weights()
    direct = arrays[f"{POSITION_CONV}.weight_v"].transpose(2, 1, 0) / 2
    np.testing.assert_allclose(encoder.positions.kernel_KIO[...], direct, rtol=1e-5)


def test_newer_names_of_weight_norm():
    arrays = stored_weights()
    newer = {
        name.replace("weight_g", "parametrizations.weight.original0").replace(
            "weight_v", "parametrizations.weight.original1"
        ): array
        for name, array in arrays.items()
    }
    assert set(newer) != set(arrays)
    np.testing.assert_array_equal(
        load(newer).positions.kernel_KIO[...], load(arrays).positions.kernel_KIO[...]
    )


def test_every_weight_counts():
    arrays = stored_weights()
    for name in (
        "encoder.layers.1.fc1.weight",
        "layer_norm.bias",
        "feature_extractor.conv_layers.0.2.weight",
    ):
        with pytest.raises(UserError, match=f"{name} = absent"):
            load({key: array for key, array in arrays.items() if key != name})
        with pytest.raises(UserError, match=f"{name} = .*must have shape"):
            load(arrays | {name: arrays[name][..., :-1]})
    with pytest.raises(UserError, match="encoder.layers.3.fc1.weight"):
        load(arrays | {"encoder.layers.3.fc1.weight": arrays["encoder.layers.1.fc1.weight"]})


def test_hugging_face_names():
    names = {
        "wav2vec2.feature_extractor.conv_layers.0.layer_norm.weight": "feature_extractor.conv_layers.0.2.weight",  # noqa: E501
        "hubert.encoder.layers.3.attention.k_proj.bias": "encoder.layers.3.self_attn.k_proj.bias",
        "encoder.layers.3.layer_norm.bias": "encoder.layers.3.self_attn_layer_norm.bias",
        "encoder.layers.10.feed_forward.output_dense.bias": "encoder.layers.10.fc2.bias",
        "encoder.layer_norm.bias": "encoder.layer_norm.bias",
        "feature_projection.layer_norm.weight": "layer_norm.weight",
        "classifier.weight": "classifier.weight",
    }
    assert list(canonical(dict.fromkeys(names, np.zeros(1)), TINY)) == list(names.values())


def test_a_weight_by_two_names_is_refused():
    with pytest.raises(UserError, match=r"layer_norm\.weight: is there twice"):
        canonical(stored_weights() | {"feature_projection.layer_norm.weight": np.zeros(1)}, TINY)
