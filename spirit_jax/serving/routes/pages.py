"""The page: static files, which need nothing from elsewhere."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from spirit_jax.serving.messages.errors import ServiceError

PAGE = Path(__file__).parent.parent / "page"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "frame-ancestors 'none'",  # the rest of the policy is in index.html
}


async def get_page(request: Request) -> Response:
    """The page itself."""
    page = request.app.state.page / "index.html"
    if not page.is_file():
        raise ServiceError(404, "no_page", "this service has no page; the interface is at /openapi.json")
    return FileResponse(page, headers=HEADERS)


class PageFiles(StaticFiles):
    """The files that the page needs; none outside its folder."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, as what it is and never as what its content looks like."""
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        return response
