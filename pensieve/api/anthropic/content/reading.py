"""The text of each kind of block (W12). What cannot be read leaves a placeholder, or is refused by name."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from functools import singledispatchmethod
from typing import Any

import pydantic

from pensieve.api.anthropic.content.documents import document_text
from pensieve.api.anthropic.content.offered_tools import OfferedTools
from pensieve.api.anthropic.content.placeholders import (
    REDACTED_THINKING,
    Unreadable,
    replaced,
    unknown_block,
    unreadable_image,
    unreadable_upload,
)
from pensieve.api.anthropic.content.tagged import fields_as_text, tagged
from pensieve.api.anthropic.wire import blocks as wire
from pensieve.api.anthropic.wire.expansion import Expansion
from pensieve.api.anthropic.wire.signature import thinking_in
from pensieve.core.errors import ValidationError

BLOCK_SEPARATOR = "\n\n"
"""Joins the text blocks of a message. Changing it changes every prompt, and so invalidates every cache (C1)."""

_READ_IN_RESULTS = ("text", "image", "document", "search_result", "tool_reference")
"""A tuple, because what another server returned as a type may be any JSON value: a list has no hash."""


class BlockReader:
    """`unreadable` decides about images and documents; `unknown` counts the blocks of types that are not known."""

    def __init__(
        self, offered: OfferedTools, unreadable: Unreadable, unknown: Counter[str], expansion: Expansion
    ) -> None:
        self._offered = offered
        self._unreadable = unreadable
        self._unknown = unknown
        self._expansion = expansion

    def of_results(self) -> BlockReader:
        """A reader for what tools returned: the user did not write it, and cannot take it back."""
        return BlockReader(self._offered, replaced, self._unknown, self._expansion)

    def texts(self, placed_blocks: Iterable[tuple[str, wire.Block]]) -> list[str]:
        """The texts of blocks, each given with its path in the request."""
        texts = (self.text(block, path) for path, block in placed_blocks)
        return [text for text in texts if text is not None]

    def joined(self, content: wire.Content | None, path: str) -> str:
        if content is None or isinstance(content, str):
            return content or ""
        return BLOCK_SEPARATOR.join(self.texts((f"{path}.{number}", block) for number, block in enumerate(content)))

    @singledispatchmethod
    def text(self, block: wire.Block, path: str) -> str | None:
        """The block's text; None if it is not part of a prompt.

        Raises:
            ValidationError: it cannot be read, and must not be replaced; or it cannot stand here.
        """
        raise NotImplementedError(type(block).__name__)

    @text.register
    def _(self, block: wire.TextBlock, _path: str) -> str:
        return block.text

    @text.register
    def _(self, block: wire.ThinkingBlock, path: str) -> str:
        return block.thinking or self._expansion.add(thinking_in(block.signature), f"{path}.signature")

    @text.register
    def _(self, _block: wire.RedactedThinkingBlock, _path: str) -> str:
        return REDACTED_THINKING

    @text.register
    def _(self, _block: wire.ImageBlock, path: str) -> str:
        return self._unreadable(unreadable_image(path))

    @text.register
    def _(self, block: wire.ContainerUploadBlock, path: str) -> str:
        return self._unreadable(unreadable_upload(block.file_id, path))

    @text.register
    def _(self, block: wire.DocumentBlock, path: str) -> str:
        text = document_text(block, path, self.joined, self._unreadable)
        return self._expansion.add(text, f"{path}.source.data") if block.source.type == "base64" else text

    @text.register
    def _(self, block: wire.SearchResultBlock, path: str) -> str:
        fields = [tagged("title", block.title), tagged("source", block.source)]
        passage = self.joined(block.content, f"{path}.content")
        return "\n".join(["<search_result>", *fields, passage, "</search_result>"])

    @text.register
    def _(self, block: wire.BrowserStateBlock, _path: str) -> str:
        state = {"tabs": block.tabs, "state_changes": block.state_changes}
        return f"<browser_state>\n{fields_as_text(state, self._text_of_json)}\n</browser_state>"

    @text.register
    def _(self, block: wire.ToolReferenceBlock, path: str) -> str:
        return self._offered.named(block.tool_name, f"{path}.tool_name")

    @text.register
    def _(self, block: wire.ToolChangeBlock, path: str) -> str:
        return self._offered.changed(block, path)

    @text.register
    def _(self, block: wire.CompactionBlock, path: str) -> str | None:
        if block.content is None:
            return None
        changes = enumerate(block.tool_changes or ())
        changed = [self._offered.changed(change, f"{path}.tool_changes.{number}") for number, change in changes]
        return BLOCK_SEPARATOR.join([f"This is a summary of the conversation so far:\n\n{block.content}", *changed])

    @text.register
    def _(self, block: wire.McpToolListingBlock, _path: str) -> str:
        tools = [json.dumps(tool.model_dump(exclude_none=True), ensure_ascii=False) for tool in block.tools]
        return "\n".join(
            [f"[the tools of the MCP server {block.mcp_server_name}, which cannot be called here]", *tools]
        )

    @text.register
    def _(self, block: wire.ServerCallBlock, _path: str) -> str:
        return f"[a call of {tool_name(block)}: {arguments_of(block)}]"

    @text.register
    def _(self, block: wire.ServerResultBlock, _path: str) -> str:
        return f"[the result of {block.type.removesuffix('_tool_result')}]\n{self.of_results().result(block)}"

    @text.register
    def _(self, _block: wire.FallbackBlock, _path: str) -> None:
        """The SDK's BetaFallbackBlockParam: accepted, and not rendered into the prompt."""

    @text.register
    def _(self, block: wire.OtherBlock, _path: str) -> str:
        self._unknown[block.type] += 1
        return unknown_block(block.type)

    @text.register(wire.ToolUseBlock)
    @text.register(wire.ToolResultBlock)
    def _(self, block: wire.Block, path: str) -> str:
        raise ValidationError(path, f"{block.type} blocks are not allowed here")

    def result(self, block: wire.ServerResultBlock) -> str:
        """The content of a result: text as it is, anything else field by field."""
        return fields_as_text(block.content, self._text_of_json)

    def _text_of_json(self, value: dict[str, Any]) -> str | None:
        """The text of a block within a result; None if the object is not a block that is read."""
        if value.get("type") not in _READ_IN_RESULTS:
            return None
        try:
            return self.text(wire.BLOCK.validate_python(value), "content")
        except pydantic.ValidationError:
            return None


def tool_name(block: wire.ServerCallBlock) -> str:
    """The name of a tool, with that of its MCP server before it, as Anthropic's API composes them."""
    return f"{block.server_name}_{block.name}" if block.server_name else block.name


def arguments_of(block: wire.ServerCallBlock | wire.ToolUseBlock) -> str:
    return json.dumps(block.input, ensure_ascii=False)
