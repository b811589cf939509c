"""Rows of the vocoder's batches: sound and codes of the same time, the same for the same step."""

import numpy as np
import pytest

from spirit_jax.codec_training import vocoder_data
from spirit_jax.codec_training.corpus import read_corpus
from spirit_jax.codec_training.recipes import CorpusConfig
from spirit_jax.codec_training.vocoder import generator_config
from spirit_jax.errors import UserError
from spirit_jax.files import read_json, write_jsonl
from spirit_jax.speech.codec import load_codec
from tests.codec_training.world import vocoder_run


@pytest.fixture(scope="module")
def world(embedded_corpus):
    units, folder = embedded_corpus
    codec = load_codec(folder)
    corpus = read_corpus(CorpusConfig(str(units), str(folder), evaluated=3), codec.fingerprint)
    return units, corpus, generator_config(vocoder_run(units, folder, 1).generator, codec, len(corpus.voices))


def test_the_corpus_is_split_and_knows_its_voices(world):
    _, corpus, _ = world
    assert corpus.voices == ["v0", "v1"]
    assert len(corpus.train) == 16
    assert len(corpus.held_out) == 3
    assert not {r.id for r in corpus.train} & {r.id for r in corpus.held_out}


def test_a_row_is_one_time_in_all_its_parts(world):
    _, corpus, cfg = world
    recording = corpus.train[9]
    whole = vocoder_data.frame_codes(recording, corpus.voices, cfg)
    assert len(whole["dict"]) == len(whole["f0_dict"]) == len(whole["style_dict"]) == 40
    row = vocoder_data.cut(recording, corpus.voices, cfg, 8, np.random.default_rng(0))
    starts = [i for i in range(33) if np.array_equal(whole["dict"][i : i + 8], row["dict"])]
    wav = recording.load()
    assert any(np.array_equal(row["wav"], wav[640 * i : 640 * (i + 8)]) for i in starts)
    assert row["spkr"] == corpus.voices.index(recording.voice) == 1
    count = row["run_count"]
    assert row["run_frames"][:count].sum() == 40
    assert not row["run_frames"][count:].any()


def test_a_short_recording_is_followed_by_itself(world):
    _, corpus, cfg = world
    row = vocoder_data.cut(corpus.train[0], corpus.voices, cfg, 100, np.random.default_rng(0))
    assert row["wav"].shape == (64000,)
    np.testing.assert_array_equal(row["dict"][:40], row["dict"][40:80])


def test_batches_depend_on_seed_and_step_alone(world):
    _, corpus, cfg = world
    one, other = (vocoder_data.batches(corpus.train, corpus.voices, cfg, 8, 4, seed=1) for _ in range(2))
    np.testing.assert_array_equal(one[7]["wav"], other[7]["wav"])
    assert one[0]["wav"].shape == (4, 5120)
    assert not np.array_equal(one[7]["wav"], one[8]["wav"])


def test_without_a_held_out_split_some_are_set_apart(world, tmp_path):
    units, corpus, _ = world
    summary = read_json(units / "summary.json")
    row = {"audio": "a.wav", "voice": "v", "split": "speech", "units": [1, 2], "pitch": None, "style": None}
    (tmp_path / "summary.json").write_text((units / "summary.json").read_text())
    write_jsonl(tmp_path / "units-0.jsonl", ({**row, "id": str(i)} for i in range(300)))
    split = read_corpus(CorpusConfig(str(tmp_path), evaluated=50), summary["encoder_fingerprint"])
    assert len(split.train) + len(split.held_out) == 300
    assert len(split.held_out) == 6
    write_jsonl(tmp_path / "units-0.jsonl", [{**row, "id": "1", "split": "heldout"}])
    with pytest.raises(UserError, match="0 recordings to train on"):
        read_corpus(CorpusConfig(str(tmp_path)), summary["encoder_fingerprint"])
