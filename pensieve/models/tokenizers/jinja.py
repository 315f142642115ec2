"""The sandboxed Jinja environment of chat templates, with the functions and filters that Transformers provides.

It matches `render_jinja_template` in Transformers' `utils/chat_template_utils.py`, without its seconds of import;
tests/models/tokenizers/test_fast_tokenizer.py compares the two. One difference: a template may modify lists, as Kimi
K2's does. That is safe because a template's values do not outlive its rendering.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, NoReturn

import jinja2.ext
import jinja2.nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.meta import find_undeclared_variables
from jinja2.parser import Parser
from jinja2.sandbox import SandboxedEnvironment
from jinja2.utils import Namespace


class _GenerationTag(jinja2.ext.Extension):
    """`{% generation %}` marks the model's own text for training. Here its content is rendered like any other text."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

    def parse(self, parser: Parser) -> jinja2.nodes.Node:
        number = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_content"), [], [], body).set_lineno(number)

    def _content(self, caller: Callable[[], str]) -> str:
        return caller()


class _Dict:
    """`dict(...)` and `dict.fromkeys(...)`, without access to the class and through it to all others."""

    def __call__(self, *arguments: Any, **values: Any) -> dict[Any, Any]:
        return dict(*arguments, **values)

    def fromkeys(self, *arguments: Any) -> dict[Any, Any]:
        return dict.fromkeys(*arguments)


class _Namespace(Namespace):
    """`namespace(...)`, which rejects names that begin with an underscore."""

    def __init__(*arguments: Any, **values: Any) -> None:  # a template may name a value `self`
        self, *rest = arguments
        named = dict(*rest, **values)
        for name in named:
            _reject_private(name)
        Namespace.__init__(self, named)

    def __setitem__(self, name: str, value: Any) -> None:
        _reject_private(name)
        super().__setitem__(name, value)


def _reject_private(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a chat template uses {name!r} in a namespace; names must not begin with an underscore")


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002 - templates may pass it by position
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002
) -> str:
    """Unlike Jinja's own filter, it does not escape HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)


def compile_template(template: str) -> jinja2.Template:
    """Compile a template for `render`.

    Raises:
        jinja2.TemplateError: the syntax is invalid.
    """
    return _environment().from_string(template)


def parse_template(template: str) -> jinja2.nodes.Template:
    """Parse a template into Jinja's syntax tree.

    Raises:
        jinja2.TemplateError: the syntax is invalid.
    """
    return _environment().parse(template)


def undeclared_variables(template: str) -> frozenset[str]:
    """The names, including functions, that a template reads without always setting them first.

    Raises:
        jinja2.TemplateError: the syntax is invalid.
    """
    environment = _environment()
    environment.globals.clear()  # a caller may pass these functions too
    return frozenset(find_undeclared_variables(environment.parse(template)))


def _environment() -> SandboxedEnvironment:
    environment = SandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals.update(
        raise_exception=_raise_exception, strftime_now=_strftime_now, dict=_Dict(), namespace=_Namespace
    )
    return environment
