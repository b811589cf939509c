"""FCPE against torchfcpe 0.0.4, with the trained weights of its wheel: $SPIRIT_FCPE, or `wheels/` in the
environment's folder.
"""

import os
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.speech.encoders.pitch.fcpe import load_fcpe, pad_wav, raw_f0, track_f0
from tests.parity import golden

pytestmark = pytest.mark.parity
pytest.importorskip("torch", reason="reading the published files needs requirements-parity.txt")
GOLDEN = np.load(golden.require("golden_fcpe.npz") / "golden_fcpe.npz")
CASES = sorted({name.split("__")[0] for name in GOLDEN.files} - {"const"})
WAVS = [GOLDEN[f"{case}__wav"] for case in CASES]
# tones have bins so empty that float32 rounding shows
SPEECH = [case for case in CASES if case.startswith(("speech", "clip"))]
F0_HZ, LATENT = 3e-3, 1e-5


@pytest.fixture(scope="module")
def model():
    given = os.environ.get("SPIRIT_FCPE")
    found = [Path(given)] if given else sorted((Path(sys.prefix) / "wheels").glob("torchfcpe-*.whl"))
    if not found:
        pytest.skip("no torchfcpe wheel: pip download torchfcpe==0.0.4 --no-deps, and set SPIRIT_FCPE to it")
    return load_fcpe(found[0])


def test_constants(model):
    np.testing.assert_allclose(model.mel_FM[...].T, GOLDEN["const__mel_basis"], atol=1e-8)
    np.testing.assert_array_equal(model.cents_Q[...], GOLDEN["const__cent_table"])


def test_f0_and_voicing(model):
    """All wavs in one batch, and one of them alone: the same bits."""
    tracks, unfilled, raw = track_f0(model, WAVS), track_f0(model, WAVS, fill=False), raw_f0(model, WAVS)
    for case, (f0, vuv), (f0_unfilled, _), f0_raw in zip(CASES, tracks, unfilled, raw):
        np.testing.assert_array_equal(vuv, GOLDEN[f"{case}__vuv"], err_msg=case)
        np.testing.assert_allclose(f0_raw, GOLDEN[f"{case}__f0_raw"], atol=F0_HZ, err_msg=case)
        np.testing.assert_allclose(f0_unfilled, GOLDEN[f"{case}__f0_nointerp"], atol=F0_HZ, err_msg=case)
        crashed = GOLDEN[f"{case}__reference_raises"]  # on unvoiced input; 0 Hz is meant
        np.testing.assert_allclose(
            f0, np.zeros_like(vuv) if crashed else GOLDEN[f"{case}__f0"], atol=F0_HZ, err_msg=case
        )
    alone = track_f0(model, [WAVS[-1]])[0]
    np.testing.assert_array_equal(alone[0], tracks[-1][0])


def test_network(model):
    """Each case's log-mel, and the confidences from the stored log-mel, padded with what must not matter."""
    frames = max(len(GOLDEN[f"{case}__mel"]) for case in CASES) + 3
    size = (frames - 1) * model.cfg.hop + model.cfg.n_fft
    mel = jax.jit(lambda wav, samples: model.log_mel(wav, samples))
    network = jax.jit(lambda mel, frames: model(mel, frames))
    for case, wav in zip(CASES, WAVS):
        expected_TM, count = GOLDEN[f"{case}__mel"], len(GOLDEN[f"{case}__mel"])
        padded = pad_wav(wav, model.cfg)
        mel_TM = mel(np.pad(padded, (0, size - len(padded)))[None], jnp.array([len(padded)]))[0, :count]
        np.testing.assert_allclose(mel_TM, expected_TM, atol=1e-3 if case in SPEECH else 1e-2, err_msg=case)
        filled_TM = np.pad(expected_TM, ((0, frames - count), (0, 0)), constant_values=7)
        latent_TQ = np.asarray(network(filled_TM[None], jnp.array([count])))[0, :count]
        np.testing.assert_allclose(latent_TQ, GOLDEN[f"{case}__latent"], atol=LATENT, err_msg=case)
        voiced = GOLDEN[f"{case}__f0_raw"] > 0
        np.testing.assert_array_equal(
            latent_TQ.argmax(axis=1)[voiced], GOLDEN[f"{case}__argmax"][voiced], err_msg=case
        )
