"""The report of `pensieve fit`, and its exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pensieve.cli.fit.figures import Fit, FitOptions, estimate_fit
from pensieve.cli.fit.report import report_lines
from pensieve.cli.main import main
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
    chunk_tokens=512,
)


def test_a_recurrent_state_is_read_and_written_for_each_token() -> None:
    state = replace(SIX_BILLION.footprint.kv, state_bytes=1_900_000_000)  # type: ignore[type-var]
    hybrid = replace(SIX_BILLION, footprint=replace(SIX_BILLION.footprint, kv=state))
    assert hybrid.expected_tokens_per_second(0) == pytest.approx(
        SIX_BILLION.expected_tokens_per_second(0) / 2, rel=0.001
    )


def test_a_model_that_fits_is_described_with_its_longest_conversation() -> None:
    output = "\n".join(report_lines(SIX_BILLION))
    assert "524.3 kB per token, 8.59 GB for the whole window of 16384 tokens" in output
    assert "13351 tokens under the limit, 16384 with --kv-bits 8" in output
    assert "1 conversation of 8192 tokens" in output
    assert "about 14 tokens/s" in output
    assert "(memory bandwidth allows 18)" in output
    assert "It fits, with a conversation of 2048 tokens." in output


def test_a_model_that_does_not_fit_is_reported_with_the_shortage_and_the_remedies() -> None:
    longer = replace(SIX_BILLION, context_tokens=16384)
    lines = list(report_lines(longer))
    assert not longer.fits
    assert longer.missing_bytes == 16384 * 524288 - 7 * GB
    assert "It does not fit: a conversation of 16384 tokens needs 1.59 GB more memory." in lines
    assert "  Try --kv-bits 8, which stores keys and values in 8 bits." in lines
    assert "  Try --context 13351, a shorter conversation." in lines
    assert any("--memory-limit 13.59GB" in line for line in lines)
    assert replace(longer, kv_bits=8).fits


def test_weights_that_exceed_the_limit_leave_a_higher_limit_or_a_smaller_model() -> None:
    small = replace(SIX_BILLION, limit_bytes=4 * GB)
    lines = list(report_lines(small))
    assert "0 tokens under the limit" in "\n".join(lines)
    assert [line for line in lines if line.startswith("  Try ")] == [
        "  Try --memory-limit 6.07GB, or a smaller model (see `pensieve models list --available`)."
    ]


def test_a_conversation_longer_than_the_window_never_fits() -> None:
    longer = replace(SIX_BILLION, context_tokens=20000, limit_bytes=100 * GB)
    assert not longer.fits
    assert "exceeds the model's window of 16384 tokens" in "\n".join(report_lines(longer))


def test_unknown_figures_are_reported_as_unknown() -> None:
    footprint = replace(SIX_BILLION.footprint, kv=None, kv_unknown="rwkv7 is not known", remarks=("as a note",))
    unknown = replace(SIX_BILLION, footprint=footprint)
    output = "\n".join(report_lines(unknown))
    assert "conversations   unknown: rwkv7 is not known" in output
    assert "Its weights fit" in output
    assert "note: as a note" in output
    assert unknown.as_json()["kv_bytes_per_token"] is None


@pytest.mark.parametrize("flags", [("--memory-limit", "0"), ("--memory-limit", "much"), ("--context", "0")])
def test_a_wrong_option_is_a_usage_error(flags: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["fit", "any", *flags])
    assert caught.value.code == 2
    assert f"{flags[0]}: '{flags[1]}'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_byte_tokenizer(tmp_path_factory.mktemp("fit") / "tiny")
    return write_tiny_model(folder, tokenizer_folder=folder, vocab_size=259)


def _fit(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pensieve", "fit", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_the_exit_status_tells_whether_the_model_fits(tiny: Path) -> None:
    ended = _fit(str(tiny), "--json")
    assert ended.returncode == 0, ended.stderr
    output = json.loads(ended.stdout)
    assert output["fits"]
    assert output["context_window_tokens"] == 2048
    assert output["kv_bytes_per_token"] in (2 * 2 * 2 * 16 * 2, 2 * 2 * 2 * 16 * 4)
    assert output["tokens_per_second"] <= output["tokens_per_second_limit"]
    ended = _fit(str(tiny), "--memory-limit", "100MB")
    assert ended.returncode == 3
    assert "It does not fit" in ended.stdout
    ended = _fit(str(tiny / "nothing"))
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr


def test_the_report_ends_with_the_verdict(tiny: Path) -> None:
    lines = list(report_lines(estimate_fit(str(tiny), FitOptions(limit=2 * GB))))
    assert lines[0].startswith(str(tiny))
    assert lines[-1].startswith("It fits")
    assert any("given with --memory-limit" in line for line in lines)
