"""`python -m spirit_jax judge-codec`: how well a recogniser understands what a codec says, without a model.

python -m spirit_jax judge-codec --codec runs/mel/codec --manifest work/aligned/manifest.jsonl \
    --asr whisper --out ears.json
"""

import argparse
import collections
import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import require_file, require_output_file, write_json
from spirit_jax.core.progress import track
from spirit_jax.datasets.corpus import ManifestRow
from spirit_jax.datasets.manifest import read_corpus
from spirit_jax.evals.judges.recognisers import load_recogniser
from spirit_jax.evals.metrics.word_errors import ENGLISH, word_error_rate
from spirit_jax.evals.recordings import load_recording
from spirit_jax.speech.audio import BadAudio
from spirit_jax.speech.codec import Codec
from spirit_jax.speech.codec_folder import load_codec
from spirit_jax.tokens import strings

SAYERS = ("recording", "resynthesis", "tokens")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument("--codec", type=Path, required=True, help="a codec's folder, with a decoder")
    parser.add_argument("--manifest", type=Path, required=True, help="recordings with their texts")
    parser.add_argument("--split", default="heldout", help="of the manifest")
    parser.add_argument("--asr", type=Path, required=True, help="folder of a Whisper model")
    parser.add_argument("--max-records", type=int, default=128, help="the first ones of the split")
    parser.add_argument("--seed", type=int, default=0, help="of the intervals")
    parser.add_argument("--out", type=Path, required=True, help="a JSON file")


def run(args: argparse.Namespace) -> int:
    """Writes and prints word error rates of the recordings, of their resynthesis with its own durations, and
    of their token strings, whose durations the decoder predicts.
    """
    require_file(args.manifest, "--manifest")
    require_output_file(args.out, "--out")
    if args.max_records < 1:
        raise UserError("--max-records", args.max_records, "must be at least 1", "128 is the default")
    codec, recogniser = load_codec(args.codec), load_recogniser(args.asr)
    if codec.decoder is None:
        raise UserError("--codec", args.codec, "has no decoder", "train one: make train-mel")
    rows = list(itertools.islice(_rows(args.manifest, args.split), args.max_records))
    kept, wavs, aside = _load(rows)
    if not kept:
        rule = f"has no recordings with texts that can be read, of {len(rows)}"
        raise UserError(f"split {args.split}", args.manifest, rule, "name another --split")
    sounds = dict(zip(SAYERS, (wavs, *_say(codec, wavs)), strict=True))
    heard = {name: recogniser.transcribe(said) for name, said in sounds.items()}
    rates = {name: _rates(kept, written, args.seed) for name, written in heard.items()}
    write_json(
        args.out,
        {
            "codec": str(args.codec),
            "asr": recogniser.about,
            "normalisation": ENGLISH.name,
            "n": len(kept),
            "set_aside": dict(aside),
            "word_error_rate": rates,
            "transcripts": [
                {"id": row["id"], "text": row["text"], **dict(zip(SAYERS, written))}
                for row, written in zip(kept, zip(*heard.values()))
            ],
        },
    )
    if aside:
        print("set aside: " + ", ".join(f"{reason} {count}" for reason, count in aside.items()))
    for name, rate in rates.items():
        voices = ", ".join(f"{voice} {value:.3f}" for voice, value in rate["by_voice"].items())
        print(f"{name}: {rate['value']:.3f} [{rate['low']:.3f}, {rate['high']:.3f}]; {voices}")
    return 0


def _rows(manifest: Path, split: str) -> Iterable[ManifestRow]:
    of_split = (row for row in read_corpus(manifest) if row["split"] == split and row["audio"])
    return (row for row in of_split if ENGLISH.apply(row["text"] or ""))


def _load(rows: list[ManifestRow]) -> tuple[list[ManifestRow], list[np.ndarray], collections.Counter[str]]:
    """The rows whose sound can be read, their sound, and counts of the reasons of the others."""
    kept, wavs, aside = [], [], collections.Counter()
    for row in rows:
        try:
            wavs.append(load_recording(row))
            kept.append(row)
        except BadAudio as error:
            aside[error.reason] += 1
    return kept, wavs, aside


def _say(codec: Codec, wavs: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What the codec makes of the recordings' codes, and of their token strings."""
    spoken, from_tokens = [], []
    for speech in track(codec.encode_batch(wavs), "resynthesize", len(wavs), "sound"):
        spoken.append(codec.decode(speech))
        from_tokens.append(codec.decode(strings.render(speech, codec.streams)))
    return spoken, from_tokens


def _rates(rows: list[ManifestRow], written: list[str], seed: int) -> dict:
    """The rate with its interval over utterances, and the rate of each voice."""
    texts = [row["text"] or "" for row in rows]
    whole = word_error_rate(texts, written, seed, ENGLISH)
    by_voice: dict[str, tuple[list[str], list[str]]] = collections.defaultdict(lambda: ([], []))
    for row, text, words in zip(rows, texts, written):
        by_voice[str(row["voice"])][0].append(text)
        by_voice[str(row["voice"])][1].append(words)
    low, high = whole.interval or (None, None)
    return {
        "value": whole.value,
        "low": low,
        "high": high,
        "by_voice": {
            voice: word_error_rate(*both, seed, ENGLISH).value for voice, both in sorted(by_voice.items())
        },
    }
