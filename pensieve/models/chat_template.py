"""A conversation as the token ids that a model was taught to read (design: a request's way, 2).

The model's own template decides the form. This module adds three things: conversations that a template refuses are
brought into a form that it takes, an answer that has begun is continued, and the text of a message stays text even
where it spells one of the model's control tokens, so that no message can pretend to be another's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import jinja2

from contracts.vocabulary import ChatMessage, Role, Thinking, Tool
from pensieve.core.dialect import Dialect, tool_as_json
from pensieve.core.errors import ValidationError
from pensieve.core.general_form import in_general_form
from pensieve.models.literals import Literals

_REFUSALS: Final = (jinja2.TemplateError, ValueError, TypeError, KeyError, IndexError)
"""What a template raises: its own `raise_exception`, or a stumble over a role it does not expect."""


_TAIL_TOKENS: Final = 16
"""Enough for a mark that is no single token, and the line breaks behind it."""


class ChatTemplate:
    """Renders conversations for one tokenizer. Any thread may use it."""

    def __init__(self, tokenizer: Any, dialect: Dialect = Dialect()) -> None:  # noqa: B008 - frozen
        """`tokenizer` is mlx-lm's TokenizerWrapper, or a Transformers tokenizer; `dialect` is its model's."""
        self._tokenizer = tokenizer
        self._dialect = dialect
        self._takes_tools = bool(getattr(tokenizer, "has_tool_calling", False))
        self._backend = getattr(tokenizer, "backend_tokenizer", None)
        self._has_template = bool(getattr(tokenizer, "has_chat_template", None) or tokenizer.chat_template)

    def render(
        self,
        messages: tuple[ChatMessage, ...],
        tools: tuple[Tool, ...] = (),
        thinking: Thinking = Thinking(),  # noqa: B008 - frozen
    ) -> list[int]:
        """The prompt's token ids, up to where the model's answer begins, or goes on if the last message is its own.

        A template may refuse system messages, or roles that do not alternate. It is then tried again with what it may
        take: a system message in mid-conversation becomes a marked part of the user's turn, and turns of the same
        role are joined; at last the leading system message goes into the first user turn as well. A model without a
        template gets `User: …` and `Assistant: …` in paragraphs. Tools, calls and their results are given to a
        template that knows them, and told to all others in the general form.

        Raises:
            ValidationError: no messages; an answer to continue that ends in whitespace; or a conversation that the
                template takes in no form.
        """
        if not messages:
            raise ValidationError("messages", "at least one message is required")
        last = messages[-1]
        if last.role is Role.ASSISTANT and last.text != last.text.rstrip():
            raise ValidationError("messages", "final assistant content cannot end with trailing whitespace")
        if last.role is Role.ASSISTANT and not last.text:
            messages = messages[:-1]
        if not self._takes_tools:
            messages, tools = in_general_form(messages, tools, self._dialect), ()
        literals = Literals(_texts(messages, tools), self._control_tokens)
        return self._encode(
            literals,
            self._text(messages, literals, _Options(tuple(tool for tool in tools if not tool.deferred), thinking)),
        )

    def encode_raw(self, text: str) -> list[int]:
        """The token ids of a prompt that is to be continued as it stands; at least one.

        It is one author's text, so control tokens in it are what they spell: clients that fill in a template
        themselves rely on it. Those may also have written the first token, which is then not put before it again.

        Raises:
            ValidationError: there is nothing to continue.
        """
        token_ids = [int(token_id) for token_id in self._tokenizer.encode(text)]
        if token_ids[:2] == self._first_tokens() * 2:
            token_ids = token_ids[1:]
        if not token_ids:
            raise ValidationError("prompt", "must not be empty")
        return token_ids

    def ends_thinking(self, token_ids: list[int]) -> bool:
        """Whether a rendered prompt ends with thinking open, as some templates leave it: the model goes on with it."""
        mark = self._dialect.think_start
        if mark is None:
            return False
        tail: str = self._tokenizer.decode(token_ids[-_TAIL_TOKENS:])
        return tail.rstrip().endswith(mark)

    @cached_property
    def takes_system_prompt(self) -> bool:
        """Whether the template has a place of its own for a system message."""
        probe = (ChatMessage(Role.SYSTEM, "Be brief."), ChatMessage(Role.USER, "Hello."))
        try:
            return "Be brief." in self._apply(probe, Literals((), None), _Options())
        except _REFUSALS:
            return False

    def _text(self, messages: tuple[ChatMessage, ...], literals: Literals, options: _Options) -> str:
        if not self._has_template:
            return _plain(messages, literals)
        refusal: Exception | None = None
        forms = (messages, _joined(_system_as_user(messages, keep_first=True)), _joined(_system_as_user(messages)))
        for form in forms:
            try:
                return self._apply(form, literals, options)
            except _REFUSALS as error:
                refusal = refusal or error
        raise ValidationError("messages", f"the model's chat template refuses this conversation: {refusal}")

    def _apply(self, messages: Sequence[ChatMessage], literals: Literals, options: _Options) -> str:
        """The template's text. An answer to continue is stood for by a mark, and the text cut off where it stands."""
        continued = bool(messages) and messages[-1].role is Role.ASSISTANT
        turns = [_turn(message, literals) for message in messages]
        if continued:
            turns[-1]["content"] = literals.end_mark
        rendered = str(
            self._tokenizer.apply_chat_template(
                turns,
                tokenize=False,
                add_generation_prompt=not continued,
                enable_thinking=options.thinking.enabled,  # templates that know no thinking ignore it
                tools=[json.loads(literals.hide(json.dumps(tool_as_json(tool)))) for tool in options.tools] or None,
            )
        )
        if not continued:
            return rendered
        start, mark, _ = rendered.partition(literals.end_mark)
        if not mark:
            raise ValueError("it leaves out the answer that is to be continued")
        return start + literals.hide(messages[-1].text)

    @cached_property
    def _control_tokens(self) -> re.Pattern[str] | None:
        """What a tokenizer would take for a control token wherever it reads it; the longest that fits comes first."""
        if self._backend is None:
            return None
        added = self._backend.get_added_tokens_decoder().values()
        contents = sorted({token.content for token in added if token.special and token.content}, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, contents))) if contents else None

    @cached_property
    def _literal_backend(self) -> Any:
        """A copy of the tokenizer that reads control tokens as any other text.

        Made at the first need, which is rare. A copy, since the switch is part of the tokenizer, and others use that.
        """
        copy: Any = deepcopy(self._backend)
        copy.encode_special_tokens = True
        return copy

    def _encode(self, literals: Literals, text: str) -> list[int]:
        if self._backend is None:
            return list(self._tokenizer.encode(text, add_special_tokens=False))
        token_ids: list[int] = [] if self._has_template else self._first_tokens()
        for piece, is_literal in literals.reveal(text):
            backend = self._literal_backend if is_literal else self._backend
            token_ids += backend.encode(piece, add_special_tokens=False).ids
        return token_ids

    def _first_tokens(self) -> list[int]:
        """What the tokenizer puts before a text by itself, where no template does."""
        first = self._tokenizer.bos_token_id
        return [first] if first is not None and self._tokenizer.encode("")[:1] == [first] else []


@dataclass(frozen=True, slots=True)
class _Options:
    """What a template is given besides the conversation."""

    tools: tuple[Tool, ...] = ()
    thinking: Thinking = Thinking()  # noqa: RUF009 - frozen


def _texts(messages: Iterable[ChatMessage], tools: Iterable[Tool]) -> Iterator[str]:
    """Everything of the user's that goes into a prompt."""
    for message in messages:
        yield from (message.text, message.thinking)
        yield from (part for call in message.tool_calls for part in (call.name, call.arguments))
    for tool in tools:
        yield json.dumps(tool_as_json(tool))


def _turn(message: ChatMessage, literals: Literals) -> dict[str, object]:
    """A message in the form that chat templates expect."""
    turn: dict[str, object] = {"role": message.role.value, "content": literals.hide(message.text)}
    if message.thinking:
        turn["reasoning_content"] = literals.hide(message.thinking)
    if message.tool_calls:
        turn["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": json.loads(literals.hide(call.arguments))},
            }
            for call in message.tool_calls
        ]
    if message.role is Role.TOOL:
        turn["tool_call_id"] = message.tool_call_id
    return turn


def _system_as_user(messages: Iterable[ChatMessage], *, keep_first: bool = False) -> list[ChatMessage]:
    """System messages as marked parts of a user's turn; with `keep_first`, those at the start are left."""
    turned: list[ChatMessage] = []
    for message in messages:
        at_start = keep_first and all(earlier.role is Role.SYSTEM for earlier in turned)
        if message.role is Role.SYSTEM and not at_start:
            turned.append(ChatMessage(Role.USER, f"<system>\n{message.text}\n</system>"))
        else:
            turned.append(message)
    return turned


def _joined(messages: Iterable[ChatMessage]) -> list[ChatMessage]:
    """Neighbours of the same role as one message, in paragraphs."""
    joined: list[ChatMessage] = []
    for message in messages:
        if joined and joined[-1].role is message.role and not message.tool_calls and not joined[-1].tool_calls:
            joined[-1] = ChatMessage(message.role, f"{joined[-1].text}\n\n{message.text}")
        else:
            joined.append(message)
    return joined


def _plain(messages: Sequence[ChatMessage], literals: Literals) -> str:
    """The form for models without a template: paragraphs, each with its speaker, system messages bare."""
    speakers = {Role.SYSTEM: "", Role.USER: "User: ", Role.ASSISTANT: "Assistant: "}
    turns = [speakers[message.role] + literals.hide(message.text) for message in messages]
    if messages and messages[-1].role is Role.ASSISTANT:
        return "\n\n".join(turns)
    return "\n\n".join([*turns, "Assistant:"])
