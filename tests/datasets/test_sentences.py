import pytest

from spirit_jax.datasets.sentences import hash_sentence, normalize_sentence


@pytest.mark.parametrize(
    "spellings",
    [
        ("The cat — sat!", "the cat sat", "THE  CAT\nSAT.", "the_cat_sat", "ｔｈｅ ｃａｔ ｓａｔ"),
        ("Don't", "dont", "DON’T"),
        ("Straße 12", "STRASSE 12"),
        ("कि की", "«कि» की"),
    ],
)
def test_spellings_of_one_sentence_are_the_same(spellings):
    assert len({hash_sentence(text) for text in spellings}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [("the cat sat", "the cats at"), ("कि", "की"), ("room 12", "room 1 2"), ("café", "cafe")],
)
def test_other_words_are_another_sentence(one, other):
    assert hash_sentence(one) != hash_sentence(other)


@pytest.mark.parametrize("text", ["", " ", "—?!", "\n"])
def test_without_words_there_is_no_sentence(text):
    assert normalize_sentence(text) == ""
    assert hash_sentence(text) is None


def test_hashes_are_the_same_in_every_process_and_spread_evenly():
    assert hash_sentence("the cat sat") == 15_492_440_157_911_495_910 // 2
    hashes = [hash_sentence(f"sentence {number}") for number in range(1000)]
    assert 400 < sum(found < 2**62 for found in hashes) < 600
