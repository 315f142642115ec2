"""A pull brings complete, unchanged models, or an error that states what to do."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.home import HOME_VARIABLE
from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.files.progress import SilentProgress
from pensieve.models.hub.local import PATTERNS, HubCopy, local_copy
from pensieve.models.hub.name import HubName, parse_hub_name
from pensieve.models.hub.pins import pin
from pensieve.models.hub.pull import pull
from pensieve.models.library.resolve import resolve
from tests.models.gguf.gguf_files import write_llama
from tests.models.hub.hub_server import CHUNK_BYTES, Repo, SmallHub, files_of, hub_of, own_cache
from tests.support.tiny_model import write_byte_tokenizer, write_tiny_model

ROOT = Path(__file__).parents[3]
NAME = "org/tiny"
WEIGHTS = "model.safetensors"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(name="own_cache")
def fixture_own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return own_cache(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A model of 3 MB."""
    folder = write_byte_tokenizer(tmp_path_factory.mktemp("models") / "tiny")
    write_tiny_model(folder, tokenizer_folder=folder, vocab_size=259, intermediate_size=4096)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Tiny\n")
    return {**files_of(folder), "weights.bin": b"not read by mlx-lm"}


@pytest.fixture
def hub(files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallHub]:
    with hub_of({NAME: files}, tmp_path, monkeypatch) as hub:
        yield hub


def parsed(text: str) -> HubName:
    name = parse_hub_name(text)
    assert name is not None
    return name


def pulled(text: str = NAME) -> HubCopy:
    return pull(parsed(text), SilentProgress())


def resolved(source: str) -> ModelFolder:
    return resolve(source, progress=SilentProgress())


def test_the_pulled_files_are_those_that_mlx_lm_reads() -> None:
    from mlx_lm.utils import DEFAULT_ALLOW_PATTERNS  # noqa: PLC0415 - after MLX's BLAS

    assert list(PATTERNS) == DEFAULT_ALLOW_PATTERNS


def test_a_pulled_model_is_complete_and_needs_the_hub_no_more(hub: SmallHub, files: dict[str, bytes]) -> None:
    copy = pulled()
    assert copy.commit == hub.repos[NAME].branches["main"]
    assert files_of(copy.path) == {name: content for name, content in files.items() if name != "weights.bin"}
    hub.requests.clear()
    assert resolved(NAME) == ModelFolder(copy.path, NAME, NAME, resolved(NAME).created_at, copy.commit)
    assert hub.requests == []


def test_a_second_pull_fetches_nothing(hub: SmallHub) -> None:
    pulled()
    pulled()
    assert hub.downloads(WEIGHTS) == [None]
    assert hub.downloads("config.json") == [None]


def test_a_broken_connection_is_resumed_where_it_broke(hub: SmallHub, files: dict[str, bytes]) -> None:
    hub.cuts[WEIGHTS] = [1_000_000, 500_000]
    assert files_of(pulled().path)[WEIGHTS] == files[WEIGHTS]
    assert hub.downloads(WEIGHTS) == [None, "bytes=1000000-", "bytes=1500000-"]


def test_a_failed_pull_is_resumed_by_the_next(
    hub: SmallHub, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.cuts[WEIGHTS] = [1_000_000]
    monkeypatch.setattr(time, "sleep", lambda _: hub.repos[NAME].__setattr__("is_gated", True))
    with pytest.raises(ModelLoadingError, match="accept its licence"):
        pulled()
    hub.repos[NAME].is_gated = False
    hub.requests.clear()
    assert files_of(pulled().path)[WEIGHTS] == files[WEIGHTS]
    assert hub.downloads(WEIGHTS) == ["bytes=1000000-"]


@pytest.mark.parametrize("changed", [WEIGHTS, "tokenizer.json"])
def test_a_file_with_a_wrong_checksum_is_deleted_and_named(hub: SmallHub, changed: str) -> None:
    hub.changed = {changed}
    with pytest.raises(
        ModelLoadingError, match=rf"{changed}.*deleted; pull the model again|deleted: {changed}.*Pull the model again"
    ):
        pulled()
    assert local_copy(parsed(NAME)) is None
    hub.changed = set()
    assert pulled().path.is_dir()


def test_a_pull_replaces_a_file_damaged_on_disk(hub: SmallHub, files: dict[str, bytes]) -> None:
    blob = (pulled().path / WEIGHTS).resolve()
    blob.write_bytes(files[WEIGHTS][:-1] + b"x")
    with pytest.raises(ModelLoadingError, match=f"deleted: {WEIGHTS}"):
        pulled()
    assert files_of(pulled().path)[WEIGHTS] == files[WEIGHTS]


def test_a_named_revision_stays_when_main_moves(hub: SmallHub, files: dict[str, bytes]) -> None:
    repo = hub.repos[NAME]
    first = repo.commit(files, "v1")
    second = repo.commit({**files, "config.json": files["config.json"] + b"\n"})
    assert pulled(f"{NAME}@v1").commit == first
    assert pulled(f"{NAME}@{second}").commit == second
    hub.requests.clear()
    assert [resolved(f"{NAME}@{revision}").revision for revision in ("v1", first, second)] == [first, first, second]
    pin(NAME, first)
    assert resolved(NAME).revision == first
    assert hub.requests == []


def test_a_model_changes_only_when_it_is_pulled(hub: SmallHub, files: dict[str, bytes]) -> None:
    first = pulled().commit
    second = hub.repos[NAME].commit({**files, "config.json": files["config.json"] + b"\n"})
    assert resolved(NAME).revision == first
    assert pulled().commit == second
    assert resolved(NAME).revision == second
    assert hub.downloads(WEIGHTS) == [None]


def test_the_gguf_files_of_a_repository_are_listed_and_one_is_converted(hub: SmallHub, tmp_path: Path) -> None:
    write_llama(tmp_path / "small.gguf")
    content = (tmp_path / "small.gguf").read_bytes()
    repo = hub.repos["org/ggufs"] = Repo()
    commit = repo.commit({"README.md": b"", "q8/small.gguf": content, "large.gguf": bytes(100)})
    with pytest.raises(ModelLoadingError, match=r"name one of its GGUF files: org/ggufs/q8/small\.gguf \(0\.00 GB\), "):
        pulled("org/ggufs")
    with pytest.raises(ModelLoadingError, match=r"org/ggufs has no such file; name one of .*large\.gguf"):
        pulled("org/ggufs/other.gguf")
    folder = resolved("org/ggufs/q8/small.gguf")
    assert (folder.id, folder.revision) == ("small", commit)
    hub.requests.clear()
    assert resolved("org/ggufs/q8/small.gguf@main") == folder
    assert hub.requests == []


def test_a_repository_without_weights_is_refused(hub: SmallHub) -> None:
    hub.repos["org/torch"] = Repo()
    hub.repos["org/torch"].commit({"config.json": b"{}", "pytorch_model.bin": b"0"})
    with pytest.raises(ModelLoadingError, match=r"has no model\*\.safetensors, which mlx-lm loads; .*mlx-community"):
        pulled("org/torch")


def test_a_full_disk_is_reported_with_figures_before_anything_is_fetched(
    hub: SmallHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 9 * 10**8, 10**8))
    with pytest.raises(ModelLoadingError, match=r"0\.00 GB must be fetched, and the disk of .* has 0\.10 GB free"):
        pulled()
    assert hub.downloads(WEIGHTS) == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("org/nothing", "the hub has no such model: check the spelling; if it is private, run `hf auth login`"),
        ("org/gated", "requires you to accept its licence first: accept the licence on its page"),
        (f"{NAME}@v9", f"{NAME} has no revision v9: name one of its branches, tags or full commits"),
    ],
)
def test_a_refusal_of_the_hub_is_reported_with_the_fix(hub: SmallHub, source: str, message: str) -> None:
    hub.repos["org/gated"] = Repo({COMMIT: {}}, {"main": COMMIT}, is_gated=True)
    with pytest.raises(ModelLoadingError, match=message):
        resolved(source)


@pytest.mark.usefixtures("own_cache")
def test_an_unreachable_hub_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    message = "no-such-organisation/model: the hub cannot be reached and there is no copy"
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelLoadingError, match=message):
        resolved("no-such-organisation/model")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelLoadingError, match=message):
        resolved("no-such-organisation/model")


def cached_by_others(own_cache: Path) -> Path:
    """A snapshot as other programs create it."""
    cached = own_cache / "models--org--tiny"
    snapshot = write_byte_tokenizer(cached / "snapshots" / COMMIT)
    write_tiny_model(snapshot, tokenizer_folder=snapshot, vocab_size=259)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(COMMIT)
    return snapshot


def test_a_model_in_the_hubs_cache_needs_no_network(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached_by_others(own_cache)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    folder = resolved("org/tiny")
    assert (folder.id, folder.revision) == ("org/tiny", COMMIT)


def test_a_copy_without_all_its_weights_does_not_count(own_cache: Path) -> None:
    snapshot = cached_by_others(own_cache)
    (snapshot / WEIGHTS).rename(snapshot / "model-00001-of-00002.safetensors")
    index = '{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}'
    (snapshot / "model.safetensors.index.json").write_text(index)
    assert local_copy(parsed(NAME)) is None


@pytest.mark.parametrize("text", ["name", "a/b/c", "/a/b", "./a/b", "a/b@", "a/b@../c", "a/../b.gguf", "a b/c"])
def test_other_texts_are_not_hub_names(text: str) -> None:
    assert parse_hub_name(text) is None


def test_hub_names_are_parsed_and_formatted() -> None:
    assert parse_hub_name("a/b") == HubName("a/b")
    assert parse_hub_name("a/b-1.0@refs/pr/1") == HubName("a/b-1.0", None, "refs/pr/1")
    assert parse_hub_name("a/b/q/c.GGUF@v1") == HubName("a/b", "q/c.GGUF", "v1")
    assert str(parse_hub_name("a/b/q/c.gguf@v1")) == "a/b/q/c.gguf@v1"
    for page in ("https://huggingface.co/a/b", "huggingface.co/a/b", "hf.co/a/b", "HTTPS://hf.co/a/b"):
        assert parse_hub_name(page) == HubName("a/b")


PULL = f"""
from huggingface_hub import constants
constants.DOWNLOAD_CHUNK_SIZE = {CHUNK_BYTES}
from pensieve.models.hub.pull import pull
from pensieve.models.hub.name import parse_hub_name
from pensieve.models.files.progress import ConsoleProgress
print(pull(parse_hub_name("org/tiny"), ConsoleProgress()).path)
"""


def test_a_killed_pull_is_resumed_by_the_next_process(
    hub: SmallHub, own_cache: Path, files: dict[str, bytes], tmp_path: Path
) -> None:
    environment = {
        **os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(own_cache), "HF_HUB_DISABLE_XET": "1",
        HOME_VARIABLE: str(tmp_path / "home"), "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    command = [sys.executable, "-c", PULL]
    hub.cuts[WEIGHTS] = [1_000_000]
    killed = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    partials = (list(own_cache.glob("*/blobs/*.pensieve.incomplete")) for _ in itertools.count())
    deadline = time.monotonic() + 300
    while not any(path.stat().st_size >= 1_000_000 for path in next(partials)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)  # it is waiting a second before its next try
    killed.communicate()
    hub.requests.clear()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert files_of(Path(done.stdout.strip()))[WEIGHTS] == files[WEIGHTS]
    assert hub.downloads(WEIGHTS) == ["bytes=1000000-"]
    assert "Resuming an interrupted download: 1 MB are here already." in done.stderr
