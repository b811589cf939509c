import json
import shutil
import tarfile
import threading
import time

import numpy as np
import pytest
import soundfile

from data_prep.extract_units import extract
from data_prep.sound_queue import AHEAD_GROUPS
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json, read_jsonl, write_jsonl
from spirit_jax.datasets.corpus import Corpus
from spirit_jax.datasets.manifest import open_corpus, read_corpus
from spirit_jax.datasets.units_folder import open_units
from spirit_jax.speech import audio
from spirit_jax.speech.codec_folder import load_codec
from spirit_jax.speech.segments import GROUP_SECONDS
from spirit_jax.tokens.streams import SpeechTokens
from tests.data_prep.conftest import REASONS, CountingCodec, prepare, voiced
from tests.speech.sounds import FORMATS, encoded, state_length, sweep

SPLITS = {"heldout": 5, "heldout_voice": 3, "train": 18, "speech": 3}


def test_bad_recordings_go_to_quarantine_and_the_job_continues(stages, unusable, tmp_path, capsys):
    out = tmp_path / "out"
    assert prepare("units", "--audio", unusable, "--codec", stages.codec, "--out", out) == 0
    printed = capsys.readouterr()
    assert "2 utterances" in printed.out
    assert "9 set aside" in printed.out
    assert "warning: 9 recordings or rows" in printed.err
    quarantined = list(read_jsonl(out / "quarantine.jsonl"))
    assert {row["id"]: row["reason"] for row in quarantined} == REASONS
    assert all(row["detail"] and row["audio"].startswith(str(unusable)) for row in quarantined)
    summary, rows = read_json(out / "summary.json"), open_units(out).rows()
    assert [row["id"] for row in rows] == ["good", "stereo"]
    assert (summary["n_ok"], summary["n_quarantined"], sum(summary["reasons"].values())) == (2, 9, 9)


def test_strict_gives_1_and_the_same_files(stages, unusable, tmp_path):
    options = ("units", "--audio", unusable, "--codec", stages.codec, "--strict", "--out")
    assert prepare(*options, tmp_path / "out") == 1
    assert read_json(tmp_path / "out" / "summary.json")["n_ok"] == 2
    for name in REASONS:
        next(unusable.glob(f"{name}.*")).unlink()
    assert prepare(*options, tmp_path / "well") == 0


def test_rows_without_a_file_go_to_quarantine_and_other_keys_are_kept(codec, tmp_path):
    soundfile.write(tmp_path / "one.wav", voiced(1.0), 16_000)
    names = ("one.wav", "x" * 300 + ".wav", ".", "nul\0.wav")
    write_jsonl(
        tmp_path / "manifest.jsonl", [{"id": name[:5], "audio": name, "noise": None} for name in names]
    )
    extract(open_corpus(tmp_path / "manifest.jsonl"), codec, tmp_path / "out", 10)
    assert [(row["id"], row["noise"]) for row in open_units(tmp_path / "out").rows()] == [("one.w", None)]
    assert [row["reason"] for row in read_jsonl(tmp_path / "out" / "quarantine.jsonl")] == ["missing"] * 3


def test_words_of_another_recording_go_to_quarantine(codec, tmp_path):
    soundfile.write(tmp_path / "one.wav", voiced(1.0), 16_000)
    ends = {"well": 1.0, "late": 1.2, "milliseconds": 1000, "other": 1.3}
    rows = [
        {"id": id, "audio": "one.wav", "text": "a b", "words": [["a", 0, 0.4], ["b", 0.5, end]]}
        for id, end in ends.items()
    ]
    write_jsonl(tmp_path / "manifest.jsonl", rows)
    extract(open_corpus(tmp_path / "manifest.jsonl"), codec, tmp_path / "out", 10)
    assert [row["id"] for row in open_units(tmp_path / "out").rows()] == ["well", "late"]
    quarantined = list(read_jsonl(tmp_path / "out" / "quarantine.jsonl"))
    assert [(row["id"], row["reason"]) for row in quarantined] == [
        ("milliseconds", "words_beyond_sound"),
        ("other", "words_beyond_sound"),
    ]
    assert "a word ends at 1000.00 s, the sound at 1.00 s" in quarantined[0]["detail"]


def test_rows_keep_the_manifest_and_gain_units(stages, codec):
    summary, rows = read_json(stages.units / "summary.json"), open_units(stages.units).rows()
    rows = list(rows)
    given = {row["id"]: row for row in read_corpus(stages.manifest) if row["audio"]}
    assert [row["id"] for row in rows] == list(given)
    for row in rows:
        duration = row["duration_s"]
        assert all(
            row[name] == given[row["id"]][name]
            for name in ("audio", "text", "words", "voice", "source", "split")
        )
        assert abs(len(row["units"]) - 25 * duration) <= 2
        assert abs(len(row["pitch"]) - 12.5 * duration) <= 2
        assert abs(len(row["style"]) - duration) <= 1.5
    assert summary["encoder_fingerprint"] == codec.fingerprint
    assert summary["splits"] == SPLITS
    assert summary["hours"] == pytest.approx(sum(row["duration_s"] for row in rows) / 3600, abs=1e-6)
    assert rows[0]["units"] == codec.encode_batch([audio.load(rows[0]["audio"])])[0].units.tolist()


def test_shards_do_not_change_the_units(stages, codec, tmp_path):
    extract(open_corpus(stages.manifest), codec, tmp_path, shard_size=100)
    assert list(open_units(tmp_path).rows()) == list(open_units(stages.units).rows())
    assert [path.name for path in sorted(tmp_path.glob("units-*"))] == ["units-00000-of-00001.jsonl"]
    assert len(list(stages.units.glob("units-*-of-00003.jsonl"))) == 3


def test_an_interrupted_call_is_resumed(stages, codec, tmp_path):
    rows = [row for row in read_corpus(stages.manifest) if row["audio"]]
    with pytest.raises(KeyboardInterrupt):
        extract(Corpus(rows), CountingCodec(codec, fails_at=20), tmp_path, shard_size=10)
    assert [path.name for path in tmp_path.glob("units-*")] == ["units-00000-of-00003.jsonl"], (
        "whole or absent"
    )
    with pytest.raises(UserError, match="unfinished"):
        open_units(tmp_path)
    resumed = CountingCodec(codec)
    summary = extract(Corpus(rows), resumed, tmp_path, shard_size=10)
    assert resumed.encoded == len(rows) - 10
    assert summary["n_ok"] == len(rows)
    assert list(open_units(tmp_path).rows()) == list(open_units(stages.units).rows())


def test_a_shard_is_made_again_if_rows_recordings_or_codec_changed(stages, codec, tmp_path):
    copy = tmp_path / "corpus"
    shutil.copytree(stages.corpus, copy)
    out = tmp_path / "units"

    def encoded(fingerprint="counting"):
        counting = CountingCodec(codec)
        counting.fingerprint = fingerprint
        extract(open_corpus(copy), counting, out, shard_size=10)
        return counting.encoded

    assert (encoded(), encoded()) == (29, 0)
    shutil.copy(copy / "wav" / "train-000000.wav", copy / "wav" / "train-000003.wav")
    assert encoded() == 10
    manifest = copy / "manifest.jsonl"
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text(
        "".join([json.dumps({**json.loads(lines[0]), "text": "new words", "words": None}) + "\n", *lines[1:]])
    )
    assert encoded() == 10
    assert encoded("another") == 29


def test_another_shard_size_leaves_no_old_shards(stages, codec, tmp_path):
    rows = Corpus([row for row in read_corpus(stages.manifest) if row["audio"]][:6])
    extract(rows, codec, tmp_path, shard_size=2)
    extract(rows, codec, tmp_path, shard_size=3)
    assert [path.name for path in sorted(tmp_path.glob("units-*"))] == [
        "units-00000-of-00002.jsonl",
        "units-00001-of-00002.jsonl",
    ]
    assert len(list((tmp_path / "done").iterdir())) == 2


def test_temporary_files_of_a_killed_call_are_removed(stages, codec, tmp_path):
    (tmp_path / "out/.units-00000-of-00001.jsonl.x.partial").mkdir(parents=True)
    extract(Corpus(read_corpus(stages.manifest)[:1]), codec, tmp_path / "out", 10)
    assert not list((tmp_path / "out").glob(".*"))


def test_long_recordings_are_cut_into_segments_of_100_s(codec, tmp_path):
    rng = np.random.default_rng(0)
    wav = voiced(100.5)[:, 0] + 0.01 * rng.standard_normal(1_608_000)
    soundfile.write(tmp_path / "long.wav", wav, 16_000)
    extract(open_corpus(tmp_path), codec, tmp_path / "out", shard_size=10)
    (row,) = open_units(tmp_path / "out").rows()
    read = audio.load(tmp_path / "long.wav")
    segments = codec.encode_batch([read[:1_600_000], read[1_600_000:]])
    assert row["units"] == np.concatenate([segment.units for segment in segments]).tolist()


@pytest.mark.parametrize("option", ["--audio", "--codec"])
def test_missing_folders_are_one_line_and_write_nothing(stages, tmp_path, capsys, option):
    options = {
        "--audio": stages.manifest,
        "--codec": stages.codec,
        "--out": tmp_path / "out",
        option: tmp_path / "nowhere",
    }
    assert prepare("units", *(word for pair in options.items() for word in pair)) == 2
    error = capsys.readouterr().err
    assert "nowhere" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_corpus_without_recordings_is_refused(stages, tmp_path, capsys):
    (tmp_path / "t.txt").write_text("only text\n")
    assert (
        prepare("units", "--audio", tmp_path / "t.txt", "--codec", stages.codec, "--out", tmp_path / "out")
        == 2
    )
    assert "has no recordings" in capsys.readouterr().err


def test_no_damage_stops_the_job(stages, codec, tmp_path):
    rng = np.random.default_rng(0)
    for suffix in ("wav", "flac", "ogg", "mp3"):
        soundfile.write(tmp_path / f"whole.{suffix}", voiced(0.5), 16_000)
        whole = (tmp_path / f"whole.{suffix}").read_bytes()
        (tmp_path / f"whole.{suffix}").unlink()
        for number in range(10):
            damaged = np.frombuffer(whole, np.uint8).copy()
            damaged[rng.integers(0, min(len(whole), 100 if number % 2 else 10**9), 6)] = rng.integers(
                0, 256, 6
            )
            (tmp_path / f"{suffix}{number}.{suffix}").write_bytes(
                damaged[: rng.integers(1, len(whole)) if number % 5 == 0 else None].tobytes()
            )
    summary = extract(open_corpus(tmp_path), codec, tmp_path / "out", shard_size=100)
    assert summary["n_ok"] + summary["n_quarantined"] == 40
    assert summary["n_quarantined"] > 5


def test_a_header_that_claims_terabytes_is_unreadable(stages, tmp_path, monkeypatch):
    def claim(*_, **__):
        raise MemoryError("7.73 TiB")

    soundfile.write(tmp_path / "huge.flac", voiced(0.5), 16_000)
    monkeypatch.setattr(soundfile.SoundFile, "read", claim)
    extract(
        open_corpus(tmp_path),
        load_codec(stages.codec),
        tmp_path / "out",
        shard_size=1,
    )
    (row,) = read_jsonl(tmp_path / "out" / "quarantine.jsonl")
    assert (row["reason"], row["detail"]) == ("unreadable", "7.73 TiB")


def test_parts_of_a_recording_are_cut_while_they_are_read(codec, tmp_path, monkeypatch):
    wav = sweep(6.0)
    soundfile.write(tmp_path / "talk.flac", wav, 16_000)
    rows = [{"audio": "talk.flac", "offset": k * 2.0, "duration": 2.0, "text": f"part {k}"} for k in range(3)]
    rows += [{"id": "late", "audio": "talk.flac", "offset": 5.0, "duration": 2.0, "text": "past the end"}]
    rows += [{"id": "gone", "audio": "talk.flac", "offset": 60.0, "text": "past the end"}]
    rows += [{"id": "wrong", "audio": "talk.flac", "duration": 2.0, "text": "all of it"}]
    rows += [{"id": "right", "audio": "talk.flac", "duration": 6.1, "text": "all of it"}]
    write_jsonl(tmp_path / "manifest.jsonl", rows)
    summary = extract(open_corpus(tmp_path / "manifest.jsonl"), codec, tmp_path / "out", 10)
    made = list(open_units(tmp_path / "out").rows())
    assert [row["id"] for row in made] == ["talk#1", "talk#2", "talk#3", "right"]
    assert [row["duration_s"] for row in made] == [2.0, 2.0, 2.0, 6.0]
    assert summary["hours"] == pytest.approx(12 / 3600, abs=1e-5)
    alone = codec.encode_batch([audio.load(tmp_path / "talk.flac")[k * 32_000 :][:32_000] for k in range(3)])
    assert [row["units"] for row in made[:3]] == [speech.units.tolist() for speech in alone]
    quarantined = list(read_jsonl(tmp_path / "out" / "quarantine.jsonl"))
    assert [(row["id"], row["reason"]) for row in quarantined] == [
        ("late", "part_beyond_sound"),
        ("gone", "part_beyond_sound"),
        ("wrong", "duration_differs"),
    ]
    assert "6.00 s" in quarantined[2]["detail"]


def test_rows_that_break_a_rule_go_to_quarantine_with_their_line(stages, tmp_path, capsys):
    soundfile.write(tmp_path / "a.flac", voiced(2.0), 16_000)
    times = {
        "good": [["the", 0.1, 0.5], ["mill", 0.5, 1.1]],
        "bad": [["the", 0.1, 0.5], ["mill", 1.95, 1.933]],
        "untimed": [["the", 0.1, 0.5], ["1984", None, None]],
    }
    rows = [json.dumps({"id": id, "audio": "a.flac", "words": words}) for id, words in times.items()]
    (tmp_path / "m.jsonl").write_text("\n".join([*rows, '{"id": "torn", "au', '{"id": "nothing"}']))
    out = tmp_path / "out"
    assert prepare("units", "--audio", tmp_path / "m.jsonl", "--codec", stages.codec, "--out", out) == 0
    line = capsys.readouterr().out
    assert "2 utterances" in line
    assert "3 set aside: 1 word_times, 1 bad_json, 1 bad_row" in line
    assert "1 with words without times kept as unaligned" in line
    quarantined = list(read_jsonl(out / "quarantine.jsonl"))
    assert [(row["line"], row["reason"]) for row in quarantined] == [
        (2, "word_times"),
        (4, "bad_json"),
        (5, "bad_row"),
    ]
    good, untimed = open_units(out).rows()
    assert (good["words"], untimed["words"], untimed["text"]) == (times["good"], None, "the 1984")
    assert read_json(out / "summary.json")["n_untimed"] == 1
    (tmp_path / "m.jsonl").write_text(rows[1])
    assert prepare("units", "--audio", tmp_path / "m.jsonl", "--codec", stages.codec, "--out", out) == 2
    assert "line 1 words" in capsys.readouterr().err


def test_the_line_and_the_summary_say_what_has_a_transcript_and_what_was_not_read(stages, tmp_path, capsys):
    folder, out = tmp_path / "corpus", tmp_path / "out"
    (folder / "txt").mkdir(parents=True)
    for name in ("a", "b", "c"):
        soundfile.write(folder / f"{name}.wav", voiced(1.0), 16_000)
        (folder / f"txt/{name}.txt").write_text("said")
    (folder / "a.txt").write_text("said")
    (folder / "d.m4a").write_bytes(b"sound")
    assert prepare("units", "--audio", folder, "--codec", stages.codec, "--out", out) == 0
    line = capsys.readouterr().out
    assert "1 of 3 with a transcript" in line
    assert "left unread: 3 .txt files fit no recording, 1 .m4a file is not read" in line
    summary = read_json(out / "summary.json")
    assert (summary["n_with_transcript"], summary["n_recordings"]) == (1, 3)
    assert "read as folder of recordings, " in line
    assert (summary["layout"], summary["ignored"]) == ("folder of recordings", {})
    assert summary["unread"] == {"fit no recording": {".txt": 3}, "are not read": {".m4a": 1}}


def test_cut_and_joined_sound_of_every_format_is_set_aside(codec, tmp_path):
    for suffix in FORMATS:
        whole, more = encoded(suffix, sweep(5.0)), encoded(suffix, sweep(3.0))
        (tmp_path / f"whole.{suffix}").write_bytes(whole)
        (tmp_path / f"cut.{suffix}").write_bytes(whole[: len(whole) // 2])
        (tmp_path / f"joined.{suffix}").write_bytes(whole + more)
    summary = extract(open_corpus(tmp_path), codec, tmp_path / "out", 100)
    assert {row["id"] for row in open_units(tmp_path / "out").rows()} == {f"whole.{s}" for s in FORMATS}
    assert summary["reasons"] == {"truncated": 5, "joined": 5}


def test_an_unknown_length_is_read_to_the_end(codec, tmp_path):
    (tmp_path / "a.flac").write_bytes(state_length(encoded("flac", sweep(3.0)), 0))
    extract(open_corpus(tmp_path), codec, tmp_path / "out", 100)
    (row,) = open_units(tmp_path / "out").rows()
    assert (row["duration_s"], len(row["units"])) == (3.0, 75)


def test_decoded_sound_that_waits_is_bounded_by_seconds(codec, tmp_path, monkeypatch):
    soundfile.write(tmp_path / "00.wav", sweep(60.0), 16_000)
    for number in range(1, 34):
        (tmp_path / f"{number:02d}.wav").hardlink_to(tmp_path / "00.wav")
    outstanding, most, lock, load = 0.0, 0.0, threading.Lock(), audio.load

    def count(seconds):
        nonlocal outstanding, most
        with lock:
            outstanding += seconds
            most = max(most, outstanding)

    def counted(*args, **options):
        wav = load(*args, **options)
        count(len(wav) / 16_000)
        return wav

    class Encoded(CountingCodec):
        def encode_batch(self, wavs):
            time.sleep(0.2)  # so that readers come as far ahead as they may
            count(-sum(map(len, wavs)) / 16_000)
            return [SpeechTokens({"units": [1]}) for _ in wavs]

    monkeypatch.setattr(audio, "load", counted)
    extract(open_corpus(tmp_path), Encoded(codec), tmp_path / "out", 100)
    assert outstanding == 0
    assert most <= (AHEAD_GROUPS + 1) * GROUP_SECONDS + 60


def test_a_tar_is_read_in_place_and_found_unchanged(stages, tmp_path, capsys):
    soundfile.write(tmp_path / "a.flac", voiced(1.0), 16_000)
    (tmp_path / "a.txt").write_text("said")
    (tmp_path / "bad.flac").write_bytes(b"fLaC no sound")
    (tmp_path / "tars").mkdir()
    with tarfile.open(tmp_path / "tars/x.tar", "w") as tar:
        for name in ("a.flac", "a.txt", "bad.flac"):
            tar.add(tmp_path / name, name)
    options = ("units", "--audio", tmp_path / "tars", "--codec", stages.codec, "--out", tmp_path / "out")
    for again in (False, True):
        assert prepare(*options) == 0
        printed = capsys.readouterr()
        assert "read as WebDataset, 1 utterances" in printed.out
        assert "1 set aside: 1 unreadable" in printed.out
        assert ("(unchanged)" in printed.err) == again
    (row,) = open_units(tmp_path / "out").rows()
    assert (row["id"], row["text"], row["audio"]) == ("x/a", "said", f"{tmp_path}/tars/x.tar::a.flac")
