"""Rows of the vocoder's batches: sound and codes of the same time, the same for the same step."""

import dataclasses
import json

import numpy as np
import pytest

from spirit_jax.codec_training import vocoder_rows as vocoder_data
from spirit_jax.codec_training.config import CorpusConfig
from spirit_jax.codec_training.corpus import at_level, read_corpus
from spirit_jax.codec_training.vocoder import generator_config
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json, write_jsonl
from spirit_jax.core.settings import from_dict, override, to_dict
from spirit_jax.speech import audio
from spirit_jax.speech.codec_folder import load_codec
from tests.codec_training.world import vocoder_run
from tests.speech_codes import make_speech


@pytest.fixture(scope="module")
def world(embedded_corpus):
    units, folder = embedded_corpus
    codec = load_codec(folder)
    corpus = read_corpus(CorpusConfig(str(units), str(folder), evaluated=3), codec.fingerprint)
    cfg = generator_config(vocoder_run(units, folder, 1).generator, codec.streams, len(corpus.voices))
    return units, corpus, vocoder_data.SegmentSampler(corpus.voices, cfg, codec.count_units)


def test_the_corpus_is_split_and_knows_its_voices(world):
    _, corpus, _ = world
    assert corpus.voices == ["v0", "v1"]
    assert len(corpus.train) == 16
    assert len(corpus.held_out) == 3
    assert not {r.id for r in corpus.train} & {r.id for r in corpus.held_out}


def test_a_row_is_one_time_in_all_its_parts(world):
    _, corpus, sampler = world
    recording = corpus.train[9]
    whole, wav_TS = sampler.align(recording)
    assert len(whole["dict"]) == len(whole["f0_dict"]) == len(whole["style_dict"]) == 40
    row = sampler.sample(recording, 8, np.random.default_rng(0))
    starts = [i for i in range(33) if np.array_equal(whole["dict"][i : i + 8], row["dict"])]
    wav = recording.load()
    np.testing.assert_array_equal(wav_TS.reshape(-1), wav)
    assert any(np.array_equal(row["wav"], wav[640 * i : 640 * (i + 8)]) for i in starts)
    assert row["spkr"] == corpus.voices.index(recording.voice) == 1
    count = row["run_count"]
    assert row["run_frames"][:count].sum() == 40
    assert not row["run_frames"][count:].any()


def test_a_long_recording_is_one_time_in_all_its_pieces(world, tmp_path):
    """A HuBERT gives 2,499 units for 100 s."""
    _, corpus, sampler = world
    seconds, per_piece = 230, 2499
    wav = np.repeat(0.01 + 0.001 * np.arange(seconds * 100), 160).astype(np.float32) % 0.5
    audio.save(tmp_path / "long.wav", wav)
    units = per_piece * 2 + 30 * 25 - 1
    speech = make_speech(np.arange(units) % 16, np.arange(1250 * 2 + 375) % 12, np.arange(seconds) % 9)
    long = dataclasses.replace(sampler, count_units=lambda samples: samples // 640 - 1)
    codes, wav_TS = long.align(
        dataclasses.replace(corpus.train[0], path=str(tmp_path / "long.wav"), speech=speech)
    )
    heard = at_level(audio.load(tmp_path / "long.wav"))
    for unit, sample in (
        (0, 0),
        (2498, 2498 * 640),
        (2499, 1_600_000),
        (4998, 3_200_000),
        (units - 1, 3_200_000 + 748 * 640),
    ):
        np.testing.assert_array_equal(wav_TS[unit], heard[sample : sample + 640])
        assert codes["f0_dict"][unit] == speech.codes["pitch"][sample // 1280]
        assert codes["style_dict"][unit] == speech.codes["style"][sample // 16_000]


def test_a_short_recording_is_followed_by_itself(world):
    _, corpus, sampler = world
    row = sampler.sample(corpus.train[0], 100, np.random.default_rng(0))
    assert row["wav"].shape == (64000,)
    np.testing.assert_array_equal(row["dict"][:40], row["dict"][40:80])


def test_batches_depend_on_seed_and_step_alone(world):
    _, corpus, sampler = world
    one, other = (sampler.batches(corpus.train, 8, 4, seed=1) for _ in range(2))
    np.testing.assert_array_equal(one[7]["wav"], other[7]["wav"])
    assert one[0]["wav"].shape == (4, 5120)
    assert not np.array_equal(one[7]["wav"], one[8]["wav"])


def test_without_a_held_out_split_some_are_set_apart(world, tmp_path):
    units, corpus, _ = world
    summary = read_json(units / "summary.json")
    (tmp_path / "a.wav").write_bytes(b"sound")
    row = {
        "audio": str(tmp_path / "a.wav"),
        "voice": "v",
        "split": "speech",
        "units": [1, 2],
        "pitch": [1],
        "style": [0],
    }
    (tmp_path / "summary.json").write_text((units / "summary.json").read_text())
    write_jsonl(tmp_path / "units-0.jsonl", ({**row, "id": str(i)} for i in range(300)))
    split = read_corpus(CorpusConfig(str(tmp_path), evaluated=50), summary["encoder_fingerprint"])
    assert len(split.train) + len(split.held_out) == 300
    assert len(split.held_out) == 6
    write_jsonl(tmp_path / "units-0.jsonl", [{**row, "id": "1", "split": "heldout"}])
    with pytest.raises(UserError, match="0 recordings: for training"):
        read_corpus(CorpusConfig(str(tmp_path)), summary["encoder_fingerprint"])


def test_units_may_be_in_several_folders(world, tmp_path):
    units, _, _ = world
    made_with = read_json(units / "summary.json")["encoder_fingerprint"]
    (tmp_path / "a.wav").write_bytes(b"sound")
    row = {"audio": str(tmp_path / "a.wav"), "voice": "v", "units": [1], "pitch": [1], "style": [0]}
    for name, split in (("one", "train"), ("two", "heldout")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "summary.json").write_text((units / "summary.json").read_text())
        write_jsonl(
            tmp_path / name / "units-0.jsonl", ({**row, "id": f"{name}{i}", "split": split} for i in range(3))
        )
    folders = [str(tmp_path / "one"), str(tmp_path / "two")]
    given = override(CorpusConfig(), [f"units={json.dumps(folders)}", "evaluated=3"])
    corpus = read_corpus(given, made_with)
    assert [recording.id for recording in corpus.train] == ["one0", "one1", "one2"]
    assert [recording.id for recording in corpus.held_out] == ["two0", "two1", "two2"]
    assert from_dict(to_dict(given), CorpusConfig) == given
    with pytest.raises(UserError, match="id one0: 3 ids name two recordings"):
        read_corpus(CorpusConfig((*folders, folders[0])), made_with)


def test_held_out_voices_may_be_others_unless_the_vocoder_must_know_them(world, tmp_path):
    units, _, _ = world
    made_with = read_json(units / "summary.json")["encoder_fingerprint"]
    (tmp_path / "a.wav").write_bytes(b"sound")
    row = {"audio": str(tmp_path / "a.wav"), "units": [1, 2], "pitch": [1], "style": [0]}
    rows = [
        {**row, "id": f"{split}{i}", "voice": split, "split": split}
        for split in ("train", "heldout")
        for i in range(3)
    ]
    (tmp_path / "summary.json").write_text((units / "summary.json").read_text())
    write_jsonl(tmp_path / "units-0.jsonl", rows)
    assert len(read_corpus(CorpusConfig(str(tmp_path)), made_with).held_out) == 3
    with pytest.raises(UserError, match="0 of their voices"):
        read_corpus(CorpusConfig(str(tmp_path)), made_with, known_voices=True)
    write_jsonl(tmp_path / "units-0.jsonl", [{**row, "audio": f"{row['id']}.wav"} for row in rows])
    with pytest.raises(UserError, match="recordings = 6, the first is train0.wav: no such file"):
        read_corpus(CorpusConfig(str(tmp_path)), made_with)
