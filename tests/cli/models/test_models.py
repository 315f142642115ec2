"""`pensieve models`: how models come, are shown, serve and go."""

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
from tests.cli.models.models_command import Said, write_adapter
from tests.conftest import serving
from tests.models.gguf.gguf_files import write_llama
from tests.models.hub.hub_server import Repo, SmallHub, files_of

pytestmark = pytest.mark.usefixtures("hub")


def test_nothing_is_here_at_first_and_it_is_said_how_to_change_that(said: Said) -> None:
    assert "pensieve models pull NAME" in said.by("list")
    assert json.loads(said.by("list", "--json")) == []


def test_a_pulled_model_is_listed_shown_and_removed(said: Said, hub: SmallHub) -> None:
    commit = hub.repos["org/tiny"].branches["main"]
    assert f"org/tiny is here, at revision {commit}" in said.by("pull", "org/tiny")
    (entry,) = json.loads(said.by("list", "--json"))
    assert (entry["name"], entry["kind"], entry["revision"]) == ("org/tiny", "hub", commit)
    assert entry["architecture"] == "llama"
    assert commit[:12] in said.by("list")
    shown = said.by("show", "org/tiny")
    for fact in (
        commit,
        "apache-2.0",
        "It fits, with a conversation of",
        "llama, 2 layers of width 64",
        "chat template",
        "temperature 1 (the API's: no generation_config.json says otherwise)",
        entry["path"],
    ):
        assert fact in shown
    assert f"org/tiny is removed, {entry['size_bytes'] / 1e6:.1f} MB freed\n" == said.by("remove", "org/tiny")
    assert said.names() == []
    assert pinned("org/tiny") is None
    assert not Path(entry["path"]).exists()


def test_the_sampling_that_the_makers_recommend_is_shown(said: Said, hub: SmallHub, tiny: Path) -> None:
    recommended = {"generation_config.json": b'{"temperature": 0.6, "top_k": 20, "top_p": 9}'}
    hub.repos["org/tiny"].commit({**files_of(tiny), **recommended})
    said.by("pull", "org/tiny")
    shown = said.by("show", "org/tiny")
    assert "temperature 0.6, top_k 20; " in shown
    assert "top_p must be a number from 0.0 to 1.0, not '9'" in shown


def test_a_revision_is_pulled_and_is_what_the_name_means_from_then_on(said: Said, hub: SmallHub, tiny: Path) -> None:
    repo = hub.repos["org/tiny"]
    first = repo.commit(files_of(tiny), "v1")
    second = repo.commit({**files_of(tiny), "new.json": b"{}"})
    said.by("pull", "org/tiny")
    said.by("pull", "org/tiny", "--revision", "v1")
    assert said.names() == ["org/tiny", f"org/tiny@{second[:12]}"]
    assert resolve("org/tiny", progress=SilentProgress()).revision == first
    assert resolve(f"org/tiny@{second[:12]}", progress=SilentProgress()).revision == second
    freed = said.by("remove", f"org/tiny@{second}")
    assert "0.0 MB freed" in freed  # all but the new file belongs to the other one too
    assert said.names() == ["org/tiny"]
    assert "said twice" in said.by("pull", "org/tiny@v1", "--revision", "v2", status=2)


def test_a_gguf_file_of_the_hub_is_converted_and_goes_alone(said: Said, hub: SmallHub, tmp_path: Path) -> None:
    write_llama(tmp_path / "small.gguf")
    content = (tmp_path / "small.gguf").read_bytes()
    hub.repos["org/ggufs"] = Repo()
    hub.repos["org/ggufs"].commit({"a.gguf": content, "b.gguf": content + bytes(8)})
    said.by("pull", "org/ggufs/a.gguf")
    said.by("pull", "org/ggufs/b.gguf")
    hub.repos["org/ggufs"].commit({"c.gguf": content + bytes(16)})
    said.by("pull", "org/ggufs/c.gguf")
    hub.asked.clear()
    resolve("org/ggufs/a.gguf", progress=SilentProgress())
    assert hub.asked == []
    said.by("remove", "org/ggufs/c.gguf")
    said.by("remove", next(name for name in said.names() if name.startswith("c-")))
    conversions = [name for name in said.names() if "/" not in name]
    assert len(conversions) == 2
    assert resolve(conversions[0], progress=SilentProgress()).path.name == conversions[0]
    assert "GGUF; it is converted" in said.by("show", "org/ggufs/a.gguf")
    assert f"{len(content) / 1e6:.1f} MB freed" in said.by("remove", "org/ggufs/a.gguf")
    assert said.names() == ["org/ggufs/b.gguf", *conversions]
    said.by("remove", conversions[0])
    said.by("remove", "org/ggufs/b.gguf")
    assert said.names() == [conversions[1]]


def test_a_gguf_file_is_imported_under_a_name(said: Said, tmp_path: Path) -> None:
    write_llama(tmp_path / "my small model.gguf")
    assert "serve --model my-small-model" in said.by("import", "my small model.gguf")
    said.by("import", "my small model.gguf", "--name", "other")
    folder = resolve("my-small-model", progress=SilentProgress())
    assert folder.id == "my-small-model"
    assert "0.0 MB freed; its files stay" in said.by("remove", "my-small-model")  # the other name stands for it too
    assert resolve("other", progress=SilentProgress()).path == folder.path
    assert "stay" not in said.by("remove", "other")
    assert not folder.path.exists()


def test_a_folder_is_imported_where_it_is_or_as_a_copy(said: Said, tiny: Path) -> None:
    said.by("import", str(tiny), "--name", "mine")
    said.by("import", str(tiny), "--name", "copied", "--copy")
    assert resolve("mine", progress=SilentProgress()).path == tiny
    copy = resolve("copied", progress=SilentProgress()).path
    assert copy == models_folder() / "copied"
    assert said.names() == ["mine", "copied"]
    assert f"its files stay where they are: {tiny}" in said.by("remove", "mine")
    said.by("remove", "copied")
    assert tiny.is_dir()
    assert not copy.exists()


def test_a_folder_that_is_gone_is_said_with_the_mend(said: Said, tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path / "gone")
    said.by("import", "gone")
    shutil.rmtree(tmp_path / "gone")
    with pytest.raises(Exception, match="no longer exists: put it back, or run `pensieve models remove gone`"):
        resolve("gone", progress=SilentProgress())
    said.by("remove", "gone")


def test_an_adapter_is_imported_on_a_base(said: Said, tiny: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter")
    said.by("import", str(tiny), "--name", "base")
    said.by("import", "--adapter", "adapter", "--base", "base", "--name", "tuned")
    folder = resolve("tuned", progress=SilentProgress())
    assert (folder.id, folder.path, folder.adapter) == ("tuned", tiny, adapter)
    assert "lora on base" in said.by("list")
    shown = said.by("show", "tuned")
    assert "lora on base" in shown
    assert "llama" in shown
    assert "the adapter's own weights are not counted" in shown
    assert "it is the base of tuned; remove that first" in said.by("remove", "base", status=1)
    again = ("import", "--adapter", "adapter", "--name", "twice", "--base")
    assert "it is an adapter on base itself" in said.by(*again, "tuned", status=1)
    assert "no such folder or file" in said.by(*again, "nothing", status=1)
    said.by("remove", "tuned")
    said.by("remove", "base")
    assert adapter.is_dir()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["pull", "coder-8g"], 2, "that is no name of the hub's, like organisation/name. Did you mean coder-8gb"),
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
        (["import", "empty", "--name", "a/b"], 1, "a name has letters, digits"),
        (["import"], 2, "import what?"),
        (["import", "--adapter", "adapter"], 2, "--adapter PATH --base MODEL --name NAME"),
    ],
)
def test_what_cannot_be_done_is_said_with_the_mend(
    said: Said, tmp_path: Path, arguments: list[str], status: int, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").touch()
    write_adapter(tmp_path / "adapter")
    said.by("pull", "org/tiny")
    assert message in said.by(*arguments, status=status)


def test_a_model_that_a_server_serves_is_not_removed(said: Said, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said.by("import", str(tiny), "--name", "served")
    said.by("import", str(tiny), "--name", "idle", "--copy")
    with serving("--model", "served"):
        message = said.by("remove", "served", status=1)
        assert "uses it as served; stop that server first" in message
        assert "idle is removed" in said.by("remove", "idle")
    with serving("--model", "served", "--api-key", "a key that nobody here has"):
        assert "uses it as served" in said.by("remove", "served", status=1)
    assert "served is removed" in said.by("remove", "served")


@pytest.mark.parametrize("key", [(), ("--api-key", "a key that nobody here has")])
def test_a_model_that_a_server_drafts_with_is_not_removed(said: Said, tiny: Path, key: tuple[str, ...]) -> None:
    said.by("import", str(tiny), "--name", "served")
    said.by("import", str(tiny), "--name", "small", "--copy")
    with serving("--model", "served", "--draft-model", "small", *key) as client:
        headers = {"x-api-key": key[1]} if key else {}
        url = str(client.base_url).rstrip("/")
        (model,) = httpx.get(f"{url}/health", headers=headers).json()["models"]
        assert (model["id"], model["draft_model"]) == ("served", "small")
        assert "uses it as small; stop that server first" in said.by("remove", "small", status=1)
    assert "small is removed" in said.by("remove", "small")
