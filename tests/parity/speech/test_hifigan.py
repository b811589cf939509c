"""The vocoder against the published release's, on random weights in its file format."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.speech.decoders.durations import predict
from spirit_jax.speech.decoders.hifigan import read_generator
from spirit_jax.speech.decoders.hifigan_synthesis import Utterance, synthesize
from spirit_jax.speech.kernels.choice import fast_form
from tests.parity import golden
from tests.parity.golden import assert_close

pytestmark = pytest.mark.parity
pytest.importorskip("torch", reason="reading the published files needs requirements-parity.txt")
FOLDERS = {"base": "hifigan_spiritlm_base", "expressive": "hifigan_spiritlm_expressive_w2v2"}
FOLDER = golden.require(
    *FOLDERS.values(), *(f"golden_hifigan_{name}.{kind}" for name in FOLDERS for kind in ("npz", "json"))
)
CASES = {name: json.loads((FOLDER / f"golden_hifigan_{name}.json").read_text())["cases"] for name in FOLDERS}
ARRAYS = {name: np.load(FOLDER / f"golden_hifigan_{name}.npz") for name in FOLDERS}
ALL = [(variant, case) for variant, cases in CASES.items() for case in cases]
SPOKEN = [(variant, case) for variant, case in ALL if "error" not in CASES[variant][case]]
WAV_TOLERANCE = 5e-4


@pytest.fixture(scope="module")
def generators():
    return {variant: read_generator(FOLDER / folder) for variant, folder in FOLDERS.items()}


def read_codes(codes) -> np.ndarray:
    """Codes as the release takes them: "3 4 5", [3, 4, 5] or ["3", "4", "5"]."""
    return np.array([int(code) for code in (codes.split() if isinstance(codes, str) else codes)], np.int64)


def read_units(case) -> np.ndarray:
    """The units that the release speaks: deduplicated where durations are predicted, unless the case says no,
    then without negative ones.
    """
    units = read_codes(case["code"])
    if case["dur_pred"] and not case.get("not_dedup_code", False):
        units = units[np.flatnonzero(np.diff(units, prepend=~units[:1]))]
    return units[units >= 0]


def speak(generator, case):
    codes = {"units": read_units(case)}
    for name, key in (("pitch", "f0_code"), ("style", "style_code")):
        if case.get(key) is not None:
            codes[name] = read_codes(case[key])
    utterance = Utterance(codes, case.get("speaker_id"), case.get("style_id"))
    return synthesize(generator, [utterance], case["dur_pred"])[0]


@pytest.mark.parametrize(("variant", "case"), ALL)
def test_waveform(generators, variant, case):
    generator, inputs, arrays = generators[variant], CASES[variant][case], ARRAYS[variant]
    if "error" in inputs:
        with pytest.raises(UserError):
            speak(generator, inputs)
        return
    wav = speak(generator, inputs)
    assert wav.shape == (inputs["n_samples"],)
    assert wav.dtype == np.float32
    if f"{case}|wav" in arrays:
        np.testing.assert_allclose(wav, arrays[f"{case}|wav"], atol=WAV_TOLERANCE, rtol=0)
        return
    head, tail = arrays[f"{case}|wav_head"], arrays[f"{case}|wav_tail"]
    np.testing.assert_allclose(wav[: len(head)], head, atol=WAV_TOLERANCE, rtol=0)
    np.testing.assert_allclose(wav[-len(tail) :], tail, atol=WAV_TOLERANCE, rtol=0)
    np.testing.assert_allclose(np.abs(wav.astype(np.float64)).sum(), arrays[f"{case}|wav_abs_sum"], rtol=2e-4)


@pytest.mark.parametrize("variant", FOLDERS)
def test_waveforms_of_the_cpu_forms(generators, variant):
    generator = fast_form(generators[variant], "cpu")
    for case in [case for name, case in SPOKEN if name == variant and f"{case}|wav" in ARRAYS[variant]][:4]:
        wav = speak(generator, CASES[variant][case])
        np.testing.assert_allclose(
            wav, ARRAYS[variant][f"{case}|wav"], atol=WAV_TOLERANCE, rtol=0, err_msg=case
        )


@pytest.mark.parametrize("variant", FOLDERS)
def test_durations_and_conditioning(generators, variant):
    generator, arrays = generators[variant], ARRAYS[variant]
    log_durations = jax.jit(lambda units: generator.log_durations(units, jnp.full(1, units.shape[1])))
    compared = 0
    for case in [case for name, case in SPOKEN if name == variant and f"{case}|durations" in arrays]:
        inputs = CASES[variant][case]
        units = read_units(inputs)
        durations = arrays[f"{case}|durations"][0]
        np.testing.assert_array_equal(predict(generator, [units])[0], durations, err_msg=case)
        assert_close(log_durations(units[None]), arrays[f"{case}|log_dur_pred"], case)
        assert arrays[f"{case}|frames"] == durations.sum()
        if f"{case}|generator_input" in arrays:
            embedded = np.repeat(generator.tables["dict"][...][units], durations, axis=0)
            np.testing.assert_array_equal(
                arrays[f"{case}|generator_input"][0, : generator.cfg.width].T, embedded
            )
        compared += 1
    assert compared > 3


class Tap:
    """Stands in for a layer and keeps what comes out of it."""

    def __init__(self, layer, key, seen):
        self.layer, self.key, self.seen, self.stride = layer, key, seen, getattr(layer, "stride", None)

    def __call__(self, x):
        self.seen[self.key] = self.layer(x)
        return self.seen[self.key]

    def length(self, time):
        return self.layer.length(time)


@pytest.mark.parametrize("variant", FOLDERS)
def test_layers(generators, variant):
    """conv_pre and each upsampling, in the cases where the golden set has them."""
    generator, arrays = generators[variant], ARRAYS[variant]
    for case in [name.removesuffix("|conv_pre") for name in arrays.files if name.endswith("|conv_pre")]:
        seen = {}
        tapped = jax.tree.map(lambda leaf: leaf, generator)
        tapped.pre = Tap(generator.pre, "conv_pre", seen)
        tapped.ups = tuple(Tap(up, f"up{i}", seen) for i, up in enumerate(generator.ups))
        x_BTD = arrays[f"{case}|generator_input"].transpose(0, 2, 1)
        outputs = jax.jit(
            lambda x, tapped=tapped, seen=seen: [tapped(x, jnp.full(1, x.shape[1])), dict(seen)][1]
        )(x_BTD)
        for key, output_BTD in outputs.items():
            assert_close(output_BTD.transpose(0, 2, 1), arrays[f"{case}|{key}"], f"{case} {key}")
