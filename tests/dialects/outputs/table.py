"""The exact text that models of each family write, from outputs.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from tests.dialects.outputs.writers import Arguments, Call, written

_DATA: Final = Path(__file__).parent / "outputs.toml"

THOUGHT: Final = "Let me see."
ONE_CALL: Final = (Call("get_weather", {"city": "Paris", "days": 3}),)
TWO_CALLS: Final = (*ONE_CALL, Call("get_time", {"zone": "Europe/Paris"}))


@dataclass(frozen=True, slots=True)
class Output:
    """An entry of outputs.toml, whose head explains the fields."""

    name: str
    call: str
    one_call: str
    two_calls: str = ""
    opening: str = ""
    between: str = ""
    closing: str = ""
    parameter: str = ""
    thinking: str = ""
    opens_thinking: bool = False
    text: str = "{text}"
    text_then_call: str = "{text}\n"
    after_call: str = "\n"
    closing_mark: str = ""
    omitted: str = ""

    def calls(self, *calls: Call) -> str:
        each = [written(self.call, self.parameter, call, index) for index, call in enumerate(calls)]
        return f"{self.opening}{self.between.join(each)}{self.closing}"

    def a_call(self, name: str, **arguments: Any) -> str:
        return self.calls(Call(name, arguments))

    def says(self, text: str) -> str:
        return self.text.replace("{text}", text)

    def says_and_calls(self, text: str, calls: Sequence[Call]) -> str:
        return self.text_then_call.replace("{text}", text) + self.calls(*calls)

    def thinks(self, *, is_open: bool) -> str:
        """The thinking after a prompt that has opened it, or has not."""
        if is_open and not self.opens_thinking:
            return self.thinking[self.thinking.find(THOUGHT) :] if self.thinking else ""
        return "" if self.opens_thinking and not is_open else self.thinking

    @property
    def has_text_before_calls(self) -> bool:
        return self.text_then_call != "no"

    @property
    def has_text_after_calls(self) -> bool:
        return self.after_call != "no"

    @property
    def is_tagged(self) -> bool:
        """Whether each argument has tags of its own. Texts are unquoted there, so "null" is ambiguous."""
        return bool(self.parameter) or "{nested}" in self.call


@cache
def outputs() -> tuple[Output, ...]:
    entries: dict[str, Arguments] = tomllib.loads(_DATA.read_text(encoding="utf-8"))
    return tuple(Output(name=name, **_with_inherited(name, entries)) for name in entries)


def output(name: str) -> Output:
    return next(output for output in outputs() if output.name == name)


def _with_inherited(name: str, entries: dict[str, Arguments]) -> Arguments:
    """The entry over the one that it names under "as"."""
    entry = dict(entries[name])
    source = entry.pop("as", None)
    return entry if source is None else _with_inherited(source, entries) | entry
