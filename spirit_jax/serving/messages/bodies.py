"""Bodies of requests: JSON and sound as they arrive, checked before anything is computed."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from spirit_jax.core.errors import UserError
from spirit_jax.generation.inputs import Sound, read_prompt
from spirit_jax.generation.options import READERS, Options, Request
from spirit_jax.serving.messages.errors import ServiceError
from spirit_jax.serving.messages.sounds import read_sound
from spirit_jax.tokens.streams import SAMPLE_RATE

JSON_TYPE = "application/json"
MOST_PARTS = 256  # of a prompt (our choice)
LETTERS_A_TOKEN = 128  # the longest piece of the known tokenizers: 128 spaces, in Llama 3's


def read_json(content: bytes, content_type: str) -> dict[str, Any]:
    """The object in a body. ServiceError for other content, for a key twice, and for numbers that JSON has
    not.
    """
    if content_type.partition(";")[0].strip().lower() != JSON_TYPE:
        raise ServiceError(415, "content_type", f"the body must be {JSON_TYPE}, not {content_type[:80]!r}")
    try:
        value = json.loads(content, object_pairs_hook=_unique, parse_constant=_no_constant)
    except UserError as error:
        raise ServiceError.of(error) from error
    except (ValueError, RecursionError) as error:
        raise ServiceError(400, "bad_json", f"the body is not JSON: {str(error)[:200]}") from error
    if not isinstance(value, dict):
        raise ServiceError(400, "bad_json", "the body must be a JSON object")
    return value


def require_string(values: Mapping[str, Any], name: str, default: str | None = None) -> str:
    """The string under a key; the default where it is missing or null. ServiceError for another value."""
    given = values.get(name)
    if (given := default if given is None else given) is None:
        raise ServiceError(400, "missing_key", f"{name} is missing")
    if not isinstance(given, str):
        raise ServiceError(400, "invalid_value", f"{name} must be a string")
    return given


def require_flag(values: Mapping[str, Any], name: str) -> bool:
    """The truth value under a key; false where it is missing or null. ServiceError for another value."""
    given = values.get(name)
    if given is not None and not isinstance(given, bool):
        raise ServiceError(400, "invalid_value", f"{name} must be true or false")
    return bool(given)


class Sounds:
    """Reads the sounds of a request, which are limited together."""

    def __init__(self, longest_s: float):
        self._longest_s, self._left_s, self._count = longest_s, longest_s, 0

    def read(self, content: bytes) -> Sound:
        """The next sound. BadSound where it cannot be used or where the limit is passed."""
        self._count += 1
        what = f"sound {self._count}"
        wav = read_sound(content, self._left_s, what)
        self._left_s -= len(wav.samples) / SAMPLE_RATE
        return wav

    def read_base64(self, text: str) -> Sound:
        """The same for a sound as JSON holds it."""
        try:
            content = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            rule = f"is not base64 ({error})"
            raise UserError("audio", repr(text[:40]), rule, "encode the bytes of the sound file") from error
        return self.read(content)


def read_request(values: Mapping[str, Any], sounds: Sounds, slots: int) -> Request:
    """A request of `/v1/generate`: `prompt`, and options by their names. slots: tokens that fit into a row.

    UserError for what is wrong with it.
    """
    if unknown := values.keys() - {"prompt", *READERS}:
        rule = f"is none of prompt, stream, {', '.join(READERS)}"
        raise UserError("key", repr(min(unknown)[:40]), rule, "correct or drop it")
    options = Options.from_mapping({name: values[name] for name in READERS if name in values})
    prompt = values.get("prompt")
    check_prompt(prompt, slots)
    return Request(read_prompt(prompt, sounds.read_base64), options)


def check_prompt(prompt: Any, slots: int) -> None:
    """ServiceError for a prompt that cannot fit into a row, before it is read; UserError for texts that are
    no Unicode.
    """
    parts = prompt if isinstance(prompt, list) else [{"text": prompt}]
    if len(parts) > MOST_PARTS:
        raise ServiceError(413, "prompt_too_long", f"the prompt has {len(parts)} parts, at most {MOST_PARTS}")
    texts = [
        text
        for part in parts
        if isinstance(part, dict)
        for kind, text in part.items()
        if kind != "audio" and isinstance(text, str)
    ]
    if (letters := sum(map(len, texts))) > (most := slots * LETTERS_A_TOKEN):
        says = f"the prompt has {letters:,} letters; {slots:,} tokens have at most {most:,}"
        raise ServiceError(413, "prompt_too_long", says)
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UserError("text", ascii(text[:40]), "is not Unicode", "drop lone surrogates") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise UserError("key", repr(twice[:40]), "is there twice", "give it once")
    return values


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
