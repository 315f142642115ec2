"""`GET /` and the files of the status page (U8). They are open: a browser asks for them without a key."""

from __future__ import annotations

from functools import cache

from quart import Blueprint, Response, jsonify, request
from quart.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from pensieve import __version__
from pensieve.api.page.page_files import HEADERS, PAGE, read_page_files

blueprint = Blueprint("page", __name__)

FILES_PATH = "/page/"

_files = cache(read_page_files)


@blueprint.get("/")
async def root() -> ResponseReturnValue:
    """The status page for browsers. Other clients probe this path to see whether a server is running."""
    if "text/html" in request.headers.get("accept", ""):
        response = _file(PAGE)
    else:
        response = jsonify({"service": "pensieve", "version": __version__, "health": "/health"})
    response.headers["vary"] = "accept"
    return response


@blueprint.get(f"{FILES_PATH}<name>")
async def page_file(name: str) -> ResponseReturnValue:
    return _file(name)


def _file(name: str) -> Response:
    file = _files().get(name)
    if file is None:
        raise NotFound
    return Response(file.content, content_type=file.content_type, headers=dict(HEADERS))
