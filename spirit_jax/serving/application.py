"""The service as an ASGI application: its routes, and what every request passes on its way."""

import time
from collections.abc import Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spirit_jax.serving.guards.access import Access
from spirit_jax.serving.guards.admission import Admission
from spirit_jax.serving.messages.errors import CLOSE, ServiceError
from spirit_jax.serving.metrics import Metrics
from spirit_jax.serving.openapi import DOCUMENT
from spirit_jax.serving.routes import generation, operations, pages, speech, transcription
from spirit_jax.serving.service import Service

ROUTES = [
    Route("/v1/generate", generation.generate, methods=["POST"]),
    Route("/v1/audio/speech", speech.speak, methods=["POST"]),
    Route("/v1/audio/transcriptions", transcription.transcribe, methods=["POST"]),
    Route("/v1/model", operations.get_model),
    Route("/v1/models", operations.list_models),
    Route("/v1/models/{model:path}", operations.get_openai_model),
    Route("/healthz", operations.get_health),
    Route("/readyz", operations.get_readiness),
    Route("/metrics", operations.get_metrics),
    Route("/openapi.json", lambda _: JSONResponse(DOCUMENT)),
    Route("/", pages.get_page),
]
NAMES = frozenset(route.path for route in ROUTES)


def make_application(
    service: Service, token: str | None = None, hosts: Sequence[str] | None = None, page: Path = pages.PAGE
) -> Starlette:
    """token: asked of every request to the model. hosts: by which names alone the service is called; None for
    any. page: a folder with index.html.
    """
    files = Mount("/page", pages.PageFiles(directory=page, check_dir=False))
    application = Starlette(
        routes=[*ROUTES, files],
        middleware=[
            Middleware(Counting, metrics=service.metrics),
            Middleware(Access, token=token, hosts=hosts),
            Middleware(Admission, service=service),
        ],
        exception_handlers={
            ServiceError: _answer_refusal,
            HTTPException: _answer_http,
            Exception: _answer_bug,
        },
    )
    application.state.service, application.state.page = service, page
    return application


class Counting:
    """Counts requests by route and status, and how long they took."""

    def __init__(self, app: ASGIApp, metrics: Metrics):
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), "none"  # for a client that went away before the answer

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            route = scope["path"] if scope["path"] in NAMES else "other"
            self._metrics.requests.labels(route, status).inc()
            self._metrics.seconds.labels(route).observe(time.monotonic() - began)


def _answer_refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return error.respond()


def _answer_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
    return ServiceError(error.status_code, code, error.detail, {**(error.headers or {}), **CLOSE}).respond()


def _answer_bug(_: Request, error: Exception) -> Response:
    return ServiceError(500, "internal_error", f"a fault of the service ({type(error).__name__})").respond()
