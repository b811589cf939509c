from spirit_jax.datasets.manifest import open_corpus
from tests.datasets.corpora.files import put_audio, put_text

HEAD = "client_id\tpath\tsentence_id\tsentence\tage\tlocale\n"


def put_table(path, *lines):
    return put_text(path, HEAD + "".join(f"{line}\n" for line in lines))


def test_tables_are_splits_and_each_clip_is_read_once(tmp_path):
    for number in range(1, 8):
        put_audio(tmp_path / f"clips/cv_{number}.mp3")
    rows = [f'c{number}\tcv_{number}.mp3\ts\tSentence {number}, "quoted.\t\tcy' for number in range(8)]
    put_table(tmp_path / "train.tsv", rows[1], rows[1], "c9\tcv_9.mp3\ttoo few")
    put_table(tmp_path / "dev.tsv", rows[2])
    put_table(tmp_path / "test.tsv", rows[3])
    put_table(tmp_path / "validated.tsv", *rows[1:5])
    put_table(tmp_path / "other.tsv", rows[5])
    put_table(tmp_path / "invalidated.tsv", rows[6])
    put_text(tmp_path / "clip_durations.tsv", "clip\tduration[ms]\ncv_1.mp3\t500\n")
    corpus = open_corpus(tmp_path)
    assert [(row["id"], row["split"]) for row in corpus.rows] == [
        ("clips/cv_3", "test"),
        ("clips/cv_2", "dev"),
        ("clips/cv_1", "train"),
        ("clips/cv_4", "validated"),
        ("clips/cv_5", "other"),
    ]
    first = corpus.rows[2]
    assert (first["text"], first["voice"], first["language"]) == ('Sentence 1, "quoted.', "c1", "cy")
    assert [(row["reason"], row["line"]) for row in corpus.set_aside] == [("duplicate_id", 3), ("bad_row", 4)]
    layout = "Common Voice (ignored: 1 clip_durations.tsv, 1 invalidated.tsv)"
    assert corpus.describe_layout() == layout
    assert corpus.describe_unread() == "2 .mp3 files are named by no row"


def test_tables_of_other_columns_make_no_common_voice(tmp_path):
    put_audio(tmp_path / "clips/a.wav")
    put_text(tmp_path / "train.tsv", "file\ttext\na.wav\thi\n")
    assert open_corpus(tmp_path).layout == "folder of recordings"
