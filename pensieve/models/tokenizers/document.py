"""The text of docs/dialects.md, made from the dialects' own files; a test holds the two together."""

from __future__ import annotations

from typing import Final

from contracts.values.vocabulary import ToolCall
from pensieve.core.dialects.dialect import DEFAULT_DIALECT, CallForm, Dialect
from pensieve.models.tokenizers.dialect_of import Family, known_families

_CALL: Final = ToolCall("a1b2c3d4e", "get_weather", '{"city": "Paris", "days": 3}')
_FORMS: Final = {
    CallForm.OBJECT: "a JSON object",
    CallForm.NAMED: "the name, then the arguments",
    CallForm.TAGGED: "each argument between tags",
}
_NOTATIONS: Final = {
    "json": "",
    "gemma": ", in Gemma's own notation",
    "python": ", as those of a call in Python",
    "nested_xml": ", as elements that nest",
}
_HEAD: Final = """# Dialects

How each family of models writes its calls of tools and its thinking. Pensieve finds the dialect by the model's chat
template, gives calls and results back to the model in the same form, reads its answers by it, and holds a call to the
tool's JSON schema in that very form while it is decoded: from its first mark on in `auto`, and from the start of the
answer with `tool_choice` any or tool. No model is asked for a form that it was not taught, but for those whose template
has no words for tools: these are shown, in the prompt, the form of Hermes and Qwen (`hermes` below).

What is held to the schema:

- Arguments in JSON: all that llguidance enforces, patterns and bounds included.
- Text between tags and in the notations of their own: types, enumerations, required and known properties, items and
  alternatives; not patterns, lengths or bounds.

A text keeps its white space, an indentation and a last line's end included. What is not a whole call of a tool that
there is, is text. A mark that is a token of the model is matched as that token: text that spells it stays text.

To add a family, add one file to `pensieve/core/dialects/families/`: the texts in its chat template that it is known by
(`detect`), and its calls as patterns (`pensieve/core/dialects/patterns.py`). Then run `tox -e dialects`, and
`python -m pensieve.models.tokenizers.document > docs/dialects.md`, which makes this page.
"""


_MOVED: Final = """## Prompts that move

From turn to turn a prompt begins with the one before it and the answer to that, so that only what is new is computed:
an answer stands in it as the very tokens that were generated, whatever the template would make of it. Exceptions:
"""


def dialects_document() -> str:
    families = known_families()
    rows = "\n".join(_row(family) for family in families)
    table = f"| dialect | models | one call is | several calls | thinking |\n|---|---|---|---|---|\n{rows}\n"
    moved = "\n".join(f"- `{family.dialect.name}`: {family.moves}." for family in families if family.moves)
    return "\n".join([_HEAD, _MOVED, f"{moved}\n", "## All of them\n", table, *map(_section, families)])


def _row(family: Family) -> str:
    dialect = family.dialect
    several = "yes" if dialect.calls.max_calls > 1 else "one in an answer"
    name = f"[{dialect.name}](#{dialect.name})"
    return f"| {name} | {family.families} | {_form(dialect)} | {several} | {_thinking(dialect)} |"


def _form(dialect: Dialect) -> str:
    return _FORMS[dialect.calls.form] + _NOTATIONS[dialect.calls.arguments]


def _thinking(dialect: Dialect) -> str:
    if dialect.think_start is None:
        return "`<think>` or `[THINK]` where the model has them"
    marks = f"`{dialect.think_start.strip()}` … `{(dialect.think_end or '').strip()}`"
    return marks.replace("|", "\\|")  # which would end the cell


def _section(family: Family) -> str:
    dialect = family.dialect
    note = " It is also the general form." if dialect.name == DEFAULT_DIALECT else ""
    call = dialect.call_text([_CALL])
    return f"## {dialect.name}\n\n{family.families}. Source: {family.source}.{note}\n\n```\n{call}\n```\n"


if __name__ == "__main__":
    print(dialects_document(), end="")  # noqa: T201 - the page
