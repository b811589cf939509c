"""A HuBERT with a batch norm before its positional convolution, as the public ones of 25 Hz have, in the
published form and as a Hugging Face folder, against the published release.

Tolerance: that of all dense arrays (`golden.TOLERANCE`); float32 sums in another order differ by a hundredth
of it. The units must be equal.
"""

import dataclasses

import numpy as np
import pytest

from spirit_jax.speech.codec import Codec
from spirit_jax.speech.codec_folder import load_codec, save_codec
from spirit_jax.speech.encoders.hubert import HubertUnits, extract_features, load_hubert
from spirit_jax.speech.kernels.choice import fast_form
from spirit_jax.speech.quantizers.linear import load_quantizer
from tests.parity import golden
from tests.parity.golden import assert_close
from tests.parity.speech.encoder_stages import trace

pytestmark = pytest.mark.parity
pytest.importorskip("torch", reason="reading the published files needs requirements-parity.txt")
FOLDER = golden.require("hubert_bn_25hz", "audio.npz", "hubert_25hz")
GOLDEN, AUDIO = (np.load(FOLDER / name) for name in ("hubert_bn_25hz/golden_hubert_bn.npz", "audio.npz"))
LAYER = int(GOLDEN["meta_output_layer"])
CASES = sorted({name.split("|")[0] for name in GOLDEN.files if name.endswith("|features")})
FORMS = {"published": "hubert_bn_25hz/mhubert_base_25hz.pt", "hugging_face": "hubert_bn_25hz/hf"}


@pytest.fixture(scope="module", params=FORMS)
def hubert(request):
    """Without a normalised waveform, which a Hugging Face folder has where no preprocessor says otherwise."""
    return dataclasses.replace(load_hubert(FOLDER / FORMS[request.param], LAYER), normalize_eps=None)


def test_features_alone_and_in_company(hubert):
    assert {"speech", "short"} <= set(CASES), "long and short rows together"
    together = extract_features(hubert, [AUDIO[case] for case in CASES])
    for case, features_TD in zip(CASES, together):
        expected_TD = GOLDEN[f"{case}|features"]
        assert_close(features_TD, expected_TD.reshape(expected_TD.shape[-2:]), case)
        assert np.array_equal(features_TD, extract_features(hubert, [AUDIO[case]])[0])


@pytest.mark.parametrize("backend", ["plain", "cpu", "gpu"])
def test_the_positional_convolution(hubert, backend):
    encoder = hubert.encoder if backend == "plain" else fast_form(hubert.encoder, backend)
    cases = [case for case in CASES if f"{case}|posconv" in GOLDEN.files]
    assert cases
    for case, stages in zip(cases, trace(encoder, [AUDIO[case] for case in cases])):
        assert_close(stages["posconv"], GOLDEN[f"{case}|posconv"], f"{case} posconv")


def test_units_of_the_stored_codec(hubert, tmp_path):
    quantizer = load_quantizer(FOLDER / "hubert_25hz/L11_quantizer_500.pt")
    codec = Codec((HubertUnits(hubert, quantizer),))
    save_codec(codec, tmp_path / "codec")
    loaded = load_codec(tmp_path / "codec")
    for case in CASES:
        expected_T = GOLDEN[f"{case}|tokenizer_codes_1d"]
        np.testing.assert_array_equal(loaded.encode_batch([AUDIO[case]])[0].units, expected_T)
