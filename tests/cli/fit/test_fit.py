"""What `pensieve fit` says, and its exit status."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pensieve.cli.fit import command
from pensieve.cli.fit.command import _lines, fit_lines
from pensieve.cli.fit.figures import Fit
from pensieve.core.fit.kv_bytes import KVLayers, KVShape
from pensieve.core.fit.roofline import DeviceRates, TokenCost
from pensieve.models.estimate.footprint import Footprint
from tests.support.tiny_model import write_byte_tokenizer, write_tiny_model

GB = 10**9
SIX_BILLION = Fit(
    name="deepseek-coder",
    where="its files",
    device="Metal (Apple M1)",
    footprint=Footprint(
        weights_bytes=3_800_000_000,
        num_parameters=6_740_000_000,
        window_tokens=16384,
        token_cost=TokenCost(3_800_000_000, 6_740_000_000),
        kv=KVShape((KVLayers(32, 32, (128, 128)),), 2),
        kv_unknown="",
    ),
    limit_bytes=12 * GB,
    limit_from="the default",
    activation_bytes=300_000_000,
    reserve_bytes=900_000_000,
    rates=DeviceRates(68e9, 2.6e12, 2.6e12, bandwidth_share=0.8, compute_share=0.6),
    rates_from="Apple M1",
)


def test_a_model_that_fits_is_described_with_its_longest_conversation() -> None:
    said = "\n".join(_lines(SIX_BILLION))
    assert "524.3 kB a token; 8.59 GB at the whole window of 16384 tokens" in said
    assert "13351 tokens under the limit, 16384 with --kv-bits 8" in said
    assert "1 conversation of 8192 tokens" in said
    assert "about 14 tokens/s" in said
    assert "(the memory allows 18 at most)" in said
    assert "It fits, with a conversation of 2048 tokens." in said


def test_a_model_that_does_not_fit_says_by_how_much_and_what_would() -> None:
    asked = replace(SIX_BILLION, context_tokens=16384)
    lines = list(_lines(asked))
    assert not asked.fits
    assert asked.missing_bytes == 16384 * 524288 - 7 * GB
    assert "It does not fit: for a conversation of 16384 tokens 1.59 GB are missing." in lines
    assert "  What would: keys and values in 8 bits (--kv-bits 8)." in lines
    assert "  What would: a shorter conversation (--context 13351)." in lines
    assert any("a limit of 13.59 GB" in line for line in lines)
    assert replace(asked, kv_bits=8).fits


def test_weights_that_alone_are_too_much_leave_only_smaller_models() -> None:
    small = replace(SIX_BILLION, limit_bytes=4 * GB)
    lines = list(_lines(small))
    assert "0 tokens under the limit" in "\n".join(lines)
    assert [line for line in lines if line.startswith("  What would")] == [
        "  What would: a limit of 6.07 GB (--memory-limit), or a smaller model (`pensieve models list --available`)."
    ]


def test_a_conversation_longer_than_the_window_does_not_fit_whatever_the_memory() -> None:
    asked = replace(SIX_BILLION, context_tokens=20000, limit_bytes=100 * GB)
    assert not asked.fits
    assert "the model's window is 16384 tokens" in "\n".join(_lines(asked))


def test_what_is_not_known_is_said_to_be_unknown() -> None:
    footprint = replace(SIX_BILLION.footprint, kv=None, kv_unknown="rwkv7 is not known", remarks=("as a note",))
    unknown = replace(SIX_BILLION, footprint=footprint)
    said = "\n".join(_lines(unknown))
    assert "conversations: unknown; rwkv7 is not known" in said
    assert "Its weights fit" in said
    assert "note: as a note" in said
    assert unknown.as_json()["kv_bytes_per_token"] is None


@pytest.mark.parametrize(("text", "size"), [("8GB", 8 * GB), ("512 MB", 512_000_000), ("1.5g", 1_500_000_000)])
def test_a_size_is_read_as_people_write_it(text: str, size: int) -> None:
    assert command._size(text) == size


@pytest.mark.parametrize("text", ["", "much", "0", "-1GB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        command._size(text)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_byte_tokenizer(tmp_path_factory.mktemp("fit") / "tiny")
    return write_tiny_model(folder, tokenizer_folder=folder, vocab_size=259)


def _fit(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pensieve", "fit", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_exit_status_says_whether_it_fits(tiny: Path) -> None:
    ended = _fit(str(tiny), "--json")
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)
    assert said["fits"]
    assert said["context_window_tokens"] == 2048
    assert said["kv_bytes_per_token"] in (2 * 2 * 2 * 16 * 2, 2 * 2 * 2 * 16 * 4)
    assert said["tokens_per_second"] <= said["tokens_per_second_limit"]
    ended = _fit(str(tiny), "--memory-limit", "100MB")
    assert ended.returncode == 3
    assert "It does not fit" in ended.stdout
    ended = _fit(str(tiny / "nothing"))
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr


def test_another_command_can_say_the_same(tiny: Path) -> None:
    lines = fit_lines(str(tiny), limit_bytes=2 * GB)
    assert lines[0].startswith(str(tiny))
    assert lines[-1].startswith("It fits")
    assert any("as given with --memory-limit" in line for line in lines)
