"""Decides which ids the rows of a foreign model stand for, and whether it needs rows for speech tokens."""

import collections
import dataclasses
import json
import re
import tempfile
from pathlib import Path

from spirit_jax.config import ModelConfig
from spirit_jax.core.errors import UserError
from spirit_jax.core.files import read_json, read_optional_json
from spirit_jax.model_io.foreign_keys import check_keys, check_tokenizer_json
from spirit_jax.tokens import sentencepiece_file
from spirit_jax.tokens.streams import PUBLISHED_BASE, PUBLISHED_EXPRESSIVE, Streams, resized_streams
from spirit_jax.tokens.text import CONFIG_NAME, HUGGING_FACE_NAME, SENTENCEPIECE_NAME, TextTokenizer
from spirit_jax.tokens.vocabulary import Vocabulary

SPEECH_TOKEN = re.compile(r"\[(Text|Speech|([A-Za-z]+)\d+)\]")  # [2]: the mark of a stream
OWN_KEY = "spirit_jax"  # in the config.json of our exports
ADDED_NAME = "added_tokens.json"  # tokens that transformers added to a SentencePiece model
MAX_SURPLUS = 256  # a base model's padding has at most so many rows after the tokenizer's


@dataclasses.dataclass(frozen=True)
class VocabularyRequest:
    """The streams that the imported model must have. as_is: keep the rows as they are."""

    streams: Streams = PUBLISHED_BASE
    as_is: bool = False


@dataclasses.dataclass(frozen=True)
class VocabularyPlan:
    """What the rows will mean. keep: no row is added or changed."""

    vocabulary: Vocabulary
    rows: int
    keep: bool
    tokenizer: TextTokenizer | None
    reason: str


@dataclasses.dataclass(frozen=True)
class AddedToken:
    """A token that was added after the pieces of a SentencePiece model. files: those that name it."""

    content: str
    id: int
    files: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class FolderTokenizer:
    """The tokenizer of a folder. tokenizer: its text part, None if there is no tokenizer.

    speech_tokens: the speech tokens after the text ids, in order of their ids. other_tokens: other tokens
    there.
    """

    tokenizer: TextTokenizer | None = None
    speech_tokens: tuple[str, ...] = ()
    other_tokens: tuple[AddedToken, ...] = ()

    @property
    def special_ids(self) -> dict[str, int]:
        """The special ids of a vocabulary, by name."""
        text = self.tokenizer
        return {} if text is None else {"bos": text.bos, "eos": text.eos, "unk": text.unk}


def plan_vocabulary(
    folder: Path, cfg: ModelConfig, request: VocabularyRequest | None = None
) -> VocabularyPlan:
    """Decides by the folder's tokenizer, the model's rows and the request.

    Without a request, a model without speech rows gets the paper's Base streams. UserError if these
    contradict each other, or if the model has fewer codes than requested.
    """
    found = read_tokenizer(folder)
    decided = _keep_speech_rows(folder, cfg, found) or _plan_text_model(
        cfg, found, request or VocabularyRequest()
    )
    sizes = {stream.name: stream.size for stream in decided.vocabulary.streams}
    for stream in () if request is None or request.as_is else request.streams:
        if stream.size > (size := sizes.get(stream.name, 0)):
            tokenizers = f"{SENTENCEPIECE_NAME} or {HUGGING_FACE_NAME}"
            fix = "ask for what it has" if sizes else f"put {tokenizers} into the folder"
            rule = f"the model has {size} ({decided.reason})"
            raise UserError(f"speech {stream.name}", stream.size, rule, fix)
    return decided


def _keep_speech_rows(folder: Path, cfg: ModelConfig, found: FolderTokenizer) -> VocabularyPlan | None:
    """The plan for a model that has speech rows. Our export's config.json, the tokenizer or the number of
    rows shows it. Else None.
    """
    tokenizer, declared = found.tokenizer, _declared_vocabulary(folder, cfg, found)
    if declared is not None:
        if tokenizer is not None and not declared.has_speech:
            return None
        return VocabularyPlan(declared, cfg.rows, True, tokenizer, "the folder says what its rows are")
    if tokenizer is None:
        return None
    if found.speech_tokens:
        vocabulary = _vocabulary_of(tokenizer, found, cfg.rows)
        return VocabularyPlan(vocabulary, cfg.rows, True, tokenizer, "its tokenizer has the speech tokens")
    for streams in (PUBLISHED_BASE, PUBLISHED_EXPRESSIVE):
        published = Vocabulary(tokenizer.size, streams, **found.special_ids)
        if cfg.rows in (published.size, published.rows()):
            reason = "it has the rows of a published Spirit LM"
            return VocabularyPlan(published, cfg.rows, True, tokenizer, reason)
    return None


def _plan_text_model(cfg: ModelConfig, found: FolderTokenizer, request: VocabularyRequest) -> VocabularyPlan:
    """The plan for a model without speech rows."""
    tokenizer = found.tokenizer
    if tokenizer is None:
        return VocabularyPlan(
            Vocabulary(cfg.rows, ()), cfg.rows, True, None, "no tokenizer: rows as they are"
        )
    if tokenizer.size > cfg.rows:
        rule = f"has more ids than the model has rows ({cfg.rows})"
        raise UserError("tokenizer", tokenizer.size, rule, "use files that belong together")
    if request.as_is:
        vocabulary = Vocabulary(tokenizer.size, (), **found.special_ids)
        return VocabularyPlan(vocabulary, cfg.rows, True, tokenizer, "rows as they are, as asked")
    if found.other_tokens:
        raise _token_in_the_way(found.other_tokens[0], tokenizer.size, cfg.rows)
    if cfg.rows - tokenizer.size > MAX_SURPLUS:
        rule = f"the tokenizer has {tokenizer.size} ids, which leaves rows without a meaning"
        raise UserError("model rows", cfg.rows, rule, "use the right tokenizer, or --vocab as-is")
    vocabulary = Vocabulary(tokenizer.size, request.streams, **found.special_ids)
    reason = f"{vocabulary.size - tokenizer.size} speech rows added after {tokenizer.size} text rows"
    return VocabularyPlan(vocabulary, vocabulary.rows(), False, tokenizer, reason)


def _token_in_the_way(token: AddedToken, pieces: int, rows: int) -> UserError:
    """The error for a token at an id of speech tokens."""
    rule = f"was added after the {pieces} pieces of {SENTENCEPIECE_NAME}, where speech tokens belong"
    if HUGGING_FACE_NAME in token.files and token.id < rows:
        fix = f"take {SENTENCEPIECE_NAME} away, since {HUGGING_FACE_NAME} has the pieces and the token"
    else:
        row = "its row is then a speech token's" if token.id < rows else f"the model has only {rows} rows"
        fix = f"take it out of {' and '.join(token.files)}; {row}"
    return UserError("tokenizer", token.content, rule, fix)


def read_tokenizer(folder: Path) -> FolderTokenizer:
    """Reads tokenizer.model, or tokenizer.json if there is none.

    UserError if it cannot be read, if a key of its files is not known, or if the ids of speech tokens do not
    follow the text ids.
    """
    check_keys(read_optional_json(folder / CONFIG_NAME), CONFIG_NAME, folder / CONFIG_NAME)
    model, json_file = folder / SENTENCEPIECE_NAME, folder / HUGGING_FACE_NAME
    if model.is_file() and (_is_sentencepiece(model) or not json_file.is_file()):
        return _read_sentencepiece(folder)
    return _read_hugging_face(folder) if json_file.is_file() else FolderTokenizer()


def _is_sentencepiece(path: Path) -> bool:
    """Whether it is a SentencePiece model. Llama 3's own tokenizer.model is another format."""
    try:
        TextTokenizer.load(path)
    except UserError:
        return False
    return True


def _read_sentencepiece(folder: Path) -> FolderTokenizer:
    path = folder / SENTENCEPIECE_NAME
    if not _is_sentencepiece(path):
        fix = f"put the Hugging Face {HUGGING_FACE_NAME} of the same model into the folder"
        raise UserError("tokenizer", path, "is no SentencePiece model (Llama 3's own file is not one)", fix)
    content, speech_tokens = _cut_speech_pieces(path.read_bytes(), folder)
    model, twin = sentencepiece_file.read(content), folder / HUGGING_FACE_NAME
    _check_prefix(model, folder)
    files = {SENTENCEPIECE_NAME: content}
    if model.obstacles and twin.is_file():  # an export needs it
        files[twin.name] = twin.read_bytes()
    tokenizer = _load(files, folder)
    if speech_tokens:
        return FolderTokenizer(tokenizer, speech_tokens)
    added = _added_tokens(folder, tokenizer.size)
    if added and all(SPEECH_TOKEN.fullmatch(token.content) for token in added):
        ids = {token.content: token.id for token in added}
        return FolderTokenizer(tokenizer, _in_order(ids, tokenizer.size))
    return FolderTokenizer(tokenizer, other_tokens=added)


def _check_prefix(model: sentencepiece_file.SentencePieceFile, folder: Path) -> None:
    """UserError if tokenizer_config.json takes away the space that the model puts before a text."""
    value = read_optional_json(folder / CONFIG_NAME).get("add_prefix_space")
    if value is not None and value != model.add_dummy_prefix:
        rule = f"{SENTENCEPIECE_NAME} says {json.dumps(model.add_dummy_prefix)}"
        fix = f"take the key out, or convert with {HUGGING_FACE_NAME} alone"
        raise UserError(f"{folder / CONFIG_NAME} add_prefix_space", json.dumps(value), rule, fix)


def _added_tokens(folder: Path, size: int) -> tuple[AddedToken, ...]:
    """The tokens after the `size` pieces of a SentencePiece model, by all files that can name them."""
    listed = read_optional_json(folder / HUGGING_FACE_NAME).get("added_tokens") or []
    decoder = read_optional_json(folder / CONFIG_NAME).get("added_tokens_decoder") or {}
    by_file = {
        HUGGING_FACE_NAME: {token["content"]: token["id"] for token in listed},
        ADDED_NAME: read_optional_json(folder / ADDED_NAME),
        CONFIG_NAME: {token["content"]: int(id) for id, token in decoder.items()},
    }
    ids = {token: id for tokens in by_file.values() for token, id in tokens.items() if id >= size}
    return tuple(
        AddedToken(token, id, tuple(name for name, tokens in by_file.items() if token in tokens))
        for token, id in ids.items()
    )


def _read_hugging_face(folder: Path) -> FolderTokenizer:
    path, config = folder / HUGGING_FACE_NAME, folder / CONFIG_NAME
    values = read_json(path)
    check_tokenizer_json(values, path)
    added = sorted(values.get("added_tokens") or [], key=lambda token: token["id"])
    speech = {token["content"]: token["id"] for token in added if SPEECH_TOKEN.fullmatch(token["content"])}
    values["added_tokens"] = [token for token in added if token["content"] not in speech]
    content = json.dumps(values, ensure_ascii=False).encode() if speech else path.read_bytes()
    files = {path.name: content} | ({config.name: config.read_bytes()} if config.is_file() else {})
    tokenizer = _load(files, folder)
    return FolderTokenizer(tokenizer, _in_order(speech, tokenizer.size))


def _in_order(ids: dict[str, int], first: int) -> tuple[str, ...]:
    """Speech tokens in order of their ids. UserError unless these follow the text ids without a gap."""
    tokens = sorted(ids, key=lambda token: ids[token])
    wrong = [token for id, token in enumerate(tokens, first) if ids[token] != id]
    if wrong:
        rule = f"speech tokens must have the ids from {first} on without a gap; {wrong[0]} is {ids[wrong[0]]}"
        fix = "take the speech tokens out of it, or convert its folder without a tokenizer"
        raise UserError("tokenizer", wrong[0], rule, fix)
    return tuple(tokens)


def _load(files: dict[str, bytes], folder: Path) -> TextTokenizer:
    """The tokenizer of these files, which stand for those of `folder`; errors name that."""
    with tempfile.TemporaryDirectory() as temporary:
        for name, content in files.items():
            (Path(temporary) / name).write_bytes(content)
        try:
            return TextTokenizer.load(temporary)
        except UserError as error:
            value = str(error.value).replace(temporary, str(folder))
            raise UserError(error.what, value, error.rule, error.fix) from error


def _cut_speech_pieces(content: bytes, folder: Path) -> tuple[bytes, tuple[str, ...]]:
    """A SentencePiece model without the speech tokens at its end, and those tokens."""
    pieces = tuple(piece.text for piece in sentencepiece_file.read(content).pieces)
    if "[Text]" not in pieces:
        return content, ()
    first = pieces.index("[Text]")
    if not all(SPEECH_TOKEN.fullmatch(piece) for piece in pieces[first:]):
        rule = "is followed by other pieces than speech tokens"
        raise UserError(f"{folder}/{SENTENCEPIECE_NAME}", "[Text]", rule, "use a Spirit LM tokenizer")
    return sentencepiece_file.cut(content, first), pieces[first:]


def _vocabulary_of(tokenizer: TextTokenizer, found: FolderTokenizer, rows: int) -> Vocabulary:
    """The vocabulary with the speech tokens that were found. UserError unless they are in our order."""
    tokens = list(found.speech_tokens)
    matches = [SPEECH_TOKEN.fullmatch(token) for token in tokens]
    counts = collections.Counter(match[2] for match in matches if match)
    sizes = {stream.name: counts[stream.mark] for stream in PUBLISHED_EXPRESSIVE}
    vocabulary = Vocabulary(tokenizer.size, resized_streams(sizes), **found.special_ids)
    expected = vocabulary.added_tokens()
    if expected != tokens:
        wrong = next(token for token, ours in zip([*tokens, "their end"], [*expected, ""]) if token != ours)
        order = ", ".join(stream.name for stream in PUBLISHED_EXPRESSIVE)
        rule = f"the speech tokens are not in the published order: tags, then {order}"
        raise UserError("tokenizer", wrong, rule, "convert its folder without a tokenizer")
    if vocabulary.size > rows:
        rule = f"the tokenizer has {vocabulary.size} ids"
        raise UserError("model rows", rows, rule, "use files that belong together")
    return vocabulary


def _declared_vocabulary(folder: Path, cfg: ModelConfig, found: FolderTokenizer) -> Vocabulary | None:
    """The vocabulary in the config.json of our export, or None. Hugging Face keeps keys that it does not
    know.
    """
    values = read_optional_json(folder / "config.json").get(OWN_KEY)
    if values is None:
        return None
    declared = Vocabulary.from_dict(values["vocabulary"])
    wrong = {"rows": cfg.rows} if declared.size > cfg.rows else {}
    if declared.has_speech and found.tokenizer is not None and found.tokenizer.size != declared.text_size:
        wrong["tokenizer ids"] = found.tokenizer.size
    for what, number in wrong.items():
        rule = f"its config.json declares {declared.text_size} text ids and {declared.size} in all"
        raise UserError(f"{folder} {what}", number, rule, "use files that belong together")
    return declared
