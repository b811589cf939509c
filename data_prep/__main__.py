"""`python -m data_prep COMMAND`: recordings and texts to token shards."""

import sys

from spirit_jax.core import commands

COMMANDS = {
    "synthesize": ("data_prep.synthesize", "make a demo corpus, spoken by SVOX Pico or by espeak-ng"),
    "twins": (
        "data_prep.twins.twins",
        "small data sets in the layouts of the benchmarks, from a demo corpus",
    ),
    "stories": (
        "data_prep.twins.stories",
        "StoryCloze's layouts from a demo corpus, in the voices of a split",
    ),
    "tokenizer": ("data_prep.tokenizer", "train a SentencePiece tokenizer on the training texts of a corpus"),
    "fit-codec": (
        "spirit_jax.codec_training.fit_codec",
        "fit the weight-free codec to the training audio of a corpus",
    ),
    "fit-units": (
        "spirit_jax.codec_training.fit_units",
        "a codec with phonetic units by k-means over HuBERT features",
    ),
    "align": ("data_prep.alignment.align", "give the words of transcribed recordings their times"),
    "segment": ("data_prep.segmentation.segment", "cut long recordings at silences"),
    "curate": ("data_prep.curation.curate", "keep the utterances that are good to train on"),
    "units": ("data_prep.extract_units", "recordings to units; unusable recordings are set aside"),
    "split": ("data_prep.corpus_split", "hold sentences and voices out of a corpus"),
    "shards": ("data_prep.shards.token_shards", "units and texts to TFDS shards, with a card"),
    "look": ("data_prep.look.look", "a page of some records to see and hear, with statistics of the corpus"),
    "stats": ("data_prep.shards.stats", "hours, utterances and tokens of a folder of shards"),
    "export-jsonl": (
        "spirit_jax.training.data.jsonl_export",
        "documents of shards as training draws them, as JSON lines for other trainers",
    ),
}


def main() -> None:
    """Entry point of `python -m data_prep`."""
    raise SystemExit(
        commands.run("python -m data_prep", "Corpus preparation for spirit_jax.", COMMANDS, sys.argv[1:])
    )


if __name__ == "__main__":
    main()
