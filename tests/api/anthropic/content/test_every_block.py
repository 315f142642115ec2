"""Every content block of the API reaches the prompt with its text, or is refused by name, or leaves a placeholder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from anthropic.types import ContentBlockParam
from anthropic.types.beta import BetaContentBlockParam

from contracts.values.vocabulary import ChatMessage
from pensieve.api.anthropic.decode import decode_messages
from pensieve.core.errors import ValidationError
from tests.api.anthropic.content.examples import (
    EXAMPLES,
    NOT_PART_OF_A_PROMPT,
    OWN_TOOL,
    READ_IN_ASSISTANT_TURN,
    READ_IN_RESULT,
    READ_IN_SYSTEM_MESSAGE,
    READ_IN_USER_TURN,
    REFUSED_EVERYWHERE,
    REFUSED_IN_NEWEST_TURN,
    TEXT,
    TOOL,
    Json,
    client_result,
)
from tests.support.sdk_blocks import block_types, types_within


def request(*messages: Json) -> bytes:
    return json.dumps({"model": "m", "max_tokens": 8, "messages": list(messages), "tools": [OWN_TOOL, TOOL]}).encode()


def user(*blocks: Json) -> Json:
    return {"role": "user", "content": list(blocks) or "Hi"}


def assistant(*blocks: Json) -> Json:
    return {"role": "assistant", "content": list(blocks)}


def prompt_text(*messages: Json) -> str:
    """Everything of the messages that a chat template renders."""
    return "\n".join(_parts(decode_messages(request(*messages)).generation.messages))


def _parts(turns: tuple[ChatMessage, ...]) -> Iterator[str]:
    for turn in turns:
        yield from (turn.thinking, turn.text)
        for call in turn.tool_calls:
            yield from (call.name, call.arguments)


def refusal(*messages: Json) -> str:
    with pytest.raises(ValidationError) as caught:
        decode_messages(request(*messages))
    return str(caught.value)


def name_of(value: object) -> str | None:
    if not isinstance(value, dict):
        return None
    content = value.get("content") or value.get("source") or value.get("tool")
    inner = content.get("type", "") if isinstance(content, dict) else ""
    return f"{value['type']} {inner}".strip()


def with_call(block: Json) -> list[Json]:
    """The block in an assistant's message, after the call that it may answer."""
    call = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "some_tool", "input": {}}
    return [call, block] if "tool_use_id" in block else [block]


@pytest.mark.parametrize(("block", "words"), READ_IN_USER_TURN, ids=name_of)
def test_the_text_of_a_block_in_a_users_turn_is_in_the_prompt(block: Json, words: tuple[str, ...]) -> None:
    text = prompt_text(user(block))
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize(("block", "words"), READ_IN_RESULT, ids=name_of)
def test_the_text_of_a_block_in_a_tool_result_is_in_the_prompt(block: Json, words: tuple[str, ...]) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "find", "input": {}}
    text = prompt_text(user(), assistant(call), user(client_result(block)))
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize(("block", "words"), READ_IN_ASSISTANT_TURN, ids=name_of)
def test_the_text_of_a_block_in_an_assistants_turn_is_in_the_prompt(block: Json, words: tuple[str, ...]) -> None:
    answer = [client_result()] if block["type"] == "tool_use" else []
    text = prompt_text(user(), assistant(*with_call(block)), user(*answer))
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize(("block", "words"), READ_IN_SYSTEM_MESSAGE, ids=name_of)
def test_the_text_of_a_block_in_a_system_message_is_in_the_prompt(block: Json, words: tuple[str, ...]) -> None:
    text = prompt_text(user(), {"role": "system", "content": [block]})
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize(("block", "words"), READ_IN_ASSISTANT_TURN, ids=name_of)
def test_a_server_block_out_of_place_is_read_all_the_same(block: Json, words: tuple[str, ...]) -> None:
    if block["type"] == "tool_use":
        assert "messages.0.content.0: tool_use blocks are not allowed here" in refusal(user(block))
    else:
        text = prompt_text(user(block)).replace("[a call of ", "").replace("[the result of ", "")
        assert [word for word in words if word not in text] == []


@pytest.mark.parametrize(("block", "start", "placeholder"), REFUSED_IN_NEWEST_TURN, ids=name_of)
def test_what_cannot_be_read_is_refused_in_the_newest_turn_alone(
    block: Json, start: str, placeholder: tuple[str, ...]
) -> None:
    assert refusal(user(block, TEXT)).startswith(start)
    assert refusal(user(block), assistant(TEXT), {"role": "system", "content": "Note."}).startswith(start)
    call = {"type": "tool_use", "id": "toolu_1", "name": "find", "input": {}}
    within_a_passage = {"type": "search_result", "title": "Tides", "source": "sea", "content": [block]}
    for messages in (
        [user(block), user()],
        [user(block), assistant(TEXT), user()],
        [user(), assistant(block), user()],
        [user(), assistant(call), user(client_result(block))],
        [
            user(),
            assistant(call),
            user(client_result(within_a_passage)),
        ],
    ):
        text = prompt_text(*messages)
        assert [word for word in placeholder if word not in text] == []


@pytest.mark.parametrize(("block", "start"), REFUSED_EVERYWHERE, ids=name_of)
def test_what_this_server_cannot_do_is_refused_wherever_it_stands(block: Json, start: str) -> None:
    assert refusal(user(), {"role": "system", "content": [block]}, user()).startswith(start)


@pytest.mark.parametrize("block", NOT_PART_OF_A_PROMPT, ids=name_of)
def test_a_block_that_is_not_part_of_a_prompt_adds_nothing(block: Json) -> None:
    messages = decode_messages(request(user(), assistant(TEXT, block), user())).generation.messages
    assert messages == decode_messages(request(user(), assistant(TEXT), user())).generation.messages


def _types_in(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(kind := value.get("type"), str):
            yield kind
        for part in value.values():
            yield from _types_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from _types_in(part)


@pytest.mark.parametrize("union", [ContentBlockParam, BetaContentBlockParam], ids=["stable", "beta"])
def test_every_type_that_the_sdk_knows_has_an_example_here(union: object) -> None:
    assert block_types(union) - {example["type"] for example in EXAMPLES} == set()
    assert types_within(union) - set(_types_in(EXAMPLES)) == set()
    assert len(block_types(union)) >= 16


def test_the_page_on_the_messages_api_has_a_row_for_every_type() -> None:
    page = (Path(__file__).parents[4] / "docs" / "messages-api.md").read_text(encoding="utf-8")
    table = page.split("| block | | |\n", 1)[1].split("\n\n", 1)[0]
    rows = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    assert rows == block_types(ContentBlockParam) | block_types(BetaContentBlockParam)
