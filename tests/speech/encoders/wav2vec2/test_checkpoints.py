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
from tests.speech.tiny_encoders import BATCH_NORM, TINY, Varied


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


def test_a_batch_norm_before_the_positional_convolution():
    assert config_from_fairseq({"conv_pos_batch_norm": True}).position_batch_norm
    assert config_from_hf({"conv_pos_batch_norm": True}).position_batch_norm
    names = {
        "encoder.pos_conv_embed.batch_norm.running_var": "encoder.pos_conv.0.running_var",
        "encoder.pos_conv_embed.conv.weight": "encoder.pos_conv.1.weight",
        "encoder.pos_conv.1.bias": "encoder.pos_conv.1.bias",
    }
    assert list(canonical(dict.fromkeys(names, np.zeros(1)), BATCH_NORM)) == list(names.values())
    assert list(canonical({"encoder.pos_conv_embed.conv.bias": np.zeros(1)}, TINY)) == [
        "encoder.pos_conv.0.bias"
    ]


@pytest.mark.parametrize("name", ["HubertConfig", "Wav2Vec2Config"])
def test_every_key_of_transformers_is_known(name):
    transformers = pytest.importorskip("transformers", reason="needs requirements-parity.txt")
    config = getattr(transformers, name)().to_dict()
    assert len(config) > 50
    assert config_from_hf(config).hop == 320


def test_every_key_of_the_published_configurations_is_known():
    """Of facebook/hubert-base-ls960 and of fairseq's HuBERT and wav2vec 2.0, in words that came and went."""
    older = "feat_extract_dropout gradient_checkpointing hidden_dropout_prob mask_channel_length torch_dtype"
    assert config_from_hf(dict.fromkeys(older.split(), 0) | {"model_type": "hubert"}).hop == 320
    training = (
        "label_rate dropout encoder_layerdrop dropout_input final_dim untie_final_proj logit_temp target_glu "
        "feature_grad_mult mask_length mask_channel_min_space latent_temp skip_masked skip_nomask "
        "checkpoint_activations required_seq_len_multiple depthwise_conv_kernel_size attn_type pos_enc_type "
        "fp16 quantize_targets latent_vars num_negatives codebook_negatives _name"
    )
    assert config_from_fairseq(dict.fromkeys(training.split(), 0)).hop == 320


def test_a_key_that_nothing_reads_stops_it():
    with pytest.raises(UserError, match="model_cfg rotary = True: is a key that is neither read"):
        config_from_fairseq({"rotary": True})
    with pytest.raises(UserError, match=r"config\.json position_embeddings_type = 'rotary': is a key"):
        config_from_hf({"position_embeddings_type": "rotary"})
    with pytest.raises(UserError, match=r"config\.json num_feat_extract_layers = 8: must be 7"):
        config_from_hf({"num_feat_extract_layers": 8})
    with pytest.raises(UserError, match=r"config\.json model_type = 'wavlm'"):
        config_from_hf({"model_type": "wavlm"})


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
