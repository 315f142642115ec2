"""An example of each content block of the API, with the words of it that have to be in the prompt."""

from __future__ import annotations

from typing import Any

from features.harness.scene.media import document_block, image_block, pdf_with_text

Json = dict[str, Any]

PNG = image_block(8, 8)
TEXT_SOURCE = {"type": "text", "media_type": "text/plain", "data": "Blue is a colour."}
DOCUMENT = {"type": "document", "source": TEXT_SOURCE, "title": "Colours", "context": "For painters"}
TEXT = {"type": "text", "text": "Hello there."}
OWN_TOOL = {"name": "look", "description": "Looks around", "input_schema": {"type": "object"}}
TOOL = {"name": "paint", "description": "Paints a wall", "input_schema": {"type": "object"}, "defer_loading": True}
REFERENCE = {"type": "tool_reference", "tool_name": "paint"}
PAINT = '"description": "Paints a wall"'


def document(source: Json) -> Json:
    return {"type": "document", "source": source}


def result(kind: str, content: object, **fields: object) -> Json:
    return {"type": f"{kind}_tool_result", "tool_use_id": "srvtoolu_1", "content": content, **fields}


def client_result(*content: Json) -> Json:
    return {"type": "tool_result", "tool_use_id": "toolu_1", "content": list(content)}


def output(kind: str, **fields: object) -> Json:
    return {"type": kind, "stderr": "a warning", "return_code": 3, "content": [], **fields}


def error(kind: str, **fields: object) -> Json:
    return {"type": f"{kind}_tool_result_error", "error_code": "unavailable", **fields}


def change(kind: str, **tool: object) -> Json:
    return {"type": kind, "tool": tool}


WEB_PAGE = {"type": "web_search_result", "title": "Tides", "url": "https://sea.example", "encrypted_content": "RU5D"}
FETCHED = {"type": "web_fetch_result", "url": "https://sea.example/a", "content": DOCUMENT}
EDITOR = "text_editor_code_execution"
TABS = [{"tab_id": "t1", "title": "Harbour", "url": "https://sea.example/h", "active": True}]
DOWNLOAD = {"download_id": "d1", "url": "https://sea.example/chart.pdf"}
MCP_TOOL = {"name": "dive", "description": "Dives down", "input_schema": {"type": "object"}}

READ_IN_USER_TURN: list[tuple[Json, tuple[str, ...]]] = [
    (TEXT, ("Hello there.",)),
    (DOCUMENT, ("Blue is a colour.", "Colours", "For painters")),
    (document({"type": "content", "content": [TEXT]}), ("Hello there.",)),
    (document_block(pdf_with_text("Blue and red")), ("Blue and red",)),
    (
        {"type": "search_result", "title": "Tides", "source": "https://sea.example", "content": [TEXT]},
        ("Tides", "https://sea.example", "Hello there."),
    ),
]
READ_IN_RESULT: list[tuple[Json, tuple[str, ...]]] = [
    *READ_IN_USER_TURN,
    (REFERENCE, (PAINT,)),
    (
        {
            "type": "browser_state",
            "tabs": TABS,
            "state_changes": [
                {"type": "tab_opened", "tab_id": "t1"},
                {"type": "download_started", **DOWNLOAD},
                {"type": "download_completed", **DOWNLOAD, "path": "/tmp/chart.pdf", "size_bytes": 4711},  # noqa: S108
                {"type": "download_failed", **DOWNLOAD, "error": "no space"},
            ],
        },
        ("Harbour", "https://sea.example/h", "tab_opened", "chart.pdf", "4711", "no space"),
    ),
]
READ_IN_ASSISTANT_TURN: list[tuple[Json, tuple[str, ...]]] = [
    (TEXT, ("Hello there.",)),
    ({"type": "thinking", "thinking": "They greet me.", "signature": "s"}, ("They greet me.",)),
    ({"type": "redacted_thinking", "data": "RU5D"}, ("thinking that is encrypted",)),
    ({"type": "tool_use", "id": "toolu_1", "name": "find", "input": {"what": "boats"}}, ("find", '{"what": "boats"}')),
    (
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "tides"}},
        ("web_search", '{"query": "tides"}'),
    ),
    (
        {"type": "mcp_tool_use", "id": "srvtoolu_1", "name": "dive", "server_name": "sea", "input": {"metres": 9}},
        ("sea_dive", '{"metres": 9}'),
    ),
    (result("web_search", [WEB_PAGE]), ("Tides", "https://sea.example", "encrypted, and not readable")),
    (result("web_search", error("web_search")), ("unavailable",)),
    (result("web_fetch", FETCHED), ("https://sea.example/a", "Blue is a colour.", "Colours")),
    (result("web_fetch", error("web_fetch")), ("unavailable",)),
    (
        result("code_execution", output("code_execution_result", stdout="42 boats")),
        ("42 boats", "a warning", "<return_code>3</return_code>"),
    ),
    (
        result(
            "code_execution",
            output(
                "encrypted_code_execution_result",
                encrypted_stdout="RU5D",
                content=[{"type": "code_execution_output", "file_id": "file_9"}],
            ),
        ),
        ("encrypted, and not readable", "a warning", "3", "file_9"),
    ),
    (result("code_execution", error("code_execution")), ("unavailable",)),
    (
        result(
            "bash_code_execution",
            output(
                "bash_code_execution_result",
                stdout="42 boats",
                content=[{"type": "bash_code_execution_output", "file_id": "file_9"}],
            ),
        ),
        ("42 boats", "a warning", "<return_code>3</return_code>", "file_9"),
    ),
    (result("bash_code_execution", error("bash_code_execution")), ("unavailable",)),
    (
        result(EDITOR, {"type": f"{EDITOR}_view_result", "content": "line one", "file_type": "text", "start_line": 7}),
        ("line one", "<start_line>7</start_line>"),
    ),
    (result(EDITOR, {"type": f"{EDITOR}_create_result", "is_file_update": False}), ("is_file_update", "false")),
    (
        result(EDITOR, {"type": f"{EDITOR}_str_replace_result", "lines": ["- old", "", "+ new"], "old_start": 5}),
        ("- old\n\n+ new", "<old_start>5</old_start>"),
    ),
    (result(EDITOR, error(EDITOR, error_message="no such file")), ("unavailable", "no such file")),
    (
        result("tool_search", {"type": "tool_search_tool_search_result", "tool_references": [REFERENCE]}),
        (PAINT,),
    ),
    (result("tool_search", error("tool_search", error_message="no match")), ("unavailable", "no match")),
    (result("advisor", {"type": "advisor_result", "text": "Wait for the tide."}), ("Wait for the tide.",)),
    (
        result("advisor", {"type": "advisor_redacted_result", "encrypted_content": "RU5D"}),
        ("encrypted, and not readable",),
    ),
    (result("advisor", error("advisor")), ("unavailable",)),
    (result("mcp", "Nine metres deep."), ("Nine metres deep.",)),
    (result("mcp", [TEXT], is_error=True), ("Hello there.",)),
    (
        {"type": "mcp_tool_listing", "mcp_server_name": "sea", "tools": [MCP_TOOL]},
        ("sea", "dive", "Dives down"),
    ),
    ({"type": "compaction", "content": "We spoke of boats."}, ("We spoke of boats.",)),
]
READ_IN_SYSTEM_MESSAGE: list[tuple[Json, tuple[str, ...]]] = [
    (TEXT, ("Hello there.",)),
    (change("tool_addition", type="tool_reference", name="paint"), (PAINT,)),
    (change("tool_addition", type="tool_definition", definition=TOOL | {"name": "draw"}), ("draw", PAINT)),
    (change("tool_removal", type="tool_reference", name="paint"), ("no longer available: paint",)),
]
REFUSED_IN_NEWEST_TURN: list[tuple[Json, str, tuple[str, ...]]] = [
    (PNG, "Could not process image: messages.0.content.0: ", ("an image, which",)),
    (
        {"type": "image", "source": {"type": "url", "url": "https://sea.example/a.png"}},
        "Could not process image: messages.0.content.0: ",
        ("an image, which",),
    ),
    (
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        "Could not process image: messages.0.content.0: ",
        ("an image, which",),
    ),
    (
        document({"type": "content", "content": [TEXT, PNG]}),
        "Could not process image: messages.0.content.0.source.content.1: ",
        ("Hello there.", "an image, which"),
    ),
    (
        document({"type": "url", "url": "https://sea.example/a.pdf"}),
        "Could not process PDF: messages.0.content.0.source: ",
        ("the document https://sea.example/a.pdf, which",),
    ),
    (
        document({"type": "file", "file_id": "file_1"}),
        "Could not process PDF: messages.0.content.0.source: ",
        ("the document file_1, which",),
    ),
    (
        {"type": "container_upload", "file_id": "file_1"},
        "Could not process file: messages.0.content.0: ",
        ("the file file_1 in a container, which",),
    ),
]
REFUSED_EVERYWHERE: list[tuple[Json, str]] = [
    (change("tool_addition", type="mcp_toolset_reference", server_name="sea"), "messages.1.content.0.tool: "),
    (change("tool_removal", type="mcp_tool_reference", server_name="sea", name="dive"), "messages.1.content.0.tool: "),
]
NOT_PART_OF_A_PROMPT: list[Json] = [
    {"type": "fallback", "from": {"model": "a"}, "to": {"model": "b"}},  # the SDK's BetaFallbackBlockParam
]

EXAMPLES = [
    *(block for block, _ in READ_IN_USER_TURN + READ_IN_RESULT + READ_IN_ASSISTANT_TURN + READ_IN_SYSTEM_MESSAGE),
    *(block for block, _, _ in REFUSED_IN_NEWEST_TURN),
    *(block for block, _ in REFUSED_EVERYWHERE),
    *NOT_PART_OF_A_PROMPT,
    client_result(),
]
