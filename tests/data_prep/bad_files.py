"""A corpus of good recordings among recordings that are bad in twenty ways, and what sets each of them
aside.
"""

import dataclasses
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from data_prep.espeak import Voice, speak
from data_prep.grammar import draw_distinct
from data_prep.speakers import ESPEAK

RATE = 16_000
# By way: the reasons that are right. Those of wrong texts depend on what the aligner makes of them.
NO_FIT = {
    "no_match",
    "too_little_sound",
    "low_alignment",
    "low_coverage",
    "high_character_rate",
    "high_word_rate",
}
WAYS = {
    "truncated_flac": {"truncated"},
    "zero_bytes": {"empty"},
    "text_named_wav": {"unreadable"},
    "nan_samples": {"not_finite"},
    "eight_channels": {"too_many_channels"},
    "called_96_khz": NO_FIT,
    "constant": {"silent"},
    "silence": {"silent"},
    "no_transcript": {"no_words"},
    "transcript_of_another": NO_FIT,
    "not_utf8": {"bad_json"},
    "emoji": {"no_spoken_words"},
    "ten_thousand_words": {"too_little_sound"},
    "no_permission": {"unreadable"},
    "dangling_link": {"missing"},
    "outside": {"outside_corpus"},
    "same_id": {"duplicate_id"},
    "zero_length": {"bad_part"},
    "words_out_of_order": {"word_times"},
    "words_past_the_end": {"words_beyond_sound"},
}


@dataclasses.dataclass
class BadFiles:
    """folder: with a manifest. good: ids that must come through. way_of: the way of each bad recording, by
    what its line of the quarantine names: the id, or the manifest's line.
    """

    folder: Path
    good: set[str]
    way_of: dict[str, str]


def make_bad_files(root: Path, good: int, each: int, seed: int) -> BadFiles:
    """Writes `good` good recordings and `each` bad ones in each way, in an order that the seed gives."""
    made = BadFiles(root / "corpus", set(), {})
    made.folder.mkdir(parents=True)
    said, endings = _say(seed), _end(seed)
    kinds = [None] * good + [way for way in WAYS for _ in range(each)]
    random.Random(seed).shuffle(kinds)
    kinds.sort(key=lambda way: way == "same_id")  # the first row of an id is the good one
    (root / "outside.wav").write_bytes(b"")
    with open(made.folder / "manifest.jsonl", "wb") as manifest:
        for number, way in enumerate(kinds):
            id = f"{number:05d}"
            if way is None:
                row = _write_good(made.folder, id, *next(said), len(made.good))
                made.good.add(id)
            else:
                wav, text, words = next(said)
                text = next(endings) if way == "transcript_of_another" else text
                row = _write_bad(made, id, way, wav, text, words)
            line = json.dumps(row, ensure_ascii=False).encode()
            manifest.write((line.replace(b"XXX", b"\xff\xfe") if way == "not_utf8" else line) + b"\n")
            if way is not None:
                named = f"manifest line {number + 1}" if way == "not_utf8" else row["id"]
                made.way_of[f"{named} again" if way == "same_id" else named] = way
    return made


def _end(seed: int) -> Iterator[str]:
    """Texts of which no recording says many words: two second clauses."""
    sentences = draw_distinct(random.Random(seed))
    while True:
        yield " ".join(next(sentences).partition(", ")[2] for _ in range(2))


def _say(seed: int) -> Iterator[tuple[np.ndarray, str, list]]:
    """Short sentences, each with its sound at 16 kHz and its words."""
    seen = set()
    for number, sentence in enumerate(draw_distinct(random.Random(seed))):
        text = " ".join(sentence.replace(",", "").split()[:7])
        if text in seen:
            continue
        seen.add(text)
        spoken = speak(text, Voice(ESPEAK.training[number % len(ESPEAK.training)], 200 + number % 40))
        wav = soxr.resample(spoken.samples.astype(np.float32) / 32768, spoken.sample_rate, RATE)
        yield wav, text, [[word, round(start, 3), round(end, 3)] for word, start, end in spoken.words]


def _write_good(folder: Path, id: str, wav: np.ndarray, text: str, words: list, number: int) -> dict:
    """A good recording: one in four is to be aligned; formats, rates, channels and parts differ."""
    row = {"id": id, "audio": f"{id}.wav", "text": text, "words": None if number % 4 == 0 else words}
    form = number % 16
    if form in (1, 2, 3):
        row["audio"] = f"{id}.{('flac', 'ogg', 'mp3')[form - 1]}"
        soundfile.write(folder / row["audio"], wav, RATE)
    elif form == 4:
        soundfile.write(folder / row["audio"], np.stack([wav, wav], axis=1), RATE)
    elif form == 5:
        soundfile.write(folder / row["audio"], soxr.resample(wav, RATE, 96_000), 96_000)
    elif form == 6:
        soundfile.write(folder / row["audio"], np.stack([0 * wav, wav, *[0 * wav] * 6], axis=1), RATE)
        row["channel"] = 1
    elif form == 7:
        soundfile.write(folder / row["audio"], np.concatenate([wav[::-1], wav, wav]), RATE)
        row |= {"offset": len(wav) / RATE, "duration": len(wav) / RATE}
    else:
        soundfile.write(folder / row["audio"], wav, RATE)
    return {**row, "text": f"{text} \N{PARTY POPPER}"} if form == 8 and row["words"] is None else row


def _write_bad(made: BadFiles, id: str, way: str, wav: np.ndarray, text: str, words: list) -> dict:
    row = {"id": id, "audio": f"{id}.wav", "text": text}
    path = made.folder / row["audio"]
    sound, rate = wav, RATE
    if way == "eight_channels":
        sound = np.stack([wav] * 8, axis=1)
    elif way == "called_96_khz":
        rate = 96_000
    elif way in ("constant", "silence"):
        sound = np.full(len(wav), 0.25 if way == "constant" else 0.0)
        rate = (16_000, 44_100)[int(id) % 2]
    elif way == "nan_samples":
        sound = np.where(np.arange(len(wav)) % 999 == 7, np.nan, wav)
    elif way == "ten_thousand_words":
        sound = wav[:RATE]
    soundfile.write(path, sound, rate, subtype="FLOAT" if way == "nan_samples" else "PCM_16")
    return _spoil(row, path, way, wav, words, made)


def _spoil(row: dict, path: Path, way: str, wav: np.ndarray, words: list, made: BadFiles) -> dict:
    """The row of a bad recording, whose file is spoiled where that is what is bad."""
    if way == "truncated_flac":
        soundfile.write(path.with_suffix(".flac"), wav, RATE)
        path.unlink()
        content = path.with_suffix(".flac").read_bytes()
        path.with_suffix(".flac").write_bytes(content[: len(content) // 2])
        return {**row, "audio": path.with_suffix(".flac").name}
    if way in ("zero_bytes", "text_named_wav"):
        path.write_bytes(b"" if way == "zero_bytes" else b"This is a text and no sound.\n" * 50)
    elif way == "no_permission":
        path.chmod(0)
    elif way == "dangling_link":
        path.unlink()
        path.symlink_to(made.folder / "nowhere.wav")
    changed = {
        "no_transcript": {"text": None},
        "not_utf8": {"text": row["text"] + " XXX"},
        "emoji": {"text": "\N{PARTY POPPER} \N{THUMBS UP SIGN}"},
        "ten_thousand_words": {"text": " ".join([row["text"]] * 1429)},
        "outside": {"audio": "../outside.wav"},
        "same_id": {"id": min(made.good)},
        "zero_length": {"offset": 0.1, "duration": 0},
        "words_out_of_order": {"words": words[::-1]},
        "words_past_the_end": {"words": [*words[:-1], [words[-1][0], 100.0, 101.0]]},
    }
    return {**row, **changed.get(way, {})}


def drop_privileges() -> None:
    """Takes root's right to read every file from this process and from what it executes."""
    import ctypes

    if os.geteuid() == 0:
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            if ctypes.CDLL(None, use_errno=True).prctl(24, capability, 0, 0, 0):  # PR_CAPBSET_DROP
                raise OSError(ctypes.get_errno(), "cannot drop a capability")
