"""Folders with small text tokenizers."""

import json
from pathlib import Path

import numpy as np
import sentencepiece

from spirit_jax.model_io.hf_tokenizer import from_sentencepiece
from spirit_jax.tokens import sentencepiece_file
from spirit_jax.tokens.text import TextTokenizer, train_tokenizer
from tests.speech_codes import make_vocabulary

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


def write_open_llama(folder: Path) -> TextTokenizer:
    """With SentencePiece's own defaults (NFKC, extra spaces removed), as OpenLLaMA's."""
    return train_by_default(folder, model_type="bpe", vocab_size=300, byte_fallback=True)


def write_unigram(folder: Path) -> TextTokenizer:
    """A unigram model that leaves text as it is."""
    plain = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}
    return train_by_default(folder, model_type="unigram", vocab_size=60, hard_vocab_limit=False, **plain)


def train_by_default(folder: Path, **settings) -> TextTokenizer:
    folder.mkdir(parents=True, exist_ok=True)
    ids = {"unk_id": 0, "bos_id": 1, "eos_id": 2, "pad_id": -1, "minloglevel": 2}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences()), model_prefix=str(folder / "tokenizer"), **ids, **settings
    )
    (folder / "tokenizer.vocab").unlink()
    return TextTokenizer.load(folder)


def write_twin(folder: Path, out: Path) -> None:
    """The tokenizer.json of a folder's SentencePiece model, as its owners would publish it."""
    model = sentencepiece_file.read((folder / "tokenizer.model").read_bytes())
    values = from_sentencepiece(model, make_vocabulary(len(model.pieces), 1))
    if "is a model of type unigram" in model.obstacles:
        pieces = [[piece.text, piece.score] for piece in model.pieces]
        values["model"] = {"type": "Unigram", "unk_id": 0, "byte_fallback": False, "vocab": pieces}
    (out / "tokenizer.json").write_text(json.dumps(values))


def add_to_json(folder: Path, ids: dict[str, int]) -> None:
    """Tokens added to tokenizer.json at these ids."""
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text())
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    values["added_tokens"] += [{"id": id, "content": content, **flags} for content, id in ids.items()]
    path.write_text(json.dumps(values))
