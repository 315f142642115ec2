"""Small chat templates, each with one property of real ones, and a tokenizer with one token per byte."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from contracts.values.vocabulary import ChatMessage, Role, Tool, ToolCall
from pensieve.core.dialects.dialect import Dialect
from pensieve.models.prompts.chat_template import ChatTemplate
from pensieve.models.prompts.spliced import Recall
from pensieve.models.tokenizers.fast_tokenizer import FastTokenizer, TokenizerMetadata
from tests.models.tokenizers.example_tokenizers import one_token_a_byte

GET: Final = Tool(
    "get", "Gets it.", '{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}'
)
_CALLS: Final = (
    "{% for c in m.tool_calls or [] %}<call>{{ c.function.name }}({{ c.function.arguments | tojson }}){% endfor %}"
)
_TOOLS: Final = "{% for tool in tools or [] %}<tool>{{ tool | tojson }}{% endfor %}"
_END: Final = "{% if add_generation_prompt %}[assistant]{% endif %}"

PLAIN: Final = (
    _TOOLS + "{% for m in messages %}[{{ m.role }}]{{ m.content }}" + _CALLS + "<|im_end|>{% endfor %}" + _END
)
"""Accepts everything."""
NO_TEXT_BESIDE_CALLS: Final = PLAIN.replace("{{ m.content }}", "{% if not m.tool_calls %}{{ m.content }}{% endif %}")
ONE_CALL: Final = (
    "{% for m in messages %}{% if m.tool_calls and m.tool_calls|length > 1 %}{{ raise_exception('one') }}"
    "{% endif %}{% endfor %}" + PLAIN
)
NO_CALLS: Final = PLAIN.replace(_CALLS, "")
"""Supports tools but not calls."""
SYSTEM_FIRST: Final = PLAIN.replace(
    "{% for m in messages %}[", "{% for m in messages %}{% if m.role != 'system' or loop.first %}["
).replace("<|im_end|>{% endfor %}", "<|im_end|>{% endif %}{% endfor %}")
"""Silently drops later system messages."""
MISTRAL: Final = (
    "{% set ns = namespace(n=0) %}{% for m in messages %}{% if m.role == 'user' or (m.role == 'assistant' and not "
    "m.tool_calls) %}{% if (m.role == 'user') != (ns.n % 2 == 0) %}{{ raise_exception('roles must alternate') }}"
    "{% endif %}{% set ns.n = ns.n + 1 %}{% endif %}{% for c in m.tool_calls or [] %}{% if c.id|length != 9 %}"
    "{{ raise_exception('ids have nine characters') }}{% endif %}{% endfor %}{% endfor %}"
    "{% for tool in tools or [] %}<tool>{{ tool | tojson }}{% endfor %}{% for m in messages %}{% if m.tool_calls %}"
    "{% for c in m.tool_calls %}<call>{{ c.function.name }}#{{ c.id }}({{ c.function.arguments | tojson }}){% endfor %}"
    "<|im_end|>{% elif m.role == 'tool' %}[result]{{ m.content }}#{{ m.tool_call_id }}[/result]"
    "{% elif m.role == 'user' %}[INST]{{ m.content }}[/INST]{% else %}{{ m.content }}<|im_end|>{% endif %}{% endfor %}"
)
"""Roles must alternate (calls and results aside), ids must have nine characters, and text beside calls is dropped."""
KIMI: Final = PLAIN.replace("{{ c.function.name }}(", "{{ c.id }}(")
"""Writes only the id of a call, so the id must contain the name."""
ARGUMENTS_AS_TEXT: Final = PLAIN.replace("{{ c.function.arguments | tojson }}", "{{ c.function.arguments }}")
PARTS: Final = PLAIN.replace("{{ m.content }}", "{% for p in m.content %}{{ p.text }}{% endfor %}")
RESULT_NEEDS_CALL: Final = (
    _TOOLS + "{% set ns = namespace(name=none) %}{% for m in messages %}{% if m.tool_calls %}"
    "{% set ns.name = m.tool_calls[-1].function.name %}{% elif m.role == 'assistant' %}{% set ns.name = none %}"
    "{% endif %}{% if m.role == 'tool' and not ns.name %}{{ raise_exception('no call') }}{% endif %}"
    "[{{ m.role }}]{{ m.content }}" + _CALLS + "<|im_end|>{% endfor %}" + _END
)
"""As in MiniMax M2's and gpt-oss's templates."""
CONTENT_LAST: Final = PLAIN.replace("{{ m.content }}" + _CALLS, _CALLS + "{{ m.content }}")
"""Writes text after the calls, as Gemma 4's template does."""
CALLS_WITHOUT_TOOLS: Final = PLAIN.replace(_TOOLS, "")
"""As DeepSeek V3.1's template."""
DATED: Final = "{{ strftime_now('%d %b %Y') }}" + PLAIN


def tokenizer(template: str | Mapping[str, str] | None) -> Any:
    special = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}
    return FastTokenizer(one_token_a_byte(), TokenizerMetadata(special, template, 4096, {}))


def chat_template(
    template: str | Mapping[str, str] | None,
    recall: Recall | None = None,
    *,
    dialect: Dialect = Dialect(),  # noqa: B008 - frozen
    clock: Callable[[], datetime] = datetime.now,
) -> ChatTemplate:
    return ChatTemplate(tokenizer(template), dialect, recall, clock=clock)


def rendered(template: str | Mapping[str, str] | None, *messages: ChatMessage, tools: tuple[Tool, ...] = ()) -> str:
    return text_of(chat_template(template).render(messages, tools).token_ids)


def text_of(token_ids: list[int]) -> str:
    return str(one_token_a_byte().decode(token_ids, skip_special_tokens=False))


def system(text: str) -> ChatMessage:
    return ChatMessage(Role.SYSTEM, text)


def user(text: str) -> ChatMessage:
    return ChatMessage(Role.USER, text)


def assistant(text: str, *calls: ToolCall, thinking: str = "") -> ChatMessage:
    return ChatMessage(Role.ASSISTANT, text, thinking=thinking, tool_calls=calls)


def call(number: int, city: str) -> ToolCall:
    return ToolCall(f"toolu_{number}", "get", f'{{"city": "{city}"}}')


def result(number: int, text: str, *, is_error: bool = False) -> ChatMessage:
    return ChatMessage(Role.TOOL, text, tool_call_id=f"toolu_{number}", is_error=is_error)
