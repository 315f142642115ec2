"""Each parameter of the SDK is used, refused or ignored, as docs/messages-api.md says. A new one fails by its name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints

import pytest
from anthropic.types import message_create_params as stable
from anthropic.types.beta import (
    BetaContextManagementConfigParam,
    BetaOutputConfigParam,
    BetaThinkingConfigParam,
)
from anthropic.types.beta import message_count_tokens_params as beta_count
from anthropic.types.beta import message_create_params as beta
from typing_extensions import is_typeddict

from pensieve.api.anthropic.decode import decode_count, decode_messages
from pensieve.api.anthropic.wire.bodies import CountTokensBody, MessagesBody, OutputConfig, WireThinking
from pensieve.core.errors import ConversationThreadError, ValidationError

PAGE = (Path(__file__).parents[3] / "docs" / "messages-api.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \| (used|refused|ignored) \|", re.MULTILINE)
OUTSIDE_THE_SDK = {"output_format"}
"""Takes part in the SDK's helpers; older clients send it."""

MINIMAL: dict[str, Any] = {
    "model": "m",
    "max_tokens": 4096,
    "messages": [{"role": "user", "content": "Hi"}],
    "tools": [{"name": "x", "input_schema": {"type": "object"}}],
}
REFUSED: Mapping[str, Any] = {
    "billing_policy": {"type": "billing_policy", "bill_to": "user_profile"},
    "compaction": {"type": "summarize"},
    "container": "container_011CZ",
    "fallback_credit_token": "token",
    "fallbacks": [{"model": "claude-any"}],
    "mcp_servers": [{"type": "url", "name": "a", "url": "https://example.com"}],
    "safeguards": [{"type": "dangerous_tool_use"}],
    "speed": "fast",
    "thread": {"type": "create"},
}
WITHOUT_EFFECT: Mapping[str, Any] = {
    "betas": ["context-management-2025-06-27"],
    "billing_policy": {"type": "billing_policy", "bill_to": "self"},
    "fallbacks": "default",
    "inference_geo": "us",
    "mcp_servers": [],
    "metadata": {"user_id": "a"},
    "service_tier": "standard_only",
    "speed": "standard",
    "user_profile_id": "a",
    "workspace_id": "a",
}


def outcomes(heading: str) -> dict[str, str]:
    """What the first table of a section says of each name."""
    table = re.search(r"(?:^\|.*\n)+", PAGE.split(f"## {heading}\n", 1)[1], re.MULTILINE)
    assert table is not None
    return dict(ROW.findall(table[0]))


def fields_of(*kinds: Any) -> set[str]:
    return {name for kind in kinds for name in kind.__annotations__}


MESSAGE_FIELDS = fields_of(
    stable.MessageCreateParamsNonStreaming,
    stable.MessageCreateParamsStreaming,
    beta.MessageCreateParamsNonStreaming,
    beta.MessageCreateParamsStreaming,
)


def decoded(**fields: object) -> Any:
    return decode_messages(json.dumps({**MINIMAL, **fields}).encode())


def refused_field(**fields: object) -> str | None:
    with pytest.raises((ValidationError, ConversationThreadError)) as caught:
        decoded(**fields)
    return caught.value.field


@pytest.mark.parametrize(
    ("heading", "of_the_sdk"),
    [
        ("Fields of a message", MESSAGE_FIELDS | OUTSIDE_THE_SDK),
        ("Thinking", fields_of(*get_args(BetaThinkingConfigParam))),
        ("Output", fields_of(BetaOutputConfigParam)),
    ],
)
def test_the_page_lists_what_the_sdk_can_send(heading: str, of_the_sdk: set[str]) -> None:
    assert set(outcomes(heading)) == of_the_sdk


def test_the_page_lists_the_edits_of_the_sdk() -> None:
    (edits,) = get_args(get_type_hints(BetaContextManagementConfigParam)["edits"])
    kinds = {get_args(get_type_hints(edit)["type"])[0] for edit in get_args(edits)}
    assert set(outcomes("Context management")) == kinds
    for kind, outcome in outcomes("Context management").items():
        management = {"edits": [{"type": kind}]}
        if outcome == "used":
            assert decoded(context_management=management).edits
        else:
            assert refused_field(context_management=management) == "context_management.edits.0.type"


def test_every_field_that_affects_a_count_is_known_there() -> None:
    headers = {"betas", "user_profile_id", "workspace_id"}
    assert fields_of(beta_count.MessageCountTokensParams) - headers <= CountTokensBody.model_fields.keys()
    counted = {**MINIMAL, "compaction": {"type": "summarize"}}
    assert decode_count(json.dumps(counted).encode()) == decode_count(json.dumps(MINIMAL).encode())


def test_each_field_is_treated_as_the_page_says() -> None:
    for name, outcome in outcomes("Fields of a message").items():
        assert name in MessagesBody.model_fields or name in ("betas", "user_profile_id", "workspace_id"), name
        if outcome == "refused":
            assert refused_field(**{name: REFUSED[name]}) == name.replace("billing_policy", "billing_policy.bill_to")
        if outcome == "ignored":
            assert name in WITHOUT_EFFECT
    for name, value in WITHOUT_EFFECT.items():
        assert decoded(**{name: value}) == decoded(), name
    assert refused_field(safeguards=REFUSED["safeguards"]) == "safeguards"
    assert refused_field(output_config={"task_budget": {"type": "tokens", "total": 9}}) == "output_config.task_budget"


def test_each_field_of_thinking_and_output_is_known() -> None:
    assert outcomes("Thinking").keys() == WireThinking.model_fields.keys()
    assert outcomes("Output").keys() == OutputConfig.model_fields.keys()


def test_the_answers_format_has_two_names_that_must_agree() -> None:
    one, other = ({"type": "json_schema", "schema": {"type": kind}} for kind in ("object", "array"))
    newer = decoded(output_config={"format": one})
    assert decoded(output_format=one) == newer
    assert decoded(output_format=one, output_config={"format": one}) == newer
    assert refused_field(output_format=one, output_config={"format": other}) == "output_format"


def test_a_format_is_refused_where_the_answer_would_continue_a_text() -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": '{"a":'}]
    formatted = {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}
    assert refused_field(**formatted, messages=turns) == "output_config.format"
    assert decoded(**formatted, messages=[turns[0], {"role": "assistant", "content": ""}]).generation.output_schema


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"stream": True}, "stream"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking.budget_tokens"),
        ({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}, "output_config.format"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tool_choice": {"type": "tool", "name": "x"}}, "tool_choice"),
    ],
)
def test_a_max_tokens_of_0_is_refused_with_what_needs_an_answer(fields: dict[str, object], path: str) -> None:
    assert refused_field(**fields, max_tokens=0) == path
    assert decoded(max_tokens=0, tool_choice={"type": "auto"}).generation.max_tokens == 0


SAMPLES: Mapping[Any, Any] = {int: 2048, str: "x", bool: True, object: {}}


def without_marks(hint: Any) -> Any:
    return without_marks(get_args(hint)[0]) if get_origin(hint) in (Required, NotRequired) else hint


def sample(hint: Any) -> Any:
    """A value that the SDK's type allows."""
    hint = without_marks(hint)
    if is_typeddict(hint):
        hints = get_type_hints(hint, include_extras=True)
        return {name: sample(hints[name]) for name in hint.__required_keys__}
    if get_origin(hint) is Literal:
        return get_args(hint)[0]
    return SAMPLES.get(hint, {} if get_origin(hint) is dict else [])


def with_wrong_literals(hint: Any) -> Iterator[Any]:
    """Valid values of the SDK's type, each with one literal replaced by another text."""
    hint = without_marks(hint)
    if get_origin(hint) is Literal:
        yield "bogus"
    if get_origin(hint) in (Union, UnionType):
        for each in get_args(hint):
            yield from with_wrong_literals(each)
    if is_typeddict(hint):
        for name, each in get_type_hints(hint, include_extras=True).items():
            for wrong in with_wrong_literals(each):
                yield {**sample(hint), name: wrong}
    if get_origin(hint) not in (Literal, Union, UnionType, None) and not is_typeddict(hint):
        for each in get_args(hint):
            yield from ([wrong] for wrong in with_wrong_literals(each))


CHECKED_ELSEWHERE = {"messages", "system", "tools", "fallbacks", "betas", "cache_control", "thread", "container"}
HINTS = get_type_hints(beta.MessageCreateParamsNonStreaming, include_extras=True)
WRONG = [
    (name, wrong)
    for name in sorted(HINTS.keys() - CHECKED_ELSEWHERE - {"model", "stream", "mcp_servers", "fallback_credit_token"})
    for wrong in with_wrong_literals(HINTS[name])
]


@pytest.mark.parametrize(("name", "wrong"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_a_literal_that_the_sdk_does_not_know_is_refused_by_its_field(name: str, wrong: object) -> None:
    field = refused_field(**{name: wrong})
    assert field is not None
    assert field.split(".")[0] == name


def test_wrong_values_are_found_in_every_field_with_a_choice() -> None:
    assert {name for name, _ in WRONG} >= {"service_tier", "speed", "thinking", "tool_choice", "output_config"}
