"""One name has one meaning, whichever command reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.home import models_folder
from pensieve.models.files.progress import SilentProgress
from pensieve.models.hub.name import HubName
from pensieve.models.library.aliases import curated_models
from pensieve.models.library.importing import import_model
from pensieve.models.library.inventory import local_models
from pensieve.models.library.names import NamedModel, add_name, named_model
from pensieve.models.library.resolve import resolve
from pensieve.models.library.source import EmbeddedSource, FolderSource, GgufSource, parse_hub_source, parse_source
from tests.models.gguf.gguf_files import write_llama

ALIAS = curated_models()[0]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PENSIEVE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_pensieves_own_names_come_before_folders(here: Path) -> None:
    for name in ("smollm2-135m", ALIAS.alias):
        Path(name).mkdir()
    assert parse_source("smollm2-135m") == EmbeddedSource()
    assert parse_source(ALIAS.alias) is ALIAS
    assert parse_source("./smollm2-135m") == FolderSource(here / "smollm2-135m")
    assert parse_source(f"./{ALIAS.alias}") == FolderSource(here / ALIAS.alias)


def test_an_imported_name_comes_before_a_folder(here: Path) -> None:
    write_llama(here / "mine.gguf")
    import_model(here / "mine.gguf", None, copy=False, progress=SilentProgress())
    Path("mine").mkdir()
    assert parse_source("mine") == named_model("mine")
    assert parse_source("./mine") == FolderSource(here / "mine")


def test_a_folder_comes_before_the_hub_except_for_pull(here: Path) -> None:
    assert parse_source("org/name") == HubName("org/name")
    Path("org/name").mkdir(parents=True)
    assert parse_source("org/name") == FolderSource(here / "org/name")
    assert parse_hub_source("org/name") == HubName("org/name")
    assert parse_hub_source(ALIAS.alias) == ALIAS.hub
    assert parse_hub_source("name") is None


def test_a_gguf_file_keeps_the_name_of_its_link(here: Path) -> None:
    write_llama(here / "blob")
    Path("small.gguf").symlink_to("blob")
    assert parse_source("small.gguf") == GgufSource(Path("small.gguf"))


def test_a_conversion_is_found_by_its_folders_name(here: Path) -> None:
    write_llama(here / "mine.gguf")
    folder = Path(import_model(here / "mine.gguf", "other", copy=False, progress=SilentProgress()).path)
    assert parse_source(folder.name) == FolderSource(models_folder() / folder.name)


@pytest.mark.parametrize("name", ["a" * 5000, "a/" * 2000, "~no-such-user/model", "a\0b", "./a\0b"])
def test_a_name_that_no_file_can_have_is_refused_in_a_sentence(here: Path, name: str) -> None:
    with pytest.raises(ModelLoadingError):
        parse_source(name)
    with pytest.raises(ModelLoadingError):
        import_model(Path(name), "new", copy=False, progress=SilentProgress())


def test_an_imported_model_whose_path_no_file_can_have_is_listed_without_bytes(here: Path) -> None:
    add_name(NamedModel("long", "folder", "a" * 5000, "a" * 5000))
    assert [model.num_bytes for model in local_models() if model.name == "long"] == [0]
    with pytest.raises(ModelLoadingError, match="no longer exists"):
        resolve("long", progress=SilentProgress())
