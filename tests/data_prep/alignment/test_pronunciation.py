import pytest

from data_prep import espeak
from data_prep.alignment import pronunciation
from data_prep.alignment.pronunciation import pronounce, to_arpabet
from spirit_jax.core.errors import UserError


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("unmute", "AH N M Y UW T"),
        ("waldo", "W AO L D OW"),
        ("chip", "CH IH P"),
        ("thing", "TH IH NG"),
        ("jury", "JH UH R IY"),
    ],
)
def test_a_pronunciation_is_that_of_a_dictionary(word, phones):
    assert pronounce(word) == phones


@pytest.mark.parametrize("word", ["北京", "हिन्दी", "a1", ""])
def test_words_of_other_scripts_have_none(word):
    assert pronounce(word) is None


def test_a_sound_that_english_lacks_has_no_phones():
    assert to_arpabet("ʘa") is None


def test_without_espeak_words_have_none(monkeypatch, capsys):
    def missing(*_):
        raise UserError("espeakng_loader", "not installed", "is needed for speech", "install it")

    monkeypatch.setattr(pronunciation, "transcribe", missing)
    pronunciation._espeak_is_there.cache_clear()
    pronunciation.pronounce.cache_clear()
    assert pronounce("unmute") is None
    assert "stay unaligned" in capsys.readouterr().err
    pronunciation._espeak_is_there.cache_clear()
    pronunciation.pronounce.cache_clear()


def test_transcriptions_do_not_depend_on_earlier_ones():
    first = espeak.transcribe("hello", "en-us")
    espeak.transcribe("bonjour", "fr")
    assert espeak.transcribe("hello", "en-us") == first
    with pytest.raises(UserError, match="unknown to espeak-ng"):
        espeak.transcribe("hello", "xx-none")
