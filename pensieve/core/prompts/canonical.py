"""What is made the same in a prompt before it is rendered, and why (C1).

The KV cache of a prompt is of use only to a prompt that begins with the same tokens. Clients change small things from
turn to turn that mean nothing; each is listed in NORMALISATIONS, with a pair of requests that are one prompt here.
`docs/canonical-prompts.md` is `canonical_prompts_document()`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

FIVE_MINUTES_SECONDS: Final = 300
ONE_HOUR_SECONDS: Final = 3600

_BILLING_LINE: Final = re.compile(r"^x-anthropic-billing-header[^\n]*(?:\n|\Z)", re.MULTILINE)
_TOTAL_TOKENS: Final = re.compile(r"^<total_tokens>[^<\n]*left</total_tokens>[ \t]*(?:\n|\Z)", re.MULTILINE)
_TOTAL_TOKENS_IN_LINE: Final = re.compile(r"<total_tokens>[^<\n]*left</total_tokens>")


def canonical_system_text(text: str) -> str:
    """A block of system text without what changes by itself: the billing line, and the count of tokens that are left.

    What stands alone on its line goes with the line.
    """
    for changing in (_BILLING_LINE, _TOTAL_TOKENS, _TOTAL_TOKENS_IN_LINE):
        text, found = changing.subn("", text)
        if found and not text.strip():
            return ""
    return text


def cache_ttl_seconds(cache_control: object) -> int | None:
    """How long the client wants the prompt kept up to a `cache_control`; None where it wants nothing.

    Never an error: what is not understood is the shortest wish, since a prompt is the same with and without it.
    """
    if not isinstance(cache_control, dict):
        return None
    return ONE_HOUR_SECONDS if cache_control.get("ttl") == "1h" else FIVE_MINUTES_SECONDS


def longest_ttl(*ttls_seconds: int | None) -> int | None:
    """The longest of several wishes."""
    return max((ttl for ttl in ttls_seconds if ttl is not None), default=None)


@dataclass(frozen=True, slots=True)
class Normalisation:
    """One thing that is made the same. `one` and `other` are JSON: fields of two requests that are one prompt here."""

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
        "A line of system text that starts with `x-anthropic-billing-header` is dropped; a block of nothing else goes.",
        "It holds a hash of the session's first prompt, and in older clients one of every request.",
        '{"system": [{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.328.abc;"}, '
        '{"type": "text", "text": "Be brief."}], ' + _ASK + "}",
        '{"system": [{"type": "text", "text": "Be brief."}], ' + _ASK + "}",
    ),
    Normalisation(
        "tokens left",
        "`<total_tokens>… left</total_tokens>` is dropped from system text, and its line if nothing else is on it.",
        "It counts down from request to request.",
        '{"system": "Be brief.\\n<total_tokens>1000 left</total_tokens>", ' + _ASK + "}",
        '{"system": "Be brief.\\n<total_tokens>987 left</total_tokens>", ' + _ASK + "}",
    ),
    Normalisation(
        "string or block",
        "A string and a list of one text block are the same, in messages, in results and in the system text.",
        "The client writes a list only while the message carries its marker, and a string from the next request on.",
        '{"messages": [{"role": "user", "content": "Hi"}]}',
        '{"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}',
    ),
    Normalisation(
        "cache_control",
        "It says where the prompt is worth keeping, and is no part of the text. A wrong one is never refused.",
        "The marker wanders: it stands on the last message of each request.",
        '{"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", '
        '"cache_control": {"type": "ephemeral", "ttl": "1h"}}]}]}',
        '{"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}',
    ),
    Normalisation(
        "system messages",
        "A message of the role system stays where it stands. A template that refuses it there is given it as a marked "
        "part of the user's turn. One that holds nothing but what is dropped is left out.",
        "Moved to the head, a note in mid-conversation would change everything behind the head.",
        '{"messages": [{"role": "user", "content": "Hi"}, {"role": "system", "content": "It is late.\\n'
        '<total_tokens>5 left</total_tokens>"}]}',
        '{"messages": [{"role": "user", "content": "Hi"}, {"role": "system", "content": [{"type": "text", '
        '"text": "It is late.\\n"}]}]}',
    ),
    Normalisation(
        "tools first",
        "Tools are told in the order given and before the system text, where the template has no place of its own for "
        "them. A template that has keeps its own order. A deferred tool is left out there, and told where a "
        "tool_reference names it.",
        "Tools are the same in another folder and the system text is not; a deferred tool would change the head of "
        "the prompt when it comes.",
        '{"tools": [' + _TOOL + ", " + _HIDDEN + '], "system": "Be brief.", ' + _ASK + "}",
        '{"tools": [' + _TOOL + '], "system": "Be brief.", ' + _ASK + "}",
    ),
    Normalisation(
        "the model's own words",
        "An assistant's turn that was generated here is replaced by the tokens that were generated. It is found by the "
        "id of its first call, else by its thinking and text and what they answer; calls must have the same names and "
        "ids, and the arguments that were generated, by value. Whatever else it is, it is rendered anew.",
        "It comes back parsed and written again: keys move and defaults are added, trailing spaces go, numbers and "
        "escapes change, text of white space goes, text after a call moves before it.",
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


def canonical_prompts_document() -> str:
    """The text of docs/canonical-prompts.md."""
    sections = [
        f"## {number}. {row.name[0].upper()}{row.name[1:]}\n\n{row.rule}\n\n*Why:* {row.reason}\n\n"
        f"One prompt:\n\n```json\n{row.one}\n{row.other}\n```"
        for number, row in enumerate(NORMALISATIONS, 1)
    ]
    return "\n\n".join([_HEAD, *sections]) + "\n"


_HEAD: Final = """# Canonical prompts

What Pensieve makes the same in a prompt before the model reads it, so that each turn of a session begins with the
tokens of the turn before, and only what is new is computed. This page is made from the table in
`core/prompts/canonical.py`; a test holds that the two agree, and that the requests of each pair become the same
tokens (those of the last, where the first one's answer was generated here)."""
