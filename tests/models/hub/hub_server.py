"""A small Hugging Face hub on loopback: the routes that a pull needs, and faults on demand."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants, hf_api

from pensieve.models.files.home import HOME_VARIABLE

_API = re.compile(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?")
_RESOLVE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
CHUNK_BYTES = 100_000
"""How much huggingface_hub writes at a time in tests (by default 10 MB). A broken connection loses less than that."""
LFS_SUFFIXES = (".safetensors", ".gguf")


@dataclass
class Repo:
    """`commits` maps commits to their files, `branches` maps branches and tags to their commits."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    is_gated: bool = False

    def commit(self, files: dict[str, bytes], *branches: str) -> str:
        """Add a commit, and move main and the given branches to it."""
        commit = hashlib.sha1(str(len(self.commits)).encode() + b"".join(files.values())).hexdigest()  # noqa: S324
        self.commits[commit] = files
        self.branches |= dict.fromkeys(("main", *branches), commit)
        return commit


@dataclass(frozen=True)
class HubRequest:
    method: str
    path: str
    range: str | None


@dataclass
class SmallHub:
    """`cuts`: after how many bytes the next downloads of a file break off. `changed`: files sent with their last byte
    changed.
    """

    url: str = ""
    repos: dict[str, Repo] = field(default_factory=dict)
    requests: list[HubRequest] = field(default_factory=list)
    cuts: dict[str, list[int]] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)

    def downloads(self, path: str) -> list[str | None]:
        """The Range of each download of a file, in order; None for the whole file."""
        return [it.range for it in self.requests if it.method == "GET" and it.path.endswith(f"/{path}")]


@contextmanager
def hub_of(repos: dict[str, dict[str, bytes]], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallHub]:
    """A hub that huggingface_hub uses, with one commit in each repository. All caches are in the folder."""
    own_cache(folder, monkeypatch)
    with small_hub() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(hf_api.api, "endpoint", hub.url)  # module functions use this instance, made on import
        template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", CHUNK_BYTES)
        for name, files in repos.items():
            hub.repos[name] = Repo()
            hub.repos[name].commit(files)
        yield hub


def own_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put Pensieve's home and huggingface_hub's cache into the folder; the path of the cache."""
    monkeypatch.setenv(HOME_VARIABLE, str(folder / "home"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
    return folder / "hub"


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def small_hub() -> Iterator[SmallHub]:
    hub = SmallHub()

    class Handler(_Handler):
        small_hub = hub

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    small_hub: SmallHub

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.small_hub.requests.append(HubRequest(self.command, path, self.headers.get("Range")))
        if found := _API.fullmatch(path):
            self._api(found[1], found[2], found[3] or "main")
        elif found := _RESOLVE.fullmatch(path):
            self._file(found[1], found[2], found[3])
        else:
            self._refuse(404, "RepoNotFound")

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def _commit(self, name: str, revision: str) -> str | None:
        """The commit of a revision; None after a refusal was sent."""
        repo = self.small_hub.repos.get(name)
        commit = repo.branches.get(revision, revision) if repo else revision
        if repo is None:
            self._refuse(404, "RepoNotFound")
        elif repo.is_gated:
            self._refuse(403, "GatedRepo")
        elif commit not in repo.commits:
            self._refuse(404, "RevisionNotFound")
        else:
            return commit
        return None

    def _api(self, name: str, kind: str | None, revision: str) -> None:
        commit = self._commit(name, revision)
        if commit is None:
            return
        files = self.small_hub.repos[name].commits[commit]
        body: object = [_entry(path, content) for path, content in files.items()]
        if kind != "tree":
            body = {"id": name, "sha": commit, "siblings": [{"rfilename": path} for path in files]}
        self._send(200, {"Content-Type": "application/json"}, json.dumps(body).encode())

    def _file(self, name: str, revision: str, path: str) -> None:
        commit = self._commit(name, revision)
        if commit is None:
            return
        content = self.small_hub.repos[name].commits[commit].get(path)
        if content is None:
            self._refuse(404, "EntryNotFound")
            return
        headers = {"X-Repo-Commit": commit, "ETag": f'"{_sum(path, content)}"', "Accept-Ranges": "bytes"}
        if path.endswith(LFS_SUFFIXES):
            headers |= {"X-Linked-ETag": headers["ETag"], "X-Linked-Size": str(len(content))}
        if path in self.small_hub.changed:
            content = content[:-1] + bytes([content[-1] ^ 1])
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._send(206 if start else 200, headers, content[start:], cuts=self.small_hub.cuts.get(path))

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, {"X-Error-Code": code}, b"")

    def _send(self, status: int, headers: dict[str, str], content: bytes, *, cuts: list[int] | None = None) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if cuts:
            content = content[: cuts.pop(0)]
            self.close_connection = True
        self.wfile.write(content)


def _entry(path: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": _git_sum(content)}
    if path.endswith(LFS_SUFFIXES):
        entry["lfs"] = {"oid": _sum(path, content), "size": len(content), "pointerSize": 134}
    return entry


def _sum(path: str, content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if path.endswith(LFS_SUFFIXES) else _git_sum(content)


def _git_sum(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # noqa: S324
