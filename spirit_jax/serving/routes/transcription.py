"""`/v1/audio/transcriptions`: a recording written down, as OpenAI's API has it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, NamedTuple

from starlette import requests
from starlette.datastructures import FormData, UploadFile
from starlette.responses import JSONResponse, PlainTextResponse, Response

from spirit_jax.generation.inputs import Wav
from spirit_jax.generation.jobs import Job
from spirit_jax.generation.options import Options, Request
from spirit_jax.generation.output import Output
from spirit_jax.generation.streaming import NewText
from spirit_jax.serving.messages.answers import Streamed, count_usage, spell, write_event
from spirit_jax.serving.messages.bodies import Sounds
from spirit_jax.serving.messages.errors import ServiceError
from spirit_jax.serving.routes.operations import check_model, service_of
from spirit_jax.serving.service import Service
from spirit_jax.tokens.prompt_format import Task
from spirit_jax.tokens.streams import SAMPLE_RATE

FORMATS = ("json", "text", "verbose_json")
LANGUAGE = "unknown"  # of verbose_json: the model does not say it
REFUSED = {  # OpenAI's parameters that this model cannot honour, and why
    "language": "the model finds the language by itself",
    "prompt": "the model takes no text before a recording",
    "timestamp_granularities[]": "the model gives no times",
    "chunking_strategy": "a recording is transcribed as a whole",
    "known_speaker_names[]": "the model tells no speakers apart",
    "known_speaker_references[]": "the model tells no speakers apart",
}
KEYS = ("file", "model", "response_format", "temperature", "stream", "include[]", "seed")


class Asked(NamedTuple):
    """What is asked of a recording."""

    request: Request
    seconds: float
    form: str
    streams: bool
    log_probs: bool


async def transcribe(request: requests.Request) -> Response:
    """Answers with the text, or with events."""
    service = service_of(request)
    async with request.form(max_files=1, max_fields=32) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise ServiceError(400, "no_file", "file is missing: send a sound file as multipart/form-data")
        asked = await service.in_pool(_read, service, form, await file.read(), long=True)
    job = await service.plan(asked.request)
    if asked.streams:
        return Streamed(_events(service, asked, job))
    output = await service.answer(asked.request, job)
    if asked.form == "text":
        return PlainTextResponse(output.text)
    return JSONResponse(_describe(service, asked, job, output))


def _read(service: Service, form: FormData, content: bytes) -> Asked:
    fields = _fields(form)
    check_model(service, fields.get("model", ""))
    chosen, streams = fields.get("response_format", "json"), fields.get("stream", "false").lower()
    if chosen not in FORMATS:
        says = f"response_format {chosen[:40]!r} is none of {', '.join(FORMATS)}"
        raise ServiceError(400, "unsupported_format", says)
    if streams not in ("true", "false"):
        raise ServiceError(400, "invalid_value", "stream must be true or false")
    if streams == "true" and chosen != "json":
        raise ServiceError(400, "unsupported_format", "a stream has the response_format json")
    if (included := fields.get("include[]")) not in (None, "logprobs") or included and chosen != "json":
        raise ServiceError(400, "unsupported_value", "include may be logprobs, of the response_format json")
    options = Options.from_mapping(
        {
            "task": Task.TRANSCRIBE.value,
            "temperature": _number(fields, "temperature", float),
            "seed": _number(fields, "seed", int),
        }
    )
    sound = Sounds(service.limits.seconds_of_sound).read(content)
    assert isinstance(sound, Wav)
    seconds = len(sound.samples) / SAMPLE_RATE
    return Asked(Request([sound], options), seconds, chosen, streams == "true", included is not None)


def _fields(form: FormData) -> dict[str, str]:
    """The fields besides the file. ServiceError for one that is unknown, refused or there twice."""
    fields: dict[str, str] = {}
    for name, value in form.multi_items():
        if name == "file" and isinstance(value, UploadFile):
            continue
        if name in REFUSED and value:
            says = f"{name.removesuffix('[]')} cannot be used: {REFUSED[name]}"
            raise ServiceError(400, "unsupported_value", says)
        if name not in (*KEYS, *REFUSED) or not isinstance(value, str):
            raise ServiceError(400, "unknown_key", f"{name[:40]!r} is none of {', '.join(KEYS)}")
        if name in fields:
            raise ServiceError(400, "invalid_value", f"{name} is there twice")
        fields[name] = value
    return fields


def _number(fields: dict[str, str], name: str, kind: type[int] | type[float]) -> Any:
    try:
        return kind(fields[name]) if name in fields else None
    except ValueError as error:
        raise ServiceError(400, "invalid_value", f"{name} must be a number") from error


def _describe(service: Service, asked: Asked, job: Job, output: Output) -> dict[str, Any]:
    answer: dict[str, Any] = {"text": output.text}
    if asked.form == "verbose_json":
        about = {"task": Task.TRANSCRIBE.value, "language": LANGUAGE, "duration": asked.seconds}
        usage = {"type": "duration", "seconds": asked.seconds}
        return {**about, **answer, "usage": usage}
    if asked.log_probs:
        answer["logprobs"] = _log_probs(service, output)
    return {**answer, "usage": count_usage(len(job.ids), output)}


def _log_probs(service: Service, output: Output) -> list[dict[str, Any]]:
    strings = [string for string, _ in spell(output.ids, service.lm.format)]
    return [
        {"token": string, "bytes": list(string.encode()), "logprob": float(log_prob)}
        for string, log_prob in zip(strings, output.log_probs)
    ]


async def _events(service: Service, asked: Asked, job: Job) -> AsyncGenerator[str, None]:
    try:
        async with aclosing(service.stream(asked.request, job)) as events:
            async for event in events:
                if isinstance(event, NewText):
                    yield write_event({"type": "transcript.text.delta", "delta": event.text})
                elif isinstance(event, Output):
                    done = _describe(service, asked, job, event)
                    yield write_event({"type": "transcript.text.done", **done})
    except ServiceError as error:
        yield write_event(error.body)
