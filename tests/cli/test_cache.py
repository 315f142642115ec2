"""`pensieve cache`, on a folder with cached blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pensieve.cli.main import main
from pensieve.core.prefixes.worth import Worth
from pensieve.engine.kv.blocks import HostArray
from pensieve.engine.prompt_cache.disk.tier import DiskTier
from pensieve.models.files.home import HOME_VARIABLE


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder, with two prompts of 300 tokens, each in blocks of 256 and 44."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    tier = DiskTier(tmp_path / "kv", "some model", limit_bytes=1 << 30)
    for seed in range(2):
        token_ids = [int(token) for token in np.random.default_rng(seed).integers(0, 1000, 300)]
        array = HostArray("uint8", (10_000,), np.zeros(10_000, np.uint8))
        blocks = [tier.new_block(place, token_ids, None, [array]) for place in tier.places(token_ids)]
        tier.put([(block, Worth.READ_AGAIN) for block in blocks], [])
    tier.close(30.0)
    return tmp_path / "kv"


def num_files(folder: Path) -> int:
    return len(list(folder.glob("*.kv")))


def test_show_lists_the_tokens_of_each_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / f"{'0' * 64}.kv").write_bytes(b"damaged")
    assert main(["cache", "show"]) == 0
    output = capsys.readouterr().out
    assert f"{folder}: 4 files, 0.0 MB" in output
    assert "model some model: 600 tokens" in output
    assert "set aside as damaged" in output
    assert "written in the last 24 hours: 0.0 MB" in output


def test_prune_deletes_damaged_files_and_the_oldest_over_the_size(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / f"{'0' * 64}.kv").write_bytes(b"damaged")
    assert main(["cache", "prune"]) == 0
    assert num_files(folder) == 4
    assert not list((folder / "set-aside").iterdir())
    assert main(["cache", "prune", "--to-bytes", "26k"]) == 0
    assert num_files(folder) == 2
    assert "left" in capsys.readouterr().out


def test_clear_deletes_everything(folder: Path) -> None:
    assert main(["cache", "clear"]) == 0
    assert num_files(folder) == 0
    assert main(["cache", "show"]) == 0


@pytest.mark.parametrize("action", ["show", "prune", "clear"])
def test_a_missing_folder_counts_as_empty(
    action: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "nowhere"))
    assert main(["cache", action]) == 0
    assert str(tmp_path / "nowhere" / "kv") in capsys.readouterr().out
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(("text", "num_bytes"), [("0", 0), ("26k", 26_000), ("2G", 2 * 10**9), ("1GiB", 2**30)])
def test_prune_keeps_at_most_the_given_size(folder: Path, text: str, num_bytes: int) -> None:
    assert main(["cache", "prune", "--to-bytes", text]) == 0
    assert sum(path.stat().st_size for path in folder.glob("*.kv")) <= num_bytes


@pytest.mark.parametrize(
    "arguments", [["cache", "prune", "--to-bytes", "much"], ["cache", "prune", "--to-bytes", "-1"]]
)
def test_wrong_usage_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert refused.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_a_folder_that_cannot_be_locked_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    (tmp_path / "kv").mkdir()
    (tmp_path / "kv" / ".lock").mkdir()  # a folder in place of the lock file
    assert main(["cache", "clear"]) == 1
    assert f"cannot change {tmp_path / 'kv'}" in capsys.readouterr().err
