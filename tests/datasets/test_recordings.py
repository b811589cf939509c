"""Layouts of folders of recordings: which transcripts are found, and what is left unread."""

import numpy as np
import pytest
import soundfile

from spirit_jax.core.errors import UserError
from spirit_jax.datasets.manifest import open_corpus

SAID = "three boats drift past the old mill"


def put_audio(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    known = path.suffix in (".wav", ".flac", ".mp3")
    soundfile.write(path, 0.1 * np.sin(np.arange(8_000) / 20), 16_000, **({} if known else {"format": "OGG"}))


def put_text(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def libritts(folder):
    bare = folder / "501/9001/501_9001_000001_000000"
    put_audio(bare.with_suffix(".wav"))
    put_text(bare.with_suffix(".normalized.txt"), SAID)
    put_text(bare.with_suffix(".original.txt"), SAID + ".")


def multilingual_librispeech(folder):
    put_audio(folder / "train/audio/501/9001/501_9001_000001.flac")
    put_text(folder / "train/transcripts.txt", f"501_9001_000001\t{SAID}\n501_9001_000002\tand more\n")


def common_voice(folder):
    put_audio(folder / "clips/common_voice_xx_1.mp3")
    head = "client_id\tpath\tsentence\n"
    put_text(folder / "train.tsv", f"{head}c1\tcommon_voice_xx_1.mp3\t{SAID}\n")


@pytest.mark.parametrize("layout", [libritts, multilingual_librispeech, common_voice])
def test_transcripts_of_a_layout_are_found(tmp_path, layout):
    layout(tmp_path)
    corpus = open_corpus(tmp_path)
    assert [(row["text"], row["split"]) for row in corpus.rows] == [(SAID, "train")]
    assert layout is common_voice or corpus.rows[0]["voice"] == "501"
    assert (corpus.transcribed, corpus.describe_unread()) == (1, "")


@pytest.mark.parametrize("split", ["dev-clean", "test", "dev_other", "train-clean-100", "developers"])
def test_folders_of_held_out_splits_are_held_out(tmp_path, split):
    chapter = tmp_path / split / "84/121123"
    put_audio(chapter / "84-121123-0000.flac")
    put_text(chapter / "84-121123.trans.txt", f"84-121123-0000 {SAID}\n")
    put_audio(tmp_path / "test/own.wav")
    put_text(tmp_path / "test/own.txt", SAID)
    corpus = open_corpus(tmp_path)
    rows = {row["id"].rpartition("/")[2]: row["split"] for row in corpus.rows}
    held_out = {"dev-clean": "dev", "test": "test", "dev_other": "dev"}
    assert rows == {"84-121123-0000": held_out.get(split, "train"), "own": "train"}
    assert corpus.layout == "folder of recordings, LibriSpeech"
    (row,) = open_corpus(tmp_path / split / "84").rows  # what is asked for by its name is wanted
    assert row["split"] == "train"


def test_files_that_are_left_unread_are_counted_by_suffix(tmp_path):
    put_audio(tmp_path / "sound/p501/p501_001.wav")
    put_audio(tmp_path / "a.opus")
    for name in ("txt/p501/p501_001.txt", "txt/p501/p501_002.TXT", "other.tsv", "LICENSE"):
        put_text(tmp_path / name, SAID)
    for number in range(3):
        put_audio(tmp_path / f"{number}.m4a")
    corpus = open_corpus(tmp_path)
    assert [row["id"] for row in corpus.rows] == ["a", "sound/p501/p501_001"]
    assert corpus.transcribed == 0
    unread = "3 .txt/.tsv files fit no recording, 4 .m4a/suffixless files are not read"
    assert corpus.describe_unread() == unread


def test_a_folder_of_unread_files_alone_is_refused_naming_them(tmp_path):
    put_audio(tmp_path / "a.m4a")
    with pytest.raises(UserError, match=r"1 \.m4a file is not read"):
        open_corpus(tmp_path)


def test_a_clip_that_was_voted_to_be_wrong_has_no_transcript(tmp_path):
    put_audio(tmp_path / "clips/one.mp3")
    put_text(tmp_path / "invalidated.tsv", f"path\tsentence\none.mp3\t{SAID}\n")
    corpus = open_corpus(tmp_path)
    assert corpus.transcribed == 0
    assert corpus.describe_unread() == "1 .tsv file fits no recording"


def test_a_name_that_two_recordings_have_takes_no_text_from_further_up(tmp_path):
    for speaker in ("anna", "ben"):
        put_audio(tmp_path / speaker / "001.wav")
    put_text(tmp_path / "transcripts.txt", f"001\t{SAID}\n")
    assert open_corpus(tmp_path).transcribed == 0


def test_a_transcript_that_cannot_be_read_sets_its_recording_aside(tmp_path):
    for name in ("good", "bad"):
        put_audio(tmp_path / f"{name}.wav")
    put_text(tmp_path / "good.txt", SAID)
    (tmp_path / "bad.txt").symlink_to(tmp_path / "nowhere.txt")
    corpus = open_corpus(tmp_path)
    assert [row["id"] for row in corpus.rows] == ["good"]
    assert [(bad["id"], bad["reason"]) for bad in corpus.set_aside] == [("bad", "transcript_unreadable")]
    assert corpus.describe_unread() == ""


def test_a_table_of_transcripts_that_cannot_be_read_is_counted(tmp_path):
    put_audio(tmp_path / "a/a.wav")
    (tmp_path / "a" / "a.trans.txt").symlink_to(tmp_path / "nowhere.txt")
    corpus = open_corpus(tmp_path)
    assert [(row["id"], row["text"]) for row in corpus.rows] == [("a/a", None)]
    assert corpus.describe_unread() == "1 .txt file is not readable"
