"""Parts of a prompt that the template does not see: gaps that keep text from becoming a control token, and answers that
are put back as the tokens that they were generated as.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from contracts.values.vocabulary import ChatMessage, Tool, ToolCall
from pensieve.models.prompts.encoding.added_tokens import AddedTokens

_PRIVATE_USE: Final = range(0xF0000, 0xFFFFE)
_SCHEMA_WORDS: Final = frozenset(
    [
        "type",
        "properties",
        "required",
        "description",
        "items",
        "enum",
        "default",
        "title",
        "format",
        "additionalProperties",
        "anyOf",
        "oneOf",
        "allOf",
        "$ref",
        "$defs",
        "definitions",
        "nullable",
        "string",
        "number",
        "integer",
        "boolean",
        "array",
        "object",
        "null",
    ]
)


@dataclass(frozen=True, slots=True)
class Spliced:
    """Tokens as they were generated."""

    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the rendered conversation, which starts at the character `start` and has `length` of them there.

    Without content it is a gap: no text, and a place over which no control token reaches.
    """

    start: int
    length: int
    content: str | Spliced | None


class Literals:
    """Puts marks into the texts that a template is given, and finds them in what it makes of them.

    A mark is made of private-use characters that occur in no text. Most are gaps, put inside whatever spells a control
    token: the template still has all of the text to trim, compare and escape, and the tokenizer gets it back without
    the gap, with control tokens read as text. A text with nothing to keep apart stays exactly as it was.
    """

    def __init__(self, texts: Iterable[str] = (), added_tokens: AddedTokens | None = None) -> None:
        """`texts` are all that `hide` may be given."""
        self._fence = _unused_fence(list(texts))
        self._added_tokens = added_tokens
        self._contents: list[Spliced | str | None] = []
        fence = "|".join([self._fence, *(f"(?i:{re.escape(escaped)})" for escaped in _escapes(self._fence))])
        self._marks = re.compile(rf"(?:{fence})(\d+)(?:{fence})")
        self._first = re.compile(rf"{self._fence}first(\d+){self._fence}")
        self._gap = self.mark()
        self.end_mark = f"{self._fence}end{self._fence}"
        """Stands for a text of its own, that nothing else can be mistaken for."""

    def hide(self, text: str) -> str:
        """The text with gaps, so that no control token is found in it, wherever a template puts it."""
        return self._added_tokens.broken(text, self._gap) if self._added_tokens is not None and text else text

    def hidden_message(self, message: ChatMessage) -> ChatMessage:
        return with_texts(message, self.hide)

    def hidden_tool(self, tool: Tool) -> Tool:
        return replace(
            tool,
            name=self.hide(tool.name),
            description=self.hide(tool.description),
            input_schema=changed_json(tool.input_schema, self._hide_in_schema),
        )

    def _hide_in_schema(self, text: str) -> str:
        """Templates look for the words of JSON Schema, so those stay even where a token has one of them in it."""
        return text if text in _SCHEMA_WORDS else self.hide(text)

    def splice(self, token_ids: Sequence[int]) -> str:
        """A mark for tokens to be put in its place, unlike every other mark."""
        return self._new_mark(Spliced(tuple(token_ids)))

    def written(self, text: str) -> str:
        """A mark for a text to be put in its place, where `text_of` does it."""
        return self._new_mark(text)

    def text_of(self, splice: str) -> str:
        """What a template's text has in the place of a splice: the mark of tokens itself, or a text."""
        content = self._contents[int(splice.strip(self._fence))]
        return content if isinstance(content, str) else splice

    def first_argument(self, splice: str) -> str:
        """Stands in the first call of a spliced answer, for a template that writes nothing else of the answer."""
        return f"{self._fence}first{splice.strip(self._fence)}{self._fence}"

    def last_argument(self, splice: str) -> str:
        """Stands in the last call of a spliced answer, for the template to write what comes after it."""
        return f"{self._fence}last{splice.strip(self._fence)}{self._fence}"

    def is_splice(self, text: str) -> bool:
        """Whether a text is the mark of an answer that is put back, and nothing else."""
        found = self._marks.fullmatch(text)
        return found is not None and self._contents[int(found[1])] is not None

    def answer_in(self, message: ChatMessage) -> str | None:
        """The mark of the answer that is put back in place of a message: it is its text, or in its first call."""
        if self.is_splice(message.text):
            return message.text
        found = self._first.search(message.tool_calls[0].arguments) if message.tool_calls else None
        return f"{self._fence}{found[1]}{self._fence}" if found is not None else None

    def mark(self) -> str:
        """A mark unlike every other, for a text whose place is looked for."""
        return self._new_mark(None)

    def marks_in(self, rendered: str) -> Iterator[str]:
        """Every mark in the rendered text, as it was made."""
        for found in self._marks.finditer(rendered):
            yield f"{self._fence}{found[1]}{self._fence}"

    def reveal(self, rendered: str) -> list[Piece]:
        """The rendered text in order, in pieces."""
        pieces: list[Piece] = []
        start = 0
        for found in self._marks.finditer(rendered):
            if found.start() > start:
                pieces.append(Piece(start, found.start() - start, rendered[start : found.start()]))
            content = self._contents[int(found[1])]
            pieces.append(Piece(found.start(), len(found[0]), content if isinstance(content, Spliced) else None))
            start = found.end()
        if start < len(rendered):
            pieces.append(Piece(start, len(rendered) - start, rendered[start:]))
        return pieces

    def _new_mark(self, content: Spliced | str | None) -> str:
        self._contents.append(content)
        return f"{self._fence}{len(self._contents) - 1}{self._fence}"


def with_texts(message: ChatMessage, changed: Callable[[str], str]) -> ChatMessage:
    """The message with all that it says, thinks and calls changed. Ids stay, since results are found by them."""
    calls = tuple(
        ToolCall(call.id, changed(call.name), changed_json(call.arguments, changed)) for call in message.tool_calls
    )
    return replace(message, text=changed(message.text), thinking=changed(message.thinking), tool_calls=calls)


def changed_json(text: str, changed: Callable[[str], str]) -> str:
    """JSON with all of its strings changed, keys as well; the very same text where none of them is."""
    value = json.loads(text)
    new = _changed(value, changed)
    return text if new == value else json.dumps(new, ensure_ascii=False)


def _changed(value: Any, changed: Callable[[str], str]) -> Any:
    match value:
        case str():
            return changed(value)
        case dict():
            return {changed(key): _changed(part, changed) for key, part in value.items()}
        case list():
            return [_changed(part, changed) for part in value]
        case _:
            return value


def _unused_fence(texts: Sequence[str]) -> str:
    """A private-use character that is in no text, neither as itself nor as JSON or Python escapes it."""
    used: set[str] = set().union(*texts)
    escaping = [text.lower() for text in texts if "\\u" in text or "\\U" in text]
    return next(
        fence
        for fence in map(chr, _PRIVATE_USE)
        if fence not in used and not any(escaped in text for text in escaping for escaped in _escapes(fence))
    )


def _escapes(fence: str) -> tuple[str, str]:
    """As JSON has it for templates that want ASCII, and as Python shows a character in a value that is no text."""
    return json.dumps(fence).strip('"'), f"\\U{ord(fence):08x}".lower()
