"""`python -m data_prep COMMAND`: recordings and texts in, token shards out."""

import sys

from spirit_jax.core import commands

COMMANDS = {
    "synthesize": ("data_prep.synthesize", "a spoken demo corpus with exact word times, by espeak-ng"),
    "tokenizer": ("data_prep.tokenizer", "train a SentencePiece text tokenizer on a corpus' text"),
    "fit-codec": (
        "spirit_jax.codec_training.fit_codec",
        "train the embedded speech codec on a corpus' audio",
    ),
    "fit-units": (
        "spirit_jax.codec_training.fit_units",
        "phonetic units of your own: k-means over HuBERT features",
    ),
    "units": ("data_prep.extract_units", "speech to units; bad files are set aside"),
    "shards": ("data_prep.token_shards", "units and texts to TFDS shards"),
    "stats": ("data_prep.stats", "what a folder of shards holds"),
}


def main() -> None:
    """Entry point of `python -m data_prep`."""
    raise SystemExit(
        commands.run("python -m data_prep", "Corpus preparation for spirit_jax.", COMMANDS, sys.argv[1:])
    )


if __name__ == "__main__":
    main()
