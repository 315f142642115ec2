"""A model recalls a mark that stands in any text of any content block: it has read the block, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from pensieve.cli.wiring import components_for
from tests.api.anthropic.content.examples import (
    OWN_TOOL,
    READ_IN_ASSISTANT_TURN,
    READ_IN_RESULT,
    READ_IN_SYSTEM_MESSAGE,
    READ_IN_USER_TURN,
    TOOL,
    Json,
    change,
    client_result,
)
from tests.api.anthropic.content.recalling_model import MARKS, write_recalling_model
from tests.support.running_server import running_server, settings_for

HI = {"role": "user", "content": "Hi"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    settings = settings_for(model=str(write_recalling_model(tmp_path_factory.mktemp("recalling"))))
    with running_server(settings, components_for(settings)) as url, httpx.Client(base_url=url, timeout=300) as made:
        yield made


def answer(client: httpx.Client, *messages: Json) -> str:
    body = {"model": "claude-any", "max_tokens": 4, "temperature": 0, "messages": messages, "tools": [OWN_TOOL, TOOL]}
    response = client.post("/v1/messages", json=body)
    assert response.status_code == 200, response.text
    return "".join(block["text"] for block in response.json()["content"])


def marked(value: object, word: str, mark: str) -> object:
    """The block with a mark in place of a word in its texts."""
    if isinstance(value, str):
        return value.replace(word, mark)
    if isinstance(value, list):
        return [marked(each, word, mark) for each in value]
    if isinstance(value, dict):
        return {name: each if name == "type" else marked(each, word, mark) for name, each in value.items()}
    return value


def in_user_turn(block: Json) -> list[Json]:
    return [{"role": "user", "content": [block]}]


def in_result(block: Json) -> list[Json]:
    return [HI, {"role": "assistant", "content": [CALL]}, {"role": "user", "content": [client_result(block)]}]


def in_assistant_turn(block: Json) -> list[Json]:
    call = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "some_tool", "input": {}}
    content = [call, block] if "tool_use_id" in block else [block]
    follows = [client_result()] if block["type"] == "tool_use" else [{"type": "text", "text": "And?"}]
    return [HI, {"role": "assistant", "content": content}, {"role": "user", "content": follows}]


def in_system_message(block: Json) -> list[Json]:
    return [HI, {"role": "system", "content": [block]}]


WITHOUT_TEXT = {"redacted_thinking", "thinking", "tool_reference", "tool_removal"}


def is_free_text(block: Json, word: str) -> bool:
    """Whether the word is a text of the block: neither ours, nor one of few values or letters that the API allows, nor
    old thinking, which this model's template leaves out.
    """
    return marked(block, word, "") != block and word not in ("unavailable", "draw") and block["type"] != "thinking"


PLACES = (
    (in_user_turn, READ_IN_USER_TURN),
    (in_result, READ_IN_RESULT),
    (in_assistant_turn, READ_IN_ASSISTANT_TURN),
    (in_system_message, READ_IN_SYSTEM_MESSAGE),
)
WITHIN_JSON = (
    (in_assistant_turn, {**CALL, "input": {"what": ["blue", {"boats": "under sail"}]}}, "under sail"),
    (
        in_assistant_turn,
        {**CALL, "type": "mcp_tool_use", "server_name": "sea", "input": {"to": "the reef"}},
        "the reef",
    ),
    (in_system_message, change("tool_addition", type="tool_definition", definition=OWN_TOOL), "Looks around"),
)
CASES = [
    pytest.param(place, block, word, id=f"{place.__name__}-{block['type']}-{word[:12]}")
    for place, blocks in PLACES
    for block, words in blocks
    for word in words
    if is_free_text(block, word)
] + [pytest.param(*case, id=f"{case[1]['type']}-{case[2]}") for case in WITHIN_JSON]


def test_every_kind_of_block_has_a_text_that_can_be_marked() -> None:
    """But those that hold no text of their own: names of tools, what is encrypted, and thinking."""
    kinds = {block["type"] for _, blocks in PLACES for block, _ in blocks}
    recalled = {case.values[1]["type"] for case in CASES}  # type: ignore[index]
    assert kinds - recalled == WITHOUT_TEXT


@pytest.mark.parametrize(("place", "block", "word"), CASES)
def test_the_model_recalls_it(client: httpx.Client, place: object, block: Json, word: str) -> None:
    assert callable(place)
    for mark in MARKS:
        assert answer(client, *place(marked(block, word, mark))) == mark


def test_without_a_mark_there_is_nothing_to_recall(client: httpx.Client) -> None:
    assert answer(client, HI) not in MARKS
