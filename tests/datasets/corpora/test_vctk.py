from spirit_jax.datasets.manifest import open_corpus
from tests.datasets.corpora.files import put_audio, put_text, reasons_of


def test_texts_are_in_a_folder_beside_and_one_microphone_is_read(tmp_path):
    wavs = tmp_path / "wav48_silence_trimmed"
    for name in ("p1/p1_001_mic1", "p1/p1_001_mic2", "p1/p1_002_mic1", "p2/p2_001_mic1", "s5/s5_1_mic1"):
        put_audio(wavs / f"{name}.flac")
    put_text(tmp_path / "txt/p1/p1_001.txt", "Please  call.\n")
    put_text(tmp_path / "txt/p1/p1_009.txt", "Nobody says this.")
    put_text(tmp_path / "txt/p2/x.txt", "").write_bytes(b"")
    (tmp_path / "txt/p2/p2_001.txt").write_bytes(b"caf\xe9")
    put_text(tmp_path / "speaker-info.txt", "ID AGE\n")
    corpus = open_corpus(tmp_path)
    assert [(row["id"], row["text"], row["voice"], row["split"]) for row in corpus.rows] == [
        ("wav48_silence_trimmed/p1/p1_001_mic1", "Please call.", "p1", "train"),
        ("wav48_silence_trimmed/p1/p1_002_mic1", None, "p1", "speech"),
        ("wav48_silence_trimmed/s5/s5_1_mic1", None, "s5", "speech"),
    ]
    assert sorted(reasons_of(corpus)) == [
        ("no_partner", "p1_009"),
        ("no_partner", "x"),
        ("text_not_utf8", "wav48_silence_trimmed/p2/p2_001_mic1"),
    ]
    assert corpus.layout == "VCTK"
    assert corpus.describe_unread() == "1 .flac file is named by no row"
