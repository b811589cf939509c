"""Data sets in miniature, written as their publishers lay them out; and a model that knows their answers."""

import csv
from pathlib import Path

import numpy as np

from spirit_jax.evals.layouts.salmon import PARTS
from spirit_jax.speech import audio
from tests.evals.fakes import PlantedModel
from tests.generation.world import NOUNS, UNITS, VERBS, Tones, sentence
from tests.speech_codes import make_speech

VOICES = ("alice", "bob", "carol")
LEXICAL = ("filename", "id", "voice", "frequency", "word", "phones", "length", "correct")
SYNTACTIC = ("filename", "id", "voice", "type", "subtype", "transcription", "correct")
PROSODY = ("filename", "id", "voice", "type", "subtype", "correct")


class Writer:
    """Writes sounds and texts, and keeps what is right."""

    def __init__(self, root: Path):
        self.root = root
        self.rng = np.random.default_rng(0)
        self.right: set = set()

    def sound(self, path: str, right: bool, units: int = 6) -> None:
        """A sound of so many different units."""
        codes = self.rng.choice(UNITS, units, replace=False)
        audio.save(self.root / path, Tones().decode(make_speech(codes)))
        self.right |= {tuple(codes.tolist())} if right else set()

    def text(self, path: str, text: str, right: bool) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text + "\n")
        self.right |= {text} if right else set()

    def table(self, path: str, columns: tuple[str, ...], rows: list[dict]) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        with open(self.root / path, "w", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(rows)


def write_lexical(writer: Writer, items: int = 8, voices: tuple[str, ...] = VOICES) -> list[dict]:
    """Words of several voices; item i has frequency 0, 3, 10, 50 or 500."""
    rows = []
    for item in range(items):
        for voice in voices:
            for correct in (1, 0):
                name = f"{voice}{item}{'xy'[correct]}"
                writer.sound(f"lexical/dev/{name}.wav", bool(correct))
                word = f"{NOUNS[item % 8]}{VERBS[item // 8] if item >= 8 else ''}{'' if correct else 'zq'}"
                writer.right |= {word} if correct else set()
                frequency = (0, 3, 10, 50, 500)[item % 5]
                row = {"filename": name, "id": item, "voice": voice, "frequency": frequency, "word": word}
                rows.append({**row, "phones": "f", "length": 3, "correct": correct})
    writer.table("lexical/dev/gold.csv", LEXICAL, rows)
    return rows


def write_syntactic(writer: Writer, items: int = 8, sounds: bool = True) -> list[dict]:
    rows = []
    for item in range(items):
        words = sentence(item * 37).split()
        texts = {1: " ".join(words), 0: " ".join(reversed(words))}
        writer.right.add(texts[1])
        for voice in VOICES[:2]:
            for correct in (0, 1):
                name = f"s{voice}{item}{correct}"
                if sounds:
                    writer.sound(f"syntactic/dev/{name}.wav", bool(correct))
                row = {"filename": name, "id": item, "voice": voice, "type": f"type{item % 2}"}
                row |= {"subtype": f"sub{item % 4}", "transcription": texts[correct], "correct": correct}
                rows.append(row)
    writer.table("syntactic/dev/gold.csv", SYNTACTIC, rows)
    return rows


def write_prosody(writer: Writer, items: int = 8) -> list[dict]:
    rows = []
    for item in range(items):
        for correct in (1, 0):
            name = f"p{item}_{correct}"
            writer.sound(f"prosaudit/english/dev/{name}.wav", bool(correct))
            kind = ("lexical", "protosyntax")[item % 2]
            row = {"filename": name, "id": item, "voice": VOICES[0], "type": kind, "subtype": kind}
            rows.append({**row, "correct": correct})
    writer.table("prosaudit/english/dev/gold.csv", PROSODY, rows)
    return rows


def write_stories(
    writer: Writer, folder: str, items: int = 8, beginnings: bool = True, sounds: bool = True
) -> None:
    for item in range(items):
        first, last = sentence(item * 53).split(", ")
        other = sentence(item * 53 + 9).split(", ")[1]
        endings = {"mutual": first, "correct": last, "incorrect": f"{other} {other}"}
        for kind, text in endings.items():
            if kind != "mutual" or beginnings:
                writer.text(f"{folder}/{item}_{kind}.txt", text, kind == "correct")
                if sounds:
                    writer.sound(f"{folder}/{item}_{kind}.wav", kind == "correct")


def write_salmon(writer: Writer, part: str, items: int = 8) -> None:
    for item in range(items):
        for side in (0, 1):
            writer.sound(f"salmon/{part}/sample_{item}_{side}.wav", side == 0)


def write_mmlu(writer: Writer, subjects: int = 2, items: int = 6) -> None:
    """The right answer to a question is the one that it names."""
    for subject in range(subjects):
        for split, count in (("dev", 5), ("test", items)):
            folder = writer.root / "mmlu" / split
            folder.mkdir(parents=True, exist_ok=True)
            with open(folder / f"the_{NOUNS[subject]}_{split}.csv", "w", newline="") as file:
                rows = csv.writer(file)
                for number in range(count):
                    letter = "ABCD"[(number + subject) % 4]
                    question = f"{sentence(37 * number + subject)}; the fox met {letter}"
                    rows.writerow([question, *NOUNS[:4], letter])


def write_all(root: Path) -> Writer:
    writer = Writer(root)
    write_lexical(writer)
    write_syntactic(writer)
    write_prosody(writer)
    for folder in ("sStoryCloze", "tStoryCloze"):
        write_stories(writer, folder)
    for part in PARTS:
        write_salmon(writer, part)
    write_mmlu(writer)
    return writer


class Knowing(PlantedModel):
    """Hears tones. By default it gives every token of a right target more than of others."""

    codec = Tones()

    def __init__(self, right: set, log_prob=None):
        super().__init__(log_prob or self.prefer)
        self.right = right

    def prefer(self, prompt, target) -> float:
        (said,) = self.format.decode(np.asarray(target))
        key = said if isinstance(said, str) else tuple(said.units.tolist())
        asked = self.tokenizer.decode(prompt[prompt < self.tokenizer.size])
        if asked.endswith("Answer:"):
            return -1.0 if f"met {key}" in asked.splitlines()[-6] else -2.0
        return -1.0 if key in self.right else -2.0
