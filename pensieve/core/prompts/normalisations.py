"""What is normalised in prompts, and why, each with a pair of requests that become the same prompt (C1).

`python -m pensieve.core.prompts.normalisations > docs/canonical-prompts.md` writes the page from this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Normalisation:
    """A difference that is removed. `one` and `other` are two requests, as JSON, that become the same prompt."""

    name: str
    rule: str
    reason: str
    one: str
    other: str


_TOOL: Final = '{"name": "Read", "input_schema": {"type": "object"}}'
_HIDDEN: Final = '{"name": "Zip", "input_schema": {"type": "object"}, "defer_loading": true}'
_ASK: Final = '"messages": [{"role": "user", "content": "Hi"}]'
_CALL: Final = '{"type": "tool_use", "id": "toolu_1", "name": "Edit", "input": '
_RESULT: Final = '{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}]}'

NORMALISATIONS: Final = (
    Normalisation(
        "billing line",
        "A line of system text that starts with `x-anthropic-billing-header` is removed, as is a block left empty.",
        "It contains a hash of the session's first prompt; in older clients, a hash of every request.",
        '{"system": [{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.328.abc;"}, '
        '{"type": "text", "text": "Be brief."}], ' + _ASK + "}",
        '{"system": [{"type": "text", "text": "Be brief."}], ' + _ASK + "}",
    ),
    Normalisation(
        "tokens left",
        "`<total_tokens>… left</total_tokens>` is removed from system text, with its line if nothing else is on it.",
        "The count falls with each request.",
        '{"system": "Be brief.\\n<total_tokens>1000 left</total_tokens>", ' + _ASK + "}",
        '{"system": "Be brief.\\n<total_tokens>987 left</total_tokens>", ' + _ASK + "}",
    ),
    Normalisation(
        "string or block",
        "A string is equivalent to a list of one text block, in messages, tool results and system text.",
        "The client sends a list while the message carries a cache marker, and a string in later requests.",
        '{"messages": [{"role": "user", "content": "Hi"}]}',
        '{"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}',
    ),
    Normalisation(
        "cache_control",
        "It marks where to cache the prompt and is not part of the text. An invalid one is not an error.",
        "The marker moves: it is on the last message of each request.",
        '{"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", '
        '"cache_control": {"type": "ephemeral", "ttl": "1h"}}]}]}',
        '{"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}',
    ),
    Normalisation(
        "system messages",
        "A message with the role system keeps its position. If the template refuses it there, it becomes a marked part "
        "of the user's turn. A message that is empty after the removals above is omitted.",
        "Moving a later note to the beginning would change every token after the beginning.",
        '{"messages": [{"role": "user", "content": "Hi"}, {"role": "system", "content": "It is late.\\n'
        '<total_tokens>5 left</total_tokens>"}]}',
        '{"messages": [{"role": "user", "content": "Hi"}, {"role": "system", "content": [{"type": "text", '
        '"text": "It is late.\\n"}]}]}',
    ),
    Normalisation(
        "tools first",
        "If the template has no place for tools, they are listed before the system text, in the order given. A "
        "deferred tool is omitted from the list and described where a tool_reference names it.",
        "Tools are the same in every folder, while the system text is not; a deferred tool would change the beginning "
        "of the prompt when it is first used.",
        '{"tools": [' + _TOOL + ", " + _HIDDEN + '], "system": "Be brief.", ' + _ASK + "}",
        '{"tools": [' + _TOOL + '], "system": "Be brief.", ' + _ASK + "}",
    ),
    Normalisation(
        "generated turns",
        "An assistant turn that was generated here is replaced by its generated tokens. It is found by the id of its "
        "first call, or by its thinking, its text and the question; its calls must have the same ids, names and "
        "argument values. Any other turn is rendered by the template.",
        "The client sends the turn parsed and rewritten: keys move, defaults are added, trailing spaces and blank text "
        "disappear, numbers and escapes change, and text after a call moves before it.",
        '{"messages": [{"role": "user", "content": "Go"}, {"role": "assistant", "content": ['
        + _CALL
        + '{"new": "b  ", "old": 1.0}}]}, '
        + _RESULT
        + "]}",
        '{"messages": [{"role": "user", "content": "Go"}, {"role": "assistant", "content": ['
        + _CALL
        + '{"old": 1, "new": "b", "replace_all": false}}]}, '
        + _RESULT
        + "]}",
    ),
)

_HEAD: Final = """# Canonical prompts

Clients change insignificant details of a prompt from turn to turn. Pensieve removes these differences before the model
reads the prompt, so that each turn of a session starts with the tokens of the turn before and only new tokens are
computed. A test checks that the two requests of each pair become the same tokens (for the last pair, if the first
request's answer was generated here).

`python -m pensieve.core.prompts.normalisations > docs/canonical-prompts.md` makes this page."""


def canonical_prompts_document() -> str:
    sections = [
        f"## {number}. {row.name[0].upper()}{row.name[1:]}\n\n{row.rule}\n\n*Why:* {row.reason}\n\n"
        f"The same prompt:\n\n```json\n{row.one}\n{row.other}\n```"
        for number, row in enumerate(NORMALISATIONS, 1)
    ]
    return "\n\n".join([_HEAD, *sections]) + "\n"


if __name__ == "__main__":
    print(canonical_prompts_document(), end="")  # noqa: T201 - the page
