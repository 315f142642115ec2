"""Dialects are detected from the chat template and the tokenizer's added tokens."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from contracts.values.vocabulary import ChatMessage, Role, Thinking, Tool, ToolCall
from pensieve.core.dialects.call_reader import CallReader
from pensieve.core.dialects.dialect import CallForm
from pensieve.device.mlx_lm.bootstrap import import_mlx_lm
from pensieve.models.prompts.chat_template import ChatTemplate
from pensieve.models.tokenizers.dialect_of import dialect_of
from tests.support.tiny_model import CHATML, write_byte_tokenizer

GET = Tool("get", "Get it", '{"type": "object", "properties": {"city": {"type": "string"}}}')
HERMES = (
    "{% if tools %}<tools>{% for tool in tools %}{{ tool | tojson }}{% endfor %}</tools>{% endif %}"
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% for tool_call in m.tool_calls or [] %}"
    "{% set tool_call = tool_call.function %}<tool_call>{{ tool_call.name }}"
    "{{ tool_call.arguments | tojson }}</tool_call>"
    "{% endfor %}{% endfor %}>"
)
CODER = CHATML + "{# <tool_call>\\n<function= <parameter= #}"
REASONING = CHATML + "{% if enable_thinking %}<think>\n{% endif %}"
CONVERSATION = (
    ChatMessage(Role.USER, "Where?"),
    ChatMessage(Role.ASSISTANT, "I look.", tool_calls=(ToolCall("toolu_1", "get", '{"city": "Rome"}'),)),
    ChatMessage(Role.TOOL, "sunny", tool_call_id="toolu_1"),
    ChatMessage(Role.USER, "And?"),
)


def tokenizer(folder: Path, template: str) -> Any:
    import_mlx_lm()
    from mlx_lm.tokenizer_utils import load  # noqa: PLC0415 - only after import_mlx_lm

    return load(write_byte_tokenizer(folder, chat_template=template))


def rendered(tokenizer: Any, *arguments: Any) -> str:
    return str(tokenizer.decode(ChatTemplate(tokenizer, dialect_of(tokenizer)).render(*arguments).token_ids))


def test_a_template_without_tools_gets_the_default_dialect(tmp_path: Path) -> None:
    dialect = dialect_of(tokenizer(tmp_path, CHATML))
    assert dialect.name == "hermes"
    assert dialect.calls.form is CallForm.OBJECT


def test_a_hermes_template_gets_tools_calls_and_results(tmp_path: Path) -> None:
    wrapper = tokenizer(tmp_path, HERMES)
    assert dialect_of(wrapper).name == "hermes"
    text = rendered(wrapper, CONVERSATION, (GET,))
    assert text.startswith('<tools>{"type": "function", "function": {"name": "get"')
    assert '[assistant]I look.<tool_call>get{"city": "Rome"}</tool_call>[tool]sunny[user]And?' in text


def test_without_tool_support_in_the_template_tools_are_listed_before_the_system_text(tmp_path: Path) -> None:
    text = rendered(tokenizer(tmp_path, CHATML), (ChatMessage(Role.SYSTEM, "Be kind."), *CONVERSATION), (GET,))
    assert text.index("<tools>") < text.index("Be kind.") < text.index("Where?")
    assert 'I look.\n<tool_call>\n{"name": "get", "arguments": {"city": "Rome"}}\n</tool_call>' in text
    assert "user\n<tool_response>\nsunny\n</tool_response>\nAnd?" in text


def test_a_tagged_dialect_is_detected_and_its_calls_are_parsed(tmp_path: Path) -> None:
    dialect = dialect_of(tokenizer(tmp_path, CODER))
    assert dialect.name == "qwen3_coder"
    body = "\n<function=get>\n<parameter=city>\nRome\n</parameter>\n</function>\n</tool_call>"
    assert CallReader(dialect, (GET,)).read(body) == ([("get", '{"city": "Rome"}')], len(body))


@pytest.mark.parametrize(("thinking", "starts"), [(Thinking(enabled=True), True), (Thinking(), False)])
def test_a_prompt_that_ends_in_open_thinking_is_detected(tmp_path: Path, thinking: Thinking, starts: bool) -> None:  # noqa: FBT001
    wrapper = tokenizer(tmp_path, REASONING)
    template = ChatTemplate(wrapper, dialect_of(wrapper))
    assert template.render(CONVERSATION, (), thinking).starts_thinking is starts


def test_transformers_renders_a_template_with_a_date(tmp_path: Path) -> None:
    """As on the first start with a folder. Transformers 5 turns all values for a template into text."""
    wrapper = tokenizer(tmp_path, CHATML + "{{ strftime_now('%Y') }}")
    assert str(datetime.now().year) in rendered(wrapper, CONVERSATION)
