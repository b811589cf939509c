"""Exports a tokenizer to Hugging Face's format: the text tokenizer as tokenizer.json, with the speech tokens
added at their ids.
"""

import json
import sys
from typing import Any

import tokenizers

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json, read_optional_json
from spirit_jax.core.paths import AnyPath
from spirit_jax.model_io.foreign_keys import check_tokenizer_json
from spirit_jax.tokens.sentencepiece_file import PieceType, SentencePieceFile, read
from spirit_jax.tokens.text import (
    CONFIG_NAME,
    HUGGING_FACE_NAME,
    SENTENCEPIECE_NAME,
    TextTokenizer,
    without_lengths,
)
from spirit_jax.tokens.vocabulary import Vocabulary

SPACE = "▁"
NEEDED = f"the {HUGGING_FACE_NAME} of the same model"
# texts for comparing two forms of a tokenizer: spaces, digits, and what normalisation changes
PROBES = (
    "The cat sat.",
    "two  spaces",
    " a space before, and after ",
    "a line\nand a\ttab",
    "27 and 1,024.5",
    "caf\u00e9 cafe\u0301",
    "\ufb01ne \u2460 \uff21",
    "\u65e5\u672c\u8a9e \u0939\u093f\u0928\u094d\u0926\u0940",
)


def tokenizer_files(source: AnyPath, vocabulary: Vocabulary, longest: int) -> dict[str, bytes]:
    """The contents of tokenizer.json and tokenizer_config.json, and of the SentencePiece model if the folder
    `source` has one.

    longest: the model's maximum length in tokens. A SentencePiece model that `from_sentencepiece` cannot
    express needs its tokenizer.json in `source`: UserError if there is none, or one with other tokens.
    """
    files, config = {}, {}
    if (source / SENTENCEPIECE_NAME).is_file():
        files[SENTENCEPIECE_NAME] = (source / SENTENCEPIECE_NAME).read_bytes()
        model = read(files[SENTENCEPIECE_NAME])
        values = _read_twin(source, model) if model.obstacles else from_sentencepiece(model, vocabulary)
    else:
        values = without_lengths(read_json(source / HUGGING_FACE_NAME))
        config = read_optional_json(source / CONFIG_NAME)
    names = _names(values)
    speech = [
        _added(id, token, False) for id, token in enumerate(vocabulary.added_tokens(), vocabulary.text_size)
    ]
    values["added_tokens"] = [*(values.get("added_tokens") or []), *speech]
    config |= _settings(names, values["added_tokens"], vocabulary) | {"model_max_length": longest}
    files[HUGGING_FACE_NAME] = json.dumps(values, ensure_ascii=False).encode()
    files[CONFIG_NAME] = (json.dumps(config, ensure_ascii=False, indent=2) + "\n").encode()
    return files


def _settings(names: dict[int, str], added: list[dict], vocabulary: Vocabulary) -> dict[str, Any]:
    """What tokenizer_config.json says about the tokens. names: of the text tokens, by id."""
    roles = {f"{role}_token": names[getattr(vocabulary, role)] for role in ("bos", "eos")}
    if vocabulary.unk != vocabulary.eos:  # a tokenizer without <unk> has the id of EOS
        roles["unk_token"] = names[vocabulary.unk]
    return roles | {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        # llama.cpp's converter finds the names of tokens after tokenizer.model here, and nowhere else
        "added_tokens_decoder": {
            str(token["id"]): {key: value for key, value in token.items() if key != "id"} for token in added
        },
    }


def from_sentencepiece(model: SentencePieceFile, vocabulary: Vocabulary) -> dict[str, Any]:
    """tokenizer.json of a SentencePiece model without obstacles, like Llama's."""
    pieces = [piece.text for piece in model.pieces]
    special = [
        i for i, piece in enumerate(model.pieces) if piece.type in (PieceType.CONTROL, PieceType.UNKNOWN)
    ]
    before = [{"type": "Prepend", "prepend": SPACE}] if model.add_dummy_prefix else []
    after = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if model.add_dummy_prefix else []
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(i, pieces[i], True) for i in special],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [*before, {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}],
        },
        "pre_tokenizer": None,
        "post_processor": _put_first(pieces[vocabulary.bos], vocabulary.bos),
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                *after,
            ],
        },
        "model": {
            "type": "BPE",
            "unk_token": pieces[vocabulary.unk],
            "fuse_unk": True,
            "byte_fallback": model.byte_fallback,
            "vocab": {piece: i for i, piece in enumerate(pieces)},
            "merges": _merges(model),
        },
    }


def warn_of_export(tokenizer: TextTokenizer, folder: AnyPath) -> None:
    """Prints a warning if an export of this tokenizer will need a tokenizer.json that it does not have.

    folder: where the export will look for it.
    """
    content = tokenizer.files.get(SENTENCEPIECE_NAME)
    if content is None or HUGGING_FACE_NAME in tokenizer.files or (folder / HUGGING_FACE_NAME).is_file():
        return
    if obstacles := read(content).obstacles:
        says = f"{SENTENCEPIECE_NAME} {' and '.join(obstacles)}, so an export will need {NEEDED}"
        print(f"warning: {says}; put it into {folder}", file=sys.stderr)


def _read_twin(folder: AnyPath, model: SentencePieceFile) -> dict[str, Any]:
    """The tokenizer.json in the folder of a SentencePiece model, without tokens after the model's pieces.

    UserError if there is none, or if its tokens are not the pieces. Warns if it gives other ids than the
    model.
    """
    path = folder / HUGGING_FACE_NAME
    if not path.is_file():
        rule = f"it {' and '.join(model.obstacles)}, so an export needs {NEEDED}"
        raise UserError("tokenizer", folder / SENTENCEPIECE_NAME, rule, f"put it into {folder}")
    values = without_lengths(read_json(path))
    check_tokenizer_json(values, path)
    added = values.get("added_tokens") or []
    values["added_tokens"] = [token for token in added if token["id"] < len(model.pieces)]
    names, pieces = _names(values), {id: piece.text for id, piece in enumerate(model.pieces)}
    if names != pieces:
        id = min(id for id in names.keys() | pieces.keys() if names.get(id) != pieces.get(id))
        rule = f"{SENTENCEPIECE_NAME} has {pieces.get(id)!r} there"
        fix = f"put the {HUGGING_FACE_NAME} of the same model there"
        raise UserError(f"{path} token {id}", repr(names.get(id)), rule, fix)
    _warn_of_other_ids(values, folder, model)
    return values


def _warn_of_other_ids(values: dict[str, Any], folder: AnyPath, model: SentencePieceFile) -> None:
    """Warns if a tokenizer.json gives other ids than tokenizer.model to one of the probes."""
    words = [piece.text.replace(SPACE, " ") for piece in model.pieces if piece.type == PieceType.NORMAL]
    lines = ["".join(words[first : first + 8]) for first in range(0, min(len(words), 800), 8)]
    ours, theirs = TextTokenizer.load(folder), tokenizers.Tokenizer.from_str(json.dumps(values))
    theirs.encode_special_tokens = True
    probes = [*PROBES, *lines]
    wrong = [
        text for text in probes if theirs.encode(text, add_special_tokens=False).ids != ours.encode(text)
    ]
    if wrong:
        count = f"{len(wrong)} of {len(probes)} texts, first {wrong[0]!r}"
        says = f"{HUGGING_FACE_NAME} gives other ids than {SENTENCEPIECE_NAME} to {count}"
        print(f"warning: {says}; transformers will use {HUGGING_FACE_NAME}", file=sys.stderr)


def _names(values: dict[str, Any]) -> dict[int, str]:
    """The tokens of a tokenizer.json by id."""
    entries, added = values["model"]["vocab"], values.get("added_tokens") or []
    entries = entries if isinstance(entries, dict) else {text: id for id, (text, _) in enumerate(entries)}
    return {id: text for text, id in entries.items()} | {token["id"]: token["content"] for token in added}


def _put_first(token: str, id: int) -> dict[str, Any]:
    """A post-processor that puts a token before a text or a pair of texts."""
    first = {"SpecialToken": {"id": token, "type_id": 0}}
    texts = [{"Sequence": {"id": text, "type_id": 0}} for text in "AB"]
    return {
        "type": "TemplateProcessing",
        "single": [first, texts[0]],
        "pair": [first, *texts],
        "special_tokens": {token: {"id": token, "ids": [id], "tokens": [token]}},
    }


def _merges(model: SentencePieceFile) -> list[list[str]]:
    """The merges that a SentencePiece model implies: all pairs of pieces that form a piece, by the score of
    the result.
    """
    normal = {piece.text: i for i, piece in enumerate(model.pieces) if piece.type == PieceType.NORMAL}
    ways = []
    for piece, i in normal.items():
        for cut in range(1, len(piece)):
            left, right = piece[:cut], piece[cut:]
            if left in normal and right in normal:
                ways.append((-model.pieces[i].score, i, normal[left], normal[right], left, right))
    return [[left, right] for *_, left, right in sorted(ways)]


def _added(id: int, content: str, special: bool) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": id, "content": content, **flags, "special": special}
