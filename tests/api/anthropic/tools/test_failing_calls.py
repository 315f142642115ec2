"""Calls of unavailable tools: the events of an answer that goes on after them."""

import asyncio
from dataclasses import replace
from typing import Any

from contracts.streams.message_stream import StreamMonitor
from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role, Tool
from pensieve.api.anthropic.events import collect_message
from pensieve.api.anthropic.handler import MessageHandler
from pensieve.api.anthropic.tools.failing_calls import MAX_ROUNDS
from pensieve.device.memory.ledger import Ledger
from pensieve.engine.monitoring.monitor import SlidingWindowMonitor
from pensieve.engine.scripted.engine import WINDOW_TOKENS, ScriptedEngine
from pensieve.engine.scripted.script import Script, ScriptedReply

CALL = '<tool_call>\n{"name": "web_search", "arguments": {"query": "Oslo"}}\n</tool_call>'
OWN_CALL = '<tool_call>\n{"name": "paint", "arguments": {}}\n</tool_call>'
TOOLS = (Tool("paint", "", '{"type": "object"}'), Tool("web_search", "", '{"type": "object"}', unavailable=True))
REQUEST = GenerationRequest((ChatMessage(Role.USER, "Search"),), 100, tools=TOOLS)
ERROR = {"type": "web_search_tool_result_error", "error_code": "unavailable"}


def answer(*replies: ScriptedReply, request: GenerationRequest = REQUEST) -> dict[str, Any]:
    return asyncio.run(_answer(replies, request))


async def _answer(replies: tuple[ScriptedReply, ...], request: GenerationRequest) -> dict[str, Any]:
    memory = Ledger(2**30)
    model = ScriptedEngine(Script(replies), memory, SlidingWindowMonitor(memory.usage))
    monitor = StreamMonitor()
    events = MessageHandler(model, ping_interval_seconds=5.0).handle_request(request, "m")
    seen = [event async for event in events]
    for event in seen:
        monitor.see(event)
    monitor.finish()

    async def replayed() -> Any:
        for event in seen:
            yield event

    return await collect_message(replayed())


def kinds(message: dict[str, Any]) -> list[str]:
    return [block["type"] for block in message["content"]]


def test_the_model_goes_on_after_the_error() -> None:
    message = answer(ScriptedReply("Search", f"Wait. {CALL}"), ScriptedReply("unavailable", "I cannot search."))
    assert kinds(message) == ["text", "server_tool_use", "web_search_tool_result", "text"]
    _, call, result, _ = message["content"]
    assert call["id"].startswith("srvtoolu_")
    assert (call["name"], call["input"]) == ("web_search", {"query": "Oslo"})
    assert (result["tool_use_id"], result["content"]) == (call["id"], ERROR)
    assert message["stop_reason"] == "end_turn"
    assert message["usage"]["output_tokens"] == len(f"Wait. {CALL}".split()) + 2 + len(["I", "cannot", "search."])


def test_a_call_that_the_client_can_run_ends_the_answer() -> None:
    message = answer(ScriptedReply("Search", CALL + OWN_CALL))
    assert kinds(message) == ["server_tool_use", "web_search_tool_result", "tool_use"]
    assert message["stop_reason"] == "tool_use"


def test_a_model_that_repeats_the_call_is_stopped() -> None:
    message = answer(ScriptedReply("", CALL), request=replace(REQUEST, max_tokens=1000))
    assert kinds(message) == ["server_tool_use", "web_search_tool_result"] * (MAX_ROUNDS + 1)
    assert message["stop_reason"] == "end_turn"


def test_max_tokens_limits_all_answers_together() -> None:
    num_call_tokens = answer(ScriptedReply("", CALL))["usage"]["output_tokens"] // (MAX_ROUNDS + 1)
    request = replace(REQUEST, max_tokens=num_call_tokens + 3)
    message = answer(ScriptedReply("Search", CALL), ScriptedReply("unavailable", "one " * 9), request=request)
    assert message["content"][-1]["text"] == "one one one"
    assert message["stop_reason"] == "max_tokens"
    assert message["usage"]["output_tokens"] == num_call_tokens + 3


def test_a_window_without_room_for_the_error_ends_the_answer() -> None:
    """The prompt, its two calls and their errors have more words than a script's window."""
    prompt = asyncio.run(_num_tokens(REQUEST))
    long = ChatMessage(Role.USER, "Search " * (WINDOW_TOKENS - prompt - 24))
    full = replace(REQUEST, messages=(long,), max_tokens=24)
    message = answer(ScriptedReply("", CALL), request=full)
    assert kinds(message)[:2] == ["server_tool_use", "web_search_tool_result"]
    assert len(kinds(message)) < 2 * (MAX_ROUNDS + 1)
    assert message["stop_reason"] == "model_context_window_exceeded"


async def _num_tokens(request: GenerationRequest) -> int:
    memory = Ledger(2**30)
    return await ScriptedEngine(Script(()), memory, SlidingWindowMonitor(memory.usage)).count_tokens(request.prompt)


def test_a_tool_of_the_client_that_took_the_name_runs_there() -> None:
    """A tool_addition may define a tool under the name of one that the server cannot run."""
    own = Tool("web_search", "", '{"type": "object"}')
    redefined = (*(replace(tool, withdrawn=tool.unavailable) for tool in TOOLS), own)
    message = answer(ScriptedReply("Search", CALL), request=replace(REQUEST, tools=redefined))
    assert kinds(message) == ["tool_use"]
    assert message["stop_reason"] == "tool_use"


def test_an_ordinary_call_is_an_ordinary_block() -> None:
    message = answer(ScriptedReply("Search", OWN_CALL))
    assert kinds(message) == ["tool_use"]
    assert message["content"][0]["id"].startswith("toolu_")
