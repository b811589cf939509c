import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.datasets.manifest import open_corpus, part_of
from tests.datasets.corpora.files import put_audio, put_text, reasons_of


def put_recordings(folder, *lines):
    put_audio(folder / "wavs/r1.wav")
    put_text(folder / "wav.scp", "".join(f"{line}\n" for line in ("r1 wavs/r1.wav", *lines)))
    put_text(folder / "text", "r1 hello  there\n")
    return folder


def test_recordings_are_utterances_without_segments(tmp_path):
    put_recordings(tmp_path / "dev", "r2 /abs/r2.wav")
    put_text(tmp_path / "dev/utt2spk", "r1 anna\n")
    put_text(tmp_path / "dev/utt2lang", "r1 en\n")
    put_text(tmp_path / "dev/spk2gender", "anna f\n")
    corpus = open_corpus(tmp_path / "dev")
    one, two = corpus.rows
    assert (one["id"], one["audio"], one["text"]) == ("r1", str(tmp_path / "dev/wavs/r1.wav"), "hello  there")
    assert (one["voice"], one["language"], one["split"], one["source"]) == ("anna", "en", "dev", "dev")
    assert (two["audio"], two["text"], two["voice"], two["split"]) == ("/abs/r2.wav", None, "", "dev")
    assert corpus.describe_layout() == "Kaldi folder (ignored: 1 spk2gender)"
    assert corpus.describe_unread() == ""


def test_segments_are_parts_of_recordings(tmp_path):
    put_recordings(tmp_path)
    put_text(
        tmp_path / "segments", "u1 r1 0.0 1.5\nu2 r1 1.5 -1\n\nu3 r9 0 1\nu4 r1 0\nu5 r1 2 1\nu1 r1 0 1\n"
    )
    put_text(tmp_path / "text", "u1 one\nu2 two\nu9 nobody\n")
    corpus = open_corpus(tmp_path)
    assert [(row["id"], row["text"], part_of(row)) for row in corpus.rows] == [
        ("u1", "one", (0.0, 1.5, None)),
        ("u2", "two", (1.5, None, None)),
    ]
    assert reasons_of(corpus) == [
        ("no_partner", "u3"),
        ("bad_part", "u4"),
        ("bad_part", "u5"),
        ("duplicate_id", "u1"),
        ("no_partner", "u9"),
    ]
    assert [row.get("line") for row in corpus.set_aside] == [4, 5, 6, 7, None]


def test_commands_are_set_aside_and_never_run(tmp_path):
    proof = tmp_path / "proof"
    put_recordings(
        tmp_path / "k",
        f"r2 touch {proof} |",
        f"r3 cat x | touch {proof}; cat |",
        "r4 feats.ark:17",
        "r5",
        "r1 wavs/other.wav",
    )
    corpus = open_corpus(tmp_path / "k")
    assert [row["id"] for row in corpus.rows] == ["r1"]
    assert corpus.rows[0]["audio"].endswith("wavs/r1.wav")
    assert reasons_of(corpus) == [
        ("command", "r2"),
        ("command", "r3"),
        ("bad_source", "r4"),
        ("bad_source", "r5"),
        ("duplicate_id", "r1"),
    ]
    assert not proof.exists()


def test_paths_from_the_folder_that_the_recipe_ran_in(tmp_path):
    put_audio(tmp_path / "wavs/r1.wav")
    put_text(tmp_path / "data/train/wav.scp", "r0 sox x |\nr1 wavs/r1.wav\nr2 wavs/r2.wav\n")
    rows = open_corpus(tmp_path / "data/train").rows
    assert [row["audio"] for row in rows] == [str(tmp_path / f"wavs/{name}.wav") for name in ("r1", "r2")]


def test_a_line_that_is_not_utf8_is_set_aside(tmp_path):
    put_recordings(tmp_path, "r2 /abs/r2.wav")
    (tmp_path / "text").write_bytes(b"r2 caf\xe9\nr1 plain\n")
    corpus = open_corpus(tmp_path)
    assert [(row["id"], row["text"]) for row in corpus.rows] == [("r1", "plain"), ("r2", None)]
    assert [row["reason"] for row in corpus.set_aside] == ["text_not_utf8"]


def test_a_folder_of_commands_alone_is_refused(tmp_path):
    put_text(tmp_path / "wav.scp", "r1 sox a.wav -t wav - |\n")
    with pytest.raises(UserError, match="is a command"):
        open_corpus(tmp_path)
