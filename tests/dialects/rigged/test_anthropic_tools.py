"""Tools that Anthropic defines, called by a model through the real mask and parser, and run by the official SDK."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic.tools.memory import BetaLocalFilesystemMemoryTool

from pensieve.api.anthropic.decode import decode_messages
from tests.dialects.outputs.table import output
from tests.dialects.outputs.writers import Call
from tests.dialects.real.families import family
from tests.dialects.rigged.engine import prompts_of
from tests.dialects.rigged.model import write_rigged_model
from tests.support.sdk_client import serving

FAMILY = "qwen3"
NOTE = {"command": "create", "path": "/memories/drinks.txt", "file_text": "The user likes tea.\n"}
MEMORY: dict[str, Any] = {"type": "memory_20250818", "name": "memory"}
BASH: dict[str, Any] = {"type": "bash_20250124", "name": "bash"}
ASK_MEMORY = "Remember that I like tea."
ASK_BASH = "List the files." + " please" * 1000
"""The words keep the two answers apart, which a rigged model gives by the length of the prompt."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[anthropic.Anthropic]:
    small = family(FAMILY).with_small_vocabulary()
    bodies = [_body(ASK_MEMORY, MEMORY), _body(ASK_BASH, BASH)]
    requests = [decode_messages(json.dumps(body).encode()).generation for body in bodies]
    calls = [Call("memory", NOTE), Call("bash", {"command": "ls"})]
    answers = {
        len(prompt.token_ids): output(FAMILY).calls(call)
        for prompt, call in zip(prompts_of(small, *requests), calls, strict=True)
    }
    folder = write_rigged_model(tmp_path_factory.mktemp("model"), small, answers, needs_transformers=False)
    with serving("--model", str(folder)) as client:
        yield client


def _body(text: str, tool: Any, **given: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"model": "claude-any", "max_tokens": 200, "messages": messages, "tools": [tool], **given}


def test_the_sdks_memory_tool_writes_the_file_that_the_model_asks_for(
    client: anthropic.Anthropic, tmp_path: Path
) -> None:
    messages: Any = [{"role": "user", "content": ASK_MEMORY}]
    tool = BetaLocalFilesystemMemoryTool(str(tmp_path))
    runner = client.beta.messages.tool_runner(model="claude-any", max_tokens=200, messages=messages, tools=[tool])
    assert runner.until_done().stop_reason == "end_turn"
    assert (tmp_path / "memories/drinks.txt").read_text(encoding="utf-8") == NOTE["file_text"]


@pytest.mark.parametrize("choice", [{"type": "auto"}, {"type": "tool", "name": "bash"}], ids=lambda each: each["type"])
def test_bash_is_called_by_its_name(client: anthropic.Anthropic, choice: Any) -> None:
    message = client.messages.create(**_body(ASK_BASH, BASH, tool_choice=choice))
    (call,) = message.content
    assert isinstance(call, anthropic.types.ToolUseBlock)
    assert (call.name, call.input, message.stop_reason) == ("bash", {"command": "ls"}, "tool_use")
