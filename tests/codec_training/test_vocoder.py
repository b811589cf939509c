"""The vocoder's training: it gets nearer to held-out recordings, resumes to the bit, and gives the same on
several devices.
"""

import dataclasses
import json
import os
import shutil
import signal

import jax
import numpy as np
import pytest

from spirit_jax.codec_training.config import GeneratorSizes
from spirit_jax.codec_training.loop import train
from spirit_jax.codec_training.vocoder import VocoderTraining
from spirit_jax.config import MeshConfig
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import write_json
from spirit_jax.core.settings import to_dict
from spirit_jax.speech.codec_folder import load_codec
from tests.codec_training.world import make_wav, rows_of, vocoder_run
from tests.verbs import run_verb


@pytest.fixture
def corpus(embedded_corpus):
    return embedded_corpus


@pytest.mark.slow
def test_training_improves_held_out_figures_and_makes_a_codec(corpus, tmp_path):
    out = tmp_path / "run"
    write_json(tmp_path / "recipe.json", to_dict(vocoder_run(*corpus, 110, adversarial_from=90)))
    assert (
        run_verb(
            "train-vocoder", UNITS_DIR=corpus[0], CODEC=corpus[1], CONFIG=tmp_path / "recipe.json", OUT=out
        )
        == 0
    )
    rows = rows_of(out)
    before, after = rows[0], rows[-1]
    assert after["held_out_mel"] < 0.8 * before["held_out_mel"]
    assert after["held_out_frames_off"] < after["held_out_frames_off_of_median"]
    assert after["held_out_frames_off"] < before["held_out_frames_off"]
    assert {"judging", "features", "adversarial", "mel", "durations"} <= rows[-2].keys()
    codec, made = load_codec(corpus[1]), load_codec(out / "codec")
    assert made.fingerprint == codec.fingerprint
    (speech,) = made.encode_batch([make_wav(1, 0)])
    wav = made.decode(speech, speaker=1)
    assert len(wav) == 640 * len(speech.units)
    assert np.abs(wav).max() > 0.01


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_end(corpus, tmp_path, monkeypatch):
    whole, part = tmp_path / "whole", tmp_path / "part"
    assert train(VocoderTraining(vocoder_run(*corpus, 4, adversarial_from=2)), whole) == 4
    with monkeypatch.context() as patch:
        step = VocoderTraining.step
        patch.setattr(
            VocoderTraining,
            "step",
            lambda self, number: (number == 3 and os.kill(os.getpid(), signal.SIGTERM), step(self, number))[
                1
            ],
        )
        assert train(VocoderTraining(vocoder_run(*corpus, 4, adversarial_from=2)), part) == 3
    assert not (part / "codec").exists()
    assert train(VocoderTraining(vocoder_run(*corpus, 4, adversarial_from=2)), part) == 4
    assert rows_of(part)[-1] == rows_of(whole)[-1]
    generators = [load_codec(out / "codec").decoder.vocoder for out in (whole, part)]
    for a, b in zip(*map(jax.tree.leaves, generators), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_a_finished_run_whose_last_checkpoint_is_broken_trains_on_from_the_one_before(
    corpus, tmp_path, capsys
):
    whole, out = tmp_path / "whole", tmp_path / "run"
    part = VocoderTraining(vocoder_run(*corpus, 4, adversarial_from=2, every=4))
    assert train(part, whole) == 4
    shutil.copytree(whole, out)
    shutil.rmtree(out / "checkpoints/4/optimizer")
    shutil.rmtree(out / "codec")
    assert train(part, out) == 4
    warnings = capsys.readouterr().err
    for said in ("checkpoint of step 4 can't be read", "resuming from step 2", f"resuming {out} at step 2"):
        assert said in warnings
    assert rows_of(out)[-1] == rows_of(whole)[-1]
    for a, b in zip(
        *(jax.tree.leaves(load_codec(folder / "codec").decoder.vocoder) for folder in (whole, out)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_four_devices_give_what_one_gives(corpus, tmp_path):
    """Both kinds of step, rows over two devices and weights over two: rounding alone differs."""
    for name, mesh in (("one", MeshConfig(1, 1, 1)), ("four", MeshConfig(2, 2, 1))):
        train(VocoderTraining(vocoder_run(*corpus, 5, adversarial_from=3, mesh=mesh)), tmp_path / name)
    one, four = (rows_of(tmp_path / name)[1] for name in ("one", "four"))
    assert one.keys() == four.keys()
    for name, value in one.items():
        assert four[name] == pytest.approx(value, rel=2e-3), name


def test_mistakes_are_told_before_anything_is_written(corpus, tmp_path):
    units, codec = corpus
    run = vocoder_run(units, codec, 1)
    with pytest.raises(UserError, match=r"generator\.rates"):
        VocoderTraining(dataclasses.replace(run, generator=GeneratorSizes((8, 10), (16, 20), 32)))
    summary = json.loads((units / "summary.json").read_text())
    other = tmp_path / "units"
    other.mkdir()
    (other / "summary.json").write_text(json.dumps(summary | {"encoder_fingerprint": "0" * 16}))
    with pytest.raises(UserError, match="make the units with this codec"):
        VocoderTraining(vocoder_run(other, codec, 1))
    with pytest.raises(UserError, match="batch_rows"):
        train(VocoderTraining(vocoder_run(units, codec, 1, mesh=MeshConfig(8, 1, 1))), tmp_path / "run")
    assert not (tmp_path / "run").exists()
