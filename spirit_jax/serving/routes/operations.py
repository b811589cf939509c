"""What operators and clients ask about the service: whether it works, what it counts, which model it has."""

import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from spirit_jax.serving.messages.errors import ServiceError
from spirit_jax.serving.metrics import CONTENT_TYPE
from spirit_jax.serving.service import Service, State

STARTED = int(time.time())


def service_of(request: Request) -> Service:
    """The service that answers a request."""
    return request.app.state.service


async def get_health(request: Request) -> Response:
    """200 as long as the process can work at all."""
    state = service_of(request).state
    return JSONResponse({"state": state.value}, 500 if state is State.FAILED else 200)


async def get_readiness(request: Request) -> Response:
    """200 when requests are taken."""
    state = service_of(request).state
    return JSONResponse({"state": state.value}, 200 if state is State.READY else 503)


async def get_metrics(request: Request) -> Response:
    """The counters, for Prometheus."""
    return Response(service_of(request).metrics.write(), headers={"Content-Type": CONTENT_TYPE})


async def get_model(request: Request) -> Response:
    """What can be asked of the model."""
    if (about := service_of(request).about) is None:
        raise ServiceError.busy(503, "not_ready", "the model is being prepared")
    return JSONResponse(about)


async def list_models(request: Request) -> Response:
    """The same model in OpenAI's form."""
    return JSONResponse({"object": "list", "data": [_as_openai(service_of(request))]})


async def get_openai_model(request: Request) -> Response:
    """The one that a path names."""
    service = service_of(request)
    check_model(service, request.path_params["model"])
    return JSONResponse(_as_openai(service))


def check_model(service: Service, name: str) -> None:
    """ServiceError 404 for another name than the model's."""
    if name != service.name:
        says = f"there is no model {name[:80]!r}; this service has {service.name!r}"
        raise ServiceError(404, "model_not_found", says)


def _as_openai(service: Service) -> dict:
    return {"id": service.name, "object": "model", "created": STARTED, "owned_by": "spirit_jax"}
