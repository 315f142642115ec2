"""No client's text becomes a control token, whether or not the tokenizer flags the token as special."""

from __future__ import annotations

import json
from collections import Counter
from functools import lru_cache
from itertools import cycle
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.values.vocabulary import ChatMessage, Role, Tool, ToolCall
from pensieve.models.prompts.chat_template import ChatTemplate
from tests.dialects.real.families import family
from tests.dialects.real.rendering import chat_template
from tests.dialects.real.tokenizers import tokenizer_of

NAMES: Final = (
    *("qwen3", "qwen3-coder", "deepseek-v3.1", "gpt-oss", "gemma-3", "llama-3.1", "kimi-k2", "minimax-m2", "glm-4.6"),
    *("mistral-nemo", "mistral-small-3.2", "gemma-4", "command-r7b", "reka-edge", "apriel-1.6", "phi-3.5", "lfm2.5"),
)


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    value: str = request.param
    return value


@lru_cache(2)
def template_of(name: str) -> tuple[ChatTemplate, Any, dict[str, int]]:
    """The template, its tokenizer, and the control tokens that no text may become."""
    backend = tokenizer_of(family(name))
    added = {token.content: number for number, token in backend.get_added_tokens_decoder().items()}
    template = chat_template(family(name))
    literal = template._encoder.added_tokens.literal_backend  # type: ignore[union-attr]
    merged = {number for content, number in added.items() if number in literal.encode(content).ids}
    return (
        template,
        backend,
        {content: number for content, number in added.items() if content.strip("▁ \n\t") and number not in merged},
    )


def conversation(texts: list[str]) -> tuple[tuple[ChatMessage, ...], tuple[Tool, ...]]:
    """The texts in turn, in every place that a client can fill."""
    text = cycle(texts)
    tool = next(text)
    schema = {
        "type": "object",
        "properties": {next(text): {"type": "string", "description": next(text), "enum": [next(text)]}},
        "required": [next(text)],
    }
    calls = (ToolCall(f"id-{next(text)}", tool, json.dumps({next(text): next(text), "list": [{next(text): 1}]})),)
    messages = (
        ChatMessage(Role.SYSTEM, next(text)),
        ChatMessage(Role.USER, next(text)),
        ChatMessage(Role.ASSISTANT, next(text), thinking=next(text), tool_calls=calls),
        ChatMessage(Role.TOOL, next(text), tool_call_id=calls[0].id),
        ChatMessage(Role.USER, next(text)),
        ChatMessage(Role.ASSISTANT, next(text), thinking=next(text)),
        ChatMessage(Role.SYSTEM, next(text)),
        ChatMessage(Role.USER, next(text)),
    )
    return messages, (Tool(tool, next(text), json.dumps(schema)),)


def plain(texts: list[str]) -> list[str]:
    """Texts without control tokens, equal where the originals are equal: Mistral's template compares turns."""
    return [f"x{texts.index(text)}" for text in texts]


def control_tokens(name: str, texts: list[str]) -> Counter[int]:
    template, _, control = template_of(name)
    ids = set(control.values())
    return Counter(token for token in template.render(*conversation(texts)).token_ids if token in ids)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_pieces_of_control_tokens_stay_text_in_every_place(name: str, data: st.DataObject) -> None:
    _, _, control = template_of(name)
    contents = sorted(control, key=lambda content: ("unused" in content or "place" in content, content))[:64]
    whole = st.sampled_from(contents)
    part = st.builds(
        lambda text, start, end: text[start % len(text) :][: end + 1], whole, st.integers(0, 40), st.integers(0, 9)
    )
    text = st.lists(
        whole | part | st.sampled_from(["a", " ", "\n", "<", "\U000f0000", "\\udb80\\udc00"]), min_size=1, max_size=4
    )
    texts = data.draw(st.lists(text.map("".join).filter(str.strip), min_size=1, max_size=16))
    assert control_tokens(name, texts) == control_tokens(name, plain(texts))


def test_every_control_token_by_itself_stays_text(name: str) -> None:
    template, backend, control = template_of(name)
    contents = [content for content in control if "unused" not in content and "place" not in content][:300]
    for start in range(0, len(contents), 10):
        texts = contents[start : start + 10]
        assert control_tokens(name, texts) == control_tokens(name, plain(texts))
    spelled = "".join(contents[:5])
    text = backend.decode(template.render((ChatMessage(Role.USER, spelled),)).token_ids, skip_special_tokens=False)
    assert spelled.strip() in text


def test_a_text_without_control_tokens_is_encoded_as_by_the_tokenizer_itself(name: str) -> None:
    template, backend, _ = template_of(name)
    text = "def f(x):\n\treturn {'a': [1, 2.5]}  # naïve 猫\n\n\n    x < y > 1"
    rendered = template.render((ChatMessage(Role.USER, text),)).token_ids
    alone = backend.encode(text.strip(), add_special_tokens=False).ids[2:-2]
    assert any(rendered[start : start + len(alone)] == alone for start in range(len(rendered)))
