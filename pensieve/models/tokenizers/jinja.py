"""What a chat template may use, as Transformers offers it, whose templates these are (`render_jinja_template` in its
`utils/chat_template_utils.py`): Jinja in a sandbox, without Transformers' seconds of import. Unlike there, a template
may change its own lists: those of Kimi K2 do, and nothing that a template is given outlives its rendering.

tests/models/tokenizers/test_fast_tokenizer.py holds the two together.
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
    """`{% generation %}` marks what is the model's own, for training. Here its content is text as any other."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own form

    def parse(self, parser: Parser) -> jinja2.nodes.Node:
        number = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_said"), [], [], body).set_lineno(number)

    def _said(self, caller: Callable[[], str]) -> str:
        return caller()


class _Dict:
    """`dict(...)` and `dict.fromkeys(...)`, without the way from a class to all the others."""

    def __call__(self, *arguments: Any, **values: Any) -> dict[Any, Any]:
        return dict(*arguments, **values)

    def fromkeys(self, *arguments: Any) -> dict[Any, Any]:
        return dict.fromkeys(*arguments)


class _Namespace(Namespace):
    """`namespace(...)` that takes no name beginning with an underscore."""

    def __init__(*arguments: Any, **values: Any) -> None:  # a template may call a value `self`
        self, *rest = arguments
        named = dict(*rest, **values)
        for name in named:
            _require_open(name)
        Namespace.__init__(self, named)

    def __setitem__(self, name: str, value: Any) -> None:
        _require_open(name)
        super().__setitem__(name, value)


def _require_open(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a chat template may not give a namespace a name that begins with _: {name!r}")


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002 - a template may give it by its place
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002
) -> str:
    """Without HTML in mind, unlike Jinja's own filter."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)


def compiled(template: str) -> jinja2.Template:
    """The template, ready to `render`.

    Raises:
        jinja2.TemplateError: it is no template.
    """
    return _environment().from_string(template)


def parsed(template: str) -> jinja2.nodes.Template:
    """
    Raises:
        jinja2.TemplateError: it is no template.
    """
    return _environment().parse(template)


def variables_of(template: str) -> frozenset[str]:
    """The names that a template reads without having set them in every case, functions among them.

    Raises:
        jinja2.TemplateError: it is no template.
    """
    environment = _environment()
    environment.globals.clear()  # what a template is offered may be given to it as well
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
