"""The table of data sets that a user brings: task, layout, groups, the paper's accuracies.

A row is a `LikelihoodChoice`; its `layout.place` says where its files are and where to get them.
"""

from spirit_jax.evals.layouts import mmlu, salmon, zerospeech
from spirit_jax.evals.layouts.story_cloze import STORIES, TOPIC_STORIES, StoryEndings
from spirit_jax.evals.layouts.trials import Place
from spirit_jax.evals.layouts.zerospeech import ZeroSpeechPairs
from spirit_jax.evals.suites.likelihood_choice import LikelihoodChoice
from spirit_jax.tokens.vocabulary import Modality

TEXT, SPEECH = Modality.TEXT, Modality.SPEECH
DIRECTIONS = {"t": (TEXT, TEXT), "s": (SPEECH, SPEECH), "t2s": (TEXT, SPEECH), "s2t": (SPEECH, TEXT)}
Figures = tuple[float, float]  # Base, Expressive

ZEROSPEECH = {
    "swuggy": LikelihoodChoice(
        "sWUGGY",
        "A spoken word against a spoken non-word.",
        ZeroSpeechPairs(zerospeech.LEXICAL, zerospeech.BY_FREQUENCY),
        ("frequency",),
        "lexical/{split}.txt",
        (0.690, 0.650),
    ),
    "swuggy_text": LikelihoodChoice(
        "WUGGY, spelled",
        "A spelled word against a spelled non-word.",
        ZeroSpeechPairs(zerospeech.LEXICAL, zerospeech.BY_FREQUENCY, text="word"),
        ("frequency",),
        paper=(0.803, 0.758),
    ),
    "sblimp": LikelihoodChoice(
        "sBLIMP",
        "A grammatical spoken sentence against an ungrammatical one.",
        ZeroSpeechPairs(zerospeech.SYNTACTIC, zerospeech.BY_SUBTYPE),
        ("type", "subtype"),
        "syntactic/{split}.txt",
        (0.583, 0.542),
    ),
    "sblimp_text": LikelihoodChoice(
        "BLIMP, written",
        "A grammatical written sentence against an ungrammatical one.",
        ZeroSpeechPairs(zerospeech.SYNTACTIC, zerospeech.BY_SUBTYPE, text="transcription"),
        ("type", "subtype"),
        paper=(0.733, 0.736),
    ),
    "prosaudit": LikelihoodChoice(
        "prosAudit",
        "Speech with pauses where they belong against speech with pauses elsewhere.",
        ZeroSpeechPairs(zerospeech.PROSODY, zerospeech.BY_TYPE),
        ("type",),
        "english_{split}.txt",
    ),
}


def _stories(title: str, place: Place, figures: dict[str, Figures]) -> dict[str, LikelihoodChoice]:
    return {
        direction: LikelihoodChoice(
            f"{title}, {given.value} → {compared.value}",
            "The right ending of a story against a wrong one.",
            StoryEndings(place, given, compared),
            paper=figures[direction],
        )
        for direction, (given, compared) in DIRECTIONS.items()
    }


_STORYCLOZE = {"t": (0.794, 0.789), "s": (0.610, 0.569), "t2s": (0.595, 0.546), "s2t": (0.646, 0.588)}
_TOPIC = {"t": (0.980, 0.979), "s": (0.829, 0.754), "t2s": (0.727, 0.616), "s2t": (0.886, 0.732)}
STORYCLOZE = {
    f"storycloze_{name}": task for name, task in _stories("StoryCloze", STORIES, _STORYCLOZE).items()
}
TOPIC_STORYCLOZE = {
    f"topic_storycloze_{name}": task
    for name, task in _stories("Topic-StoryCloze", TOPIC_STORIES, _TOPIC).items()
}
SALMON = {
    f"salmon_{part}": LikelihoodChoice(
        f"SALMon, {part.replace('_', ' ')}",
        "A recording against one whose voice, emotion, room or background changes or does not fit.",
        salmon.SalmonPart(part),
    )
    for part in salmon.PARTS
}
MMLU = {
    "mmlu": LikelihoodChoice(
        "MMLU, 5 shots",
        "The letter of the right answer of four, after five answered questions.",
        mmlu.Subjects(),
        ("subject",),
        paper=(0.369, 0.333),
    )
}
BENCHMARKS: dict[str, LikelihoodChoice] = {**ZEROSPEECH, **STORYCLOZE, **TOPIC_STORYCLOZE, **SALMON, **MMLU}
BENCHMARK_GROUPS = {
    "zerospeech": tuple(ZEROSPEECH),
    "storycloze": tuple(STORYCLOZE),
    "topic_storycloze": tuple(TOPIC_STORYCLOZE),
    "salmon": tuple(SALMON),
}
