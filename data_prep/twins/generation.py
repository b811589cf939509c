"""Twins of the data sets on which generated text and speech are judged.

LibriSpeech/                      sentences of `dev-clean` and `test-clean`, and a spoken "stop"
fluent_speech_commands_dataset/   sentences whose intent is their verb, object and scene
stsp/                             first clauses whose adjective, and whose voice, is amused, angry or neutral
expresso/                         the same sentences in three styles of one voice
holistic_bias/                    first clauses, written and spoken
jigsaw/                           second clauses, toxic with an unkind adverb; toxic_words.txt lists these
"""

import itertools
from collections.abc import Sequence
from pathlib import Path

from data_prep.grammar import TOPICS
from data_prep.twins.cast import Cast
from data_prep.twins.tables import write_table
from spirit_jax.core.files import write_jsonl, write_text
from spirit_jax.core.progress import track
from spirit_jax.speech import audio

Clauses = tuple[tuple[str, ...], tuple[str, ...]]  # the words of the first clause and of the second
EMOTIONS = {"amused": "lively", "angry": "grim", "neutral": "calm"}  # manners of the cast
ADJECTIVES = {  # by emotion; an adverb follows from each (data_prep.grammar)
    "amused": ("happy", "kind", "brave"),
    "angry": ("tired", "lonely"),
    "neutral": ("old", "young", "shy"),
}
COLUMNS = ("", "path", "speakerId", "transcription", "action", "object", "location")  # of commands
STYLES = {"happy": "lively", "sad": "grim", "default": "calm"}
UNKIND = ("carelessly", "sadly")  # adverbs that follow from two of eight adjectives
LEAST_SHOWN = 40  # examples of each data set


def write_generation_twins(folder: Path, sentences: Sequence[Clauses], items: int, cast: Cast) -> None:
    """Writes the data sets: `items` things to ask about, and LEAST_SHOWN others to show."""
    asked, shown = sentences[:items], sentences[items : items + LEAST_SHOWN]
    _write_librispeech(folder / "LibriSpeech", asked, shown, cast)
    _write_commands(folder / "fluent_speech_commands_dataset", asked, shown, cast)
    _write_sentiments(folder / "stsp", asked, shown, cast)
    _write_styles(folder / "expresso", asked, shown, cast)
    _write_prompts(folder / "holistic_bias", asked, cast)
    _write_toxic(folder, sentences[items:])


def _write_librispeech(folder: Path, asked: Sequence[Clauses], shown: Sequence[Clauses], cast: Cast) -> None:
    for part, some in (("test-clean", asked), ("dev-clean", shown)):
        chapter, lines = folder / part / "1/1", []
        for number, (first, second) in enumerate(track(some, part)):
            id, words = f"1-1-{number:04d}", (*first, *second)
            audio.save(chapter / f"{id}.flac", cast.say_by_turns(number, words))
            lines.append(f"{id} {' '.join(words).upper()}\n")
        write_text(chapter / "1-1.trans.txt", "".join(lines))
    audio.save(folder / "stop.wav", cast.say_by_turns(0, ["stop"]))


def _write_commands(folder: Path, asked: Sequence[Clauses], shown: Sequence[Clauses], cast: Cast) -> None:
    scenes = {topic.scene for topic in TOPICS}
    for name, some in (("test", asked), ("train", shown)):
        rows = []
        for number, (first, second) in enumerate(track(some, f"commands {name}")):
            path = f"wavs/speakers/{name}/{number}.wav"
            audio.save(folder / path, cast.say_by_turns(number, (*first, *second)))
            scene = next((word for word in first if word in scenes), "none")
            cells = (number, path, name, " ".join((*first, *second)), *second[1:3], scene)
            rows.append(dict(zip(COLUMNS, cells)))
        write_table(folder / f"data/{name}_data.csv", rows)


def _write_sentiments(folder: Path, asked: Sequence[Clauses], shown: Sequence[Clauses], cast: Cast) -> None:
    """Prompts are first clauses; of the training split whole sentences, for classifiers to learn from."""
    for split, some in (("train", shown), ("dev", asked)):
        spoken, written = [], []
        for number, (first, second) in enumerate(track(some, f"stsp {split}")):
            emotion = _emotion_of(first)
            words = (*first, *second) if split == "train" else first
            path = f"wav/{split}_{number}.wav"
            audio.save(folder / path, cast.say(words, getattr(cast, EMOTIONS[emotion])))
            row = {"id": f"{split}_{number}", "emotion": emotion, "split": split, "speaker": "one"}
            spoken.append({**row, "wav_path": path})
            text = f"{' '.join(first)}, {' '.join(second)}" if split == "train" else f"{' '.join(first)},"
            written.append({**row, "text": text})
        write_jsonl(folder / f"records_emov_{split}.jsonl", spoken)
        write_jsonl(folder / f"records_text_{split}.jsonl", written)


def _emotion_of(words: Sequence[str]) -> str:
    return next(
        (emotion for emotion, known in ADJECTIVES.items() if not set(known).isdisjoint(words)), "neutral"
    )


def _write_styles(folder: Path, asked: Sequence[Clauses], shown: Sequence[Clauses], cast: Cast) -> None:
    texts = []
    for split, some in (("dev", asked), ("train", shown)):
        ids = []
        for number, ((first, second), style) in enumerate(
            track(list(zip(some, itertools.cycle(STYLES))), f"expresso {split}")
        ):
            id = f"ex01_{style}_{split}{number:05d}"
            path = folder / f"audio_48khz/read/ex01/{style}/base/{id}.wav"
            audio.save(path, cast.say((*first, *second), getattr(cast, STYLES[style])))
            texts.append(f"{id}\t{' '.join((*first, *second))}\n")
            ids.append(f"{id}\n")
        write_text(folder / f"splits/{split}.txt", "".join(ids))
    write_text(folder / "read_transcriptions.txt", "".join(texts))


def _write_prompts(folder: Path, asked: Sequence[Clauses], cast: Cast) -> None:
    for number, (first, _) in enumerate(track(asked, "holistic_bias")):
        audio.save(folder / f"{number}.wav", cast.say_by_turns(number, first))
        write_text(folder / f"{number}.txt", f"{' '.join(first)},\n")
    write_text(folder / "prompts.txt", "".join(f"{' '.join(first)},\n" for first, _ in asked))


def _write_toxic(folder: Path, shown: Sequence[Clauses]) -> None:
    """A list of words, and texts for a classifier to learn from."""
    rows = [
        {"id": number, "comment_text": " ".join(second), "toxic": int(not set(UNKIND).isdisjoint(second))}
        for number, (_, second) in enumerate(shown)
    ]
    write_table(folder / "jigsaw/train.csv", rows)
    write_text(folder / "toxic_words.txt", "\n".join(UNKIND) + "\n")
