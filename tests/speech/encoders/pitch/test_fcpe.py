"""FCPE on small random weights."""

import zipfile

import jax
import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.speech.encoders.pitch.fcpe import (
    ASSETS,
    Fcpe,
    FcpeConfig,
    finish,
    load_fcpe,
    pad_wav,
    raw_f0,
    track_f0,
)
from tests.speech.tiny_encoders import Varied

SMALL = FcpeConfig(
    sample_rate=16000, n_fft=256, hop=160, mels=10, mel_min=0, mel_max=8000, width=8, layers=2, bins=40
)
CONFIG = {
    "mel": {
        "sr": 16000,
        "n_fft": 256,
        "win_size": 256,
        "hop_size": 160,
        "num_mels": 10,
        "fmin": 0,
        "fmax": 8000,
    },
    "model": {"hidden_dims": 8, "n_layers": 2, "out_dims": 40, "conv_only": True},
}
RNG = np.random.default_rng(0)


class Bins(Varied):
    """Random weights, with bins an equal number of cents apart."""

    def array(self, name, shape):
        return (
            np.linspace(2400, 8400, *shape, dtype=np.float32)
            if name == "cent_table"
            else super().array(name, shape)
        )


@pytest.fixture(scope="module")
def model():
    return Fcpe(SMALL, Bins(0))


def noise(samples):
    return RNG.standard_normal(samples).astype(np.float32)


@pytest.mark.parametrize("samples", [0, 1, 79, 160, 207, 208, 1000])
def test_frames_whatever_the_length(model, samples):
    f0, vuv = track_f0(model, [noise(samples)])[0]
    assert f0.shape == vuv.shape == (samples // 80 + 1,)
    padded = pad_wav(noise(samples), SMALL)
    assert len(padded) >= SMALL.n_fft
    assert (len(padded) - SMALL.n_fft) // SMALL.hop + 1 in (SMALL.frames(samples), SMALL.frames(samples) - 1)


def test_batch_is_each_alone_and_padding_changes_nothing(model):
    wavs = [noise(n) for n in (400, 5000, 30000)]
    for wav, f0 in zip(wavs, raw_f0(model, wavs)):
        np.testing.assert_array_equal(f0, raw_f0(model, [wav])[0])
    mel_TM = RNG.standard_normal((1, 30, 10)).astype(np.float32)
    padded_TM = np.pad(mel_TM, ((0, 0), (0, 9), (0, 0)), constant_values=5)
    network = jax.jit(lambda mel: model(mel, np.array([30], np.int32)))
    alone, padded = network(mel_TM), network(padded_TM)
    np.testing.assert_allclose(padded[:, :30], alone, atol=1e-5)


def test_decoding_takes_the_mean_pitch_around_the_best_bin(model):
    cents = np.asarray(model.cents_Q[...])
    confidence = np.zeros((1, 4, 40), np.float32)
    # the last is too far from the best
    confidence[0, 0, 20], confidence[0, 0, 22], confidence[0, 0, 30] = 0.6, 0.2, 0.5
    confidence[0, 1, 7] = 0.05  # not above the threshold
    confidence[0, 2, 0] = 0.9  # at the edge
    f0 = jax.jit(lambda confidence: model.decode(confidence))(confidence)[0]
    np.testing.assert_allclose(f0[0], 10 * 2 ** ((0.75 * cents[20] + 0.25 * cents[22]) / 1200), rtol=1e-5)
    assert f0[1] == f0[3] == 0
    np.testing.assert_allclose(f0[2], 10 * 2 ** (cents[0] / 1200), rtol=1e-5)


def test_finish():
    f0 = np.array([0, 100, 0, 0, 1300, 45], np.float32)
    filled, vuv = finish(f0, 11, fill=True)
    np.testing.assert_array_equal(vuv, [0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 0])
    # clamped after filling
    np.testing.assert_allclose(filled, [100, 100, 100, 100, 500, 500, 900, 900, 1100, 1100, 1100])
    np.testing.assert_allclose(finish(f0, 11, fill=False)[0], [0, 0, 100, 100, 0, 0, 0, 0, 1100, 1100, 45])


def test_no_voiced_frame_is_0_hz():
    for f0 in (np.zeros(4, np.float32), np.full(4, 45, np.float32)):
        filled, vuv = finish(f0, 7, fill=True)
        np.testing.assert_array_equal(filled, np.zeros(7))
        np.testing.assert_array_equal(vuv, np.zeros(7))


@pytest.fixture
def weights():
    torch = pytest.importorskip("torch")
    source = Varied(0)
    Fcpe(SMALL, source)
    arrays = source.arrays | {
        f"{name}.weight": kernel for name, kernel in source.kernels.items() if name != "output_proj"
    }
    arrays |= {
        "output_proj.weight_v": source.kernels["output_proj"],
        "output_proj.weight_g": np.ones((40, 1), np.float32),
    }
    arrays |= {f"net.encoder_layers.{i}.norm.weight": np.ones(8, np.float32) for i in range(2)}  # not used
    return {name: torch.tensor(array) for name, array in arrays.items()} | {
        "gaussian_blurred_cent_mask": torch.tensor(1.0)
    }


def test_reading_a_wheel_a_folder_or_a_file(tmp_path, weights):
    import torch

    (tmp_path / ASSETS).mkdir(parents=True)
    path = tmp_path / ASSETS / "small.pt"
    torch.save({"model": weights, "config_dict": CONFIG}, path)
    with zipfile.ZipFile(tmp_path / "torchfcpe-1.whl", "w") as wheel:
        wheel.write(path, ASSETS + path.name)
    for place in (path, tmp_path, tmp_path / "torchfcpe", tmp_path / "torchfcpe-1.whl"):
        model = load_fcpe(place)
        assert model.cfg == SMALL
        np.testing.assert_array_equal(model.cents_Q[...], weights["cent_table"])
    path.unlink()
    with pytest.raises(UserError, match=r"one \.pt file"):
        load_fcpe(tmp_path)


@pytest.mark.parametrize(
    ("change", "config", "says"),
    [
        ({"surplus": 1}, {}, "surplus"),
        ({}, {"hidden_dims": 9}, "must have shape"),
        ({}, {"conv_only": False}, "convolutional"),
        ({}, {"use_harmonic_emb": True}, "use_harmonic_emb = True: must be False"),
        ({}, {"type": "CFNaiveMelPEV2"}, "config_dict model type = 'CFNaiveMelPEV2': must be"),
        ({}, {"log_scale": True}, "config_dict model log_scale = True: is a key that is neither read"),
    ],
)
def test_other_weights_are_refused(tmp_path, weights, change, config, says):
    import torch

    arrays = weights | {name: torch.zeros(size) for name, size in change.items()}
    torch.save(
        {"model": arrays, "config_dict": CONFIG | {"model": CONFIG["model"] | config}}, tmp_path / "other.pt"
    )
    with pytest.raises(UserError, match=says):
        load_fcpe(tmp_path / "other.pt")
