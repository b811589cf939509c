"""Who may ask: the token, and the names by which a browser may know this machine."""

import hmac
import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from spirit_jax.serving.messages.errors import CLOSE, ServiceError

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
GUARDED = ("/v1/", "/metrics")  # what a token is asked for


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Access:
    """Refuses requests without the token, where there is one; those to a host of another name, where `hosts`
    names them; and those that another site's page makes.

    hosts: against DNS rebinding, with which a page reaches a loopback address under its own name.
    """

    def __init__(self, app: ASGIApp, token: str | None, hosts: Sequence[str] | None):
        self._app, self._token = app, None if token is None else token.encode()
        self._hosts = None if hosts is None else {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = self._check(scope["path"], Headers(scope=scope)) if scope["type"] == "http" else None
        await (error.respond() if error else self._app)(scope, receive, send)

    def _check(self, path: str, headers: Headers) -> ServiceError | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._hosts is not None and _name(host) not in self._hosts:
            return ServiceError(403, "unknown_host", f"this service is not {host[:80]!r}; see --hosts", CLOSE)
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return ServiceError(403, "other_origin", "pages of other sites may not use this service", CLOSE)
        if self._token is not None and path.startswith(GUARDED) and not self._is_known(headers):
            says = "give the token: Authorization: Bearer TOKEN"
            return ServiceError(401, "invalid_api_key", says, {"WWW-Authenticate": "Bearer", **CLOSE})
        return None

    def _is_known(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(given.strip().encode("latin-1"), self._token or b"")
        return same and scheme.lower() == "bearer"


def _name(host: str) -> str | None:
    """A Host header without its port."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
