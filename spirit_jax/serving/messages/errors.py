"""Errors as clients read them: a status, and `{"error": {"message", "type", "code"}}` as OpenAI's API writes
it.
"""

from collections.abc import Mapping

from starlette.responses import JSONResponse

from spirit_jax.core.errors import UserError
from spirit_jax.generation.inputs import BadSound

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
SHOWN = 500  # letters of a message: it may repeat what a client sent
RETRY_SECONDS = 1  # in Retry-After
CLOSE = {"Connection": "close"}  # with an answer before the body was read: the rest is not waited for
TOO_LARGE = ("too_long", "high_rate")  # reasons of a sound that is beyond a limit


class ServiceError(Exception):
    """What a client is told. status: of HTTP. code: a short slug."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, dict(headers or {})

    @classmethod
    def busy(cls, status: int, code: str, message: str) -> "ServiceError":
        """One that goes away by itself."""
        return cls(status, code, message, {"Retry-After": str(RETRY_SECONDS), **CLOSE})

    @classmethod
    def of(cls, error: UserError) -> "ServiceError":
        """What was wrong with a request: 413 for a sound that is beyond a limit, else 400."""
        says = str(error)
        says = says if len(says) <= SHOWN else f"{says[: SHOWN // 2]} ... {says[-SHOWN // 2 :]}"
        if isinstance(error, BadSound):
            return cls(413 if error.reason in TOO_LARGE else 400, error.reason, says)
        return cls(400, "invalid_value", says)

    @property
    def body(self) -> dict:
        """As JSON."""
        kind = TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "code": self.code}}

    def respond(self) -> JSONResponse:
        """As a response."""
        return JSONResponse(self.body, self.status, self.headers)
