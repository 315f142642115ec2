"""Applies a model's own chat template to a conversation."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jinja2

from contracts.values.vocabulary import ChatMessage, Role
from pensieve.core.dialects.dialect import tool_as_json
from pensieve.models.prompts.answer_openings import AnswerOpenings
from pensieve.models.prompts.encoding.literals import Literals
from pensieve.models.prompts.filled_schemas import FILLED_KEYS, filled_schema
from pensieve.models.prompts.options import PromptEnding, TemplateOptions
from pensieve.models.prompts.turns import as_paragraphs, as_turns, content_of
from pensieve.models.prompts.variables import TemplateVariables, template_source
from pensieve.models.tokenizers.fast_tokenizer import apply_template


class TemplateRenderer:
    """Renders conversations with the template of one tokenizer."""

    def __init__(self, tokenizer: Any, *, has_template: bool, arguments: Mapping[str, Any] | None = None) -> None:
        """
        Raises:
            ValueError: the template does not read one of the `arguments`.
        """
        self._tokenizer = tokenizer
        self._arguments = arguments or {}
        self.has_template = has_template
        source = template_source(tokenizer)
        self._own_template = _jinja_template(tokenizer)
        self._variables = TemplateVariables(source)
        if source is not None or not has_template:
            self._variables.require(self._arguments)
        self.end_tokens = _end_tokens(tokenizer)
        """The tokens that may end an answer of the model."""
        self._openings = AnswerOpenings(self._apply, self.end_tokens)

    def render(
        self, messages: Sequence[ChatMessage], literals: Literals, options: TemplateOptions, ending: PromptEnding
    ) -> str:
        """The rendered text. Markers of generated answers come after the opening that each answer was generated after,
        instead of the one that the template writes in a history.

        Raises:
            one of TEMPLATE_ERRORS: the template refuses the conversation, or an answer cannot be put back.
        """
        return self._openings.restore(self._apply(messages, literals, options, ending), messages, literals, options)

    def _apply(
        self, messages: Sequence[ChatMessage], literals: Literals, options: TemplateOptions, ending: PromptEnding
    ) -> str:
        opens_answer = ending is PromptEnding.ANSWER_OPENS
        if not self.has_template:
            return as_paragraphs(messages, opens_answer=opens_answer)
        turns = as_turns(messages, literals, options.style)
        if ending is PromptEnding.ANSWER_CONTINUES:
            turns[-1]["content"] = content_of(literals.end_marker, options.style)
        tools = [tool_as_json(tool) for tool in options.tools]
        values = {"add_generation_prompt": opens_answer, **self._values(messages, options, tools)}
        try:
            rendered = self._call_template(turns, tools, values)
        except jinja2.UndefinedError as error:
            if not tools or not any(key in str(error) for key in FILLED_KEYS):
                raise
            rendered = self._call_template(turns, filled_schema(tools), values)
        if ending is not PromptEnding.ANSWER_CONTINUES:
            return rendered
        start, marker, _ = rendered.partition(literals.end_marker)
        if not marker:
            raise ValueError("it leaves out the answer that is to be continued")
        return start + messages[-1].text

    def _call_template(
        self, turns: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], values: Mapping[str, Any]
    ) -> str:
        if self._own_template is None:
            return str(self._tokenizer.apply_chat_template(turns, tokenize=False, tools=tools or None, **values))
        template = values.get("chat_template", self._own_template)
        return apply_template(template, turns, tools or None, {**self._tokenizer.special_tokens_map, **values})

    def _values(
        self, messages: Sequence[ChatMessage], options: TemplateOptions, tools: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        values = self._variables.of(options.thinking)
        names = self._variables.names
        if "strftime_now" in names and getattr(self._tokenizer, "takes_functions", False):
            values["strftime_now"] = options.date.strftime
        if {"functions", "datetime"} <= names:  # FireFunction v2 has its own names for tools and the date
            values |= {"functions": json.dumps(tools, ensure_ascii=False), "datetime": f"{options.date:%Y-%m-%d}"}
        if "xml_tools" in names and "tools" not in names:  # SmolLM3
            values["xml_tools"] = tools or None
        template = getattr(self._tokenizer, "chat_template", None)
        if isinstance(template, Mapping):
            values["chat_template"] = template[_template_name(template, has_calls=bool(tools) or _has_calls(messages))]
        return {**values, **self._arguments}


def _jinja_template(tokenizer: Any) -> str | None:
    """What to render for a tokenizer of Transformers, which sets its own environment of Jinja no limits. None for one
    that limits itself, and for one whose own code writes the prompt.
    """
    template = getattr(tokenizer, "chat_template", None)
    if getattr(tokenizer, "takes_functions", False):
        return None
    settings = getattr(tokenizer, "init_kwargs", None) or {}
    if settings.get("chat_template_type") is not None or not hasattr(tokenizer, "special_tokens_map"):
        return None
    return next(iter(template.values()), None) if isinstance(template, Mapping) else template


def _template_name(templates: Mapping[str, str], *, has_calls: bool) -> str:
    """The name of the template to use for a conversation.

    Raises:
        ValueError: the model has no template for conversations.
    """
    for name in ("tool_use", "default") if has_calls else ("default", "tool_use"):
        if name in templates:
            return name
    raise ValueError(f"none of this model's templates is for conversations: {', '.join(sorted(templates))}")


def _has_calls(messages: Sequence[ChatMessage]) -> bool:
    return any(message.tool_calls or message.role is Role.TOOL for message in messages)


def _end_tokens(tokenizer: Any) -> tuple[str, ...]:
    ids = getattr(tokenizer, "eos_token_ids", None)
    if not isinstance(ids, Collection):  # a ModelTokenizer has a set, Transformers a single one
        ids = [tokenizer.eos_token_id]
    tokens = [tokenizer.convert_ids_to_tokens(int(token_id)) for token_id in sorted(ids) if token_id is not None]
    return tuple(token for token in tokens if token)
