"""Text and ids: a SentencePiece model or a Hugging Face `tokenizer.json`, left as they are; speech ids are
added in `vocabulary`.

Text is only text here: `[Hu3]`, `[Text]` or `</s>` typed by a user are encoded letter by letter, never as a
token of that name.
"""

import functools
import importlib
import io
import json
import os
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import sentencepiece

from spirit_jax.core.errors import UserError
from spirit_jax.core.files import fingerprint, read_json, write_bytes
from spirit_jax.core.paths import AnyPath, to_path
from spirit_jax.tokens.word_ids import WordIds, divides_at_spaces

SENTENCEPIECE_NAME = "tokenizer.model"
HUGGING_FACE_NAME = "tokenizer.json"
CONFIG_NAME = "tokenizer_config.json"
CHARACTER_COVERAGE = 0.99995
LONGEST_SENTENCE = 4192  # bytes; SentencePiece leaves longer ones out without a word
# what a text may hold that some tokenizers drop, each with a text that shows it
LAYOUT = {
    "line breaks": "a\nb",
    "carriage returns": "a\r\nb",
    "tabs": "a\tb",
    "runs of spaces": "a   b",
    "spaces at either end": " a ",
}
INCOMPLETE = "\ufffd"  # how a tokenizer writes a character whose last bytes are missing
SPACES = ("▁", "Ġ")  # how a vocabulary spells a piece's leading space: SentencePiece, byte-level BPE


class _Backend(Protocol):
    size: int
    bos: int
    eos: int
    unk: int
    identity: tuple[bytes, ...]

    def encode(self, text: str) -> list[int]: ...

    def encode_batch(self, texts: Sequence[str], threads: int) -> list[np.ndarray]: ...

    def decode(self, ids: list[int]) -> str: ...

    def spell(self, id: int) -> str: ...


class TextTokenizer:
    """Text to ids and back.

    size: number of ids. bos, eos, unk: ids (unk is eos where the tokenizer has none). fingerprint: short hash
    of what makes its ids.
    """

    def __init__(self, files: dict[str, bytes], backend: _Backend):
        self.files, self.fingerprint, self._backend = files, fingerprint(*backend.identity), backend
        self.size, self.bos, self.eos, self.unk = backend.size, backend.bos, backend.eos, backend.unk
        # SentencePiece (Llama 2) puts its own space before a word; byte-level BPE (Llama 3) needs it written.
        self._before_word = "" if self.encode("a a") == self.encode("a") * 2 else " "

    @classmethod
    def load(cls, path: str | AnyPath) -> "TextTokenizer":
        """Reads a `tokenizer.model` or `tokenizer.json`, or a folder with either; a UserError if there is
        none or it doesn't parse.
        """
        path = to_path(path)
        if path.is_dir():
            found = [
                path / name for name in (SENTENCEPIECE_NAME, HUGGING_FACE_NAME) if (path / name).is_file()
            ]
            path = found[0] if found else path
        if not path.is_file():
            raise UserError(
                "tokenizer",
                path,
                f"no {SENTENCEPIECE_NAME} or {HUGGING_FACE_NAME} there",
                "name the file or its folder",
            )
        if path.suffix == ".json":
            settings = path.with_name(CONFIG_NAME)
            config = {CONFIG_NAME: settings.read_bytes()} if settings.is_file() else {}
            return cls(
                {HUGGING_FACE_NAME: path.read_bytes(), **config},
                _HuggingFace(path, read_json(settings) if config else {}),
            )
        return _from_model(path.read_bytes(), path)

    def encode(self, text: str, inside: bool = False) -> list[int]:
        """Ids of a text as it is, byte for byte, without BOS and EOS.

        inside: it follows speech or another text, so its first word is spelled as inside a sentence, which is
        how training writes it there. One space before that word is the same as none.
        """
        if inside and text:
            text = text.removeprefix(" ")
            text = text if text[:1].isspace() else self._before_word + text
        return self._backend.encode(text)

    def encode_texts(self, texts: Sequence[str], threads: int | None = None) -> list[np.ndarray]:
        """For each text what `encode` gives, int32. Uses all cores, so it is fastest with many texts.

        threads: of a SentencePiece model, by default one for each core. The package tokenizers takes the
        variable TOKENIZERS_PARALLELISM of the environment.
        """
        threads = threads or len(os.sched_getaffinity(0))
        return self._backend.encode_batch(texts, threads) if texts else []

    def encode_words(self, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(int32 ids, int32 offsets [words + 1]): word w is ids[offsets[w]:offsets[w+1]], spelled as inside a
        sentence.

        The ids equal `encode(" ".join(words))` for words without inner spaces, so a text can be cut anywhere
        between words.
        """
        per_word = [
            self._backend.encode(self._before_word * (place > 0) + word) for place, word in enumerate(words)
        ]
        offsets = np.zeros(len(per_word) + 1, np.int32)
        np.cumsum([len(ids) for ids in per_word], out=offsets[1:])
        return np.fromiter((id for ids in per_word for id in ids), np.int32, int(offsets[-1])), offsets

    def find_words(self, ids: np.ndarray) -> np.ndarray:
        """Offsets int32 [W + 1], as of `encode_words`, for the ids of a whole text: a word begins where a
        piece begins with a space. For a text with single spaces they are the same.
        """
        begins = self._begins_word[ids[1:]].nonzero()[0] + 1
        return np.array([0, *begins, len(ids)] if len(ids) else [0], np.int32)

    def lost_layout(self) -> list[str]:
        """What of a text's layout does not survive encoding and decoding, by its names in `LAYOUT`."""
        return [name for name, text in LAYOUT.items() if self.decode(self.encode(text)) != text]

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """Text of ids, BOS and EOS left out; an id outside the text range is a UserError."""
        plain = [int(id) for id in ids]
        if wrong := [id for id in plain if not 0 <= id < self.size]:
            raise UserError(
                "text id", wrong[0], f"must be below {self.size}", "take tags and speech ids out first"
            )
        return self._backend.decode(plain)

    def spell(self, id: int) -> str:
        """How a text shows the piece with this id, with the space that it begins with; a byte, and an id that
        shows nothing, by the name in the tokenizer's file.
        """
        shown = self.decode([id])
        if self._begins_word[id]:
            return " " + shown.removeprefix(" ")
        return self._backend.spell(id) if not shown or INCOMPLETE in shown else shown

    @functools.cached_property
    def _begins_word(self) -> np.ndarray:
        return np.array([self._backend.spell(id).startswith(SPACES) for id in range(self.size)])

    def save(self, folder: str | AnyPath) -> None:
        """Writes its files into a folder, byte for byte, under their usual names."""
        for name, content in self.files.items():
            write_bytes(to_path(folder) / name, content)


def train_tokenizer(sentences: Iterable[str], size: int, path: str | Path) -> TextTokenizer:
    """Trains a SentencePiece BPE model of `size` pieces and writes it to `path` (a file).

    As Llama's: byte fallback, no normalisation, digits split, unk 0, BOS 1, EOS 2. The same sentences give
    the same bytes. A size that the sentences cannot fill, or too small for the 256 bytes, is a UserError.
    """
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(  # pyright: ignore[reportAttributeAccessIssue]
            sentence_iterator=(part for sentence in sentences for part in _cut(sentence)),
            model_writer=model,
            model_type="bpe",
            vocab_size=size,
            byte_fallback=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            split_digits=True,
            character_coverage=CHARACTER_COVERAGE,
            unk_id=0,
            bos_id=1,
            eos_id=2,
            pad_id=-1,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        reason = str(error).rpartition("] ")[2] or str(error)
        raise UserError(
            "tokenizer size", size, f"SentencePiece says: {reason}", "choose another size or give more text"
        ) from error
    write_bytes(path, model.getvalue())
    return _from_model(model.getvalue(), Path(path))


def _cut(text: str) -> Iterator[str]:
    """The lines of a text, and parts of one that is too long to be trained on: at spaces, or where there are
    none within a word.
    """
    for line in filter(str.strip, text.split("\n")):
        if len(line.encode()) <= LONGEST_SENTENCE:
            yield line
        else:
            yield from textwrap.wrap(
                line,
                LONGEST_SENTENCE // 4,
                expand_tabs=False,
                replace_whitespace=False,
                break_on_hyphens=False,
            )


def _from_model(content: bytes, path: AnyPath) -> TextTokenizer:
    # an export needs the tokenizer.json of some models, so it stays with the model
    twin = path.with_name(HUGGING_FACE_NAME)
    files = {SENTENCEPIECE_NAME: content} | ({twin.name: twin.read_bytes()} if twin.is_file() else {})
    try:
        return TextTokenizer(files, _SentencePiece(content))
    except RuntimeError as error:
        raise UserError(
            "tokenizer", path, "must be a SentencePiece model", "download or train it again"
        ) from error


class _SentencePiece:
    def __init__(self, content: bytes):
        self.processor, self.identity = sentencepiece.SentencePieceProcessor(), (content,)
        self.processor.LoadFromSerializedProto(content)
        self.size = self.processor.GetPieceSize()
        self.bos, self.eos, self.unk = (
            self.processor.bos_id(),
            self.processor.eos_id(),
            self.processor.unk_id(),
        )

    @functools.cached_property
    def _words(self) -> WordIds | None:
        (content,) = self.identity
        return WordIds(self.processor.Encode) if divides_at_spaces(content) else None

    def encode(self, text: str) -> list[int]:
        return self.processor.Encode(text)

    def encode_batch(self, texts: Sequence[str], threads: int) -> list[np.ndarray]:
        """By words where that gives the same, otherwise by the package."""
        words = self._words
        found = [words.encode_text(text) if words is not None else None for text in texts]
        whole = [place for place, ids in enumerate(found) if ids is None]
        rest = self.processor.EncodeAsNumpy([texts[place] for place in whole], num_threads=threads)
        for place, ids in zip(whole, rest if whole else ()):
            found[place] = ids
        return found  # pyright: ignore[reportReturnType]

    def decode(self, ids: list[int]) -> str:
        return self.processor.Decode(ids)

    def spell(self, id: int) -> str:
        return self.processor.IdToPiece(id)


def without_lengths(values: dict) -> dict:
    """The contents of a tokenizer.json without truncation and padding, which are a caller's, not the
    tokenizer's.
    """
    return {key: None if key in ("truncation", "padding") else value for key, value in values.items()}


class _HuggingFace:
    """`tokenizer.json` through the `tokenizers` package; BOS and EOS by the `tokenizer_config.json` of its
    folder, or by their usual names.
    """

    NAMES = {
        "bos": ("<s>", "<|begin_of_text|>", "<bos>"),
        "eos": ("</s>", "<|end_of_text|>", "<eos>", "<|endoftext|>"),
        "unk": ("<unk>",),
    }

    def __init__(self, path: AnyPath, config: dict):
        values = read_json(path)
        if "model" not in values:
            raise UserError(
                "tokenizer",
                path,
                "must have a key model, as the tokenizers package writes it",
                "download it again",
            )
        try:
            tokenizers = importlib.import_module("tokenizers")
        except ImportError as error:
            raise UserError(
                "tokenizer", path, "needs the package tokenizers", "pip install tokenizers"
            ) from error
        try:
            self.tokenizer = tokenizers.Tokenizer.from_buffer(path.read_bytes())
        except Exception as error:  # the package raises no narrower type
            reason = str(error).splitlines()[0]
            raise UserError("tokenizer", path, f"does not load: {reason}", "download it again") from error
        self.tokenizer.encode_special_tokens = True  # "</s>" in a text is text
        # a file may ask for both, to feed a model; here a text keeps its length
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        # ids may have gaps
        self.size = 1 + max(self.tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
        self.bos, self.eos = self._special("bos", config), self._special("eos", config)
        self.unk = self._special("unk", config, self.eos)
        # not the files' bytes: export and import write the files differently
        self.identity = (
            json.dumps(without_lengths(values), sort_keys=True).encode(),
            *(str(id).encode() for id in (self.bos, self.eos, self.unk)),
        )

    def _special(self, role: str, config: dict, fallback: int | None = None) -> int:
        named = config.get(f"{role}_token")
        named = named.get("content") if isinstance(named, dict) else named
        ids = [self.tokenizer.token_to_id(name) for name in ((named,) if named else self.NAMES[role])]
        ids = [id for id in ids if id is not None]
        if not ids and fallback is None:
            raise UserError(
                "tokenizer",
                f"{role} token",
                "was not found",
                "put tokenizer_config.json into the folder of tokenizer.json",
            )
        return ids[0] if ids else fallback  # pyright: ignore[reportReturnType]

    def encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str], threads: int) -> list[np.ndarray]:
        found = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(encoding.ids, np.int32) for encoding in found]

    def decode(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True)

    def spell(self, id: int) -> str:
        return self.tokenizer.id_to_token(id) or ""
