"""The hub gives models, or a reason that can be acted upon."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from pensieve.core.errors import ModelLoadingError
from pensieve.models.progress import SilentProgress
from pensieve.models.sources import ModelFolder, resolve
from tests.tiny_model import write_byte_tokenizer, write_tiny_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def resolved(source: str) -> ModelFolder:
    return resolve(source, progress=SilentProgress())


@contextmanager
def hub_that_answers(status: int, error_code: str) -> Iterator[str]:
    """A server in the place of the hub, that says no; its URL."""

    class Refusal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", error_code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize(
    ("status", "error_code", "message"),
    [
        (404, "RepoNotFound", "the hub has no such model: check the spelling; if it is private, run `hf auth login`"),
        (403, "GatedRepo", "only to those who accepted its licence: accept its licence on its page"),
        (500, "", "the hub cannot be reached and no copy is here|the hub did not deliver it"),
    ],
)
def test_what_the_hub_refuses_is_said_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, status: int, error_code: str, message: str
) -> None:
    with hub_that_answers(status, error_code) as url:
        monkeypatch.setattr(constants, "ENDPOINT", url)
        with pytest.raises(ModelLoadingError, match=message):
            resolved("org/model")


@pytest.mark.usefixtures("own_cache")
def test_the_hub_out_of_reach_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelLoadingError, match="no-such-organisation/model: the hub cannot be reached and no copy"):
        resolved("no-such-organisation/model")


def test_a_model_in_the_hubs_cache_needs_no_network(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = own_cache / "models--org--tiny"
    snapshot = write_byte_tokenizer(cached / "snapshots" / COMMIT)
    write_tiny_model(snapshot, tokenizer_folder=snapshot, vocab_size=259)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    folder = resolved("org/tiny")
    assert (folder.id, folder.revision) == ("org/tiny", COMMIT)
