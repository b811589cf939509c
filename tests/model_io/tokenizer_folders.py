"""Folders with small text tokenizers of both kinds."""

import json
from pathlib import Path

import numpy as np

from spirit_jax.tokens.text import TextTokenizer, train_tokenizer

WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "lazy",
    "dogs",
    "naïve",
    "cafés",
    "open",
    "early",
    "on",
    "27",
    "grey",
    "Sundays",
]
BEGIN, END, TURN = "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"
SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"  # noqa: E501


def sentences(count: int = 400) -> list[str]:
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, 7)) for _ in range(count)]


def write_sentencepiece(folder: Path, size: int = 340) -> TextTokenizer:
    """As Llama 2's."""
    folder.mkdir(parents=True, exist_ok=True)
    return train_tokenizer(sentences(), size, folder / "tokenizer.model")


def write_byte_level(folder: Path, size: int = 400) -> TextTokenizer:
    """As Llama 3's: byte-level BPE, special tokens behind the pieces, BOS put before a text."""
    import tokenizers

    folder.mkdir(parents=True, exist_ok=True)
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE(ignore_merges=True))
    cut = tokenizers.pre_tokenizers.Split(tokenizers.Regex(SPLIT), "isolated")
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [cut, tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    bpe.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    )
    bpe.train_from_iterator(sentences(), trainer)
    bpe.add_special_tokens([BEGIN, END, TURN])
    bpe.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{BEGIN} $A", special_tokens=[(BEGIN, bpe.token_to_id(BEGIN))]
    )
    bpe.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"bos_token": BEGIN, "eos_token": {"content": END}, "tokenizer_class": "X"})
    )
    return TextTokenizer.load(folder)


def add_to_json(folder: Path, ids: dict[str, int]) -> None:
    """Tokens added to tokenizer.json at these ids."""
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text())
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    values["added_tokens"] += [{"id": id, "content": content, **flags} for content, id in ids.items()]
    path.write_text(json.dumps(values))
