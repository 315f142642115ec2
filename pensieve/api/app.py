"""The Quart application, with what happens around every route: access checks, headers, errors (W18, W19, W21)."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial

from hypercorn.typing import ASGIFramework
from quart import Quart, Response, g, jsonify, request
from quart.typing import ResponseReturnValue
from quart.wrappers.base import BaseRequestWebsocket
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import MapAdapter

from contracts.values.vocabulary import ClientIdentity
from pensieve.api.http.access import why_refused
from pensieve.api.http.connections.drained_bodies import DrainedBodies
from pensieve.api.http.connections.incoming_bodies import INCOMING_BODIES, IncomingBodies
from pensieve.api.http.connections.limits import MAX_BODY_BYTES
from pensieve.api.http.connections.read_answers import ReadAnswers
from pensieve.api.http.connections.request_memory import REQUEST_MEMORY, HeldMemory, RequestMemory, incoming_bytes
from pensieve.api.http.connections.requests_in_turn import RequestsInTurn
from pensieve.api.http.content_encoding import ACCEPTED
from pensieve.api.http.error_reply import INTERNAL_MESSAGE, ErrorReply, reply_to_error, reply_to_status
from pensieve.api.http.read_body import PDFS
from pensieve.api.http_only import HttpOnly
from pensieve.api.openai.errors import openai_body
from pensieve.api.openai.paths import intended, is_openai_call, why_missing
from pensieve.api.pdfs.reading import PdfReading
from pensieve.api.request_log.middleware import RequestLog
from pensieve.api.request_log.prompts import LoggedPrompts
from pensieve.api.request_log.record import current_record
from pensieve.api.routes import history, loading, logs, messages, metrics, models, openai, page, service
from pensieve.api.server_state import EXTENSION, ServerState, server_state
from pensieve.core.errors import PensieveError
from pensieve.device.memory.ledger import request_bytes

log = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/", "/health", "/api/hello"})

_CORS_HEADERS = {
    "access-control-allow-headers": "*, authorization, content-type, x-api-key, anthropic-version, anthropic-beta",
    "access-control-allow-methods": "GET, POST, HEAD, OPTIONS",
    "access-control-expose-headers": "request-id, x-request-id, retry-after, pensieve-prompt-cache",
    "access-control-max-age": "600",
}
_TOO_LARGE = f"body: the request exceeds {MAX_BODY_BYTES // 10**6} MB"


class _App(Quart):
    def create_url_adapter(self, request: BaseRequestWebsocket | None) -> MapAdapter | None:
        """Routes that do not depend on the Host header. Quart's fail if it cannot be a host name."""
        if request is None:
            return super().create_url_adapter(request)
        return self.url_map.bind("localhost", path_info=request.path, default_method=request.method)


def create_app(state: ServerState) -> Quart:
    app = _App("pensieve")
    app.extensions[EXTENSION] = state
    set_aside = request_bytes(state.models.memory.capacity_bytes)
    incoming = incoming_bytes(set_aside, state.limits.max_total_bytes)
    app.extensions[INCOMING_BODIES] = IncomingBodies(replace(state.limits, max_total_bytes=incoming))
    memory = app.extensions[REQUEST_MEMORY] = RequestMemory(max(set_aside - incoming, set_aside // 2))
    app.extensions[PDFS] = PdfReading()
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        RESPONSE_TIMEOUT=None,  # answers have no time limit
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]  # an attribute of Quart's default provider
    for module in (history, loading, logs, messages, metrics, models, openai, page, service):
        app.register_blueprint(module.blueprint)
    app.before_request(_check_access)
    app.after_request(_add_headers)
    app.before_serving(partial(logging.getLogger().addHandler, state.recent_log))
    app.after_serving(partial(logging.getLogger().removeHandler, state.recent_log))
    app.while_serving(partial(history.kept_while_serving, state))
    app.register_error_handler(PensieveError, _on_known_error)
    app.register_error_handler(HTTPException, _on_http_error)
    app.register_error_handler(Exception, _on_unknown_error)
    prompts = state.prompt_folder
    logged: ASGIFramework = LoggedPrompts(app.asgi_app, prompts) if prompts is not None else app.asgi_app
    drained = DrainedBodies(logged, max_pause_seconds=state.limits.max_refused_pause_seconds)
    read = ReadAnswers(drained, state.limits.max_unread_seconds)
    held: ASGIFramework = HeldMemory(read, memory)
    app.asgi_app = HttpOnly(RequestLog(RequestsInTurn(held)))  # type: ignore[method-assign]  # Quart documents this assignment
    return app


async def _check_access() -> ResponseReturnValue | None:
    """Check where the request comes from, then its key, then its rate."""
    g.request_id = current_record().request_id
    access = server_state().access
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    if not access.allows_host(host):
        return _reply(reply_to_status(403, why_refused(host)))
    if origin is not None and not access.grants_origin(origin) and not access.is_own_origin(origin, host):
        return _reply(
            reply_to_status(403, "origin: this web page may not use the server; use --cors-origin to allow it")
        )
    if request.method == "OPTIONS" and origin is not None:
        return Response(status=204)
    address = request.remote_addr or ""  # a header would be the client's to choose
    if request.path in OPEN_PATHS or request.path.startswith(page.FILES_PATH):
        g.client = ClientIdentity(address)
    else:
        g.client = access.client(request.headers.get("x-api-key"), request.headers.get("authorization"), address)
    current_record().key = g.client.name if g.client.namespace else ""
    if request.method == "POST":
        server_state().check_rate(g.client.name)
        server_state().count_request(g.client)
    return None


async def _add_headers(response: Response) -> Response:
    response.headers["request-id"] = g.request_id  # for Anthropic's SDKs
    response.headers["x-request-id"] = g.request_id  # for OpenAI's
    origin = request.headers.get("origin")
    if origin is not None and server_state().access.grants_origin(origin):
        response.headers["access-control-allow-origin"] = origin
        response.headers["vary"] = "origin"
        response.headers.update(_CORS_HEADERS)
    return response


async def _on_known_error(error: Exception) -> ResponseReturnValue:
    if not isinstance(error, PensieveError):
        raise error
    return _reply(reply_to_error(error))


async def _on_http_error(error: Exception) -> ResponseReturnValue:
    if not isinstance(error, HTTPException):
        raise error
    status = error.code or 500
    if status == 413:
        return _reply(reply_to_status(status, _TOO_LARGE))
    messages_by_status = {
        404: _why_not_found(),
        405: f"method: {request.method} is not allowed for this path",
    }
    response, status, headers = _reply(
        reply_to_status(status, messages_by_status.get(status, error.description or error.name))
    )
    if status == 415:
        headers = {**headers, "accept-encoding": ACCEPTED}  # RFC 9110, section 12.5.3
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        headers = {**headers, "allow": ", ".join(sorted(error.valid_methods))}
    return response, status, headers


def _why_not_found() -> str:
    is_openais = is_openai_call(request.path, request.headers.get("anthropic-version"))
    reason = why_missing(request.path) if is_openais else None
    if reason is None and (path := intended(request.path)) != request.path:
        reason = f"it is {path} here: correct the base URL of the client"
    return f"no such path: {request.path}" + (f"; {reason}" if reason else "")


async def _on_unknown_error(error: Exception) -> ResponseReturnValue:
    """A bug. The log has the traceback, which shows code but never the text of a request."""
    log.error("%s%s failed", g.request_id, _by_client(), exc_info=error)
    return _reply(reply_to_status(500, INTERNAL_MESSAGE))


def _by_client() -> str:
    """The name of the client's key, if it has one, for the log."""
    client: ClientIdentity = g.get("client", ClientIdentity())
    return f" by {client.name}" if client.namespace else ""


def _reply(reply: ErrorReply) -> tuple[Response, int, dict[str, str]]:
    """In the error format of the API that the client calls."""
    current_record().error = reply.type
    is_openais = is_openai_call(request.path, request.headers.get("anthropic-version"))
    body = openai_body(reply) if is_openais else reply.body(g.request_id)
    return jsonify(body), reply.status, reply.headers
