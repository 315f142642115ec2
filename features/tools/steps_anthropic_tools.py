"""Steps about tools that Anthropic defines, by type: those that clients run, and those that servers run."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pytest_bdd import given, parsers, then, when

from features.harness.scene.scene import Json, Scene
from features.harness.scene.toolbox import expect_valid
from features.harness.wire.anthropic_sdk import official_sdk
from features.harness.wire.expectations import expect_equal, expect_that
from features.harness.wire.refusals import error_in, expect_named
from features.harness.wire.replies import HttpReply, blocks_of, prompt_tokens

_PATH = {"path": {"type": "string"}}
_LINES = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}
_VIEW = {**_PATH, "view_range": _LINES}
_CREATE = {**_PATH, "file_text": {"type": "string"}}
_REPLACE = {**_PATH, "old_str": {"type": "string"}, "new_str": {"type": "string"}}
_INSERT = {**_PATH, "insert_line": {"type": "integer"}, "insert_text": {"type": "string"}}
_RENAME = {"old_path": {"type": "string"}, "new_path": {"type": "string"}}
_MEMORY: Mapping[str, Json] = {
    "view": _VIEW,
    "create": _CREATE,
    "str_replace": _REPLACE,
    "insert": _INSERT,
    "delete": _PATH,
    "rename": _RENAME,
}
_INPUTS: Mapping[str, list[Json]] = {
    "bash_20250124": [{"command": {"type": "string"}}, {"restart": {"const": True}}],
    "memory_20250818": [{"command": {"const": command}, **fields} for command, fields in _MEMORY.items()],
}
"""The properties of each form of input that the documentation defines."""


@given(parsers.re(r"it (?P<also>also )?offers (?P<literal>\{.*\})"))
def it_offers_a_tool_by_type(scene: Scene, also: str | None, literal: str) -> None:
    scene.body["tools"] = [*(scene.body["tools"] if also else []), json.loads(literal)]


@given(parsers.re(r"another request that (also )?offers (?P<literal>\{.*\})"))
def another_request_that_offers(scene: Scene, literal: str) -> None:
    scene.other_body = copy.deepcopy(scene.body)
    scene.other_body.setdefault("tools", []).append(json.loads(literal))


@when(parsers.parse('the SDK\'s memory tool is given "{text}"'))
def the_memory_tool_is_given(scene: Scene, text: str) -> None:
    from anthropic.tools.memory import BetaLocalFilesystemMemoryTool  # noqa: PLC0415 - an extra, and slow to import

    with tempfile.TemporaryDirectory() as folder, official_sdk(scene.client.target) as sdk:
        runner = sdk.beta.messages.tool_runner(
            model=scene.client.model,
            max_tokens=80,
            messages=[{"role": "user", "content": text}],
            tools=[BetaLocalFilesystemMemoryTool(folder)],
        )
        scene.sdk_message = runner.until_done()
        files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
        scene.sdk_result = {f"/{path.relative_to(folder)}": path.read_text(encoding="utf-8") for path in files}


@then(parsers.parse('its file "{path}" has the text "{text}"'))
def its_file_has_the_text(scene: Scene, path: str, text: str) -> None:
    expect_equal(scene.sdk_result, {path: text}, "the files that the tool wrote")


@then(parsers.parse('the reply calls "{name}" with input for the type "{kind}"'))
def the_reply_calls_with_input_for(scene: Scene, name: str, kind: str) -> None:
    message = scene.reply.message()
    calls = blocks_of(message, "tool_use")
    expect_equal({call["name"] for call in calls}, {name}, "the tools that are called")
    forms = [
        {"properties": fields, "required": [field for field in fields if field != "view_range"]}
        for fields in _INPUTS[kind]
    ]
    fields = {field for form in _INPUTS[kind] for field in form}
    for call in calls:
        expect_that(set(call["input"]) <= fields, f"only the fields {sorted(fields)}", call["input"])
        if message["stop_reason"] != "max_tokens":
            expect_equal(message["stop_reason"], "tool_use", "stop_reason")
            expect_valid(call["input"], {"anyOf": forms}, f"the input of {name}")


@then(parsers.parse('the other request\'s count is larger, or it is refused naming "{word}"'))
def the_other_count_is_larger_or_refused(scene: Scene, word: str) -> None:
    if scene.other_count.status == 200:
        one, other = (count.message()["input_tokens"] for count in (scene.count, scene.other_count))
        expect_that(other > one, f"the other request's count to be over {one}", other)
    else:
        _expect_refused(scene.other_count, word)


@then(parsers.parse('the other reply\'s prompt is longer, or it is refused naming "{word}"'))
def the_other_prompt_is_longer_or_refused(scene: Scene, word: str) -> None:
    if scene.other_reply.status == 200:
        one, other = (prompt_tokens(reply.message()["usage"]) for reply in (scene.reply, scene.other_reply))
        expect_that(other > one, f"the other prompt to have more than {one} tokens", other)
    else:
        _expect_refused(scene.other_reply, word)


@then(parsers.parse('the reply uses the server tool "{name}", or it is refused naming "{word}"'))
def the_reply_uses_the_server_tool(scene: Scene, name: str, word: str) -> None:
    if scene.reply.status == 200:
        content = scene.reply.message()["content"]
        expect_that(name in [block.get("name") for block in content], f"a call of {name}", content)
    else:
        _expect_refused(scene.reply, word)


@then(
    parsers.re(r'each server call of the (?P<what>reply|stream) has its result, or .* refused naming "(?P<word>\w+)"')
)
def each_server_call_has_its_result(scene: Scene, what: str, word: str) -> None:
    if scene.last.status != 200:
        _expect_refused(scene.last, word)
        return
    content = (scene.reply if what == "reply" else scene.stream).message()["content"]
    calls = [block["id"] for block in content if block["type"] == "server_tool_use"]
    results = [block["tool_use_id"] for block in content if block["type"] == f"{word}_tool_result"]
    expect_that(calls, "a server_tool_use block", content)
    expect_equal(results, calls, "the calls that the results belong to")
    expect_equal(content[-1]["type"], "text", "the last block, which the model writes once it has the result")


def _expect_refused(reply: HttpReply, word: str) -> None:
    expect_equal((reply.status, error_in(reply)["type"]), (400, "invalid_request_error"), "the status and error.type")
    expect_named(reply, word)
