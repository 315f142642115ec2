"""Turns of the real Claude Code, with real prompts and KV, and scripted answers (C8)."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.claude_code.client import ClaudeCode
from tests.claude_code.conftest import IS_LONG_FORM, Start, scripted
from tests.claude_code.recorder import Exchange
from tests.support.waiting import wait_until

GERMAN = "Der Hafen öffnet um sieben.\n\t„Pünktlich“, 日本 👋\n"
LINES = 700
"""The length of a logbook: about 10,000 tokens. One logbook fits into a window of 16,384 tokens, two do not."""

NO_LIMITS = {"CLAUDE_CODE_MAX_OUTPUT_TOKENS": None, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": None}
"""The client's own environment, without what a user would have to set for a local model."""

long_form = pytest.mark.skipif(not IS_LONG_FORM, reason="only in the long form: tox -e claudecode")


def results_in(exchange: Exchange) -> list[dict[str, Any]]:
    """The tool results in the last message of a request."""
    content = exchange.request_json["messages"][-1]["content"]
    return [block for block in content if isinstance(block, dict) and block["type"] == "tool_result"]


def translate_notes(claude: ClaudeCode) -> None:
    claude.write("notes.txt", "The harbour opens at seven.\n")
    result = claude.ask("Translate notes.txt into German.", "--allowedTools", "Read Write")
    assert (result["is_error"], result["result"]) == (False, "It is translated.")


def test_a_turn_reads_a_file_and_writes_another(claude: ClaudeCode) -> None:
    translate_notes(claude)
    assert claude.read("hafen.txt") == GERMAN
    read, written, ended = claude.recorder.messages
    assert read.prompt_tokens > 8000  # all of its tools and its system prompt are in the prompt
    assert read.prompt_tokens < written.prompt_tokens < ended.prompt_tokens
    assert "The harbour opens at seven." in str(results_in(written))
    assert all(exchange.is_complete for exchange in claude.recorder.messages)
    assert claude.num_active() == 0


def test_a_window_of_32k_needs_no_variables(start: Start, scripted_model: Callable[[int], Path]) -> None:
    """By itself, the client assumes a window of a million tokens and requests answers of 32,000."""
    claude = scripted(start, scripted_model(32768))
    claude.write("notes.txt", "The harbour opens at seven.\n")
    result = claude.ask("Translate notes.txt into German.", "--allowedTools", "Read Write", **NO_LIMITS)
    assert (result["is_error"], result["result"]) == (False, "It is translated.")
    assert claude.read("hafen.txt") == GERMAN
    assert {exchange.status for exchange in claude.recorder.exchanges} == {200}
    assert {exchange.request_json["max_tokens"] for exchange in claude.recorder.messages} == {32000}


def test_a_continued_session_has_its_history_and_its_cache(claude: ClaudeCode) -> None:
    translate_notes(claude)
    result = claude.ask("And who was it for?", "--continue")
    assert (result["is_error"], result["result"]) == (False, "For the harbour master.")
    _, *later = claude.recorder.messages
    assert min(exchange.cached_share for exchange in later) >= 0.95
    *_, before, continued = later
    assert continued.prompt_tokens > before.prompt_tokens
    kept = [message["role"] for message in before.request_json["messages"]]
    assert [message["role"] for message in continued.request_json["messages"]][: len(kept)] == kept


def test_auto_mode_goes_on_without_the_safeguards_that_were_refused(claude: ClaudeCode) -> None:
    result = claude.ask("Still there?", "--tools", "Read", "--permission-mode", "auto")
    assert (result["is_error"], result["result"]) == (False, "Still here.")
    refused, answered = claude.recorder.exchanges
    assert (refused.status, "safeguards" in refused.request_json) == (400, True)
    assert '"message":"safeguards: not supported' in refused.text
    assert (answered.status, "safeguards" in answered.request_json) == (200, False)


@long_form
def test_two_tools_of_one_answer_run_and_return_together(claude: ClaudeCode) -> None:
    claude.write("south.txt", "Here is the south pier.\n")
    claude.write("north.txt", "Here is the north pier.\n")
    result = claude.ask("Look at both piers.", "--allowedTools", "Read Bash")
    assert (result["is_error"], result["result"]) == (False, "Both piers are known.")
    assert (claude.folder / "looked").exists()
    _, results = claude.recorder.messages
    south, north = results_in(results)
    assert "south pier" in str(south)
    assert "north pier" in str(north)
    assert south["tool_use_id"] != north["tool_use_id"]


@long_form
def test_a_web_search_that_cannot_run_is_an_error_and_no_invented_source(claude: ClaudeCode) -> None:
    result = claude.ask("Look up the tides.", "--tools", "WebSearch", "--allowedTools", "WebSearch")
    assert (result["is_error"], result["result"]) == (False, "I could not look them up.")
    (error,) = results_in(claude.recorder.messages[-1])
    assert error["is_error"]
    assert "cannot run web_search_20250305" in error["content"]
    assert "example.org" not in str(claude.recorder.exchanges)


@long_form
def test_a_subagent_works_and_reports(claude: ClaudeCode) -> None:
    claude.write("boats.txt", "boat\n" * 9)
    result = claude.ask("Let an agent count.")
    assert (result["is_error"], result["result"]) == (False, "The agent counted nine boats.")
    request, agent_request, report = claude.recorder.messages
    assert agent_request.request_json["system"] != request.request_json["system"]
    assert "Count the boats in boats.txt" in str(agent_request.request_json["messages"])
    assert "Nine boats lie there." in str(results_in(report))


@long_form
@pytest.mark.parametrize("variables", [{}, NO_LIMITS], ids=["limited", "unlimited"])
def test_a_full_window_makes_the_client_compact_the_conversation(
    start: Start, scripted_model: Callable[[int], Path], variables: Mapping[str, None]
) -> None:
    claude = scripted(start, scripted_model(16384))
    for name in ("first", "second"):
        lines = "".join(f"line {number} of the {name} logbook\n" for number in range(LINES))
        claude.write(f"{name}.txt", f"The {name} logbook says\n{lines}")
    result = claude.ask("Read both logbooks.", "--tools", "Read,Write", **variables)
    assert (result["is_error"], result["result"]) == (False, "Both logbooks are read.")
    refused = [exchange for exchange in claude.recorder.exchanges if exchange.status == 400]
    assert len(refused) == 1
    assert "prompt is too long: " in refused[0].text
    assert " tokens > 16384 maximum" in refused[0].text
    *_, summary, continued = claude.recorder.messages
    assert "<summary>" in str(summary.request_json["messages"][-1])
    kept = str(continued.request_json["messages"])
    assert "The first logbook is read, the second is not." in kept
    assert "The second logbook says" in kept
    assert "The first logbook says" not in kept
    assert continued.prompt_tokens < 16384


@long_form
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_client_killed_during_prefill_ends_its_request(claude: ClaudeCode, number: signal.Signals) -> None:
    uncached = " ".join(f"{number.name}-{index}" for index in range(8000))
    with claude.started(f"Read this. {uncached}") as process:
        wait_until(lambda: claude.num_active() == 1)
        process.send_signal(number)
        wait_until(lambda: claude.num_active() == 0)
    wait_until(lambda: claude.recorder.num_open == 0)
    interrupted = claude.recorder.exchanges[-1]
    assert not interrupted.is_complete
    assert "content_block_delta" not in interrupted.text  # the answer had not started
    assert claude.ask("Still there?")["result"] == "Still here."


@long_form
def test_a_turn_of_the_embedded_model_ends_with_a_result(start: Start) -> None:
    claude = start("smollm2-135m")
    result = claude.ask("What is the capital of France?", "--bare", CLAUDE_CODE_MAX_OUTPUT_TOKENS="1024")
    assert (result["type"], result["is_error"]) == ("result", False), result["result"]
    assert claude.recorder.messages
    assert all(exchange.usage["output_tokens"] > 0 for exchange in claude.recorder.messages)
    assert claude.num_active() == 0
