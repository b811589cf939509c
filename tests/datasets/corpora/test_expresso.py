from spirit_jax.datasets.manifest import open_corpus, part_of
from tests.datasets.corpora.files import put_audio, put_text, reasons_of


def put_expresso(folder):
    read, talk = folder / "audio_48khz/read", folder / "audio_48khz/conversational"
    for name in ("ex01/confused/base/ex01_confused_00001", "ex02/happy/base/ex02_happy_00002"):
        put_audio(read / f"{name}.wav")
    put_audio(talk / "ex01-ex02/default/ex01-ex02_default_001.wav", channels=2)
    put_audio(talk / "ex04-ex01/animal-animaldir/ex04-ex01_animal-animaldir_007.wav", channels=2)
    put_audio(folder / "audio_48khz/stray.wav")
    put_text(
        folder / "read_transcriptions.txt",
        "ex01_confused_00001\tWhat was that?\nex02_happy_00002\tYes!\nex09_sad_00001\tNobody.\n",
    )
    put_text(folder / "splits/train.txt", "ex01_confused_00001\nex01-ex02_default_001\t(0.0, 60.5)\n")
    put_text(folder / "splits/dev.txt", "ex01-ex02_default_001\tchannel2\t(60.5, 90)\n")
    put_text(folder / "splits/test.txt", "ex02_happy_00002.wav\n")


def test_read_speech_has_its_speaker_its_style_and_its_split(tmp_path):
    put_expresso(tmp_path)
    corpus = open_corpus(tmp_path)
    rows = {row["id"]: row for row in corpus.rows}
    read = rows["ex01_confused_00001"]
    assert (read["text"], read["voice"], read["speaking_style"]) == ("What was that?", "ex01", "confused")
    assert (read["split"], rows["ex02_happy_00002"]["split"]) == ("train", "test")
    assert reasons_of(corpus) == [("no_partner", "ex09_sad_00001")]
    assert corpus.layout == "Expresso"
    assert corpus.describe_unread() == "1 .wav file is named by no row"


def test_a_conversation_has_a_speaker_on_each_channel(tmp_path):
    put_expresso(tmp_path)
    rows = [row for row in open_corpus(tmp_path).rows if "channel" in row]
    assert [(row["id"], part_of(row), row["voice"], row["split"]) for row in rows] == [
        ("ex01-ex02_default_001-ex02-60.5", (60.5, 29.5, 1), "ex02", "dev"),
        ("ex01-ex02_default_001-ex01-0", (0.0, 60.5, 0), "ex01", "speech"),
        ("ex01-ex02_default_001-ex02-0", (0.0, 60.5, 1), "ex02", "speech"),
        ("ex04-ex01_animal-animaldir_007-ex04", (0.0, None, 0), "ex04", "speech"),
        ("ex04-ex01_animal-animaldir_007-ex01", (0.0, None, 1), "ex01", "speech"),
    ]
    assert [row["speaking_style"] for row in rows] == ["default"] * 3 + ["animal", "animaldir"]
