"""Which ids a folder's rows stand for, and whether the speech rows are there already."""

import collections
import dataclasses
import json
import re
import tempfile
from pathlib import Path

from spirit_jax.config import ModelConfig
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json
from spirit_jax.model_io import sentencepiece_file
from spirit_jax.tokens.streams import PUBLISHED_BASE, PUBLISHED_EXPRESSIVE, Streams, resized_streams
from spirit_jax.tokens.text import CONFIG_NAME, HUGGING_FACE_NAME, SENTENCEPIECE_NAME, TextTokenizer
from spirit_jax.tokens.vocabulary import Vocabulary

SPEECH_PIECE = re.compile(r"\[(Text|Speech|([A-Za-z]+)\d+)\]")  # [2]: the mark of a stream
OWN_KEY = "spirit_jax"  # in the config.json of our exports
ADDED_NAME = "added_tokens.json"  # beside a SentencePiece model: tokens that transformers added to it
MAX_SURPLUS = 256  # rows beyond the tokenizer's that count as a base model's padding


@dataclasses.dataclass(frozen=True)
class Request:
    """The streams that a model is to have, the paper's Base by default. as_is: rows stay as they are."""

    streams: Streams = PUBLISHED_BASE
    as_is: bool = False


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the rows will mean. keep: they stay as they are."""

    vocabulary: Vocabulary
    rows: int
    keep: bool
    tokenizer: TextTokenizer | None
    reason: str


@dataclasses.dataclass(frozen=True)
class Found:
    """A folder's text tokenizer, None where there is none; the speech tokens behind it in the order of their
    ids; others behind it.
    """

    tokenizer: TextTokenizer | None = None
    pieces: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def special(self) -> dict[str, int]:
        """The ids that a vocabulary needs."""
        return (
            {}
            if self.tokenizer is None
            else {"bos": self.tokenizer.bos, "eos": self.tokenizer.eos, "unk": self.tokenizer.unk}
        )


def plan(folder: Path, cfg: ModelConfig, request: Request | None = None) -> Plan:
    """Decides by the folder's tokenizer, its rows and the request; without one the paper's Base is added
    where no speech rows are.

    UserErrors where they contradict each other, or where the model can't hold the codes that were asked for.
    """
    found = read_tokenizer(folder)
    decided = _find_speech_rows(folder, cfg, found) or _leave_or_extend(cfg, found, request or Request())
    there = {stream.name: stream.size for stream in decided.vocabulary.streams}
    for stream in () if request is None or request.as_is else request.streams:
        if stream.size > (size := there.get(stream.name, 0)):
            tokenizers = f"{SENTENCEPIECE_NAME} or {HUGGING_FACE_NAME}"
            fix = "ask for what it has" if there else f"put {tokenizers} into the folder"
            rule = f"the model has {size} ({decided.reason})"
            raise UserError(f"speech {stream.name}", stream.size, rule, fix)
    return decided


def _find_speech_rows(folder: Path, cfg: ModelConfig, found: Found) -> Plan | None:
    """The plan to leave a model as it is that has speech rows already, by what our export, its tokenizer or
    its height says; or None.
    """
    tokenizer, told = found.tokenizer, _told(folder, cfg, found)
    if told is not None:
        return (
            Plan(told, cfg.rows, True, tokenizer, "the folder says what its rows are")
            if told.has_speech or tokenizer is None
            else None
        )
    if tokenizer is None:
        return None
    if found.pieces:
        return Plan(
            _from_pieces(found, cfg.rows), cfg.rows, True, tokenizer, "its tokenizer has the speech tokens"
        )
    for streams in (PUBLISHED_BASE, PUBLISHED_EXPRESSIVE):
        published = Vocabulary(tokenizer.size, streams, **found.special)
        if cfg.rows in (published.size, published.rows()):
            return Plan(published, cfg.rows, True, tokenizer, "it has the rows of a published Spirit LM")
    return None


def _leave_or_extend(cfg: ModelConfig, found: Found, request: Request) -> Plan:
    """The plan for a model without speech rows."""
    tokenizer = found.tokenizer
    if tokenizer is None:
        return Plan(Vocabulary(cfg.rows, ()), cfg.rows, True, None, "no tokenizer: rows as they are")
    if tokenizer.size > cfg.rows:
        raise UserError(
            "tokenizer",
            tokenizer.size,
            f"has more ids than the model has rows ({cfg.rows})",
            "use files that belong together",
        )
    if request.as_is:
        return Plan(
            Vocabulary(tokenizer.size, (), **found.special),
            cfg.rows,
            True,
            tokenizer,
            "rows as they are, as asked",
        )
    if found.others:
        rule = (
            f"was added behind the {tokenizer.size} pieces of "
            f"{SENTENCEPIECE_NAME}, where speech tokens belong"
        )
        raise UserError(
            "tokenizer",
            found.others[0],
            rule,
            f"leave {HUGGING_FACE_NAME} alone there, which has it, or use --vocab as-is",
        )
    if cfg.rows - tokenizer.size > MAX_SURPLUS:
        rule = f"the tokenizer has {tokenizer.size} ids, which leaves rows without a meaning"
        raise UserError("model rows", cfg.rows, rule, "use the right tokenizer, or --vocab as-is")
    vocabulary = Vocabulary(tokenizer.size, request.streams, **found.special)
    reason = f"{vocabulary.size - tokenizer.size} speech rows added after {tokenizer.size} text rows"
    return Plan(vocabulary, vocabulary.rows(), False, tokenizer, reason)


def read_tokenizer(folder: Path) -> Found:
    """Reads tokenizer.model, or tokenizer.json where there is none. A UserError for one that can't be read,
    or speech tokens out of place.
    """
    model, json_file = folder / SENTENCEPIECE_NAME, folder / HUGGING_FACE_NAME
    if model.is_file() and (_is_sentencepiece(model) or not json_file.is_file()):
        return _read_sentencepiece(folder)
    return _read_hugging_face(folder) if json_file.is_file() else Found()


def _is_sentencepiece(path: Path) -> bool:
    """Whether it can be read; Llama 3's own tokenizer.model is of another kind."""
    try:
        TextTokenizer.load(path)
    except UserError:
        return False
    return True


def _read_sentencepiece(folder: Path) -> Found:
    path = folder / SENTENCEPIECE_NAME
    if not _is_sentencepiece(path):
        fix = f"put the Hugging Face {HUGGING_FACE_NAME} of the same model beside it"
        raise UserError("tokenizer", path, "is no SentencePiece model (Llama 3's own isn't one)", fix)
    content, pieces = _without_pieces(path.read_bytes(), folder)
    tokenizer = _load({SENTENCEPIECE_NAME: content})
    behind = {}
    if not pieces:
        beside = folder / HUGGING_FACE_NAME
        more = (
            {token["content"]: token["id"] for token in read_json(beside).get("added_tokens") or []}
            if beside.is_file()
            else {}
        )
        more |= read_json(folder / ADDED_NAME) if (folder / ADDED_NAME).is_file() else {}
        behind = {name: id for name, id in more.items() if id >= tokenizer.size}
    if behind and all(SPEECH_PIECE.fullmatch(name) for name in behind):
        return Found(tokenizer, _in_place(behind, tokenizer.size))
    return Found(tokenizer, tuple(pieces), tuple(behind))


def _read_hugging_face(folder: Path) -> Found:
    path, beside = folder / HUGGING_FACE_NAME, folder / CONFIG_NAME
    values = read_json(path)
    added = sorted(values.get("added_tokens") or [], key=lambda token: token["id"])
    speech = {token["content"]: token["id"] for token in added if SPEECH_PIECE.fullmatch(token["content"])}
    values["added_tokens"] = [token for token in added if token["content"] not in speech]
    content = json.dumps(values, ensure_ascii=False).encode() if speech else path.read_bytes()
    tokenizer = _load(
        {path.name: content, **({beside.name: beside.read_bytes()} if beside.is_file() else {})}
    )
    return Found(tokenizer, _in_place(speech, tokenizer.size))


def _in_place(ids: dict[str, int], first: int) -> tuple[str, ...]:
    """Speech tokens by their ids, which must follow the text ids without a gap."""
    pieces = sorted(ids, key=lambda name: ids[name])
    wrong = [name for place, name in enumerate(pieces, first) if ids[name] != place]
    if wrong:
        rule = f"speech tokens must have the ids from {first} on without a gap; {wrong[0]} is {ids[wrong[0]]}"
        raise UserError(
            "tokenizer",
            wrong[0],
            rule,
            "take the speech tokens out of it, or convert its folder without a tokenizer",
        )
    return tuple(pieces)


def _load(files: dict[str, bytes]) -> TextTokenizer:
    with tempfile.TemporaryDirectory() as room:
        for name, content in files.items():
            (Path(room) / name).write_bytes(content)
        return TextTokenizer.load(room)


def _without_pieces(content: bytes, folder: Path) -> tuple[bytes, list[str]]:
    pieces = [piece.text for piece in sentencepiece_file.read(content).pieces]
    if "[Text]" not in pieces:
        return content, []
    first = pieces.index("[Text]")
    if not all(SPEECH_PIECE.fullmatch(piece) for piece in pieces[first:]):
        raise UserError(
            f"{folder}/{SENTENCEPIECE_NAME}",
            "[Text]",
            "is followed by other pieces than speech tokens",
            "use a Spirit LM tokenizer",
        )
    return sentencepiece_file.cut(content, first), pieces[first:]


def _from_pieces(found: Found, rows: int) -> Vocabulary:
    assert found.tokenizer is not None
    text, pieces = found.tokenizer.size, list(found.pieces)
    matches = [SPEECH_PIECE.fullmatch(piece) for piece in pieces]
    marked = collections.Counter(match[2] for match in matches if match)
    sizes = {stream.name: marked[stream.mark] for stream in PUBLISHED_EXPRESSIVE}
    vocabulary = Vocabulary(text, resized_streams(sizes), **found.special)
    if vocabulary.pieces() != pieces:
        first = next(i for i, (a, b) in enumerate(zip([*pieces, ""], [*vocabulary.pieces(), ""])) if a != b)
        rule = "the speech tokens are not in the published order: tags, then units, pitch and style"
        raise UserError(
            "tokenizer", [*pieces, "their end"][first], rule, "convert its folder without a tokenizer"
        )
    if vocabulary.size > rows:
        raise UserError(
            "model rows", rows, f"the tokenizer has {vocabulary.size} ids", "use files that belong together"
        )
    return vocabulary


def _told(folder: Path, cfg: ModelConfig, found: Found) -> Vocabulary | None:
    """What an export of ours says about itself; a Hugging Face configuration keeps keys that it
    doesn't know.
    """
    config = folder / "config.json"
    values = read_json(config).get(OWN_KEY) if config.is_file() else None
    if values is None:
        return None
    told = Vocabulary.from_dict(values["vocabulary"])
    wrong = {"rows": cfg.rows} if told.size > cfg.rows else {}
    if told.has_speech and found.tokenizer is not None and found.tokenizer.size != told.text_size:
        wrong["tokenizer ids"] = found.tokenizer.size
    for what, number in wrong.items():
        rule = f"its config.json tells of {told.text_size} text ids and {told.size} in all"
        raise UserError(f"{folder} {what}", number, rule, "use files that belong together")
    return told
