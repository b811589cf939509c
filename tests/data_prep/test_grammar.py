import itertools
import random
from collections import Counter

from data_prep import grammar


def draw(count: int, seed: int = 0) -> list[str]:
    return list(itertools.islice(grammar.draw_distinct(random.Random(seed)), count))


def parse(sentence: str) -> tuple[list[str], list[str]]:
    first, second = sentence.split(", ")
    return first.split(), second.split()


def content_words() -> list[str]:
    """All words but `the`, once for each part of a sentence that they can be."""
    words = [word for t in grammar.TOPICS for word in (t.scene, t.verb, *t.actors, *t.objects)]
    for mapping in (grammar.ADVERBS, grammar.LINKS):
        words += [*mapping, *set(mapping.values())]
    return [*words, *grammar.DAYS, *grammar.LOOKS]


def test_thousands_of_distinct_sentences_of_ten_to_twelve_known_words():
    sentences = draw(20_000)
    assert len(set(sentences)) == 20_000
    words = [sentence.replace(",", "").split() for sentence in sentences]
    assert {len(ws) for ws in words} == {10, 11, 12}
    assert {word for ws in words for word in ws} == {"the", *content_words()}
    assert 100 <= len(content_words()) <= 130


def test_no_word_is_two_parts_of_a_sentence():
    assert len(content_words()) == len(set(content_words()))


def test_the_second_clause_follows_from_the_first():
    by_actor = {actor: (t, t.objects[i]) for t in grammar.TOPICS for i, actor in enumerate(t.actors)}
    links, verbs, objects, adverbs = Counter(), Counter(), Counter(), Counter()
    for sentence in draw(5000):
        first, second = parse(sentence)
        actor = next(word for word in first if word in by_actor)
        topic, expected = by_actor[actor]
        assert first[-1] == topic.scene
        links[second[0] == grammar.LINKS[next(word for word in first if word in grammar.LINKS)]] += 1
        verbs[second[1] == topic.verb] += 1
        objects[second[2] == expected] += 1
        adverbs[second[3] == grammar.ADVERBS[next(word for word in first if word in grammar.ADVERBS)]] += 1
    for counts in (links, verbs, objects, adverbs):
        assert abs(counts[True] / counts.total() - grammar.FOLLOWS) < 0.015


def test_words_of_the_first_clause_are_independent():
    after = Counter()
    for sentence in draw(5000):
        first, second = parse(sentence)
        after[next(word for word in first if word in grammar.LINKS), second[1]] += 1
    share = max(after.values()) / sum(after.values())
    assert share < 3 / (len(grammar.LINKS) * len(grammar.TOPICS))


def test_deterministic_for_a_seed():
    assert draw(50) == draw(50)
    assert draw(50) != draw(50, seed=1)
