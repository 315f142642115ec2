"""Generates docs/dialects.md from the dialects' files. A test fails if the page is out of date."""

from __future__ import annotations

from typing import Final

from contracts.values.vocabulary import ToolCall
from pensieve.core.dialects.dialect import DEFAULT_DIALECT, CallForm, Dialect
from pensieve.models.tokenizers.dialect_of import Family, known_families

_CALL: Final = ToolCall("a1b2c3d4e", "get_weather", '{"city": "Paris", "days": 3}')
_FORMS: Final = {
    CallForm.OBJECT: "a JSON object",
    CallForm.NAMED: "the name, then the arguments",
    CallForm.TAGGED: "each argument in tags",
}
_NOTATIONS: Final = {
    "json": "",
    "gemma": ", in Gemma's own notation",
    "python": ", as in a Python call",
    "nested_xml": ", as nested XML elements",
}
_HEAD: Final = """# Dialects

A dialect is the syntax in which a family of models writes tool calls and thinking. Pensieve detects it from the model's
chat template and uses it to show earlier calls and results to the model, to parse answers, and to constrain calls to
the tool's JSON schema while they are decoded. With `tool_choice` auto, the constraint applies from the first mark of a
call; with any or tool, from the start of the answer. Each model uses the syntax that it was trained on. For models
whose template does not support tools, the prompt describes the default dialect, `hermes`.

How much of a schema is enforced:

- JSON arguments: everything that llguidance supports, including patterns and bounds.
- Arguments in tags or in a family's own notation: types, enumerations, required and declared properties, items and
  alternatives, but no patterns, lengths or bounds.

String arguments keep their white space, including indentation and a final line break. Anything but a complete call of a
declared tool is text. If a mark is a token of the model, only that token matches it; text that spells the mark stays
text.

To add a family, add a file to `pensieve/core/dialects/families/` with the texts in its chat template that identify it
(`detect`) and the patterns of its calls (`pensieve/core/dialects/patterns.py`). Then run `tox -e dialects`, and
generate this page with `python -m pensieve.models.tokenizers.document > docs/dialects.md`.
"""


_MOVED: Final = """## Templates that move parts of the prompt

Each prompt normally begins with the previous prompt and its answer, so that only the new turns are prefilled: an answer
keeps the tokens that were generated, however the template would render it. Exceptions:
"""


def dialects_document() -> str:
    families = known_families()
    rows = "\n".join(_row(family) for family in families)
    table = f"| dialect | models | form of a call | several calls | thinking |\n|---|---|---|---|---|\n{rows}\n"
    moved = "\n".join(f"- `{family.dialect.name}`: {family.moves}." for family in families if family.moves)
    return "\n".join([_HEAD, _MOVED, f"{moved}\n", "## All dialects\n", table, *map(_section, families)])


def _row(family: Family) -> str:
    dialect = family.dialect
    several = "yes" if dialect.calls.max_calls > 1 else "one per answer"
    name = f"[{dialect.name}](#{dialect.name})"
    return f"| {name} | {family.families} | {_form(dialect)} | {several} | {_thinking(dialect)} |"


def _form(dialect: Dialect) -> str:
    return _FORMS[dialect.calls.form] + _NOTATIONS[dialect.calls.arguments]


def _thinking(dialect: Dialect) -> str:
    if dialect.think_start is None:
        return "`<think>` or `[THINK]`, if the model has them"
    marks = f"`{dialect.think_start.strip()}` … `{(dialect.think_end or '').strip()}`"
    return marks.replace("|", "\\|")  # a bare | would end the table cell


def _section(family: Family) -> str:
    dialect = family.dialect
    note = " It is also the default dialect." if dialect.name == DEFAULT_DIALECT else ""
    call = dialect.call_text([_CALL])
    return f"## {dialect.name}\n\n{family.families}. Source: {family.source}.{note}\n\n```\n{call}\n```\n"


if __name__ == "__main__":
    print(dialects_document(), end="")  # noqa: T201 - the page
