"""The vocoder against the published inference code's outputs."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.errors import UserError
from spirit_jax.speech.hifigan import for_cpu, read_generator
from spirit_jax.speech.synthesis import Utterance, generate, generate_batch, parse_codes, predict
from tests.parity.golden import FOLDER, require

pytestmark = pytest.mark.parity
FOLDERS = {"base": "hifigan_spiritlm_base", "expressive": "hifigan_spiritlm_expressive_w2v2"}


def golden_cases() -> list[tuple[str, str]]:
    files = {variant: FOLDER / f"golden_hifigan_{variant}.json" for variant in FOLDERS}
    return [(v, name) for v, file in files.items() if file.is_file() for name in json.loads(file.read_text())["cases"]]


@pytest.fixture(scope="module", params=FOLDERS)
def variant(request):
    name = request.param
    folder = require(FOLDERS[name], f"golden_hifigan_{name}.json", f"golden_hifigan_{name}.npz")
    generator = read_generator(folder / FOLDERS[name])
    cases = json.loads((folder / f"golden_hifigan_{name}.json").read_text())["cases"]
    return generator, cases, np.load(folder / f"golden_hifigan_{name}.npz")


def speak(generator, case):
    codes = Utterance(case["code"], case.get("f0_code"), case.get("style_code"), case.get("speaker_id"), case.get("style_id"))
    return generate(generator, codes, case["dur_pred"], not case.get("not_dedup_code", False))


@pytest.mark.parametrize("form", ["direct", "for_cpu"])
def test_waveforms(variant, form):
    generator, cases, arrays = variant
    generator = for_cpu(generator) if form == "for_cpu" else generator
    for name, case in cases.items():
        if "error" in case:
            with pytest.raises(UserError):
                speak(generator, case)
            continue
        wav = speak(generator, case)
        assert wav.shape == (case["n_samples"],), name
        assert wav.dtype == np.float32
        if f"{name}|wav" in arrays:
            np.testing.assert_allclose(wav, arrays[f"{name}|wav"], atol=5e-4, rtol=0, err_msg=name)
        else:
            head, tail = arrays[f"{name}|wav_head"], arrays[f"{name}|wav_tail"]
            np.testing.assert_allclose(wav[: len(head)], head, atol=5e-4, rtol=0, err_msg=name)
            np.testing.assert_allclose(wav[-len(tail) :], tail, atol=5e-4, rtol=0, err_msg=name)
            np.testing.assert_allclose(np.abs(wav.astype(np.float64)).sum(), arrays[f"{name}|wav_abs_sum"], rtol=2e-4, err_msg=name)


def test_durations(variant):
    generator, cases, arrays = variant
    log_durations = jax.jit(lambda units: generator.log_durations(units, jnp.full(1, units.shape[1])))
    compared = 0
    for name, case in cases.items():
        if f"{name}|durations" not in arrays:
            continue
        units = parse_codes(case["code"], "code")
        if not case.get("not_dedup_code", False):
            units = units[np.flatnonzero(np.diff(units, prepend=-2))]
        units = units[units >= 0]
        np.testing.assert_array_equal(predict(generator, [units])[0], arrays[f"{name}|durations"][0], err_msg=name)
        close(log_durations(units[None]), arrays[f"{name}|log_dur_pred"])
        compared += 1
    assert compared > 3


def test_layers(variant):
    """Conditioning, conv_pre and each upsampling, where the golden set has them."""
    generator, cases, arrays = variant
    name = "small_nodur"
    x_BTD = jnp.asarray(arrays[f"{name}|generator_input"].transpose(0, 2, 1))
    units = jnp.asarray([cases[name]["code"]])
    np.testing.assert_array_equal(x_BTD[..., : generator.cfg.width], generator.tables["dict"][...][units])
    taps = {"conv_pre": generator.pre} | {f"up{i}": up for i, up in enumerate(generator.ups)}
    seen = {}

    class Tap:  # stands in for a layer and keeps what comes out of it
        def __init__(self, key, layer):
            self.key, self.layer = key, layer

        def __call__(self, x):
            seen[self.key] = self.layer(x)
            return seen[self.key]

        def length(self, time):
            return self.layer.length(time)

    tapped = jax.tree.map(lambda leaf: leaf, generator)
    tapped.pre = Tap("conv_pre", generator.pre)
    tapped.ups = tuple(Tap(f"up{i}", up) for i, up in enumerate(generator.ups))
    outputs = jax.jit(lambda x: [tapped(x, jnp.full(1, x.shape[1])), dict(seen)][1])(x_BTD)
    for key in taps:
        close(outputs[key].transpose(0, 2, 1), arrays[f"{name}|{key}"])


def test_batch_is_each_alone(variant):
    generator, cases, _ = variant
    sound = [c for c in cases.values() if "error" not in c and c["dur_pred"] and not c.get("not_dedup_code", False) ^ (generator.cfg.pitches > 0)]
    batch = [Utterance(c["code"], c.get("f0_code"), c.get("style_code"), c.get("speaker_id"), c.get("style_id")) for c in sound]
    deduplicate = generator.cfg.pitches == 0
    for wav, utterance in zip(generate_batch(generator, batch, True, deduplicate), batch):
        np.testing.assert_array_equal(wav, generate(generator, utterance, True, deduplicate))


def close(ours, golden):
    ours = np.asarray(ours)
    assert ours.shape == golden.shape
    assert np.abs(ours - golden).max() <= 2e-4 * np.abs(golden).max()
