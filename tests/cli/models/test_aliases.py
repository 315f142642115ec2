"""Aliases of the catalogue: what they stand for, and that they serve."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pensieve.models.files.progress import SilentProgress
from pensieve.models.library.resolve import resolve
from tests.cli.models.models_command import PINNED, UNPINNED, Said, write_adapter
from tests.models.hub.hub_server import SmallHub
from tests.support.sdk_client import serving

pytestmark = pytest.mark.usefixtures("hub")


def test_an_alias_is_pulled_and_serves(said: Said, hub: SmallHub) -> None:
    assert "coder-8gb is here" in said.by("pull", "coder-8gb")
    hub.requests.clear()
    folder = resolve("coder-8gb", progress=SilentProgress())
    assert (folder.id, folder.display_name, hub.requests) == ("coder-8gb", PINNED.name, [])
    assert folder.revision == PINNED.revision
    assert not (folder.path / "later.json").exists()
    assert f"{PINNED.name} (coder-8gb, coder-16gb-fast)" in said.by("list")
    listed = {entry["alias"]: entry for entry in json.loads(said.by("list", "--available", "--json"))}
    assert [alias for alias, entry in listed.items() if entry["is_here"]] == ["coder-8gb", "coder-16gb-fast"]
    assert listed["coder-8gb"]["revision"] == PINNED.revision
    assert len({entry["machine_gb"] for entry in listed.values() if entry["suits_this_machine"]}) == 1
    table = said.by("list", "--available")
    assert "-> " in table
    assert "6.0 GB (Rapid-MLX 0.16.10) (here)" in table
    assert "none is measured here" in table
    said.by("remove", "coder-8gb")
    assert said.names() == []


def test_an_alias_stands_for_one_revision_whatever_else_is_here(said: Said, hub: SmallHub) -> None:
    said.by("pull", PINNED.name)
    assert [entry["aliases"] for entry in json.loads(said.by("list", "--json"))] == [[]]
    newest = resolve(PINNED.name, progress=SilentProgress())
    assert (newest.path / "later.json").exists()
    assert resolve("coder-8gb", progress=SilentProgress()).revision == PINNED.revision
    assert "coder-8gb" in said.by("show", "coder-8gb")
    refused = said.by("pull", "coder-8gb", "--revision", "main", status=2)
    assert f"an alias stands for one revision; pull another by its name: {PINNED.name}@REVISION" in refused


def test_an_alias_without_a_known_revision_is_the_newest_that_was_pulled(said: Said, hub: SmallHub) -> None:
    said.by("pull", UNPINNED.alias)
    assert f"{UNPINNED.name} ({UNPINNED.alias})" in said.by("list")
    newest = hub.repos[UNPINNED.name].branches["main"]
    assert resolve(UNPINNED.alias, progress=SilentProgress()).revision == newest


def test_an_alias_and_an_adapter_serve_under_their_names_without_the_hub(
    said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said.by("pull", "coder-8gb")
    adapter = write_adapter(tmp_path / "adapter")
    said.by("import", "--adapter", str(adapter), "--base", "coder-8gb", "--name", "tuned")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with serving("--model", "coder-8gb", "--allow-model", "tuned") as client:
        assert {model.id for model in client.models.list()} == {"coder-8gb", "tuned"}
        for name in ("coder-8gb", "tuned"):
            answer = client.messages.create(model=name, max_tokens=4, messages=[{"role": "user", "content": "Hello"}])
            assert answer.model == name
        assert "uses it as coder-8gb" in said.by("remove", PINNED.name, status=1)
