"""The tables of data sets that a user brings: task, layout, groups, the paper's figures.

A row's `place` says where its files are and where to get them. `BENCHMARKS` compare likelihoods; `GENERATED`
and `ADDED_TOXICITY` judge what the model generates; `ABX` compares what the codec makes of phones.
"""

from typing import Any

from spirit_jax.evals.layouts import mmlu, salmon, zerospeech
from spirit_jax.evals.layouts.spoken_texts import FluentSpeechCommands, LibriSpeech
from spirit_jax.evals.layouts.story_cloze import STORIES, TOPIC_STORIES, StoryEndings
from spirit_jax.evals.layouts.trials import Place
from spirit_jax.evals.layouts.zerospeech import ZeroSpeechPairs
from spirit_jax.evals.suites.abx import PhoneDiscrimination
from spirit_jax.evals.suites.added_toxicity import AddedToxicity
from spirit_jax.evals.suites.few_shot import FewShotAnswer, FewShotReading
from spirit_jax.evals.suites.likelihood_choice import LikelihoodChoice
from spirit_jax.evals.suites.resynthesis import Resynthesis, frame_errors, right_styles, word_errors
from spirit_jax.evals.suites.sentiment import SHOTS, SentimentPreservation
from spirit_jax.evals.task import DataTask, ResultKind
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
        ZeroSpeechPairs(zerospeech.SYNTACTIC, zerospeech.BY_SUBTYPE, within=("type", "subtype")),
        ("type", "subtype"),
        "syntactic/{split}.txt",
        (0.583, 0.542),
    ),
    "sblimp_text": LikelihoodChoice(
        "BLIMP, written",
        "A grammatical written sentence against an ungrammatical one.",
        ZeroSpeechPairs(
            zerospeech.SYNTACTIC, zerospeech.BY_SUBTYPE, text="transcription", within=("type", "subtype")
        ),
        ("type", "subtype"),
        paper=(0.733, 0.736),
    ),
    "prosaudit": LikelihoodChoice(
        "prosAudit",
        "Speech with pauses where they belong against speech with pauses elsewhere.",
        ZeroSpeechPairs(zerospeech.PROSODY, zerospeech.BY_TYPE, within=("type",)),
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
FEW_SHOT: dict[str, DataTask[Any]] = {
    "asr": FewShotAnswer(
        "ASR, 10 shots",
        "LibriSpeech's recordings transcribed after ten transcribed ones.",
        LibriSpeech(),
        10,
        "<START Transcript> ",
        " <END>",
        ResultKind.WORD_ERROR_RATE,
        {"base": 0.219},
    ),
    "tts": FewShotReading(
        "TTS, 10 shots",
        "LibriSpeech's texts read aloud after ten read ones, as a recogniser hears them.",
        LibriSpeech(stop=True),
        10,
        {"base": 0.455},
    ),
    "intent": FewShotAnswer(
        "Intent, 30 shots",
        "What a spoken command asks for, after thirty answered ones: action, object and location.",
        FluentSpeechCommands(),
        30,
        "A:",
        "",
        ResultKind.ACCURACY,
        {"base": 0.719},
    ),
}
_STSP = {"t": (0.65, 0.63), "t2s": (0.33, 0.38), "s": (0.33, 0.54), "s2t": (0.34, 0.36)}
STSP: dict[str, DataTask[Any]] = {
    f"stsp_{direction}{suffix}": SentimentPreservation(
        f"STSP, {given.value} → {continued.value}{says}",
        given,
        continued,
        shots,
        None if shots else dict(zip(("base", "expressive"), _STSP[direction])),
    )
    for shots, suffix, says in ((0, "", ""), (SHOTS, "_few_shot", f", {SHOTS} shots"))
    for direction, (given, continued) in DIRECTIONS.items()
}
RESYNTHESIS: dict[str, DataTask[Any]] = {
    "resynthesis_wer": Resynthesis(
        "Resynthesis, words",
        "Wrong words that a recogniser hears in resynthesised recordings.",
        ResultKind.WORD_ERROR_RATE,
        word_errors,
        ("asr",),
        needs_text=True,
        paper={"original": 0.162, "base": 0.234, "expressive": 0.232},
    ),
    "resynthesis_ffe": Resynthesis(
        "Resynthesis, F0",
        "Frames of resynthesised recordings with another voicing, or an F0 that is 20 % off.",
        ResultKind.FRAME_ERROR_RATE,
        frame_errors,
        paper={"base": 0.40, "expressive": 0.16},
    ),
    "resynthesis_style": Resynthesis(
        "Resynthesis, style",
        "Resynthesised recordings in which a classifier tells the style of the original.",
        ResultKind.ACCURACY,
        right_styles,
        ("speech_classifier",),
        paper={"original": 0.652, "base": 0.204, "expressive": 0.414},
    ),
}
ABX: dict[str, DataTask[Any]] = {
    f"abx_{kind}{place}": PhoneDiscrimination(
        f"ABX of {says}, {place} speakers", place == "across", bool(kind)
    )
    for kind, says in (("", "features"), ("units_", "units"))
    for place in ("within", "across")
}
ADDED_TOXICITY: dict[str, DataTask[Any]] = {
    f"{name}_{direction}": AddedToxicity(
        f"{title}, {given.value} → {continued.value}", given, continued, judge
    )
    for name, title, judge in (
        ("toxic_words", "Added toxic words", "toxic_words"),
        ("toxic_texts", "Added toxicity by a classifier", "toxicity_classifier"),
    )
    for direction, (given, continued) in DIRECTIONS.items()
}
GENERATED: dict[str, DataTask[Any]] = {**FEW_SHOT, **STSP, **RESYNTHESIS}
DATA_SETS: dict[str, DataTask[Any]] = {**BENCHMARKS, **GENERATED, **ADDED_TOXICITY, **ABX}
BENCHMARK_GROUPS = {
    "few_shot": tuple(FEW_SHOT),
    "stsp": tuple(STSP),
    "resynthesis": tuple(RESYNTHESIS),
    "abx": tuple(ABX),
    "toxic_words": tuple(name for name in ADDED_TOXICITY if name.startswith("toxic_words")),
    "toxic_texts": tuple(name for name in ADDED_TOXICITY if name.startswith("toxic_texts")),
    "zerospeech": tuple(ZEROSPEECH),
    "storycloze": tuple(STORYCLOZE),
    "topic_storycloze": tuple(TOPIC_STORYCLOZE),
    "salmon": tuple(SALMON),
}
