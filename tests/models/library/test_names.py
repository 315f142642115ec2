"""Names survive concurrent writers, and a name that already means something is refused."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.home import HOME_VARIABLE
from pensieve.models.hub.pins import pin, pinned, unpin
from pensieve.models.library.names import NamedModel, add_name, drop_name, named_model, named_models


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    return tmp_path / "home"


def model(name: str) -> NamedModel:
    return NamedModel(name, "folder", "/from", "/at", base=None)


def test_names_are_stored_in_order_and_dropped() -> None:
    assert named_models() == ()
    add_name(model("b"))
    add_name(model("a"))
    assert named_models() == (model("b"), model("a"))
    drop_name("b")
    drop_name("never-there")
    assert (named_model("b"), named_model("a")) == (None, model("a"))


def test_a_taken_name_is_refused() -> None:
    add_name(model("a"))
    with pytest.raises(ModelLoadingError, match="run `pensieve models remove a` first, or choose another with --name"):
        add_name(model("a"))


@pytest.mark.parametrize("name", ["", "a/b", "-a", "a b", "../a", "a@b", "smollm2-135m", "coder-8gb"])
def test_a_name_that_could_mean_something_else_is_refused(name: str) -> None:
    with pytest.raises(ModelLoadingError, match=r"--name"):
        add_name(model(name))


def test_concurrent_writers_lose_no_name() -> None:
    names = [f"model-{index}" for index in range(40)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add_name, map(model, names)))
    assert {named.name for named in named_models()} == set(names)


def test_a_pin_stays_until_its_commit_is_unpinned() -> None:
    assert pinned("org/name") is None
    pin("org/name", "a" * 40)
    pin("org/name", "b" * 40)
    unpin("org/name", "a" * 40)
    assert pinned("org/name") == "b" * 40
    unpin("org/name", "b" * 40)
    assert pinned("org/name") is None


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_damaged_names_file_is_reported_and_not_overwritten(home: Path, content: str) -> None:
    home.mkdir()
    (home / "names.json").write_text(content)
    with pytest.raises(ModelLoadingError, match=r"names\.json .*fix or remove it"):
        add_name(model("a"))
    assert (home / "names.json").read_text() == content


def test_a_home_that_cannot_be_written_is_reported_with_the_fix(home: Path) -> None:
    home.write_text("a file")
    with pytest.raises(ModelLoadingError, match="set PENSIEVE_HOME to a folder that can"):
        pin("org/name", "a" * 40)


def test_keys_of_a_newer_version_are_ignored_and_kept(home: Path) -> None:
    add_name(model("a"))
    path = home / "names.json"
    content = json.loads(path.read_text())
    content["models"]["a"]["colour"] = "red"
    content["shelves"] = [1]
    path.write_text(json.dumps(content))
    assert named_model("a") == model("a")
    add_name(model("b"))
    kept = json.loads(path.read_text())
    assert (kept["models"]["a"]["colour"], kept["shelves"]) == ("red", [1])


@pytest.mark.parametrize(
    "entry", [None, [], {}, {"name": "a"}, {"name": 5, "kind": "copy", "origin": "x", "path": "y"}]
)
def test_a_damaged_entry_is_named(home: Path, entry: object) -> None:
    home.mkdir()
    (home / "names.json").write_text(json.dumps({"models": {"a": entry}}))
    with pytest.raises(ModelLoadingError, match=r"cannot load a: its entry in .*names\.json is damaged"):
        named_models()


@pytest.mark.parametrize("content", ["{", "[]", '{"models": []}', '{"pulled": 5}', "[" * 100_000])
def test_a_damaged_file_is_named(home: Path, content: str) -> None:
    home.mkdir()
    (home / "names.json").write_text(content)
    with pytest.raises(ModelLoadingError, match=r"names\.json .*fix or remove it"):
        named_models()
