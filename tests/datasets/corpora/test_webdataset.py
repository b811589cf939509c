import io
import json
import tarfile

import numpy as np
import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.datasets.manifest import open_corpus, part_of
from spirit_jax.speech import audio
from tests.datasets.corpora.files import put_audio, reasons_of


def put_tar(path, *members, mode="w"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def sound(tmp_path):
    return put_audio(tmp_path / "sound/a.flac").read_bytes()


def test_a_recording_and_what_is_beside_it_under_one_key(tmp_path, sound):
    said = {"text": "from json", "speaker": "anna", "lang": "en", "audio_filepath": "/else.wav", "n": 1}
    path = put_tar(
        tmp_path / "train-00.tar",
        ("x/u1.flac", sound),
        ("x/u1.json", json.dumps(said).encode()),
        ("x/u2.txt", b"\xef\xbb\xbffrom txt\n"),
        ("x/u2.ogg", sound),
        ("x/u2.cls", b"3"),
        ("x/u3.v1.flac", sound),
        ("x/u4.flac", sound),
    )
    corpus = open_corpus(path)
    one, two, four = corpus.rows
    assert (one["id"], one["audio"]) == ("train-00/x/u1", f"{tmp_path}/train-00.tar::x/u1.flac")
    assert (one["text"], one["voice"], one["language"], one["n"]) == ("from json", "anna", "en", 1)
    assert (two["text"], four["text"], four["split"]) == ("from txt", None, "speech")
    assert reasons_of(corpus) == [("no_partner", "train-00/x/u3")]
    assert corpus.describe_layout() == "WebDataset (ignored: 1 .cls, 1 .v1.flac)"
    for row in corpus.rows:
        wav = audio.load(row["audio"], corpus=True, part=part_of(row))
        np.testing.assert_array_equal(wav, audio.load(tmp_path / "sound/a.flac"))


def test_keys_that_cannot_be_used_are_set_aside(tmp_path, sound):
    path = put_tar(
        tmp_path / "a.tar",
        ("lonely.json", b'{"text": "x"}'),
        ("broken.wav", sound),
        ("broken.json", b"{"),
        ("list.wav", sound),
        ("list.json", b"[]"),
        ("latin.wav", sound),
        ("latin.txt", b"caf\xe9"),
        ("two.wav", sound),
        ("two.flac", sound),
        ("good.wav", sound),
        ("good.txt", b"x"),
        ("other.wav", sound),
        ("good.wav", sound),
    )
    corpus = open_corpus(path)
    assert [row["id"] for row in corpus.rows] == ["a/good", "a/other"]
    assert reasons_of(corpus) == [
        ("no_partner", "a/lonely"),
        ("bad_json", "a/broken"),
        ("bad_json", "a/list"),
        ("text_not_utf8", "a/latin"),
        ("no_partner", "a/two"),
        ("duplicate_id", "a/good"),
    ]


def test_a_folder_of_tars(tmp_path, sound):
    for name in ("b", "a"):
        put_tar(tmp_path / f"tars/{name}.tar", ("0.flac", sound))
    (tmp_path / "tars/README.md").write_text("x")
    assert [row["id"] for row in open_corpus(tmp_path / "tars").rows] == ["a/0", "b/0"]


def test_an_archive_that_is_compressed_or_cut_is_refused(tmp_path, sound):
    members = [(f"{number}.flac", sound) for number in range(3)]
    cut = put_tar(tmp_path / "a.tar", *members)
    cut.write_bytes(cut.read_bytes()[: len(sound) * 2])
    for path in (put_tar(tmp_path / "b.tar", *members, mode="w:gz"), cut):
        with pytest.raises(UserError, match="is no plain tar, or is cut"):
            open_corpus(path)
