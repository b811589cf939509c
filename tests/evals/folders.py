"""A run folder, weights alone, and shards of held-out records, for the tests of commands that read them."""

from pathlib import Path

import numpy as np

from spirit_jax import cli
from spirit_jax.codec_training.fit_codec import fit_codec
from spirit_jax.core import commands
from spirit_jax.datasets.shards import Layout, Metadata
from spirit_jax.speech.codec_folder import save_codec
from tests.generation.world import UNITS, record, sentence, text_lm, tiny_lm, tokenizer, vocabulary
from tests.weights_folder import save_weights
from tests.written_units import write_rows


def spirit(*words) -> int:
    return commands.run("spirit", "", cli.COMMANDS, [str(word) for word in words])


def write_folders(root: Path) -> None:
    """`run`, `shards` that fit it, `foreign`: shards of another encoder, and `text`: a text-only model."""
    wavs = [np.sin(np.arange(16_000) * pitch / 2500).astype(np.float32) for pitch in (110.0, 220.0, 440.0)]
    codec = fit_codec(wavs, UNITS, expressive=False, seed=0)
    save_codec(codec, root / "codec")
    tokenizer().save(root / "tokenizer")
    save_weights(root / "run", tiny_lm().llama, tiny_lm().vocabulary, root / "tokenizer", root / "codec")
    save_weights(root / "text", text_lm().llama, text_lm().vocabulary, root / "tokenizer")
    write_held_out(root / "shards", 8, codec.fingerprint)
    write_held_out(root / "foreign", 2, "0123456789abcdef")


def write_held_out(out, count, fingerprint) -> None:
    rows = []
    for number in range(count):
        one = record(number * 37)
        times = [
            [word, float(start), float(end)]
            for word, start, end in zip(sentence(number * 37).split(), one.word_start_s, one.word_end_s)
        ]
        speech = {
            "audio": "a.wav",
            "units": one.speech.units.tolist(),
            "words": times,
            "duration_s": 1.0,
        }
        rows.append(
            {
                "id": one.id,
                "source": "test",
                "voice": one.voice,
                "split": "heldout",
                "text": sentence(number * 37),
                **speech,
            }
        )
    metadata = Metadata(Layout.ALIGNED, vocabulary(), tokenizer().fingerprint, fingerprint)
    write_rows(rows, out, tokenizer(), metadata)
