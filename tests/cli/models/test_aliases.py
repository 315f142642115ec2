"""Aliases of curated models: what they stand for, and that they can be served."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pensieve.models.files.progress import SilentProgress
from pensieve.models.library.resolve import resolve
from tests.cli.models.models_command import PINNED, UNPINNED, ModelsCommand, write_adapter
from tests.models.hub.hub_server import SmallHub
from tests.support.sdk_client import serving

pytestmark = pytest.mark.usefixtures("hub")


def test_an_alias_can_be_pulled_and_served(models: ModelsCommand, hub: SmallHub) -> None:
    assert "coder-8gb is on this machine" in models.run("pull", "coder-8gb")
    hub.requests.clear()
    folder = resolve("coder-8gb", progress=SilentProgress())
    assert (folder.id, folder.display_name, hub.requests) == ("coder-8gb", PINNED.name, [])
    assert folder.revision == PINNED.revision
    assert not (folder.path / "later.json").exists()
    assert f"{PINNED.name} (coder-8gb, coder-16gb-fast)" in models.run("list")
    listed = {entry["alias"]: entry for entry in json.loads(models.run("list", "--available", "--json"))}
    assert [alias for alias, entry in listed.items() if entry["is_here"]] == ["coder-8gb", "coder-16gb-fast"]
    assert listed["coder-8gb"]["revision"] == PINNED.revision
    assert len({entry["machine_gb"] for entry in listed.values() if entry["suits_this_machine"]}) == 1
    table = models.run("list", "--available")
    assert "-> " in table
    assert "6.0 GB (Rapid-MLX 0.16.10) (on this machine)" in table
    assert "Nothing was measured" in table
    models.run("remove", "coder-8gb")
    assert models.names() == []


def test_an_alias_stands_for_one_revision_even_if_others_are_pulled(models: ModelsCommand, hub: SmallHub) -> None:
    models.run("pull", PINNED.name)
    assert [entry["aliases"] for entry in json.loads(models.run("list", "--json"))] == [[]]
    newest = resolve(PINNED.name, progress=SilentProgress())
    assert (newest.path / "later.json").exists()
    assert resolve("coder-8gb", progress=SilentProgress()).revision == PINNED.revision
    assert "coder-8gb" in models.run("show", "coder-8gb")
    refused = models.run("pull", "coder-8gb", "--revision", "main", status=2)
    assert f"an alias stands for one revision; pull another one by name: {PINNED.name}@REVISION" in refused


def test_an_alias_without_a_revision_is_the_newest_one_pulled(models: ModelsCommand, hub: SmallHub) -> None:
    models.run("pull", UNPINNED.alias)
    assert f"{UNPINNED.name} ({UNPINNED.alias})" in models.run("list")
    newest = hub.repos[UNPINNED.name].branches["main"]
    assert resolve(UNPINNED.alias, progress=SilentProgress()).revision == newest


def test_an_alias_and_an_adapter_are_served_under_their_names_without_the_hub(
    models: ModelsCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.run("pull", "coder-8gb")
    adapter = write_adapter(tmp_path / "adapter")
    models.run("import", "--adapter", str(adapter), "--base", "coder-8gb", "--name", "tuned")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with serving("--model", "coder-8gb", "--allow-model", "tuned") as client:
        assert {model.id for model in client.models.list()} == {"coder-8gb", "tuned"}
        for name in ("coder-8gb", "tuned"):
            answer = client.messages.create(model=name, max_tokens=4, messages=[{"role": "user", "content": "Hello"}])
            assert answer.model == name
        assert "uses it as coder-8gb" in models.run("remove", PINNED.name, status=1)
