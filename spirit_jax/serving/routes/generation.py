"""`/v1/generate`: prompts and answers of text and speech in any order."""

import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette import requests
from starlette.responses import JSONResponse, Response

from spirit_jax.generation.jobs import Job
from spirit_jax.generation.options import Request
from spirit_jax.generation.output import Output
from spirit_jax.serving.messages.answers import (
    Streamed,
    describe_answer,
    describe_event,
    write_event,
)
from spirit_jax.serving.messages.bodies import Sounds, read_json, read_request, require_flag
from spirit_jax.serving.messages.errors import ServiceError
from spirit_jax.serving.routes.operations import service_of
from spirit_jax.serving.service import Service

LONG_BODY = 1 << 16  # bytes: it has a sound, or a very long text


async def generate(request: requests.Request) -> Response:
    """Answers a prompt, whole or as server-sent events."""
    service, id = service_of(request), f"gen-{uuid.uuid4().hex}"
    content, content_type = await request.body(), request.headers.get("content-type", "")
    long = len(content) > LONG_BODY
    asked, streams = await service.in_pool(_read, service, content, content_type, long=long)
    job = await service.plan(asked)
    if streams:
        return Streamed(_send(service, id, asked, job))
    output = await service.answer(asked, job)
    return JSONResponse(await service.in_pool(describe_answer, id, output, True, long=True))


def _read(service: Service, content: bytes, content_type: str) -> tuple[Request, bool]:
    values = read_json(content, content_type)
    streams = require_flag(values, "stream")
    values.pop("stream", None)
    return read_request(values, Sounds(service.limits.seconds_of_sound), service.slots), streams


async def _send(service: Service, id: str, asked: Request, job: Job) -> AsyncGenerator[str, None]:
    try:
        async with aclosing(service.stream(asked, job)) as events:
            async for event in events:
                if isinstance(event, Output):
                    yield write_event(await service.in_pool(describe_answer, id, event, False), "done")
                else:
                    name, data = await service.in_pool(describe_event, event, service.lm.format)
                    yield write_event(data, name)
    except ServiceError as error:
        yield write_event(error.body, "error")
