"""A request's thinking settings reach each template in the template's own variables."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.values.vocabulary import Thinking
from pensieve.models.prompts.variables import TemplateVariables, template_source

ON = Thinking(enabled=True)
OFF = Thinking()
PRINTED = (
    "{% if not reasoning_effort is defined %}{% set reasoning_effort = 'medium' %}{% endif %}{{ reasoning_effort }}"
)
"""gpt-oss's."""
REFUSING = (
    "{% if not reasoning_effort is defined %}{% set reasoning_effort = 'no_think' %}"
    "{% elif reasoning_effort not in ['high', 'low', 'no_think'] %}{{ raise_exception('no') }}{% endif %}"
)
"""Hunyuan's."""
MOST = "{{ thinking }}{% if reasoning_effort == 'max' or reasoning_effort == 'high' %}hard{% endif %}"
"""DeepSeek V4's."""
LEAST = (
    "{% set reasoning_effort = reasoning_effort if reasoning_effort is defined else 'high' %}"
    "{% if reasoning_effort in ['low', 'minimal'] %}<think></think>{% endif %}"
)
"""Solar's."""
NONE = "{{ reasoning }}{% if reasoning_effort | lower == 'none' %}{% endif %}"
"""Cohere's."""


def of(template: str, thinking: Thinking) -> dict[str, Any]:
    values = TemplateVariables(template).of(thinking)
    assert values.pop("enable_thinking") is thinking.enabled
    return values


def efforts(template: str) -> list[Any]:
    words = ("minimal", "low", "medium", "high", "xhigh", "max")
    return [of(template, Thinking(enabled=True, effort=word)).get("reasoning_effort") for word in words]


def test_a_template_without_thinking_gets_only_enable_thinking() -> None:
    assert of("{{ messages }}", Thinking(enabled=True, budget_tokens=5, effort="low", keeps_past=True)) == {}


def test_an_effort_becomes_the_nearest_word_that_the_template_accepts() -> None:
    assert efforts(PRINTED) == ["low", "low", "medium", "high", "high", "high"]
    assert efforts(REFUSING) == ["low", "low", "high", "high", "high", "high"]
    assert efforts(MOST) == [None, None, None, "high", "max", "max"]
    assert efforts(LEAST) == ["minimal", "low", "high", "high", "high", "high"]
    assert efforts(NONE) == ["low", "low", "medium", "high", "high", "high"]


@pytest.mark.parametrize(
    ("template", "off", "on"),
    [
        (PRINTED, {"reasoning_effort": "low"}, {}),
        (REFUSING, {"reasoning_effort": "no_think"}, {"reasoning_effort": "high"}),
        (MOST, {"thinking": False}, {"thinking": True}),
        (LEAST, {"reasoning_effort": "minimal"}, {}),
        (NONE, {"reasoning": False, "reasoning_effort": "none"}, {"reasoning": True, "reasoning_effort": "high"}),
        ("{{ thinking_mode }}", {"thinking_mode": "disabled"}, {"thinking_mode": "enabled"}),
        ("{{ thinking_budget }}", {"thinking_budget": 0}, {}),
    ],
)
def test_thinking_is_switched_off_and_on(template: str, off: dict[str, Any], on: dict[str, Any]) -> None:
    assert of(template, OFF) == off
    assert of(template, ON) == on


def test_a_template_with_a_budget_variable_gets_the_budget() -> None:
    assert of("{{ thinking_budget }}", Thinking(enabled=True, budget_tokens=512)) == {"thinking_budget": 512}


@pytest.mark.parametrize(
    ("name", "kept", "dropped"),
    [
        ("clear_thinking", False, True),
        ("drop_thinking", False, True),
        ("truncate_history_thinking", False, True),
        ("preserve_thinking", True, False),
        ("preserved_thinking", True, False),
        ("keep_past_thinking", True, False),
        ("think_render_option", "all", "lastthink"),
    ],
)
def test_earlier_thinking_is_kept_or_dropped_if_the_request_sets_it(name: str, kept: object, dropped: object) -> None:
    template = f"{{{{ {name} }}}}"
    assert of(template, Thinking(enabled=True)) == {}
    assert of(template, Thinking(enabled=True, keeps_past=True)) == {name: kept}
    assert of(template, Thinking(enabled=True, keeps_past=False)) == {name: dropped}


def test_a_missing_or_invalid_template_has_no_variables() -> None:
    class Tokenizer:
        chat_template: Any = None

    tokenizer = Tokenizer()
    assert template_source(tokenizer) is None
    tokenizer.chat_template = "{% if %}"
    assert template_source(tokenizer) is None
    tokenizer.chat_template = {"default": "{{ thinking }}", "tool_use": "{{ thinking_budget }}"}
    assert TemplateVariables(template_source(tokenizer)).names == {"thinking", "thinking_budget"}
    assert TemplateVariables(None).of(OFF) == {"enable_thinking": False}
