"""Outputs as JSON, whole and as events."""

import base64
import contextlib
import functools
import json
from collections.abc import AsyncGenerator, Iterable
from typing import Any

import numpy as np
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from spirit_jax.generation.output import Output, SpeechPart
from spirit_jax.generation.result_files import DECIMALS, summarize_output
from spirit_jax.generation.streaming import NewSound, NewText, NewTokens
from spirit_jax.serving.messages.sounds import to_pcm, write_sound
from spirit_jax.tokens.prompt_format import PromptFormat
from spirit_jax.tokens.streams import SAMPLE_RATE
from spirit_jax.tokens.vocabulary import Vocabulary

EVENT_STREAM = "text/event-stream"


class Streamed(StreamingResponse):
    """A response as its content comes. The generator is closed with it, whatever ends it."""

    def __init__(self, content: AsyncGenerator[str | bytes, None], media_type: str = EVENT_STREAM):
        super().__init__(content, media_type=media_type, headers={"Cache-Control": "no-store"})
        self._content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with contextlib.aclosing(self._content):
            await self.stream_response(send)


def describe_answer(id: str, output: Output, with_sound: bool) -> dict[str, Any]:
    """An answer of `/v1/generate`. with_sound: speech has its sound as a wav in base64."""
    summary = summarize_output(output, ())
    parts = [_describe_part(part, with_sound) for part in output.parts]
    return {
        "id": id,
        **{key: summary[key] for key in ("finish", "text", "log_prob", "tokens")},
        "parts": parts,
    }


def describe_event(event: NewTokens | NewText | NewSound, form: PromptFormat) -> tuple[str, dict[str, Any]]:
    """The name and the data of an event of `/v1/generate`."""
    if isinstance(event, NewTokens):
        strings, kinds = zip(*spell(event.ids, form))
        log_probs = _rounded(event.log_probs)
        data = {"ids": event.ids.tolist(), "log_probs": log_probs, "strings": strings, "kinds": kinds}
        return "tokens", data
    if isinstance(event, NewText):
        return "text", {"part": event.part, "text": event.text}
    pcm = encode_base64(to_pcm(event.wav).tobytes())
    return "sound", {"part": event.part, "rate": SAMPLE_RATE, "pcm": pcm}


def spell(ids: np.ndarray, form: PromptFormat) -> Iterable[tuple[str, str]]:
    """Each id as a string, and its kind: text, tag, the name of a stream, or padding."""
    known, added = form.vocabulary, _added(form.vocabulary)
    for id in ids.tolist():
        if id < known.text_size:
            yield form.tokenizer.spell(id), "text"
        else:
            yield added[id - known.text_size] if id < known.size else ("", "padding")


def write_event(data: Any, name: str | None = None) -> str:
    """A server-sent event with JSON data."""
    head = "" if name is None else f"event: {name}\n"
    return f"{head}data: {json.dumps(data, allow_nan=False)}\n\n"


def count_usage(prompt_tokens: int, output: Output) -> dict[str, Any]:
    """What a request has cost, in OpenAI's form."""
    new = len(output.ids)
    counts = {"input_tokens": prompt_tokens, "output_tokens": new, "total_tokens": prompt_tokens + new}
    return {"type": "tokens", **counts}


def encode_base64(content: bytes) -> str:
    """Bytes as JSON holds them."""
    return base64.b64encode(content).decode()


@functools.lru_cache(maxsize=1)
def _added(vocabulary: Vocabulary) -> list[tuple[str, str]]:
    kinds = ["tag"] * 2 + [stream.name for stream in vocabulary.streams for _ in range(stream.size)]
    return list(zip(vocabulary.added_tokens(), kinds))


def _describe_part(part: Any, with_sound: bool) -> dict[str, Any]:
    tokens = {"ids": part.ids.tolist(), "log_probs": _rounded(part.log_probs)}
    if not isinstance(part, SpeechPart):
        return {"kind": "text", "text": part.text, **tokens}
    sound = {"audio": encode_base64(write_sound(part.wav, "wav"))} if with_sound else {}
    return {"kind": "speech", "string": part.tokens, **tokens, "rate": SAMPLE_RATE, **sound}


def _rounded(log_probs: np.ndarray) -> list[float]:
    return [round(float(value), DECIMALS) for value in log_probs]
