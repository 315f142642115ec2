"""Whole conversations with the official SDK: its tool runner, and ten turns with tools, thinking and an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic import beta_tool

from tests.support.running_server import scripted_server

WEATHER_SCRIPT = """
[[reply]]
when = "weather"
text = '<tool_call>{"name": "get_weather", "arguments": {"city": "Paris"}}</tool_call>'
[[reply]]
when = "21 degrees"
text = "It is warm."
"""
LOOK_UP: anthropic.types.ToolParam = {
    "name": "look_up",
    "description": "Look a word up",
    "input_schema": {
        "type": "object",
        "properties": {"word": {"type": "string", "maxLength": 12}},
        "required": ["word"],
        "additionalProperties": False,
    },
}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}


def test_the_tool_runner_completes(tmp_path: Path) -> None:
    cities: list[str] = []

    @beta_tool
    def get_weather(city: str) -> str:
        """The weather of a city.

        Args:
            city: The city's name.
        """
        cities.append(city)
        return "21 degrees"

    with scripted_server(tmp_path, WEATHER_SCRIPT) as server:
        url = str(server.base_url)
        with anthropic.Anthropic(base_url=url, api_key="any", _strict_response_validation=True) as client:
            runner = client.beta.messages.tool_runner(
                model="claude-any",
                max_tokens=100,
                tools=[get_weather],
                messages=[{"role": "user", "content": "How is the weather?"}],
            )
            last = runner.until_done()
    assert cities == ["Paris"]
    assert [block.to_dict()["text"] for block in last.content] == ["It is warm."]


def test_a_conversation_of_ten_turns_survives_a_refused_image(tiny_client: anthropic.Anthropic) -> None:
    messages: list[Any] = []
    for turn in range(10):
        messages.append({"role": "user", "content": f"Word number {turn}?"})
        if turn == 4:
            with pytest.raises(anthropic.BadRequestError, match="image"):
                _ask(tiny_client, [*messages[:-1], {"role": "user", "content": [IMAGE]}])
        called = _ask(tiny_client, messages, tool_choice={"type": "tool", "name": "look_up"})
        (call,) = called.content
        assert call.type == "tool_use"
        messages.append({"role": "assistant", "content": called.content})
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "It is a word.", "is_error": turn % 2 == 0}
        messages.append({"role": "user", "content": [result]})
        answer = _ask(tiny_client, messages, thinking={"type": "adaptive"})
        messages.append({"role": "assistant", "content": [block.to_dict() for block in answer.content] or "Well."})
    assert len(messages) == 40


def _ask(client: anthropic.Anthropic, messages: list[Any], **fields: Any) -> anthropic.types.Message:
    max_tokens = 40 if "tool_choice" in fields else 4
    message: anthropic.types.Message = client.messages.create(
        model="claude-any", max_tokens=max_tokens, messages=messages, tools=[LOOK_UP], **fields
    )
    return message
