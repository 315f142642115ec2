"""The disk tier survives damage, keeps its limit, and never makes a request fail (C2)."""

from __future__ import annotations

import logging
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from pensieve.core.prefixes.worth import Worth
from pensieve.engine.prompt_cache.disk.file import SUFFIX, TEMPORARY_PREFIX
from pensieve.engine.prompt_cache.disk.folder import MAX_SET_ASIDE, SET_ASIDE
from pensieve.engine.prompt_cache.disk.tier import DiskTier
from tests.engine.prompt_cache.disk.kill_writer import (
    FINGERPRINT,
    content_of,
    keep,
    prompt_of,
    wrong_or_missing,
)

NUM_PROMPTS = 12
MIB = 1 << 20
BLOCK_FILE_BYTES = 256 * 256 + 2000
"""A little more than the size of a file of 256 tokens in these tests."""


@contextmanager
def opened(folder: Path, fingerprint: str = FINGERPRINT, limit_bytes: int = 100 * MIB) -> Iterator[DiskTier]:
    tier = DiskTier(folder, fingerprint, limit_bytes=limit_bytes)
    try:
        yield tier
    finally:
        tier.close(30.0)


def kept(folder: Path, *numbers: int, limit_bytes: int = 100 * MIB) -> None:
    with opened(folder, limit_bytes=limit_bytes) as tier:
        for number in numbers:
            keep(tier, prompt_of(number))
            assert tier.flush(300)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SUFFIX}"))


def all_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_restart_finds_every_token(tmp_path: Path) -> None:
    kept(tmp_path, *range(NUM_PROMPTS))
    with opened(tmp_path) as tier:
        assert [wrong_or_missing(tier, prompt_of(number)) for number in range(NUM_PROMPTS)] == [(0, 0)] * NUM_PROMPTS


def test_shared_blocks_are_one_file_and_a_longer_last_block_replaces_a_shorter_one(tmp_path: Path) -> None:
    whole = prompt_of(6)
    with opened(tmp_path) as tier:
        for length in (300, 400, 500, 600):
            keep(tier, whole[:length])
            tier.flush(300)
    assert len(files(tmp_path)) == 3
    with opened(tmp_path) as tier:
        keep(tier, whole[:300])
        tier.flush(300)
        assert wrong_or_missing(tier, whole[:600]) == (0, 0)
    assert len(files(tmp_path)) == 3


def test_a_match_may_end_within_a_block(tmp_path: Path) -> None:
    kept(tmp_path, 6)
    with opened(tmp_path) as tier:
        match = tier.find([*prompt_of(6)[:270], 5000, 5001])
        assert (match.num_tokens, len(match.blocks), match.has_continuation) == (270, 2, True)
        assert tier.find(prompt_of(6)).has_continuation is False
        assert tier.find([5000]).num_tokens == 0


def test_snapshots_are_found_only_where_they_end(tmp_path: Path) -> None:
    whole = prompt_of(3)
    with opened(tmp_path) as tier:
        for length in (100, 200, 350):
            place = tier.place_at_root(whole[:length])
            assert tier.wants(place, whole[:length])
            block = tier.new_block(place, whole[:length], {"layout": "whole"}, content_of(whole, 0, length))
            tier.put([(block, Worth.READ_AGAIN)], [])
            tier.flush(300)
            assert not tier.wants(place, whole[:length])
    with opened(tmp_path) as tier:
        assert [tier.find_state(whole[:length]).num_tokens for length in (99, 100, 349, 370)] == [0, 100, 200, 350]


def test_another_models_prompts_are_never_served(tmp_path: Path) -> None:
    kept(tmp_path, 1)
    with opened(tmp_path, "another") as tier:
        assert tier.find(prompt_of(1)).num_tokens == 0
        assert tier.is_empty()
        assert tier.num_bytes > 0


@pytest.mark.parametrize(
    "damage", ["flipped", "flipped header", "cut", "cut header", "empty", "longer", "renamed", "text"]
)
def test_a_damaged_file_is_put_aside_and_never_served(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    kept(tmp_path, 2)
    path = max(files(tmp_path), key=lambda each: each.stat().st_size)
    content = bytearray(path.read_bytes())
    at = 70 if "header" in damage else len(content) - 5
    content[at] ^= 1
    damaged = {
        "cut": bytes(content[:-1]),
        "cut header": bytes(content[:60]),
        "empty": b"",
        "longer": path.read_bytes() + b"x",
        "renamed": path.read_bytes(),
        "text": b"dear diary",
    }.get(damage, bytes(content))
    path.write_bytes(damaged)
    if damage == "renamed":
        path = path.rename(path.with_name(f"{'ab' * 32}{SUFFIX}"))
    with opened(tmp_path) as tier:
        num_wrong, num_missing = wrong_or_missing(tier, prompt_of(2))
        assert num_wrong == 0
        assert num_missing > 0
        assert (tmp_path / SET_ASIDE / path.name).exists()
        assert not path.exists()
        keep(tier, prompt_of(2))
        tier.flush(300)
        assert wrong_or_missing(tier, prompt_of(2)) == (0, 0)
    assert "put aside" in caplog.text


def test_a_file_damaged_after_it_was_indexed_is_not_served(tmp_path: Path) -> None:
    kept(tmp_path, 2)
    with opened(tmp_path) as tier:
        for path in files(tmp_path):
            path.write_bytes(path.read_bytes()[:-3] + b"???")
        assert wrong_or_missing(tier, prompt_of(2))[1] == len(prompt_of(2))
        assert len(list((tmp_path / SET_ASIDE).iterdir())) == 1
        files(tmp_path)[0].unlink()
        assert wrong_or_missing(tier, prompt_of(2))[0] == 0


def test_the_number_of_damaged_files_kept_is_limited(tmp_path: Path) -> None:
    for number in range(MAX_SET_ASIDE + 5):
        (tmp_path / f"{number:064x}{SUFFIX}").write_bytes(b"?")
    with opened(tmp_path):
        assert len(list((tmp_path / SET_ASIDE).iterdir())) == MAX_SET_ASIDE
        assert not files(tmp_path)


def test_other_files_in_the_folder_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "a.folder").mkdir()
    kept(tmp_path, 1, limit_bytes=1000)
    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_the_least_recently_used_blocks_are_evicted_and_never_before_their_children(tmp_path: Path) -> None:
    limit = 8 * BLOCK_FILE_BYTES
    with opened(tmp_path, limit_bytes=limit) as tier:
        for number in range(NUM_PROMPTS):
            keep(tier, prompt_of(number))
            tier.flush(300)
            assert all_bytes(tmp_path) <= limit
            assert wrong_or_missing(tier, prompt_of(number)) == (0, 0)
            time.sleep(0.01)  # so that modification times differ
        assert tier.find(prompt_of(0)).num_tokens == 0
        served = sum(len(tier.find(prompt_of(number)).blocks) for number in range(NUM_PROMPTS))
        assert served >= len(files(tmp_path))  # every file can be reached
    with opened(tmp_path, limit_bytes=2 * BLOCK_FILE_BYTES) as tier:
        tier.flush(300)
        assert all_bytes(tmp_path) <= 2 * BLOCK_FILE_BYTES


def test_the_beginning_of_a_prompt_over_the_limit_is_kept(tmp_path: Path) -> None:
    with opened(tmp_path, limit_bytes=2 * BLOCK_FILE_BYTES) as tier:
        keep(tier, [*prompt_of(6), *prompt_of(5)])
        tier.flush(300)
        assert tier.find([*prompt_of(6), *prompt_of(5)]).num_tokens == 512
    assert len(files(tmp_path)) == 2


def test_recently_used_blocks_stay(tmp_path: Path) -> None:
    limit = 8 * BLOCK_FILE_BYTES
    with opened(tmp_path, limit_bytes=limit) as tier:
        for number in (0, 4, 8, 1, 5, 9):
            keep(tier, prompt_of(number))
            tier.put([], [place.key for place in tier.places(prompt_of(0))])
            tier.flush(300)
            time.sleep(0.01)
        assert wrong_or_missing(tier, prompt_of(0)) == (0, 0)


def test_two_tiers_share_a_folder_and_its_limit(tmp_path: Path) -> None:
    limit = 8 * BLOCK_FILE_BYTES
    with opened(tmp_path, limit_bytes=limit) as one, opened(tmp_path, limit_bytes=limit) as other:
        for number in range(NUM_PROMPTS):
            for tier in (one, other):
                keep(tier, prompt_of(number))
        for tier in (one, other):
            assert tier.flush(300)
        assert all_bytes(tmp_path) <= limit
        for number in range(NUM_PROMPTS):
            assert wrong_or_missing(one, prompt_of(number))[0] == wrong_or_missing(other, prompt_of(number))[0] == 0


def test_a_folder_that_cannot_be_created_is_logged_once_and_is_a_miss(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    with opened(tmp_path / "file") as tier:
        for number in range(3):
            keep(tier, prompt_of(number))
            assert tier.flush(300)
        assert tier.find(prompt_of(0)).num_tokens == 0
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@contextmanager
def failing_writes() -> Iterator[None]:
    """Files cannot grow beyond a part of a block: they fail in the middle, as on a bad disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_failing_disk_is_one_line_in_the_log_until_it_works_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept(tmp_path, 0)
    with opened(tmp_path) as tier:
        with failing_writes():
            for number in (4, 8):
                keep(tier, prompt_of(number))
                assert tier.flush(300)
            assert wrong_or_missing(tier, prompt_of(0)) == (0, 0)
        assert len(caplog.records) == 1
        assert not list(tmp_path.glob(f"{TEMPORARY_PREFIX}*"))
        keep(tier, prompt_of(4))
        assert tier.flush(300)
        assert wrong_or_missing(tier, prompt_of(4)) == (0, 0)
        assert len(caplog.records) == 2
        assert "again" in caplog.records[-1].message
        with failing_writes():
            keep(tier, prompt_of(8))
            assert tier.flush(300)
    assert len(caplog.records) == 3


def test_a_read_only_folder_can_be_read(tmp_path: Path) -> None:
    kept(tmp_path, 0)
    tmp_path.chmod(0o500)
    try:
        with opened(tmp_path) as tier:
            keep(tier, prompt_of(0))
            assert tier.flush(300)
            assert wrong_or_missing(tier, prompt_of(0)) == (0, 0)
    finally:
        tmp_path.chmod(0o700)


def test_a_block_over_the_limit_is_not_copied(tmp_path: Path) -> None:
    with opened(tmp_path, limit_bytes=10) as tier:
        assert tier.may_write(10, Worth.SHORT, waiting_bytes=0)
        assert not tier.may_write(11, Worth.READ_AGAIN, waiting_bytes=0)


def test_a_block_is_read_as_it_was_put(tmp_path: Path) -> None:
    kept(tmp_path, 0)
    with opened(tmp_path) as tier:
        stored = tier.find(prompt_of(0)).blocks[0]
        block = tier.read(stored)
    assert block is not None
    assert (block.arrays[0].dtype, block.arrays[0].shape) == ("float32", (1, 1, 256, 64))
    assert list(block.token_ids) == prompt_of(0)[:256]
    assert block.token_ids.dtype == np.uint32
