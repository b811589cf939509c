"""Pitch codes against the published release's, on random weights in its file format."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.speech.encoders.pitch.contour import interpolate, subtract_mean
from spirit_jax.speech.encoders.pitch.vqvae import (
    decode_f0,
    encode_batch,
    encode_f0,
    features,
    load_pitch_vqvae,
)
from tests.parity import golden
from tests.parity.golden import assert_close

pytestmark = pytest.mark.parity
pytest.importorskip("torch", reason="reading the published files needs requirements-parity.txt")
FOLDER = golden.require("golden_f0_vqvae.npz", "f0_inputs.npz", "f0_interp_inputs.npz", "vqvae_f0_quantizer")
GOLDEN, INPUTS, TRACKS = (
    np.load(FOLDER / f"{name}.npz") for name in ("golden_f0_vqvae", "f0_inputs", "f0_interp_inputs")
)
CASES = sorted({name.split("/")[0] for name in INPUTS.files})
MEANS = {"": None, "_speaker": float(GOLDEN["meta_speaker_f0_mean"])}


@pytest.fixture(scope="module")
def model():
    return load_pitch_vqvae(FOLDER / "vqvae_f0_quantizer")


@pytest.mark.parametrize("whose", MEANS)
@pytest.mark.parametrize("case", CASES)
def test_codes(model, case, whose):
    f0, vuv = INPUTS[f"{case}/f0"], INPUTS[f"{case}/vuv"]
    x_FC = features(model.cfg, f0, vuv, MEANS[whose])
    expected = GOLDEN[f"{case}{whose}|quantizer_input"][0].T
    largest = np.nanmax(np.abs(expected), initial=1)
    np.testing.assert_allclose(x_FC, expected, atol=2e-4 * largest, rtol=0, equal_nan=True)
    np.testing.assert_array_equal(encode_f0(model, f0, vuv, MEANS[whose]), GOLDEN[f"{case}{whose}|codes"])
    if any(name.startswith("norm") for name in model.cfg.features):
        normalized = GOLDEN[f"{case}{whose}|f0_normalized_in_place"]
        ours = subtract_mean(f0, vuv, MEANS[whose])
        assert ours.dtype == normalized.dtype
        np.testing.assert_allclose(ours, normalized, atol=2e-4 * largest, rtol=0, equal_nan=True)


@pytest.fixture(scope="module")
def encode(model):
    """Frames [F, C] to vectors [N, D], padded with what must not matter."""
    longest = max(len(INPUTS[f"{case}/f0"]) for case in CASES) + 1
    encoder = jax.jit(lambda x, count: model.encoder(x, count))

    def run(x_FC):
        padded = np.pad(x_FC, ((0, longest - len(x_FC)), (0, 0)), constant_values=7)
        return np.asarray(encoder(padded[None], jnp.array([len(x_FC)])))[
            0, : len(x_FC) // model.cfg.frames_per_code
        ]

    return run


# a track with Hz but no voiced frame has no mean, and the published release computes with NaN
@pytest.mark.parametrize(
    "case", [case for case in CASES if np.isfinite(GOLDEN.get(f"{case}|encoder_out", np.nan)).all()]
)
def test_layers(model, encode, case):
    assert_close(
        encode(GOLDEN[f"{case}|quantizer_input"][0].T).T[None], GOLDEN[f"{case}|encoder_out"], "encoder_out"
    )
    codes = GOLDEN[f"{case}|codes"]
    assert_close(model.codebook_KD[...][codes].T[None], GOLDEN[f"{case}|decoder_in"], "decoder_in")
    assert_close(decode_f0(model, codes).T, GOLDEN[f"{case}|decoded_pred"], "decoded_pred")


def test_all_cases_in_one_batch(model):
    inputs = [features(model.cfg, INPUTS[f"{case}/f0"], INPUTS[f"{case}/vuv"]) for case in CASES]
    for case, codes in zip(CASES, encode_batch(model, inputs)):
        np.testing.assert_array_equal(codes, GOLDEN[f"{case}|codes"], err_msg=case)


@pytest.mark.parametrize("case", TRACKS.files)
def test_interpolation(case):
    for name, fill_ends in (("filled", True), ("not_filled", False)):
        expected = GOLDEN[f"interp|{case}|{name}"]
        np.testing.assert_allclose(
            interpolate(TRACKS[case], fill_ends), expected, atol=1e-9 * max(1, np.abs(expected).max()), rtol=0
        )
