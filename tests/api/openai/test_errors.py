"""Errors in OpenAI's format, with the codes that its clients check."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import openai
import openai.resources
import pytest

from pensieve.api.http.error_reply import reply_to_error, reply_to_status
from pensieve.api.openai.errors import openai_body
from pensieve.api.openai.paths import SERVED, UNSUPPORTED, is_openai_call
from pensieve.core.errors import (
    AuthenticationError,
    GenerationError,
    NotFoundError,
    OverloadedError,
    PensieveError,
    PromptTooLongError,
    RateLimitError,
    ValidationError,
)
from tests.support.running_server import scripted_server


def error_object(error: PensieveError) -> dict[str, object]:
    body = openai_body(reply_to_error(error))["error"]
    assert isinstance(body, dict)
    return body


@pytest.mark.parametrize(
    ("error", "kind", "code", "param"),
    [
        (ValidationError("n", "no"), "invalid_request_error", None, "n"),
        (PromptTooLongError(9, 8), "invalid_request_error", "context_length_exceeded", "messages"),
        (AuthenticationError("no"), "invalid_request_error", "invalid_api_key", None),
        (NotFoundError("no", field="model"), "invalid_request_error", "model_not_found", "model"),
        (RateLimitError("no", retry_after_seconds=3), "rate_limit_error", "rate_limit_exceeded", None),
        (OverloadedError("no", retry_after_seconds=3), "server_error", "overloaded", None),
        (GenerationError("no"), "server_error", None, None),
    ],
)
def test_an_error_has_the_type_and_code_that_clients_check(
    error: PensieveError, kind: str, code: str | None, param: str | None
) -> None:
    assert error_object(error) == {"message": str(error), "type": kind, "param": param, "code": code}


@pytest.mark.parametrize(
    ("field", "param"),
    [
        ("output_config.format.schema", "response_format.json_schema.schema"),
        ("tools.3.input_schema", "tools.3.function.parameters"),
        (
            "tools.3.input_schema.properties.a.source.pattern",
            "tools.3.function.parameters.properties.a.source.pattern",
        ),
        ("messages.0.content.0.source.data", "messages.0.content.0.file.file_data"),
        ("messages.0.content.0.source", "messages.0.content.0.file"),
    ],
)
def test_field_names_of_the_engine_become_those_of_the_client(field: str, param: str) -> None:
    body = error_object(ValidationError(field, "it cannot be enforced"))
    assert body["param"] == param
    assert body["message"] == f"{param}: it cannot be enforced"


@pytest.mark.parametrize("status", [400, 403, 404, 405, 413, 415, 500])
def test_errors_of_http_itself_have_the_same_format(status: int) -> None:
    body = openai_body(reply_to_status(status, "no"))["error"]
    assert isinstance(body, dict)
    assert body["message"] == "no"


def test_every_error_on_openai_paths_has_the_format_and_the_request_id(tmp_path: Path) -> None:
    with scripted_server(tmp_path, api_key="secret") as server:
        bearer = {"authorization": "Bearer secret"}
        replies = [
            server.post("/v1/chat/completions", json={}),
            server.get("/v1/chat/completions", headers=bearer),
            server.post("/v1/completions", headers=bearer, content=b"{"),
            server.post("/v1/chat/nothing", headers=bearer),
            server.post("/v1/completions", headers={**bearer, "host": "evil.example"}),
            server.post("/v1/completions", headers={**bearer, "content-encoding": "br"}),
            server.post("/v1/embeddings", headers=bearer, json={}),
            server.post("/v1/responses"),
            server.get("/v1/models"),
            server.get("/v1/models/none", headers=bearer),
            server.post("/v1/files", headers=bearer),
            server.post("/chat/completions", headers=bearer),
            server.post("/v1/v1/completions/", headers=bearer),
        ]
    assert [reply.status_code for reply in replies] == [401, 405, 400, 404, 403, 415, 404, 401, 401, 404, 404, 404, 404]
    for reply in replies:
        assert set(reply.json()) == {"error"}
        assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
        assert reply.headers["x-request-id"] == reply.headers["request-id"]


WRONG_BASE_URLS = {
    "/messages": "/v1/messages",
    "/v1/v1/messages": "/v1/messages",
    "/v1/messages/": "/v1/messages",
    "/anthropic/v1/messages/count_tokens": "/v1/messages/count_tokens",
    "/chat/completions": "/v1/chat/completions",
    "/v1/v1/completions": "/v1/completions",
}


def test_a_wrong_base_url_is_explained(tmp_path: Path) -> None:
    with scripted_server(tmp_path) as server:
        for path, endpoint in WRONG_BASE_URLS.items():
            reply = server.post(path, json={})
            assert reply.status_code == 404
            assert f"it is {endpoint} here: correct the base URL of the client" in reply.text
        for path in ("/v1/threads/1/messages", "/v1/chat/completions/1", "/nothing"):
            assert "base URL" not in server.post(path, json={}).text


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/models/none", "/v1/files", "/v1/messages", "/messages", "/v1/nothing"]
)
def test_anthropics_clients_get_anthropics_errors(path: str) -> None:
    assert not is_openai_call(path, "2023-06-01")


def test_every_resource_of_the_sdk_is_served_or_its_absence_explained() -> None:
    sources = "".join(path.read_text() for path in Path(openai.resources.__file__).parent.rglob("*.py"))
    called = set(re.findall(r'_(?:post|get|delete|get_api_list)\(\s*(?:path_template\()?f?"/([a-z_]+)', sources))
    assert {"chat", "embeddings", "vector_stores"} <= called
    assert called - SERVED - {"models"} == set(UNSUPPORTED)


def test_the_sdk_reads_code_param_and_request_id(tmp_path: Path) -> None:
    with (
        scripted_server(tmp_path) as server,
        openai.OpenAI(base_url=f"{server.base_url}/v1", api_key="x", max_retries=0) as client,
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            client.completions.create(model="scripted", prompt="word " * 9000)
        assert (caught.value.code, caught.value.type) == ("context_length_exceeded", "invalid_request_error")
        assert caught.value.param == "prompt"
        messages: Any = [{"role": "user", "content": "word " * 9000}]
        with pytest.raises(openai.BadRequestError) as too_long:
            client.chat.completions.create(model="scripted", messages=messages)
        assert (too_long.value.code, too_long.value.param) == ("context_length_exceeded", "messages")
        assert caught.value.request_id
        with pytest.raises(openai.NotFoundError) as missing:
            client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "x"}])
        assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("gpt-4o")
