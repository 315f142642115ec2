"""Markers in the text that a template renders: gaps, which keep text from becoming a control token, and splices, which
are replaced by the tokens of an earlier answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from contracts.values.vocabulary import ChatMessage, Tool, ToolCall
from pensieve.core.errors import ValidationError
from pensieve.models.prompts.encoding.added_tokens import AddedTokens
from pensieve.models.prompts.encoding.slices import SLICE, find_all

_PRIVATE_USE: Final = range(0xF0000, 0xFFFFE)
_ESCAPED: Final = re.compile(r"(?i)\\u(?:(db[89a-f][0-9a-f])\\u(d[c-f][0-9a-f]{2})|(000f[0-9a-f]{4}))")
"""A character of that range as JSON or as Python's repr escapes it."""
_ESCAPED_LENGTH: Final = 12
_MAX_MARKER: Final = 48
_SCHEMA_KEYWORDS: Final = frozenset(
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
class SplicedTokens:
    """Token ids that the model generated."""

    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RenderedPiece:
    """`length` characters of the rendered conversation, from offset `start`.

    Content None is a gap: it has no text, and no control token may span it.
    """

    start: int
    length: int
    content: str | SplicedTokens | None


class Literals:
    """Puts markers into the texts for a template, and finds them in the rendered text.

    A marker consists of private-use characters that occur in none of the texts. Most markers are gaps inside text that
    spells a control token: the template can still trim, compare and escape the text, and the tokenizer then gets it
    without the gap and reads the token as text. Text without control tokens stays as it is.
    """

    def __init__(self, texts: Iterable[str] = (), added_tokens: AddedTokens | None = None) -> None:
        """`texts` are all texts that will be escaped."""
        self._fence = _unused_fence(list(texts))
        self._added_tokens = added_tokens
        self._contents: list[SplicedTokens | str | None] = []
        fence = "|".join([self._fence, *(f"(?i:{re.escape(escaped)})" for escaped in _escapes(self._fence))])
        self._markers = re.compile(rf"(?:{fence})(\d+)(?:{fence})")
        self._first = re.compile(rf"{self._fence}first(\d+){self._fence}")
        self._gap = self.marker()
        self.end_marker = f"{self._fence}end{self._fence}"
        """A marker that differs from every other, for probes."""

    def escape(self, text: str) -> str:
        """Insert gaps so that no control token can be matched in the text, wherever a template puts it."""
        return self._added_tokens.with_gaps(text, self._gap) if self._added_tokens is not None and text else text

    def escaped_message(self, message: ChatMessage) -> ChatMessage:
        return with_texts(message, self.escape)

    def escaped_tool(self, tool: Tool) -> Tool:
        return replace(
            tool,
            name=self.escape(tool.name),
            description=self.escape(tool.description),
            input_schema=changed_json(tool.input_schema, self._escape_in_schema),
        )

    def _escape_in_schema(self, text: str) -> str:
        """Keep the keywords of JSON Schema, which templates look for, even if a token contains one."""
        return text if text in _SCHEMA_KEYWORDS else self.escape(text)

    def splice(self, token_ids: Sequence[int]) -> str:
        """A new marker that is replaced by token ids."""
        return self._new_marker(SplicedTokens(tuple(token_ids)))

    def splice_text(self, text: str) -> str:
        """A new marker that `text_of` replaces by a text."""
        return self._new_marker(text)

    def text_of(self, splice: str) -> str:
        """What replaces a splice in the rendered text: its text, or the marker itself if it stands for token ids."""
        content = self._contents[int(splice.strip(self._fence))]
        return content if isinstance(content, str) else splice

    def first_argument_marker(self, splice: str) -> str:
        """A marker for the first call of a spliced answer, for templates that write only its calls."""
        return f"{self._fence}first{splice.strip(self._fence)}{self._fence}"

    def last_argument_marker(self, splice: str) -> str:
        """A marker for the last call of a spliced answer, to find what the template writes after it."""
        return f"{self._fence}last{splice.strip(self._fence)}{self._fence}"

    def is_splice(self, text: str) -> bool:
        """Whether a text consists of exactly one marker, which is not a gap."""
        match = self._markers.fullmatch(text)
        return match is not None and self._contents[int(match[1])] is not None

    def answer_marker(self, message: ChatMessage) -> str | None:
        """The marker of the answer that replaces a message: the message's text, or part of its first call."""
        if self.is_splice(message.text):
            return message.text
        match = self._first.search(message.tool_calls[0].arguments) if message.tool_calls else None
        return f"{self._fence}{match[1]}{self._fence}" if match is not None else None

    def marker(self) -> str:
        """A new marker to find the position of a text by."""
        return self._new_marker(None)

    def markers_in(self, rendered: str) -> Iterator[str]:
        """All markers in the rendered text, unescaped."""
        return (marker for _, marker in self.placed_markers_in(rendered))

    def placed_markers_in(self, rendered: str) -> Iterator[tuple[int, str]]:
        """Each marker with the position at which it stands, escaped or not."""
        for match in find_all(self._markers, rendered, _MAX_MARKER):
            yield match.start(), f"{self._fence}{match[1]}{self._fence}"

    def pieces_of(self, rendered: str) -> list[RenderedPiece]:
        """Split the rendered text at its markers."""
        pieces: list[RenderedPiece] = []
        start = 0
        for match in find_all(self._markers, rendered, _MAX_MARKER):
            if match.start() > start:
                pieces.append(RenderedPiece(start, match.start() - start, rendered[start : match.start()]))
            content = self._contents[int(match[1])]
            tokens = content if isinstance(content, SplicedTokens) else None
            pieces.append(RenderedPiece(match.start(), len(match[0]), tokens))
            start = match.end()
        if start < len(rendered):
            pieces.append(RenderedPiece(start, len(rendered) - start, rendered[start:]))
        return pieces

    def _new_marker(self, content: SplicedTokens | str | None) -> str:
        self._contents.append(content)
        return f"{self._fence}{len(self._contents) - 1}{self._fence}"


def with_texts(message: ChatMessage, change: Callable[[str], str]) -> ChatMessage:
    """Change a message's text, thinking and calls. Call ids stay, because they connect results to their calls."""
    calls = tuple(
        ToolCall(call.id, change(call.name), changed_json(call.arguments, change)) for call in message.tool_calls
    )
    return replace(message, text=change(message.text), thinking=change(message.thinking), tool_calls=calls)


def changed_json(text: str, change: Callable[[str], str]) -> str:
    """Change all strings in a JSON text, including keys. The text stays byte for byte if no string changes."""
    value = json.loads(text)
    new = _changed(value, change)
    return text if new == value else json.dumps(new, ensure_ascii=False)


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    match value:
        case str():
            return change(value)
        case dict():
            return {change(key): _changed(part, change) for key, part in value.items()}
        case list():
            return [_changed(part, change) for part in value]
        case _:
            return value


def _unused_fence(texts: Sequence[str]) -> str:
    """A private-use character that occurs in none of the texts, unescaped or as JSON or Python escapes it.

    Raises:
        ValidationError: the texts use all of them.
    """
    used: set[str] = set()
    for text in texts:
        for start in range(0, 0 if text.isascii() else len(text), SLICE):
            used.update(text[start : start + SLICE])
        if "\\" in text:
            used.update(_unescaped(match) for match in find_all(_ESCAPED, text, _ESCAPED_LENGTH))
    fence = next((fence for fence in map(chr, _PRIVATE_USE) if fence not in used), None)
    if fence is None:
        raise ValidationError(
            "messages", f"use all {len(_PRIVATE_USE):,} private-use characters of plane 15: leave one"
        )
    return fence


def _unescaped(match: re.Match[str]) -> str:
    high, low, code = match.groups()
    return chr(int(code, 16) if code else 0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00)


def _escapes(fence: str) -> tuple[str, str]:
    """The fence as JSON escapes it for ASCII output, and as Python's repr does."""
    return json.dumps(fence).strip('"'), f"\\U{ord(fence):08x}".lower()
