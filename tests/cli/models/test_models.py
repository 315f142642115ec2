"""`pensieve models`: models are pulled, imported, shown, served and removed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import httpx
import pytest

from pensieve.models.files.home import models_folder
from pensieve.models.files.progress import SilentProgress
from pensieve.models.hub.pins import pinned
from pensieve.models.library.resolve import resolve
from tests.cli.models.models_command import ModelsCommand, write_adapter
from tests.models.gguf.gguf_files import write_llama
from tests.models.hub.hub_server import Repo, SmallHub, files_of
from tests.support.sdk_client import serving

pytestmark = pytest.mark.usefixtures("hub")


def test_without_models_the_list_says_how_to_get_one(models: ModelsCommand) -> None:
    assert "pensieve models pull NAME" in models.run("list")
    assert json.loads(models.run("list", "--json")) == []


def test_a_pulled_model_is_listed_shown_and_removed(models: ModelsCommand, hub: SmallHub) -> None:
    commit = hub.repos["org/tiny"].branches["main"]
    assert f"org/tiny is on this machine, at revision {commit}" in models.run("pull", "org/tiny")
    (entry,) = json.loads(models.run("list", "--json"))
    assert (entry["name"], entry["kind"], entry["revision"]) == ("org/tiny", "hub", commit)
    assert entry["architecture"] == "llama"
    assert commit[:12] in models.run("list")
    shown = models.run("show", "org/tiny")
    for fact in (
        commit,
        "apache-2.0",
        "It fits, with a conversation of",
        "llama, 2 layers of width 64",
        "chat template",
        "temperature 1 (the API's default)",
        entry["path"],
    ):
        assert fact in shown
    assert f"Removed org/tiny, {entry['size_bytes'] / 1e6:.1f} MB freed\n" == models.run("remove", "org/tiny")
    assert models.names() == []
    assert pinned("org/tiny") is None
    assert not Path(entry["path"]).exists()


def test_the_recommended_sampling_of_a_model_is_shown(models: ModelsCommand, hub: SmallHub, tiny: Path) -> None:
    recommended = {"generation_config.json": b'{"temperature": 0.6, "top_k": 20, "top_p": 9}'}
    hub.repos["org/tiny"].commit({**files_of(tiny), **recommended})
    models.run("pull", "org/tiny")
    shown = models.run("show", "org/tiny")
    assert "temperature 0.6, top_k 20 (generation_config.json); " in shown
    assert "top_p must be a number from 0.0 to 1.0, not '9'" in shown


def test_a_pulled_revision_becomes_the_meaning_of_the_name(models: ModelsCommand, hub: SmallHub, tiny: Path) -> None:
    repo = hub.repos["org/tiny"]
    first = repo.commit(files_of(tiny), "v1")
    second = repo.commit({**files_of(tiny), "new.json": b"{}"})
    models.run("pull", "org/tiny")
    models.run("pull", "org/tiny", "--revision", "v1")
    assert models.names() == ["org/tiny", f"org/tiny@{second[:12]}"]
    assert resolve("org/tiny", progress=SilentProgress()).revision == first
    assert resolve(f"org/tiny@{second[:12]}", progress=SilentProgress()).revision == second
    freed = models.run("remove", f"org/tiny@{second}")
    assert "0.0 MB freed" in freed  # all files but the new one belong to the other revision too
    assert models.names() == ["org/tiny"]
    assert "has two revisions" in models.run("pull", "org/tiny@v1", "--revision", "v2", status=2)


def test_a_gguf_file_of_the_hub_is_converted_and_removed_alone(
    models: ModelsCommand, hub: SmallHub, tmp_path: Path
) -> None:
    write_llama(tmp_path / "small.gguf")
    content = (tmp_path / "small.gguf").read_bytes()
    hub.repos["org/ggufs"] = Repo()
    hub.repos["org/ggufs"].commit({"a.gguf": content, "b.gguf": content + bytes(8)})
    models.run("pull", "org/ggufs/a.gguf")
    models.run("pull", "org/ggufs/b.gguf")
    hub.repos["org/ggufs"].commit({"c.gguf": content + bytes(16)})
    models.run("pull", "org/ggufs/c.gguf")
    hub.requests.clear()
    resolve("org/ggufs/a.gguf", progress=SilentProgress())
    assert hub.requests == []
    models.run("remove", "org/ggufs/c.gguf")
    models.run("remove", next(name for name in models.names() if name.startswith("c-")))
    conversions = [name for name in models.names() if "/" not in name]
    assert len(conversions) == 2
    assert resolve(conversions[0], progress=SilentProgress()).path.name == conversions[0]
    assert "GGUF, converted when" in models.run("show", "org/ggufs/a.gguf")
    assert f"{len(content) / 1e6:.1f} MB freed" in models.run("remove", "org/ggufs/a.gguf")
    assert models.names() == ["org/ggufs/b.gguf", *conversions]
    models.run("remove", conversions[0])
    models.run("remove", "org/ggufs/b.gguf")
    assert models.names() == [conversions[1]]


def test_a_gguf_file_is_imported_under_a_name(models: ModelsCommand, tmp_path: Path) -> None:
    write_llama(tmp_path / "my small model.gguf")
    assert "serve --model my-small-model" in models.run("import", "my small model.gguf")
    models.run("import", "my small model.gguf", "--name", "other")
    folder = resolve("my-small-model", progress=SilentProgress())
    assert folder.id == "my-small-model"
    assert "0.0 MB freed; its files stay" in models.run("remove", "my-small-model")  # the other name still uses it
    assert resolve("other", progress=SilentProgress()).path == folder.path
    assert "stay" not in models.run("remove", "other")
    assert not folder.path.exists()


def test_a_folder_is_imported_in_place_or_as_a_copy(models: ModelsCommand, tiny: Path) -> None:
    models.run("import", str(tiny), "--name", "mine")
    models.run("import", str(tiny), "--name", "copied", "--copy")
    assert resolve("mine", progress=SilentProgress()).path == tiny
    copy = resolve("copied", progress=SilentProgress()).path
    assert copy == models_folder() / "copied"
    assert models.names() == ["mine", "copied"]
    assert f"its files stay in {tiny}" in models.run("remove", "mine")
    models.run("remove", "copied")
    assert tiny.is_dir()
    assert not copy.exists()


def test_a_missing_folder_is_reported_with_the_fix(models: ModelsCommand, tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "gone")
    models.run("import", "gone")
    shutil.rmtree(tmp_path / "gone")
    with pytest.raises(Exception, match="no longer exists: put it back, or run `pensieve models remove gone`"):
        resolve("gone", progress=SilentProgress())
    models.run("remove", "gone")


def test_an_adapter_is_imported_on_a_base(models: ModelsCommand, tiny: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter")
    models.run("import", str(tiny), "--name", "base")
    models.run("import", "--adapter", "adapter", "--base", "base", "--name", "tuned")
    folder = resolve("tuned", progress=SilentProgress())
    assert (folder.id, folder.path, folder.adapter) == ("tuned", tiny, adapter)
    assert "lora on base" in models.run("list")
    shown = models.run("show", "tuned")
    assert "lora on base" in shown
    assert "llama" in shown
    assert "the adapter's own weights are not counted" in shown
    assert "it is the base of tuned; remove that first" in models.run("remove", "base", status=1)
    again = ("import", "--adapter", "adapter", "--name", "twice", "--base")
    assert "it is an adapter on base itself" in models.run(*again, "tuned", status=1)
    assert "no such folder or file" in models.run(*again, "nothing", status=1)
    models.run("remove", "tuned")
    models.run("remove", "base")
    assert adapter.is_dir()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["pull", "coder-8g"], 2, "not a name on the hub, which looks like organisation/name. Did you mean coder-8gb"),
        (["pull", "org/nothing"], 1, "the hub has no such model"),
        (["show", "org/tinny"], 1, "org/tinny is not on this machine. Did you mean org/tiny? `pensieve models list`"),
        (
            ["remove", "nothing"],
            1,
            "nothing is not on this machine. `pensieve models list` shows the models that are, and `pensieve fit no",
        ),
        (["import", "nowhere"], 1, "there is no such file or folder"),
        (["import", "org/tiny"], 1, "`pensieve models pull org/tiny` would fetch it"),
        (["import", "file.txt"], 1, "it is a file, but not a .gguf file"),
        (["import", "adapter"], 1, "it is an adapter: import it with --adapter PATH --base NAME --name NAME"),
        (["import", "empty"], 1, "config.json is missing"),
        (["import", "empty", "--name", "a/b"], 1, "a name may only have letters, digits"),
        (["import"], 2, "nothing to import"),
        (["import", "--adapter", "adapter"], 2, "--adapter PATH --base MODEL --name NAME"),
    ],
)
def test_an_error_names_the_fix(
    models: ModelsCommand, tmp_path: Path, arguments: list[str], status: int, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").touch()
    write_adapter(tmp_path / "adapter")
    models.run("pull", "org/tiny")
    assert message in models.run(*arguments, status=status)


def test_a_model_in_use_by_a_server_is_not_removed(
    models: ModelsCommand, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.run("import", str(tiny), "--name", "served")
    models.run("import", str(tiny), "--name", "idle", "--copy")
    with serving("--model", "served"):
        message = models.run("remove", "served", status=1)
        assert "uses it as served; stop that server first" in message
        assert "Removed idle" in models.run("remove", "idle")
    with serving("--model", "served", "--api-key", "a key that the client lacks"):
        assert "uses it as served" in models.run("remove", "served", status=1)
    assert "Removed served" in models.run("remove", "served")


@pytest.mark.parametrize("key", [(), ("--api-key", "a key that the client lacks")])
def test_a_server_with_another_folder_of_the_same_name_does_not_keep_a_model(
    models: ModelsCommand, tiny: Path, tmp_path: Path, key: tuple[str, ...]
) -> None:
    other = shutil.copytree(tiny, tmp_path / tiny.name)
    models.run("import", str(tiny), "--name", "mine")
    models.run("import", str(other), "--name", "theirs")
    with serving("--model", str(other), *key):
        assert f"its files stay in {tiny}" in models.run("remove", "mine")
        assert "stop that server first" in models.run("remove", "theirs", status=1)


@pytest.mark.parametrize("key", [(), ("--api-key", "a key that the client lacks")])
def test_a_draft_model_in_use_by_a_server_is_not_removed(
    models: ModelsCommand, tiny: Path, key: tuple[str, ...]
) -> None:
    models.run("import", str(tiny), "--name", "served")
    models.run("import", str(tiny), "--name", "small", "--copy")
    with serving("--model", "served", "--draft-model", "small", *key) as client:
        headers = {"x-api-key": key[1]} if key else {}
        url = str(client.base_url).rstrip("/")
        (model,) = httpx.get(f"{url}/health", headers=headers).json()["models"]
        assert (model["id"], model["draft_model"]) == ("served", "small")
        assert "uses it as small; stop that server first" in models.run("remove", "small", status=1)
    assert "Removed small" in models.run("remove", "small")
