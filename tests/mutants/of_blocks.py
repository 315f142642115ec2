"""Mutants that do not read a block of the conversation, or read one that they should not."""

from __future__ import annotations

from tests.mutants.faults import blocks
from tests.mutants.faults.blocks import Drops
from tests.mutants.faults.messages import refusal_without_a_name
from tests.mutants.mutant import BaseServer, Mutant

OF_BLOCKS = (
    Mutant("dropped-images", "image-is-seen-or-refused", calls=Drops.of("image")),
    Mutant("dropped-documents", "document-is-counted", calls=Drops.of("document")),
    Mutant("refused-unknown-blocks", "unknown-block-is-ignored", answers=blocks.refuses("block_of_tomorrow")),
    Mutant("dropped-texts", "text-block-is-counted", calls=Drops.of("text"), in_every_example=True),
    Mutant("dropped-calls", "tool-input-is-counted", calls=Drops.of("tool_use", "tool_result")),
    Mutant("dropped-results", "tool-result-is-counted", calls=Drops.of("tool_use", "tool_result")),
    Mutant("dropped-uploads", "upload-is-used-or-refused", calls=Drops.of("container_upload")),
    Mutant(
        "dropped-search-results", "search-result-is-counted", calls=Drops.of("search_result"), in_every_example=True
    ),
    Mutant("dropped-search-results-of-tools", "search-result-of-a-tool-is-counted", calls=Drops.of("search_result")),
    Mutant("refused-search-results", "search-result-is-answered", answers=blocks.refuses("search_result")),
    Mutant(
        "dropped-server-tool-blocks",
        "server-tool-block-is-counted",
        calls=Drops.of(
            "server_tool_use",
            "web_search_tool_result",
            "web_fetch_tool_result",
            "code_execution_tool_result",
            "bash_code_execution_tool_result",
            "text_editor_code_execution_tool_result",
            "tool_search_tool_result",
            "advisor_tool_result",
        ),
        in_every_example=True,
    ),
    Mutant(
        "dropped-mcp-blocks",
        "mcp-block-is-counted",
        calls=Drops.of("mcp_tool_listing", "mcp_tool_use", "mcp_tool_result"),
        in_every_example=True,
    ),
    Mutant("dropped-tool-searches", "tool-search-shows-what-it-found", calls=Drops.of("tool_search_tool_result")),
    Mutant("dropped-summaries", "compaction-block-is-counted", calls=Drops.of("compaction")),
    Mutant("summaries-as-text", "compacted-messages-are-dropped", calls=blocks.keeps_compacted_messages),
    Mutant("refused-summaries", "failed-compaction-changes-nothing", answers=blocks.refuses("compaction")),
    Mutant("dropped-tool-additions", "added-tool-is-counted", calls=Drops.of("tool_addition"), in_every_example=True),
    Mutant(
        "dropped-tool-removals",
        "removed-tool-is-not-called",
        calls=Drops.of("tool_removal"),
        base=BaseServer.CONSTRAINED,
    ),
    Mutant(
        "removed-tool-without-its-name",
        "removed-tool-is-not-called",
        answers=refusal_without_a_name,
        base=BaseServer.CONSTRAINED,
    ),
    Mutant("never-cleared-messages", "cleared-system-message-is-no-prompt", calls=blocks.keeps_cleared_messages),
    Mutant("messages-cleared-at-once", "system-message-of-this-turn-is-counted", calls=blocks.clears_messages_at_once),
    Mutant("refused-effort", "system-message-with-only-an-effort", answers=blocks.refuses("output_config")),
    Mutant("refused-older-images", "older-image-is-accepted", answers=blocks.refuses("image/png")),
    Mutant("image-refusal-without-a-phrase", "image-refusal-is-in-known-words", answers=refusal_without_a_name),
    Mutant(
        "pdf-refusal-without-a-phrase",
        "pdf-refusal-is-in-known-words",
        answers=refusal_without_a_name,
        in_every_example=True,
    ),
    Mutant("pdf-of-any-length", "pdf-with-too-many-pages", answers=refusal_without_a_name),
)
