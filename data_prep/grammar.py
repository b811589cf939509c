"""A small grammar of English sentences in two clauses; the second clause follows from the first.

    [DAY] the ADJECTIVE ACTOR MOVE the [LOOK] SCENE, LINK VERB OBJECT ADVERB
    today the brave sailor reached the busy harbor, and coiled ropes boldly

Each of twelve topics has two actors, a scene, a verb and two objects. LINK follows from MOVE, VERB from the
topic, OBJECT from the actor and ADVERB from the adjective, each with probability `FOLLOWS` and independently
of the others. DAY, MOVE and LOOK are free. A sentence has 10 to 12 words of about 110. There are more than
40,000 sentences in which everything follows.
"""

import dataclasses
import random
from collections.abc import Iterator

FOLLOWS = 0.97
DAY_SHARE = 0.5  # share of sentences that begin with a day
LOOK_SHARE = 0.5  # share of sentences whose scene has an adjective


@dataclasses.dataclass(frozen=True)
class Topic:
    """Words that belong together; `objects[i]` follows from `actors[i]`."""

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


def draw_sentence(rng: random.Random) -> str:
    """One sentence in lower case, with a comma between the clauses and no full stop."""
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
    """Sentences without repetition."""
    seen = set()
    while True:
        sentence = draw_sentence(rng)
        if sentence not in seen:
            seen.add(sentence)
            yield sentence


def _follow(rng: random.Random, expected: str, choices: list[str]) -> str:
    """`expected` with probability FOLLOWS, else one of the other choices."""
    return expected if rng.random() < FOLLOWS else rng.choice([word for word in choices if word != expected])
