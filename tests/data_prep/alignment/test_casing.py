from data_prep.alignment.casing import Casing, recase

CAPITALS = ["I", "SAID", '"HELLO."', "THEN", "I", "LEFT.", "MR.", "O'NEIL", "AND", "I'M", "GONE"]


def test_as_is_changes_nothing():
    assert recase(CAPITALS, Casing.AS_IS) == CAPITALS


def test_lower():
    assert recase(["The", "CAT,"], Casing.LOWER) == ["the", "cat,"]


def test_sentence_casing_starts_sentences_and_keeps_i():
    words = recase(CAPITALS, Casing.SENTENCE)
    assert " ".join(words).startswith('I said "hello." Then I left. Mr.')
    assert words[-2] == "I'm"


def test_no_word_is_lost():
    for casing in Casing:
        assert [word.lower() for word in recase(CAPITALS, casing)] == [word.lower() for word in CAPITALS]
