"""`/v1/audio/speech`: a text read aloud, as OpenAI's API has it."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import numpy as np
from starlette import requests
from starlette.responses import Response

from spirit_jax.generation.jobs import Job
from spirit_jax.generation.options import Options, Request
from spirit_jax.generation.output import Output
from spirit_jax.generation.streaming import NewSound
from spirit_jax.serving.messages.answers import Streamed, count_usage, encode_base64, write_event
from spirit_jax.serving.messages.bodies import check_prompt, read_json, require_string
from spirit_jax.serving.messages.errors import ServiceError
from spirit_jax.serving.messages.sounds import FILES, PCM, PcmWriter, write_sound
from spirit_jax.serving.routes.operations import check_model, service_of
from spirit_jax.serving.service import Service
from spirit_jax.tokens.prompt_format import Task

DEFAULT_VOICE = "default"
# options of ours that OpenAI's API does not have
EXTRA = ("temperature", "top_p", "top_k", "repetition_penalty", "max_new_tokens", "seed", "style")
KEYS = ("model", "input", "voice", "response_format", "stream_format", "speed", "instructions", *EXTRA)
Piece = tuple[bytes, Output | None]  # bytes of the sound; the output with the last ones
SAID_NOTHING = ServiceError(500, "no_speech", "the model said nothing; try another text or seed")


async def speak(request: requests.Request) -> Response:
    """Answers with a sound file, with pcm as it comes, or with events."""
    service = service_of(request)
    content, content_type = await request.body(), request.headers.get("content-type", "")
    asked, form, as_events = await service.in_pool(_read, service, content, content_type)
    job = await service.plan(asked, fill=service.lm.learned_eos)
    if form != PCM and not as_events:
        output = await service.answer(asked, job)
        return Response(await service.in_pool(_whole, output, form, long=True), media_type=FILES[form][2])
    chunks = _chunks(service, asked, job, form)
    first = await anext(chunks)  # an error before it has a status of its own
    if as_events:
        return Streamed(_events(first, chunks, len(job.ids)))
    return Streamed(_sounds(first, chunks), "audio/pcm")


def _read(service: Service, content: bytes, content_type: str) -> tuple[Request, str, bool]:
    """The request, the format, and whether events are wanted."""
    values = read_json(content, content_type)
    if unknown := values.keys() - set(KEYS):
        raise ServiceError(400, "unknown_key", f"{min(unknown)[:40]!r} is none of {', '.join(KEYS)}")
    check_model(service, require_string(values, "model"))
    form = require_string(values, "response_format", "mp3")
    stream_format = require_string(values, "stream_format", "audio")
    if form not in (PCM, *FILES):
        says = f"response_format {form[:40]!r} is none of {PCM}, {', '.join(FILES)}"
        raise ServiceError(400, "unsupported_format", says)
    if stream_format not in ("audio", "sse"):
        raise ServiceError(400, "unsupported_format", "stream_format must be audio or sse")
    if values.get("speed") not in (None, 1):
        raise ServiceError(400, "unsupported_value", "speed must be 1: this model cannot change it")
    if values.get("instructions"):
        raise ServiceError(400, "unsupported_value", "instructions are not understood by this model")
    text = require_string(values, "input")
    if not text.strip():
        raise ServiceError(400, "invalid_value", "input has no text")
    check_prompt(text, service.slots)
    extra = {name: values[name] for name in EXTRA if name in values}
    options = Options.from_mapping({"task": Task.SPEAK.value, "speaker": _speaker(values), **extra})
    return Request([text], options), form, stream_format == "sse"


def _speaker(values: Mapping[str, Any]) -> int | None:
    """The number of the speaker that `voice` names: a number, or the default."""
    given = values.get("voice")
    named = given.get("id") if isinstance(given, dict) else given
    if named == DEFAULT_VOICE:
        return None
    if isinstance(named, str) and named.isascii() and named.isdecimal() and len(named) < 9:
        return int(named)
    says = f"voice must be {DEFAULT_VOICE!r}, or the number of a speaker (speakers of /v1/model)"
    raise ServiceError(400, "unknown_voice", says)


def _whole(output: Output, form: str) -> bytes:
    wavs = [part.wav for part in output.speech]
    if not sum(map(len, wavs)):
        raise SAID_NOTHING
    return write_sound(np.concatenate(wavs), form)


async def _chunks(service: Service, asked: Request, job: Job, form: str) -> AsyncGenerator[Piece, None]:
    """The sound in the format, the output with the last of it: pcm as it comes, a file as a whole."""
    writer, heard = PcmWriter(), False
    async with aclosing(service.stream(asked, job)) as events:
        async for event in events:
            if isinstance(event, Output):
                if not heard:
                    raise SAID_NOTHING
                rest = await service.in_pool(_whole, event, form, long=True) if form != PCM else writer.end()
                yield rest, event
            elif isinstance(event, NewSound):
                heard = True
                if form == PCM and (content := await service.in_pool(writer.write, event.wav)):
                    yield content, None


async def _sounds(first: Piece, others: AsyncGenerator[Piece, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(others):
        yield first[0]
        async for content, _ in others:
            yield content


async def _events(
    first: Piece,
    others: AsyncGenerator[Piece, None],
    prompt_tokens: int,
) -> AsyncGenerator[str, None]:
    try:
        async with aclosing(others):
            content, output = first
            while output is None:
                yield _delta(content)
                content, output = await anext(others)
        yield _delta(content)
        usage = count_usage(prompt_tokens, output)
        yield write_event({"type": "speech.audio.done", "usage": usage, "finish": output.finish.value})
    except ServiceError as error:
        yield write_event(error.body)


def _delta(content: bytes) -> str:
    return write_event({"type": "speech.audio.delta", "audio": encode_base64(content)})
