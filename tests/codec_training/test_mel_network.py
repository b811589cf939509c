"""The mel network's training: it learns a mapping from codes to frames, and makes a codec's decoder."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spirit_jax.codec_training.config import (
    AdamConfig,
    CorpusConfig,
    MelNetworkLoss,
    MelNetworkRun,
    MelNetworkSizes,
    StepsConfig,
)
from spirit_jax.codec_training.loop import train
from spirit_jax.codec_training.mel_network import (
    Example,
    MelNetworkTraining,
    cut,
    frame_losses,
    mel_step,
)
from spirit_jax.codec_training.optimizer import adam
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import write_json
from spirit_jax.core.settings import to_dict
from spirit_jax.runs.state import TrainState
from spirit_jax.speech.codec_folder import load_codec
from spirit_jax.speech.decoders.durations import predict
from spirit_jax.speech.decoders.mel_network import MelNetwork, MelNetworkConfig, predict_frames
from spirit_jax.speech.weights.readers import RandomReader
from spirit_jax.tokens.streams import pitch_stream, unit_stream
from tests.codec_training.world import ONE, make_wav, rows_of, write_corpus
from tests.speech.tiny_codec import with_parts
from tests.verbs import run_verb

CODES, PITCHES = 12, 5


def recipe(units, codec, steps, **changes):
    return MelNetworkRun(
        train=StepsConfig(steps, batch_rows=8, log_every=10, evaluate_every=0),
        corpus=CorpusConfig(str(units), str(codec), evaluated=4),
        network=MelNetworkSizes(width=48, blocks=2, fine_width=32, duration_width=16),
        segment_units=32,
        optim=AdamConfig(rate=3e-3),
        mesh=ONE,
        **changes,
    )


STREAMS = (unit_stream(CODES, 25.0), pitch_stream(PITCHES, 25.0))


def planted(rng, count):
    """Codes whose frames are known: a unit's are its own plus a little of the next one's, odd units are
    voiced, pitch gives F0, and unit k lasts 1 + k % 3 times its rate.
    """
    table = np.random.default_rng(7)
    own, late = table.normal(0, 2, (CODES, 4, 64)), table.normal(0, 0.5, (CODES, 4, 64))
    units = rng.integers(0, CODES, count)
    units = units[np.diff(units, prepend=-1) != 0]
    units_T = np.repeat(units, 1 + units % 3).astype(np.int32)
    pitch_T = rng.integers(0, PITCHES, len(units_T)).astype(np.int32)
    mel = own[units_T] + late[np.append(units_T[1:], units_T[-1])]
    octaves = np.where(units_T % 2, 0.2 * pitch_T, np.nan)[:, None].repeat(4, axis=1)
    codes = {"units": units_T, "pitch": pitch_T}
    return Example(codes, mel.astype(np.float16), octaves.astype(np.float32))


def batch_of(rng, rows=16, units=32):
    cuts = [cut(planted(rng, 20), rng, units) for _ in range(rows)]
    return {name: np.stack([row[name] for row in cuts]) for name in cuts[0]}


def test_it_learns_a_planted_mapping():
    cfg = MelNetworkConfig(
        STREAMS,
        CODES,
        width=64,
        blocks=2,
        fine_width=64,
        duration_width=16,
    )
    optimizer = adam(AdamConfig(rate=5e-3, decay=0.5, decay_steps=100))
    network = MelNetwork(cfg, RandomReader(jax.random.key(0)))
    state = TrainState(jnp.zeros((), jnp.int32), network, optimizer.init(network))
    training = types.SimpleNamespace(config=types.SimpleNamespace(loss=MelNetworkLoss()), optimizer=optimizer)
    step, rng = jax.jit(lambda state, batch: mel_step(training, state, batch)), np.random.default_rng(0)
    first = step(state, batch_of(rng))[1]
    for _ in range(400):
        state, figures = step(state, batch_of(rng))
    assert figures["frames"] < 0.15 * first["frames"]
    unseen = planted(rng, 40)
    mel_FM, f0_F = predict_frames(state.model, unseen.codes)
    assert np.abs(mel_FM - unseen.mel.reshape(-1, 64)).mean() < 0.3
    octaves_F = unseen.octaves.reshape(-1)
    assert np.mean((f0_F > 0) == np.isfinite(octaves_F)) > 0.99
    both = (f0_F > 0) & np.isfinite(octaves_F)
    assert np.abs(np.log2(f0_F[both] / 128) - octaves_F[both]).mean() < 0.05
    units = unseen.codes["units"]
    runs = units[np.diff(units, prepend=-1) != 0]
    assert np.mean(predict(state.model, [runs])[0] == 1 + runs % 3) > 0.95


def test_a_row_is_one_time_in_all_its_parts():
    rng = np.random.default_rng(0)
    whole = planted(rng, 40)
    row = cut(whole, rng, 16)
    assert row["count"] == 16
    assert any(
        np.array_equal(whole.mel[i : i + 16], row["mel"])
        and np.array_equal(whole.codes["units"][i : i + 16], row["units"])
        and np.array_equal(whole.codes["pitch"][i : i + 16], row["pitch"])
        and np.array_equal(whole.octaves[i : i + 16], row["octaves"], equal_nan=True)
        for i in range(len(whole.mel) - 15)
    )


def test_what_pads_a_short_recording_does_not_count():
    rng = np.random.default_rng(0)
    short = planted(rng, 4)
    length = len(short.mel)
    cfg = MelNetworkConfig(STREAMS, CODES, width=8, blocks=1, fine_width=8)
    network = MelNetwork(cfg, RandomReader(jax.random.key(0)))
    found = []
    for units in (length, length + 9):
        row = cut(short, rng, units)
        assert row["count"] == length
        found.append(frame_losses(network, {name: jnp.asarray(value)[None] for name, value in row.items()}))
    for name, value in found[0].items():
        np.testing.assert_allclose(value, found[1][name], rtol=1e-5)


def test_the_frames_of_a_recording_are_those_of_its_units(embedded_corpus):
    """Log-mel and F0 of the sound itself, four frames a unit; the voice's number and all codes beside."""
    training = MelNetworkTraining(recipe(*embedded_corpus, 1))
    one, recording = training.examples[9], training.corpus.train[9]
    assert one.mel.shape == (40, 4, 64)
    assert set(one.codes) == {"units", "pitch", "style", "speaker"}
    assert all(len(one.codes[name]) == 40 for name in ("units", "pitch", "style"))
    assert one.codes["speaker"] == training.corpus.voices.index(recording.voice) == 1
    hz = 128 * 2 ** one.octaves[np.isfinite(one.octaves)]
    assert np.median(hz) == pytest.approx(200, rel=0.1)


def test_no_more_hours_than_asked_for_are_kept(embedded_corpus):
    few = MelNetworkTraining(recipe(*embedded_corpus, 1, corpus_hours=4 * 1.6 / 3600))
    assert len(few.examples) == len(few.corpus.train) == 4
    assert few.learns_from != MelNetworkTraining(recipe(*embedded_corpus, 1)).learns_from


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["weight-free", "HuBERT"])
def test_training_improves_the_figures_and_makes_a_codec(kind, embedded_corpus, tmp_path):
    units, folder = embedded_corpus
    if kind == "HuBERT":
        units, folder = write_corpus(
            tmp_path / "corpus", with_parts(vocoder_expressive=None, vocoder_base=None)
        )
    out = tmp_path / "run"
    write_json(tmp_path / "recipe.json", to_dict(recipe(units, folder, 150)))
    assert run_verb("train-mel", UNITS_DIR=units, CODEC=folder, CONFIG=tmp_path / "recipe.json", OUT=out) == 0
    rows = rows_of(out)
    frames = [row["frames"] for row in rows if "frames" in row]
    assert frames[-1] < 0.6 * frames[0]
    if kind == "weight-free":  # units of random networks say nothing of sounds that were not trained on
        for name in ("frames", "voicing_error", "semitones_off", "mel", "frames_off"):
            assert rows[-1][f"held_out_{name}"] < rows[0][f"held_out_{name}"], name
    codec, made = load_codec(folder), load_codec(out / "codec")
    assert made.fingerprint == codec.fingerprint
    assert made.decoder.voices == ("v0", "v1")
    (speech,) = made.encode_batch([make_wav(1, 0)])
    wav = made.decode(speech, speaker=1)
    assert len(wav) == 640 * len(speech.units)
    assert len(made.decode("[Hu3][Hu4][Hu3]")) >= 3 * 640


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_end(embedded_corpus, tmp_path):
    whole, part = tmp_path / "whole", tmp_path / "part"
    train(MelNetworkTraining(recipe(*embedded_corpus, 4)), whole)
    train(MelNetworkTraining(recipe(*embedded_corpus, 2)), part)
    train(MelNetworkTraining(recipe(*embedded_corpus, 4)), part)
    assert rows_of(part)[-1] == rows_of(whole)[-1]


def test_units_of_another_codec_are_refused(embedded_corpus, tmp_path):
    units, _ = embedded_corpus
    _, other = write_corpus(tmp_path, count=5)
    with pytest.raises(UserError, match="make the units with this codec"):
        MelNetworkTraining(recipe(units, other, 1))
