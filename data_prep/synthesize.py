"""Makes the demo corpus: sentences of `data_prep.grammar`, spoken by SVOX Pico or by espeak-ng.

    python -m data_prep synthesize --out corpus

Pico gives no word times: `data_prep align` does. The same seed gives the same bytes, in any number of
processes. No sentence is in two splits.

train           speech with text, and with word times by espeak-ng
pairs           speech with text, without word times: not to be aligned
speech          speech without text
text            text without speech
heldout         by the speakers of training
heldout_voice   by speakers that no other split has
"""

import argparse
import functools
import itertools
import multiprocessing
import os
import random
from collections.abc import Iterator
from pathlib import Path

import soundfile

from data_prep.grammar import draw_distinct
from data_prep.speakers import SPEAKERS, Speakers
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_output_folder, write_jsonl
from spirit_jax.core.progress import track
from spirit_jax.tokens.streams import SAMPLE_RATE

SPEECH_ONLY_SHARE = 1 / 7  # of the utterances, without text and word times


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("--out", type=Path, required=True, help="folder for manifest.jsonl and wav/")
    parser.add_argument(
        "--voices",
        choices=list(SPEAKERS),
        default="pico",
        help="pico sounds natural, espeak has exact word times, accents too, one of them held out",
    )
    parser.add_argument(
        "--utterances",
        type=int,
        default=3000,
        help="spoken training sentences; one in seven is written without its text",
    )
    parser.add_argument(
        "--pairs", type=int, default=0, help="further spoken training sentences, without word times"
    )
    parser.add_argument("--text-only", type=int, default=12_000, help="sentences that are not spoken")
    parser.add_argument("--heldout", type=int, default=280, help="held-out sentences by the training voices")
    parser.add_argument("--heldout-voice", type=int, default=60, help="held-out sentences by another voice")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count())


def run(args: argparse.Namespace) -> int:
    """Writes the corpus and prints its size."""
    for name, least in (
        ("utterances", 0),
        ("pairs", 0),
        ("text_only", 0),
        ("heldout", 0),
        ("heldout_voice", 0),
        ("processes", 1),
    ):
        if getattr(args, name) < least:
            raise UserError(
                f"--{name.replace('_', '-')}",
                getattr(args, name),
                f"must be at least {least}",
                f"give {least} or more",
            )
    require_output_folder(args.out, "--out")
    speakers = SPEAKERS[args.voices]
    speakers.say("hello", speakers.training[0], random.Random(0))  # a missing package is found before work
    counts = {
        "heldout": args.heldout,
        "heldout_voice": args.heldout_voice,
        **_split_utterances(args.utterances),
        "pairs": args.pairs,
        "text": args.text_only,
    }
    rows = synthesize(args.out, counts, speakers, args.seed, args.processes)
    spoken = [row for row in rows if row["audio"]]
    hours = sum(row["duration_s"] for row in spoken) / 3600
    print(
        f"{args.out}/manifest.jsonl: {len(spoken)} utterances, {hours:.2f} h, {len(rows) - len(spoken)} texts"
    )
    return 0


def synthesize(
    out: Path, counts: dict[str, int], speakers: Speakers, seed: int, processes: int
) -> list[dict]:
    """Speaks `counts[split]` sentences of each split into `out/wav`, then writes `out/manifest.jsonl`.

    Returns its rows.
    """
    planned = list(plan(counts, speakers, seed))
    spoken = [row for row in planned if row["split"] != "text"]
    (out / "wav").mkdir(parents=True, exist_ok=True)
    work = functools.partial(_speak_row, out, speakers, seed)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        made = {
            row["id"]: row
            for row in track(pool.imap(work, spoken, chunksize=16), "synthesize", len(spoken), "utt")
        }
    rows = [made.get(row["id"], row) for row in planned]
    write_jsonl(out / "manifest.jsonl", rows)
    return rows


def plan(counts: dict[str, int], speakers: Speakers, seed: int) -> Iterator[dict]:
    """The manifest's rows before they are spoken. The speakers take turns within a split."""
    sentences = draw_distinct(random.Random(seed))
    for split, count in counts.items():
        voices = speakers.heldout if split == "heldout_voice" else speakers.training
        for number, text in enumerate(itertools.islice(sentences, count)):
            voice = "" if split == "text" else voices[number % len(voices)]
            yield {
                "id": f"{split}-{number:06d}",
                "audio": None,
                "text": text,
                "words": None,
                "voice": voice,
                "source": "synthetic",
                "split": split,
            }


def _speak_row(out: Path, speakers: Speakers, seed: int, row: dict) -> dict:
    """Writes the wav file of a planned row; the row with audio, duration and any word times, without those in
    split `pairs` and without its text in split `speech`.
    """
    samples, words = speakers.say(row["text"], row["voice"], random.Random(f"{seed}/{row['id']}"))
    audio = f"wav/{row['id']}.wav"
    soundfile.write(out / audio, samples, SAMPLE_RATE)
    made = {**row, "audio": audio, "duration_s": round(len(samples) / SAMPLE_RATE, 3)}
    if row["split"] == "speech":
        return {**made, "text": None}
    return made if row["split"] == "pairs" else {**made, "words": words}


def _split_utterances(utterances: int) -> dict[str, int]:
    speech_only = round(utterances * SPEECH_ONLY_SHARE)
    return {"train": utterances - speech_only, "speech": speech_only}
