import pytest

from spirit_jax.datasets.manifest import open_corpus
from tests.datasets.corpora.files import put_audio, put_text, reasons_of

HEAD = "id_\traw_text\tnormalized_text\tspeaker_id\tsplit\tgender\n"


@pytest.mark.parametrize("below", [".", "transcribed_data/en"])
def test_tables_and_recordings_by_year(tmp_path, below):
    folder = tmp_path / "en" / below
    put_audio(folder / "2017/20170101-en_1.ogg")
    put_audio(folder / "2018/20180101-en_2.ogg")
    put_audio(folder / "2018/20180101-en_3.ogg")
    head = HEAD.replace("id_", "id")
    put_text(folder / "asr_train.tsv", head + "20170101-en_1\tWell, yes.\twell yes\t7\ttrain\tmale\n")
    put_text(
        folder / "asr_test.tsv",
        head + "20180101-en_2\t\tno\tNone\ttest\tmale\n20180101-en_9\tx\tx\t1\ttest\tmale\n",
    )
    put_text(folder / "asr_en.tsv", HEAD + "20170101-en_1\tWell, yes.\twell yes\t7\ttrain\tmale\n")
    corpus = open_corpus(tmp_path / "en")
    test, train = corpus.rows
    assert (train["id"], train["text"], train["voice"]) == ("20170101-en_1", "Well, yes.", "7")
    assert (train["split"], train["language"]) == ("train", "en")
    assert (test["text"], test["voice"], test["split"]) == ("no", "", "test")
    assert reasons_of(corpus) == [("missing", "20180101-en_9")]
    assert corpus.describe_layout() == "VoxPopuli (ignored: 1 asr_en.tsv, 2 gender)"
    assert corpus.describe_unread() == "1 .ogg file is named by no row"


def test_one_table_of_a_language(tmp_path):
    put_audio(tmp_path / "2017/a.ogg")
    row = "a\tJa.\tja\t7\tdev\tmale\n"
    put_text(tmp_path / "asr_de.tsv", HEAD + row + row + "b\tzu kurz\n")
    corpus = open_corpus(tmp_path)
    assert [(row["split"], row["language"]) for row in corpus.rows] == [("dev", "de")]
    assert [row["reason"] for row in corpus.set_aside] == ["duplicate_id", "bad_row"]


def test_a_table_of_other_columns_is_no_voxpopuli(tmp_path):
    put_audio(tmp_path / "a.wav")
    put_text(tmp_path / "asr_train.tsv", "id\tother\n")
    assert open_corpus(tmp_path).layout == "folder of recordings"
