"""All forced tool calls and structured outputs of the embedded model validate against their schemas (W14, W16).

Every test run takes a sample. `tox -e held` generates 200 calls and 100 outputs.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from typing import Any

import anthropic
import jsonschema
import pytest
from pydantic import TypeAdapter

from tests.real_model.tool_schemas import SCHEMAS, Schema

NUM_CALLS = int(os.environ.get("PENSIEVE_HELD_CALLS", "10"))
NUM_OUTPUTS = int(os.environ.get("PENSIEVE_HELD_OUTPUTS", "5"))
NUM_CLIENTS = 8
MAX_TOKENS = 400
SAMPLED = {"temperature": 0.7}
GREEDY = {"temperature": 0}

EVENT: TypeAdapter[Any] = TypeAdapter(anthropic.types.RawMessageStreamEvent)


def request_for(question: str, schema: Schema, sampling: dict[str, Any]) -> dict[str, Any]:
    return {
        "model": "claude-any",
        "max_tokens": MAX_TOKENS,
        "messages": [{"role": "user", "content": question}],
        "tools": [{"name": "act", "description": question, "input_schema": schema}],
        "tool_choice": {"type": "tool", "name": "act"},
        "extra_body": sampling,
    }


def sample_schemas(count: int) -> list[tuple[str, Schema]]:
    """A sample starts with the last schemas, which are the most complex."""
    return list(islice(cycle(reversed(SCHEMAS)), count))


@pytest.mark.timeout(1800)
def test_every_forced_call_validates(embedded_client: anthropic.Anthropic) -> None:
    def call(task: tuple[str, Schema]) -> str:
        question, schema = task
        message = embedded_client.messages.create(**request_for(question, schema, SAMPLED))
        (block,) = message.content
        if block.type != "tool_use" or message.stop_reason != "tool_use":
            return f"{question}: {message.stop_reason} with a {block.type}"
        jsonschema.validate(block.input, schema, format_checker=jsonschema.FormatChecker())
        return ""

    with ThreadPoolExecutor(NUM_CLIENTS) as clients:
        problems = [problem for problem in clients.map(call, sample_schemas(NUM_CALLS)) if problem]
    assert not problems, f"{len(problems)} of {NUM_CALLS}: {problems}"


@pytest.mark.timeout(1800)
def test_every_structured_output_validates(embedded_client: anthropic.Anthropic) -> None:
    def answer(task: tuple[str, Schema]) -> str:
        question, schema = task
        message = embedded_client.messages.create(
            model="claude-any",
            max_tokens=MAX_TOKENS,
            messages=[{"role": "user", "content": question}],
            output_config={"format": {"type": "json_schema", "schema": schema}},
            extra_body=SAMPLED,
        )
        (block,) = message.content
        if block.type != "text" or message.stop_reason != "end_turn":
            return f"{question}: {message.stop_reason} with a {block.type}"
        jsonschema.validate(json.loads(block.text), schema)
        return ""

    with ThreadPoolExecutor(NUM_CLIENTS) as clients:
        problems = [problem for problem in clients.map(answer, sample_schemas(NUM_OUTPUTS)) if problem]
    assert not problems, f"{len(problems)} of {NUM_OUTPUTS}: {problems}"


@pytest.mark.parametrize(("question", "schema"), sample_schemas(2), ids=str)
def test_the_pieces_of_a_streamed_call_equal_the_call(
    embedded_client: anthropic.Anthropic, question: str, schema: Schema
) -> None:
    request = request_for(question, schema, GREEDY)
    plain = embedded_client.messages.create(**request)
    pieces: list[str] = []
    for event in embedded_client.messages.create(**request, stream=True):
        EVENT.validate_python(event.to_dict(), strict=True)
        if event.type == "content_block_delta" and event.delta.type == "input_json_delta":
            pieces.append(event.delta.partial_json)
    assert len(pieces) > 1
    assert json.loads("".join(pieces)) == plain.content[0].to_dict()["input"]
