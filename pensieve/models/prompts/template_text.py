"""A conversation as its model's own template writes it, with the openings of answers put back as they were."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jinja2

from contracts.values.vocabulary import ChatMessage, Role
from pensieve.core.dialects.dialect import tool_as_json
from pensieve.models.prompts.answer_places import AnswerPlaces
from pensieve.models.prompts.encoding.literals import Literals
from pensieve.models.prompts.filled_schemas import filled_schema
from pensieve.models.prompts.options import Ending, Options
from pensieve.models.prompts.turns import as_paragraphs, as_turns, content_of
from pensieve.models.prompts.variables import TemplateVariables, template_source


class TemplateText:
    """Writes for one tokenizer."""

    def __init__(self, tokenizer: Any, *, has_template: bool) -> None:
        self._tokenizer = tokenizer
        self.has_template = has_template
        source = template_source(tokenizer)
        self._variables = TemplateVariables(source)
        self.end_tokens = _end_tokens(tokenizer)
        """What may end an answer of the model."""
        self._places = AnswerPlaces(self._written, self.end_tokens)

    def of(self, messages: Sequence[ChatMessage], literals: Literals, options: Options, ending: Ending) -> str:
        """The text. Where a message is the mark of a spliced answer, the words before it are those that the answer was
        generated after, and not those that the template has for a history.

        Raises:
            one of REFUSALS: the template does not take the conversation, or an answer has no place in it.
        """
        return self._places.put_back(self._written(messages, literals, options, ending), messages, literals, options)

    def _written(self, messages: Sequence[ChatMessage], literals: Literals, options: Options, ending: Ending) -> str:
        opens_answer = ending is Ending.ANSWER_OPENS
        if not self.has_template:
            return as_paragraphs(messages, opens_answer=opens_answer)
        turns = as_turns(messages, literals, options.style)
        if ending is Ending.ANSWER_GOES_ON:
            turns[-1]["content"] = content_of(literals.end_mark, options.style)
        tools = [tool_as_json(tool) for tool in options.tools]
        values = {"add_generation_prompt": opens_answer, **self._values(messages, options, tools)}
        try:
            rendered = self._applied(turns, tools, values)
        except jinja2.UndefinedError as error:
            if not tools or not any(key in str(error) for key in ("description", "additionalProperties")):
                raise
            rendered = self._applied(turns, filled_schema(tools), values)
        if ending is not Ending.ANSWER_GOES_ON:
            return rendered
        start, mark, _ = rendered.partition(literals.end_mark)
        if not mark:
            raise ValueError("it leaves out the answer that is to be continued")
        return start + messages[-1].text

    def _applied(
        self, turns: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], values: Mapping[str, Any]
    ) -> str:
        return str(self._tokenizer.apply_chat_template(turns, tokenize=False, tools=tools or None, **values))

    def _values(
        self, messages: Sequence[ChatMessage], options: Options, tools: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        values = self._variables.of(options.thinking)
        names = self._variables.names
        if "strftime_now" in names and getattr(self._tokenizer, "takes_functions", False):
            values["strftime_now"] = options.date.strftime
        if {"functions", "datetime"} <= names:  # FireFunction v2 has tools and the date by names of its own
            values |= {"functions": json.dumps(tools, ensure_ascii=False), "datetime": f"{options.date:%Y-%m-%d}"}
        if "xml_tools" in names and "tools" not in names:  # SmolLM3
            values["xml_tools"] = tools or None
        template = getattr(self._tokenizer, "chat_template", None)
        if isinstance(template, Mapping):
            values["chat_template"] = template[_named(template, has_calls=bool(tools) or _has_calls(messages))]
        return values


def _named(templates: Mapping[str, str], *, has_calls: bool) -> str:
    """Which of a tokenizer's templates is for a conversation.

    Raises:
        ValueError: there is none.
    """
    for name in ("tool_use", "default") if has_calls else ("default", "tool_use"):
        if name in templates:
            return name
    raise ValueError(f"none of this model's templates is for conversations: {', '.join(sorted(templates))}")


def _has_calls(messages: Sequence[ChatMessage]) -> bool:
    return any(message.tool_calls or message.role is Role.TOOL for message in messages)


def _end_tokens(tokenizer: Any) -> tuple[str, ...]:
    ids = getattr(tokenizer, "eos_token_ids", None)
    if not isinstance(ids, Collection):  # mlx-lm's wrapper has a set of them, Transformers one
        ids = [tokenizer.eos_token_id]
    tokens = [tokenizer.convert_ids_to_tokens(int(token_id)) for token_id in sorted(ids) if token_id is not None]
    return tuple(token for token in tokens if token)
