"""Which ids a folder's rows stand for, and whether the speech rows are there already."""

import dataclasses
import json
import re
import tempfile
from pathlib import Path

from spirit_jax.config import ModelConfig
from spirit_jax.errors import UserError
from spirit_jax.files import read_json
from spirit_jax.model import sentencepiece_file
from spirit_jax.tokens.text import HUGGING_FACE_NAME, SENTENCEPIECE_NAME, TextTokenizer
from spirit_jax.tokens.vocab import PITCHES, STYLES, UNITS, Vocabulary

SPEECH_PIECE = re.compile(r"\[(Text|Speech|(Hu|Pi|St)\d+)\]")
OWN_KEY = "spirit_jax"  # in the config.json of our exports
MAX_SURPLUS = 256  # rows beyond the tokenizer's that count as a base model's padding


@dataclasses.dataclass(frozen=True)
class Request:
    """The speech vocabulary that is asked for; `as_is`: none, rows stay as they are. The default is the paper's Base."""

    units: int = UNITS
    pitches: int = 0
    styles: int = 0
    as_is: bool = False


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the rows will mean. keep: they stay as they are."""

    vocabulary: Vocabulary
    rows: int
    keep: bool
    tokenizer: TextTokenizer | None
    reason: str


def plan(folder: Path, cfg: ModelConfig, request: Request) -> Plan:
    """Decides by the folder's tokenizer, its rows and the request. UserErrors where they contradict each other."""
    tokenizer, pieces = read_tokenizer(folder)
    if tokenizer is not None and tokenizer.size > cfg.rows:
        raise UserError("tokenizer", tokenizer.size, f"has more ids than the model has rows ({cfg.rows})", "use files that belong together")
    special = {} if tokenizer is None else {"bos": tokenizer.bos, "eos": tokenizer.eos, "unk": tokenizer.unk}
    told = _told(folder)
    if told is not None and (told.has_speech or request.as_is or tokenizer is None):
        return Plan(told, cfg.rows, True, tokenizer, "the folder says what its rows are")
    if pieces:
        assert tokenizer is not None
        return Plan(_from_pieces(tokenizer, pieces, cfg.rows, special), cfg.rows, True, tokenizer, "its tokenizer has the speech tokens")
    if request.as_is or tokenizer is None:
        text = cfg.rows if tokenizer is None else tokenizer.size
        reason = "rows as they are, as asked" if request.as_is else "no tokenizer: rows as they are"
        return Plan(Vocabulary(text, 0, **special), cfg.rows, True, tokenizer, reason)
    for published in (Vocabulary(tokenizer.size, UNITS, **special), Vocabulary(tokenizer.size, UNITS, PITCHES, STYLES, **special)):
        if cfg.rows in (published.size, published.rows()):
            return Plan(published, cfg.rows, True, tokenizer, "it has the rows of a published Spirit LM")
    if cfg.rows - tokenizer.size > MAX_SURPLUS:
        rule = f"the tokenizer has {tokenizer.size} ids, which leaves rows without a meaning"
        raise UserError("model rows", cfg.rows, rule, "use the right tokenizer, or --vocab as-is")
    vocabulary = Vocabulary(tokenizer.size, request.units, request.pitches, request.styles, **special)
    return Plan(
        vocabulary, vocabulary.rows(), False, tokenizer, f"{vocabulary.size - tokenizer.size} speech rows added after {tokenizer.size} text rows"
    )


def read_tokenizer(folder: Path) -> tuple[TextTokenizer | None, list[str]]:
    """A folder's text tokenizer, speech tokens taken out, and those in the order of their ids; (None, []) where there is none."""
    if (folder / SENTENCEPIECE_NAME).is_file():
        content, pieces = _without_pieces((folder / SENTENCEPIECE_NAME).read_bytes(), folder)
        return _load({SENTENCEPIECE_NAME: content}), pieces
    if (folder / HUGGING_FACE_NAME).is_file():
        values = read_json(folder / HUGGING_FACE_NAME)
        added = sorted(values.get("added_tokens") or [], key=lambda token: token["id"])
        pieces = [token["content"] for token in added if SPEECH_PIECE.fullmatch(token["content"])]
        values["added_tokens"] = [token for token in added if not SPEECH_PIECE.fullmatch(token["content"])]
        content = json.dumps(values, ensure_ascii=False).encode() if pieces else (folder / HUGGING_FACE_NAME).read_bytes()
        beside = folder / "tokenizer_config.json"
        files = {HUGGING_FACE_NAME: content, **({beside.name: beside.read_bytes()} if beside.is_file() else {})}
        return _load(files), pieces
    return None, []


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
        raise UserError(f"{folder}/{SENTENCEPIECE_NAME}", "[Text]", "is followed by other pieces than speech tokens", "use a Spirit LM tokenizer")
    return sentencepiece_file.cut(content, first), pieces[first:]


def _from_pieces(tokenizer: TextTokenizer, pieces: list[str], rows: int, special: dict[str, int]) -> Vocabulary:
    units, pitches, styles = (sum(piece.startswith(f"[{mark}") and piece[3].isdigit() for piece in pieces) for mark in ("Hu", "Pi", "St"))
    vocabulary = Vocabulary(tokenizer.size, units, pitches, styles, **special)
    if vocabulary.pieces() != pieces:
        first = next(i for i, (a, b) in enumerate(zip([*pieces, ""], [*vocabulary.pieces(), ""])) if a != b)
        raise UserError("speech tokens", pieces[first], "are not in the published order: tags, units, pitches, styles", "use --vocab as-is")
    if vocabulary.size > rows:
        raise UserError("model rows", rows, f"the tokenizer has {vocabulary.size} ids", "use files that belong together")
    return vocabulary


def _told(folder: Path) -> Vocabulary | None:
    """What an export of ours says about itself; a Hugging Face configuration keeps keys that it doesn't know."""
    config = folder / "config.json"
    values = read_json(config).get(OWN_KEY) if config.is_file() else None
    return None if values is None else Vocabulary.from_dict(values["vocabulary"])
