"""HuBERT and the style classifier against transformers on random weights, at two sizes and both kinds of
norm; skipped where it isn't installed.
"""

import itertools

import numpy as np
import pytest

from spirit_jax.speech.audio import normalize
from spirit_jax.speech.encoders.hubert import extract_features, load_hubert
from spirit_jax.speech.encoders.style.classifier import encode_style, last_states, load_style_encoder, pool
from spirit_jax.speech.encoders.wav2vec2.checkpoints import HF_EPS
from tests.parity.golden import assert_close

torch = pytest.importorskip("torch", reason="needs requirements-parity.txt")
transformers = pytest.importorskip("transformers", reason="needs requirements-parity.txt")
pytestmark = pytest.mark.parity

SMALL = {
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "conv_dim": (24, 24, 32),
    "conv_kernel": (10, 4, 3),
    "conv_stride": (5, 4, 3),
    "num_conv_pos_embeddings": 15,
    "num_conv_pos_embedding_groups": 4,
}
LARGER = {
    "hidden_size": 96,
    "intermediate_size": 160,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "conv_dim": (64,) * 8,
    "conv_kernel": (10, 3, 3, 3, 3, 2, 2, 2),
    "conv_stride": (5, 2, 2, 2, 2, 2, 2, 2),
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
    "layer_norm_eps": 1e-3,
}
PRE_NORM = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
BATCH_NORM = {"conv_pos_batch_norm": True}
SIZES = list(itertools.product((SMALL, LARGER), ({}, PRE_NORM)))
RNG = np.random.default_rng(0)
WAVS = [RNG.normal(0.1, 0.3, count).astype(np.float32) for count in (16_000, 9_000, 4_321)]


def randomize(model):
    """Larger weights and varied norms, so that every part matters."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, moments in model.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                moments.copy_(torch.rand_like(moments) + 0.2)
        for name, weight in model.named_parameters():
            weight.copy_(
                torch.rand_like(weight) + 0.5
                if weight.ndim == 1 and "bias" not in name
                else 1.5 * weight + 0.05 * torch.randn_like(weight)
            )
    return model.eval()


def run(model, wav: np.ndarray):
    with torch.inference_mode():
        return model(torch.from_numpy(normalize(wav, HF_EPS))[None], output_hidden_states=True)


@pytest.mark.parametrize(("size", "kind"), [*SIZES, (SMALL, BATCH_NORM), (LARGER, BATCH_NORM)])
def test_hubert_model(size, kind, tmp_path):
    model = randomize(transformers.HubertModel(transformers.HubertConfig(**size, **kind)))
    model.save_pretrained(tmp_path)
    layer = size["num_hidden_layers"] - 1
    hubert = load_hubert(tmp_path, layer)
    for features_TD, wav in zip(extract_features(hubert, WAVS), WAVS):
        assert_close(features_TD, run(model, wav).hidden_states[layer][0], f"layer {layer}")


@pytest.mark.parametrize(("size", "kind"), SIZES)
def test_sequence_classifier(size, kind, tmp_path):
    config = transformers.Wav2Vec2Config(**size, **kind, num_labels=7, classifier_proj_size=20)
    model = randomize(transformers.Wav2Vec2ForSequenceClassification(config))
    model.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    encoder = load_style_encoder(tmp_path)
    for states_TD, codes_N, wav in zip(last_states(encoder, WAVS), encode_style(encoder, WAVS), WAVS):
        expected_TD = run(model.wav2vec2, wav).last_hidden_state[0]
        assert_close(states_TD, expected_TD, "last state")
        with torch.inference_mode():
            logits_NV = model.classifier(model.projector(torch.from_numpy(pool(expected_TD.numpy()))))
        assert_close(encoder.head(pool(states_TD))[1], logits_NV, "logits")
        assert np.array_equal(codes_N, logits_NV.argmax(-1))


def test_one_second_is_what_transformers_classifies(tmp_path):
    """On up to 50 frames the mean is over all, as in the model's own forward pass."""
    model = randomize(
        transformers.Wav2Vec2ForSequenceClassification(transformers.Wav2Vec2Config(**LARGER, num_labels=5))
    )
    model.save_pretrained(tmp_path)
    encoder, wav = load_style_encoder(tmp_path), WAVS[0][: 640 * 40]
    assert_close(encoder.head(pool(last_states(encoder, [wav])[0]))[1], run(model, wav).logits, "logits")
