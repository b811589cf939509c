"""Style codes against the published release's encoder, on random weights in its file format."""

import re

import numpy as np
import pytest

from spirit_jax.speech.audio import normalize
from spirit_jax.speech.encoders.style.classifier import encode_style, last_states, load_style_encoder, pool
from spirit_jax.speech.encoders.wav2vec2.checkpoints import HF_EPS
from tests.parity import golden
from tests.parity.golden import assert_close
from tests.parity.speech.encoder_stages import trace

pytestmark = pytest.mark.parity
pytest.importorskip("torch", reason="reading the published files needs requirements-parity.txt")
FOLDER = golden.require("golden_style.npz", "audio.npz", "style_encoder_w2v2")
GOLDEN, AUDIO = np.load(FOLDER / "golden_style.npz"), np.load(FOLDER / "audio.npz")
CASES = [name.removesuffix("|style_codes") for name in GOLDEN.files if name.endswith("|style_codes")]


def wav_of(case: str) -> np.ndarray:
    """An audio by name, the beginning of one (`speech_16000`), or `min1280`, which lies inside `speech`."""
    if case in AUDIO.files:
        return AUDIO[case]
    name, length = re.fullmatch(r"([a-z]+)_?(\d+)", case).groups()
    start = 30000 if name == "min" else 0
    return AUDIO["speech" if name == "min" else name][start : start + int(length)]


@pytest.fixture(scope="module")
def encoder():
    return load_style_encoder(FOLDER / "style_encoder_w2v2")


@pytest.fixture(scope="module")
def outputs(encoder):
    """What is stored of each case, and each layer's output; computed for all wavs in one batch."""
    wavs = [wav_of(case) for case in CASES]
    values = [{"last_hidden": states_TD[None]} for states_TD in last_states(encoder, wavs)]
    for case_values, wav in zip(values, wavs):
        projected_NP, logits_NV = encoder.head(pool(case_values["last_hidden"][0]))
        case_values |= {
            "pooled_projected": projected_NP[None],
            "logits": logits_NV[None],
            "input_values": normalize(wav, HF_EPS)[None],
        }
        case_values["input_values_head"] = case_values["input_values"][:, :64]
    for case_values, codes_N in zip(values, encode_style(encoder, wavs)):
        case_values["style_codes"] = codes_N
    return dict(zip(CASES, values))


@pytest.mark.parametrize("case", CASES)
def test_outputs(outputs, case):
    stored = {name.partition("|")[2] for name in GOLDEN.files if name.startswith(f"{case}|")}
    assert {"last_hidden", "pooled_projected", "logits", "style_codes"} <= stored
    for name in sorted(stored & set(outputs[case])):
        if name == "input_values_head":
            outputs[case][name] = outputs[case][name][:, : GOLDEN[f"{case}|{name}"].shape[1]]
        assert_close(
            outputs[case][name],
            GOLDEN[f"{case}|{name}"],
            f"{case} {name}",
            0 if name == "style_codes" else 2e-4,
        )


def test_stages(encoder):
    names = [name for name in GOLDEN.files if re.search(r"\|(layer\d+|conv_features)$", name)]
    cases = sorted({name.partition("|")[0] for name in names})
    traces = dict(zip(cases, trace(encoder.encoder, [normalize(wav_of(case), HF_EPS) for case in cases])))
    assert names
    for name in names:
        case, _, stage = name.partition("|")
        assert_close(traces[case][stage], GOLDEN[name], name)


def test_alone_as_in_company(encoder, outputs):
    for case in CASES[:3]:
        assert np.array_equal(encode_style(encoder, [wav_of(case)])[0], outputs[case]["style_codes"])
