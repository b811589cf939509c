"""Exports a tokenizer to Hugging Face's format: the text tokenizer as tokenizer.json, with the speech tokens
added at their ids.
"""

import json
from typing import Any

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json, read_optional_json
from spirit_jax.core.paths import AnyPath
from spirit_jax.model_io.sentencepiece_file import PieceType, SentencePieceFile, read
from spirit_jax.tokens.text import CONFIG_NAME, HUGGING_FACE_NAME, SENTENCEPIECE_NAME
from spirit_jax.tokens.vocabulary import Vocabulary

SPACE = "▁"


def tokenizer_files(source: AnyPath, vocabulary: Vocabulary, longest: int) -> dict[str, bytes]:
    """The contents of tokenizer.json and tokenizer_config.json, and of the SentencePiece model if the folder
    `source` has one.

    longest: the model's maximum length in tokens. UserError if tokenizer.json cannot express the
    SentencePiece model.
    """
    files = {}
    if (source / SENTENCEPIECE_NAME).is_file():
        files[SENTENCEPIECE_NAME] = (source / SENTENCEPIECE_NAME).read_bytes()
        values, config = from_sentencepiece(read(files[SENTENCEPIECE_NAME]), vocabulary), {}
    else:
        values = read_json(source / HUGGING_FACE_NAME)
        config = read_optional_json(source / CONFIG_NAME)
        config.pop("added_tokens_decoder", None)
    added = values.get("added_tokens") or []
    entries = values["model"]["vocab"]
    entries = entries if isinstance(entries, dict) else {text: id for id, (text, _) in enumerate(entries)}
    names = {id: text for text, id in entries.items()} | {token["id"]: token["content"] for token in added}
    roles = {f"{role}_token": names[getattr(vocabulary, role)] for role in ("bos", "eos")}
    if vocabulary.unk != vocabulary.eos:  # a tokenizer without <unk> has the id of EOS
        roles["unk_token"] = names[vocabulary.unk]
    values["added_tokens"] = [
        *added,
        *(
            _added(id, token, False)
            for id, token in enumerate(vocabulary.added_tokens(), vocabulary.text_size)
        ),
    ]
    inputs = ["input_ids", "attention_mask"]
    config |= roles | {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": inputs,
        "model_max_length": longest,
    }
    config["clean_up_tokenization_spaces"] = False
    files[HUGGING_FACE_NAME] = json.dumps(values, ensure_ascii=False).encode()
    files[CONFIG_NAME] = (json.dumps(config, ensure_ascii=False, indent=2) + "\n").encode()
    return files


def from_sentencepiece(model: SentencePieceFile, vocabulary: Vocabulary) -> dict[str, Any]:
    """tokenizer.json of a SentencePiece BPE model. UserError for other kinds of models."""
    has_user_pieces = any(piece.type == PieceType.USER_DEFINED for piece in model.pieces)
    if has_user_pieces or not (model.is_bpe and model.plain):
        rule = (
            "only BPE models without normalisation and without user-defined pieces, "
            "like Llama's, can be exported"
        )
        raise UserError("tokenizer", SENTENCEPIECE_NAME, rule, "export from a folder with tokenizer.json")
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
