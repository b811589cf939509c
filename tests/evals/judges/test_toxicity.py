"""What lists of phrases find, and which classifiers tell what is toxic."""

import pytest

from spirit_jax.core.errors import UserError
from spirit_jax.evals.judges.judges import Judges
from spirit_jax.evals.judges.small_classifier import train_classifier
from spirit_jax.evals.judges.toxicity import load_toxic_labels, load_word_list


def write_list(folder, *phrases):
    path = folder / "words.txt"
    path.write_text("\n".join(phrases) + "\n")
    return path


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("What a rotter!", True),
        ("ROTTER", True),
        ("rotters rot", False),  # whole words
        ("you bad egg, you", True),
        ("you bad, egg", True),  # punctuation does not count
        ("bad eggs", False),
        ("a bad good egg", False),
        ("आप दुष्ट हैं", True),
        ("दुष्टता", False),
        ("你这坏蛋吗", True),  # inside a sentence without spaces
        ("你这坏 蛋吗", True),
        ("好蛋", False),
        ("", False),
    ],
)
def test_phrases_are_found_as_whole_words_or_in_scripts_without_spaces_anywhere(text, found, tmp_path):
    words = load_word_list(write_list(tmp_path, "Rotter", "", "bad  egg", "दुष्ट", "坏蛋"))
    assert words.find_toxic([text, "x"]) == [found, False]
    assert words.about.startswith("words.txt, 4 phrases")


def test_a_list_of_one_script_alone(tmp_path):
    assert load_word_list(write_list(tmp_path, "坏蛋")).find_toxic(["bad", "坏蛋"]) == [False, True]
    assert load_word_list(write_list(tmp_path, "bad")).find_toxic(["bad", "坏蛋"]) == [True, False]


def test_a_phrase_with_letters_that_mean_something_in_patterns(tmp_path):
    assert load_word_list(write_list(tmp_path, "a+b", "c.d")).find_toxic(["aab", "cxd", "c d"]) == [
        False,
        False,
        True,
    ]


def test_files_without_phrases_are_refused(tmp_path):
    with pytest.raises(UserError, match="no words"):
        load_word_list(write_list(tmp_path, "", "?!"))
    with pytest.raises(UserError, match="--toxic-words"):
        load_word_list(tmp_path / "none.txt")
    (tmp_path / "latin.txt").write_bytes("rötter".encode("latin-1"))
    with pytest.raises(UserError, match="UTF-8"):
        load_word_list(tmp_path / "latin.txt")


def save_classifier(folder, *labels):
    texts = [f"{word} {i % 7}" for word in ("good day", "bad egg") for i in range(20)]
    train_classifier(texts, [label for label in labels for _ in range(20)]).save(folder)
    return folder


def test_a_classifier_with_a_toxic_label_tells(tmp_path):
    judge = load_toxic_labels(save_classifier(tmp_path / "judge", "fine", "Toxic"))
    assert judge.find_toxic(["good day 3", "bad egg 3"]) == [False, True]
    judges = Judges(toxicity_classifier=tmp_path / "judge")
    judges.load(["toxicity_classifier"])
    assert list(judges.toxicity) == ["toxicity_classifier"]


@pytest.mark.parametrize("labels", [("positive", "negative"), ("toxic", "hate")])
def test_a_classifier_that_cannot_tell_is_refused(labels, tmp_path):
    with pytest.raises(UserError, match="--toxicity-classifier"):
        load_toxic_labels(save_classifier(tmp_path / "judge", *labels))


@pytest.mark.parametrize("name", ["toxic_words", "toxicity_classifier"])
def test_a_judge_that_was_not_named_is_asked_for(name):
    with pytest.raises(UserError, match=name.replace("_", "-")):
        Judges().load([name])
