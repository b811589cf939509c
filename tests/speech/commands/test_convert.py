"""The command on a small folder without PyTorch; tests/parity runs it on the published layout."""

import json
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from spirit_jax import cli
from spirit_jax.core.errors import UserError
from spirit_jax.speech.codec_folder import load_codec
from spirit_jax.speech.codec_identity import read_identity
from spirit_jax.speech.encoders.hubert import Hubert, extract_features
from spirit_jax.speech.encoders.wav2vec2.network import POSITION_CONV, Wav2Vec2
from spirit_jax.speech.quantizers.kmeans import assign
from spirit_jax.tokens.streams import unit_stream
from tests.speech.synthetic import babble
from tests.speech.tiny_codec import tiny_networks, with_parts
from tests.speech.tiny_encoders import AT_25_HZ, Varied

CENTRES = np.random.default_rng(0).normal(size=(30, AT_25_HZ.width)).astype(np.float32)


def config_json(cfg):
    return {
        "num_hidden_layers": cfg.layers,
        "hidden_size": cfg.width,
        "intermediate_size": cfg.mlp_width,
        "num_attention_heads": cfg.heads,
        "num_conv_pos_embeddings": cfg.position_taps,
        "num_conv_pos_embedding_groups": cfg.position_groups,
        "conv_dim": [conv.channels for conv in cfg.convs],
        "conv_kernel": [conv.taps for conv in cfg.convs],
        "conv_stride": [conv.stride for conv in cfg.convs],
    }


@pytest.fixture
def checkpoints(tmp_path):
    """A Hugging Face HuBERT folder, k-means centres, and the codec's encoder in memory."""
    given = Varied(0)
    encoder = Wav2Vec2(given, AT_25_HZ)
    folder = tmp_path / "in" / "hubert_25hz"
    folder.mkdir(parents=True)
    arrays = {
        f"hubert.{name}": np.ascontiguousarray(array)
        for name, array in {**given.arrays, f"{POSITION_CONV}.weight": given.kernels[POSITION_CONV]}.items()
    }
    save_file(arrays, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config_json(AT_25_HZ)))
    np.save(tmp_path / "in" / "centres.npy", CENTRES)
    return tmp_path / "in", encoder


def command(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["spirit", "convert-speech", *map(str, words)])
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SystemExit) as left:
        cli.main()
    return left.value.code, capsys.readouterr()


def test_hugging_face_hubert_and_centres(checkpoints, tmp_path, monkeypatch, capsys):
    folder, encoder = checkpoints
    code, said = command(
        monkeypatch, capsys, folder, tmp_path / "codec", "--quantizer", folder / "centres.npy", "--layer", 1
    )
    assert code == 0
    assert "codec: 30 units, fingerprint" in said.out
    wav = babble(1.5, seed=0)[0]
    features = extract_features(Hubert(encoder, 1, 1e-7), [wav])[0]
    np.testing.assert_array_equal(
        load_codec(tmp_path / "codec").encode_batch([wav])[0].units, assign(features, CENTRES)
    )


@pytest.mark.parametrize(
    ("spoil", "words", "says"),
    [
        (lambda folder: None, ["--quantizer", "nowhere.npy"], "nowhere.npy"),
        (lambda folder: None, [], "--quantizer"),
        (lambda folder: None, ["--layer", "9"], "HuBERT layer = 9"),
        (lambda folder: np.save(folder / "centres.npy", CENTRES[:, :5]), [], "quantizer width = 5"),
        (lambda folder: np.save(folder / "centres.npy", CENTRES.astype(object)), [], "one array"),
        (
            lambda folder: save_file(
                {"hubert.layer_norm.bias": np.zeros(6, np.float32)}, folder / "hubert_25hz/model.safetensors"
            ),
            [],
            "absent",
        ),
        (lambda folder: (folder / "hubert_25hz/config.json").unlink(), [], "--hubert"),
        (lambda folder: (folder / "vqvae_f0_quantizer").mkdir(), [], "config.yaml"),
    ],
)
def test_mistakes_leave_nothing_behind(checkpoints, tmp_path, monkeypatch, capsys, spoil, words, says):
    folder, _ = checkpoints
    spoil(folder)
    given = [] if says == "--quantizer" or "--quantizer" in words else ["--quantizer", folder / "centres.npy"]
    layer = [] if "--layer" in words else ["--layer", "1"]
    code, said = command(monkeypatch, capsys, folder, tmp_path / "codec", *given, *layer, *words)
    assert code == 2
    assert says in said.err
    assert not (tmp_path / "codec").exists()


def test_units_of_another_rate_say_so_in_the_table(checkpoints, tmp_path, monkeypatch, capsys):
    folder, _ = checkpoints
    config = config_json(AT_25_HZ)
    (folder / "hubert_25hz/config.json").write_text(json.dumps({**config, "conv_stride": [16, 10, 2]}))
    words = (folder, tmp_path / "codec", "--quantizer", folder / "centres.npy", "--layer", 1)
    assert command(monkeypatch, capsys, *words)[0] == 0
    assert read_identity(tmp_path / "codec").streams == (unit_stream(30, 50.0),)


def test_the_variant_chooses_the_streams():
    assert [stream.name for stream in with_parts().streams] == ["units", "pitch", "style"]
    assert [stream.name for stream in with_parts("base").streams] == ["units"]
    assert [stream.name for stream in with_parts(style=None).streams] == ["units", "pitch"]
    with pytest.raises(UserError, match="--variant = expressive: lacks style"):
        with_parts("expressive", style=None)


def test_a_vocoder_of_pitch_is_none_of_units():
    with pytest.raises(UserError, match="vocoder_base = with pitch"):
        with_parts(vocoder_base=tiny_networks()["vocoder_expressive"])
