"""Makes small data sets in the layouts of the benchmarks, from the held-out sentences of the demo corpus.

    python -m data_prep twins --corpus corpus/manifest.jsonl --out twins

So every benchmark of `spirit_jax eval` runs without a download. They are spoken by the corpus' own voices
(`cast`), which its model has heard. Figures on them say nothing about the published data sets. The same seed
gives the same bytes.

lexical/        a word and the same word with other vowels, by each speaker
syntactic/      a sentence and its words in another order, by two voices
prosaudit/      a pause between clauses or words, and the same pause inside a clause or a word
sStoryCloze/    a first clause; its ending, and the ending with another object
tStoryCloze/    a first clause; its ending, and the ending of a sentence about something else
salmon/         two clauses in one condition, and with a change between them (`salmon`)
mmlu/           a sentence without its object or its adverb, and four words to choose from
abx/            phones of sentences, by each speaker (`phones`)
LibriSpeech/, fluent_speech_commands_dataset/, stsp/, expresso/, holistic_bias/, jigsaw/     see `generation`
"""

import argparse
import csv
import itertools
import random
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from data_prep.twins.cast import Cast, find_cast
from data_prep.twins.generation import LEAST_SHOWN, write_generation_twins
from data_prep.twins.phones import write_phones
from data_prep.twins.salmon import PARTS, draw_pair
from data_prep.twins.stories import Sentence, change_ending, change_object, find_sentences, write_stories
from data_prep.twins.tables import write_table
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_output_folder, write_atomically, write_json
from spirit_jax.core.progress import track
from spirit_jax.datasets.manifest import read_corpus, text_of
from spirit_jax.speech import audio
from spirit_jax.tokens.streams import SAMPLE_RATE

OTHER_VOWELS = str.maketrans("aeiou", "uoaie")
PAUSE_S = 0.3
SHOTS = 5  # answered questions of each subject
SUBJECTS = {"objects": 2, "adverbs": 3}  # place of the asked word in the second clause
KNOWN_BY = "twins.json"
LEAST_ITEMS = 8  # fewer have too few different objects and adverbs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("--corpus", type=Path, required=True, help="manifest of a corpus of `synthesize`")
    parser.add_argument("--out", type=Path, required=True, help="folder for the data sets")
    parser.add_argument("--items", type=int, default=40, help="items of each data set")
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> int:
    """Writes all data sets, or none."""
    if args.items < LEAST_ITEMS:
        fix = f"give {LEAST_ITEMS} or more"
        raise UserError("--items", args.items, f"must be at least {LEAST_ITEMS}", fix)
    require_output_folder(args.out, "--out", KNOWN_BY)
    rows = read_corpus(args.corpus)
    sentences = find_sentences(rows, "heldout")
    if len(sentences) < args.items + LEAST_SHOWN:
        rule = (
            f"has {len(sentences)} held-out sentences of two clauses, {args.items + LEAST_SHOWN} are needed"
        )
        raise UserError("--corpus", args.corpus, rule, "make it with data_prep synthesize, or lower --items")
    cast = find_cast(sentence.voice for sentence in sentences)
    cast.speak_timed("hello", cast.one)  # a missing package is found before work
    counts = Counter(word for row in rows if row["split"] == "train" for word in _words(text_of(row)))
    with write_atomically(args.out) as folder:
        write_all(folder, sentences, counts, cast, args.items, args.seed)
        write_json(folder / KNOWN_BY, {"items": args.items, "seed": args.seed})
    print(f"{args.out}: {args.items} items of each data set")
    return 0


def write_all(
    folder: Path, sentences: list[Sentence], counts: Counter, cast: Cast, items: int, seed: int
) -> None:
    """Writes every data set from the first `items` sentences. counts: of words, in the training texts."""
    rng = random.Random(seed)
    _write_lexical(folder / "lexical/dev", sentences, counts, items, cast)
    _write_syntactic(folder / "syntactic/dev", sentences[:items], rng, cast)
    _write_prosody(folder / "prosaudit/english/dev", sentences, items, cast)
    write_stories(folder / "sStoryCloze", sentences, items, change_object, cast.say_by_turns)
    write_stories(folder / "tStoryCloze", sentences, items, change_ending, cast.say_by_turns)
    for part in PARTS:
        for number, sentence in enumerate(track(sentences[:items], part)):
            for side, wav in enumerate(draw_pair(part, sentence.first, sentence.second, number, cast)):
                audio.save(folder / "salmon" / part / f"sample_{number}_{side}.wav", wav)
    for subject, place in SUBJECTS.items():
        _write_questions(folder / "mmlu", subject, place, sentences[: items + SHOTS], rng)
    write_phones(folder / "abx", [sentence.words for sentence in sentences[:items]], cast)
    clauses = [(sentence.first, sentence.second) for sentence in sentences]
    write_generation_twins(folder, clauses, items, cast)


def _words(text: str) -> list[str]:
    return text.replace(",", "").split()


def _write_lexical(folder: Path, sentences: list[Sentence], counts: Counter, items: int, cast: Cast) -> None:
    known = sorted({word for sentence in sentences for word in sentence.words if len(word) > 3})
    pairs = [(word, other) for word in known if (other := word.translate(OTHER_VOWELS)) not in counts]
    rows = []
    for item, pair in enumerate(track(pairs[:items], "lexical")):
        for voice, (correct, word) in itertools.product(cast.speakers, zip((1, 0), pair)):
            name = f"{item}_{voice}_{correct}"
            audio.save(folder / f"{name}.wav", cast.say([word], cast.speakers[voice]))
            row = {"filename": name, "id": item, "voice": voice, "frequency": counts[pair[0]], "word": word}
            rows.append({**row, "phones": "", "length": len(word), "correct": correct})
    write_table(folder / "gold.csv", rows)


def _write_syntactic(folder: Path, sentences: list[Sentence], rng: random.Random, cast: Cast) -> None:
    rows = []
    for item, sentence in enumerate(track(sentences, "syntactic")):
        kind = ("shuffled", "swapped")[item % 2]
        texts = {1: sentence.words, 0: _reorder(sentence.words, kind, rng)}
        for voice, correct in itertools.product(list(cast.speakers)[:2], texts):
            name = f"{item}_{voice}_{correct}"
            audio.save(folder / f"{name}.wav", cast.say(texts[correct], cast.speakers[voice]))
            row = {"filename": name, "id": item, "voice": voice, "type": "order", "subtype": kind}
            rows.append({**row, "transcription": " ".join(texts[correct]), "correct": correct})
    write_table(folder / "gold.csv", rows)


def _reorder(words: tuple[str, ...], kind: str, rng: random.Random) -> tuple[str, ...]:
    """The words shuffled, or the two in the middle swapped."""
    order, middle = list(words), len(words) // 2
    if kind == "swapped":
        order[middle], order[middle + 1] = order[middle + 1], order[middle]
    else:
        rng.shuffle(order)
    return tuple(order) if tuple(order) != words else words[::-1]


def _write_prosody(folder: Path, sentences: list[Sentence], items: int, cast: Cast) -> None:
    """Of the first sentences whose word times are found."""
    rows = []
    timed = (
        (sentence, name, spoken)
        for sentence, (name, voice) in zip(sentences, itertools.cycle(cast.speakers.items()))
        if (spoken := cast.speak_timed(" ".join(sentence.words), voice))
    )
    some = itertools.islice(timed, items)
    for item, (sentence, voice, spoken) in enumerate(track(some, "prosaudit", items)):
        wav, clause = spoken.wav, spoken.words[len(sentence.first)][1]
        _, start, end = spoken.words[2]
        kind = ("protosyntax", "lexical")[item % 2]
        at_s = {1: clause, 0: start} if kind == "protosyntax" else {1: start, 0: (start + end) / 2}
        for correct, time_s in at_s.items():
            name, place = f"{item}_{correct}", round(time_s * SAMPLE_RATE)
            silence = np.zeros(round(PAUSE_S * SAMPLE_RATE), np.float32)
            audio.save(folder / f"{name}.wav", np.concatenate([wav[:place], silence, wav[place:]]))
            row = {"filename": name, "id": item, "voice": voice, "type": kind, "subtype": kind}
            rows.append({**row, "correct": correct})
    if (made := len(rows) // 2) < items:
        says = "the word times of other sentences are not found"
        print(f"warning: prosaudit has {made} of {items} items: {says}", file=sys.stderr)
    write_table(folder / "gold.csv", rows)


def _write_questions(
    folder: Path, subject: str, place: int, sentences: list[Sentence], rng: random.Random
) -> None:
    """The first five sentences are examples."""
    known = sorted({sentence.second[place] for sentence in sentences})
    rows = []
    for sentence in sentences:
        answer = sentence.second[place]
        choices = [answer, *rng.sample([word for word in known if word != answer], 3)]
        rng.shuffle(choices)
        question = " ".join((*sentence.first, *sentence.second[:place], "what?"))
        rows.append([question, *choices, "ABCD"[choices.index(answer)]])
    for split, some in (("dev", rows[:SHOTS]), ("test", rows[SHOTS:])):
        path = folder / split / f"{subject}_{split}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(some)
