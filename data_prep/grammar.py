"""A small English of two-clause stories whose second clause follows from the first.

    [DAY] the ADJECTIVE ACTOR MOVE the [LOOK] SCENE, LINK VERB OBJECT ADVERB
    today the brave sailor reached the busy harbor, and coiled ropes boldly

Twelve topics own two actors, a scene, a verb and two objects. LINK follows from MOVE, VERB from the topic,
OBJECT from the actor (so that it tells two stories of one topic apart) and ADVERB from the adjective, each
with probability `FOLLOWS` independently of the others; DAY, MOVE and LOOK are free. 10 to 12 words a
sentence, about 110 words in all, more than 40,000 sentences in which everything follows.
"""

import dataclasses
import random
from collections.abc import Iterator

FOLLOWS = 0.97
DAY_SHARE = 0.5  # share of sentences that begin with a day
LOOK_SHARE = 0.5  # share of sentences whose scene has an adjective


@dataclasses.dataclass(frozen=True)
class Topic:
    """What one kind of story is made of; `objects[i]` belongs to `actors[i]`."""

    scene: str
    verb: str
    actors: tuple[str, str]
    objects: tuple[str, str]


TOPICS = (
    Topic("barn", "fed", ("farmer", "shepherd"), ("cows", "lambs")),
    Topic("kitchen", "tasted", ("baker", "cook"), ("bread", "soup")),
    Topic("harbor", "coiled", ("sailor", "diver"), ("ropes", "nets")),
    Topic("castle", "polished", ("king", "knight"), ("crowns", "swords")),
    Topic("school", "studied", ("teacher", "pupil"), ("maps", "poems")),
    Topic("theater", "practiced", ("singer", "drummer"), ("ballads", "rhythms")),
    Topic("garden", "planted", ("widow", "uncle"), ("roses", "onions")),
    Topic("forest", "chased", ("hunter", "wolf"), ("foxes", "rabbits")),
    Topic("workshop", "built", ("carpenter", "mason"), ("chairs", "walls")),
    Topic("market", "traded", ("merchant", "jeweler"), ("spices", "diamonds")),
    Topic("tower", "mixed", ("wizard", "chemist"), ("potions", "acid")),
    Topic("river", "washed", ("mother", "tailor"), ("blankets", "shirts")),
)
ADVERBS = {
    "old": "slowly",
    "tired": "carelessly",
    "young": "quickly",
    "brave": "boldly",
    "happy": "cheerfully",
    "kind": "gently",
    "shy": "quietly",
    "lonely": "sadly",
}
DAYS = ("today", "tonight", "yesterday", "sunday")
LOOKS = ("small", "busy", "dark", "cold", "distant")
LINKS = {
    "entered": "and",
    "reached": "and",
    "visited": "and",
    "left": "then",
    "crossed": "then",
    "circled": "then",
    "found": "so",
    "approached": "so",
}


def vocabulary() -> list[str]:
    """Every word of the language, sorted."""
    words = {"the", *ADVERBS, *ADVERBS.values(), *DAYS, *LOOKS, *LINKS, *LINKS.values()}
    for topic in TOPICS:
        words |= {topic.scene, topic.verb, *topic.actors, *topic.objects}
    return sorted(words)


def draw_sentence(rng: random.Random) -> str:
    """One sentence: lower case, a comma between the clauses, no full stop."""
    topic = rng.choice(TOPICS)
    actor = rng.randrange(2)
    adjective, move = rng.choice(list(ADVERBS)), rng.choice(list(LINKS))
    day = [rng.choice(DAYS)] if rng.random() < DAY_SHARE else []
    look = [rng.choice(LOOKS)] if rng.random() < LOOK_SHARE else []
    first = [*day, "the", adjective, topic.actors[actor], move, "the", *look, topic.scene]
    second = [
        _follow(rng, LINKS[move], sorted(set(LINKS.values()))),
        _follow(rng, topic.verb, [t.verb for t in TOPICS]),
        _follow(rng, topic.objects[actor], [name for t in TOPICS for name in t.objects]),
        _follow(rng, ADVERBS[adjective], list(ADVERBS.values())),
    ]
    return f"{' '.join(first)}, {' '.join(second)}"


def draw_distinct(rng: random.Random) -> Iterator[str]:
    """Sentences without end, none twice."""
    seen = set()
    while True:
        sentence = draw_sentence(rng)
        if sentence not in seen:
            seen.add(sentence)
            yield sentence


def _follow(rng: random.Random, expected: str, choices: list[str]) -> str:
    """`expected` with probability FOLLOWS, else one of the other choices."""
    return expected if rng.random() < FOLLOWS else rng.choice([word for word in choices if word != expected])
