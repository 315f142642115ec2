"""`pensieve models`: how models come, are shown, serve and go."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import mlx.core as mx
import pytest

from pensieve.cli.main import main
from pensieve.models.catalogue import listed_models
from pensieve.models.home import home, models_folder
from pensieve.models.known_speed import known_rates
from pensieve.models.model_names import pinned
from pensieve.models.progress import SilentProgress
from pensieve.models.sources import resolve
from tests.conftest import serving
from tests.models.gguf_files import write_llama
from tests.models.hub_server import Repo, SmallHub, files_of, hub_of
from tests.tiny_model import write_byte_tokenizer, write_tiny_model

PINNED = listed_models()[0]
"""What `coder-8gb` and `coder-16gb-fast` stand for. The hub of the tests has a tiny model under its name and revision,
and by now another on main.
"""
UNPINNED = next(model for model in listed_models() if model.revision is None)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_byte_tokenizer(tmp_path_factory.mktemp("models") / "tiny")
    write_tiny_model(folder, tokenizer_folder=folder, vocab_size=259)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Tiny\n")
    return folder


@pytest.fixture(scope="module")
def speed() -> Path:
    """What this machine's speed was measured to be, which takes ten seconds."""
    known_rates(print)
    return home() / "speed.json"


@pytest.fixture(autouse=True)
def hub(tiny: Path, speed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallHub]:
    """Every test has a home, a cache and a hub of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    if speed.exists():
        shutil.copy(speed, tmp_path / "home")
    repos = {"org/tiny": files_of(tiny), PINNED.name: {**files_of(tiny), "later.json": b"{}"}}
    with hub_of({**repos, UNPINNED.name: files_of(tiny)}, tmp_path, monkeypatch) as hub:
        hub.repos[PINNED.name].commits[str(PINNED.revision)] = files_of(tiny)
        yield hub


class Said:
    """Runs a command and gives what it said."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def by(self, *arguments: str, status: int = 0) -> str:
        assert main(["models", *arguments]) == status, self._capsys.readouterr()
        captured = self._capsys.readouterr()
        return captured.err if status else captured.out

    def names(self) -> list[str]:
        return [entry["name"] for entry in json.loads(self.by("list", "--json"))]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    return Said(capsys)


def write_adapter(folder: Path) -> Path:
    """One of rank 1 on a projection of the last layer."""
    folder.mkdir()
    at = "model.layers.1.self_attn.q_proj"
    weights = {f"{at}.lora_a": mx.ones((64, 1)), f"{at}.lora_b": mx.ones((1, 64))}
    mx.save_safetensors(str(folder / "adapters.safetensors"), weights)
    parameters = {"rank": 1, "scale": 1.0, "dropout": 0.0, "keys": ["self_attn.q_proj"]}
    config = {"fine_tune_type": "lora", "num_layers": 1, "lora_parameters": parameters}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


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


def test_an_alias_is_pulled_and_serves(said: Said, hub: SmallHub) -> None:
    assert "coder-8gb is here" in said.by("pull", "coder-8gb")
    hub.asked.clear()
    folder = resolve("coder-8gb", progress=SilentProgress())
    assert (folder.id, folder.display_name, hub.asked) == ("coder-8gb", PINNED.name, [])
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
    with pytest.raises(Exception, match="is gone: put it back, or run `pensieve models remove gone`"):
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
    assert "what its adapter adds is not counted" in shown
    assert "tuned stands on it; remove that first" in said.by("remove", "base", status=1)
    again = ("import", "--adapter", "adapter", "--name", "twice", "--base")
    assert "it is an adapter on base itself" in said.by(*again, "tuned", status=1)
    assert "no such model for the adapter" in said.by(*again, "nothing", status=1)
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
            "nothing is not on this machine. `pensieve models list` shows what is, and `pensieve fit nothing`",
        ),
        (["import", "nowhere"], 1, "there is no such file or folder"),
        (["import", "org/tiny"], 1, "`pensieve models pull org/tiny` would fetch it"),
        (["import", "file.txt"], 1, "it is a file, but no .gguf file"),
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
