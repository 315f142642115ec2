"""The sandboxed Jinja environment of chat templates, with the functions and filters that Transformers provides.

It matches `render_jinja_template` in Transformers' `utils/chat_template_utils.py`, without its seconds of import;
tests/models/tokenizers/test_fast_tokenizer.py compares the two. One difference: a template may modify lists, as Kimi
K2's does. That is safe because a template's values do not outlive its rendering. Another: everything that a template
does costs part of a budget.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from types import BuiltinMethodType
from typing import Any, Final, NoReturn

import jinja2.ext
import jinja2.nodes
from jinja2 import pass_context
from jinja2.exceptions import SecurityError, TemplateError, TemplateSyntaxError
from jinja2.meta import TrackingCodeGenerator
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment, SandboxedFormatter
from jinja2.utils import Namespace
from markupsafe import Markup

from pensieve.models.templates.budget import FREE_CHARACTERS, TemplateLimitError, budget, render_budget
from pensieve.models.templates.filters import metered_filter, metered_filters, metered_tests
from pensieve.models.templates.metering import metered
from pensieve.models.templates.methods import arguments_of, paid, require_callable, require_date_format
from pensieve.models.templates.operations import OPERATIONS, require_width, written
from pensieve.models.templates.weight import weigh

_MAX_TEMPLATE_CHARACTERS: Final = 200_000
_MAX_TEMPLATE_NODES: Final = 10_000
"""Those that we know have at most 17,000 characters and 1,300 nodes. Compiling takes quadratic time."""
_MAX_WIDTH_DIGITS: Final = 9
_REPR_CHARACTERS: Final = 10


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
        weigh(list(arguments))
        return dict(*arguments, **values)

    def fromkeys(self, *arguments: Any) -> dict[Any, Any]:
        weigh(list(arguments))
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
    require_date_format(form)
    return datetime.now().strftime(form)


class _Formatter(SandboxedFormatter):
    """`str.format` within the budget."""

    def format_field(self, value: Any, format_spec: str) -> Any:
        for width in re.findall(r"\d+", format_spec):
            require_width(int(width[:_MAX_WIDTH_DIGITS]))
        if not isinstance(value, (str, int, float)):
            written(value)
        text = super().format_field(value, format_spec)
        budget().make(len(text))
        return text

    def convert_field(self, value: Any, conversion: Any) -> Any:
        if conversion is not None:
            budget().make(_REPR_CHARACTERS * weigh(value).characters)
        return super().convert_field(value, conversion)


class _Environment(SandboxedEnvironment):
    intercepted_binops = frozenset(SandboxedEnvironment.default_binop_table)
    """So that no operator is evaluated when a template is compiled."""

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - as Jinja has it
        if isinstance(__obj, BuiltinMethodType):
            return paid(__context.call(__obj, *arguments_of(__obj, args), **kwargs))
        require_callable(__obj, args)
        return super().call(__context, __obj, *args, **kwargs)

    def concat(self, parts: Iterable[str]) -> str:
        """The text of a template, a macro or a block from its parts."""
        spent, texts = budget(), []
        for text in parts:
            if len(text) > FREE_CHARACTERS:
                spent.make(len(text))
            texts.append(text)
        return "".join(texts)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        if super().wrap_str_format(value) is None:
            return None
        if value.__name__ == "format_map" or isinstance(value.__self__, Markup):
            raise SecurityError(f"str.{value.__name__} is not for chat templates")
        return lambda *args, **kwargs: _Formatter(self).vformat(value.__self__, args, kwargs)


@pass_context
def _finalize(_: Context, value: Any) -> Any:
    """What `{{ value }}` writes. With the context as a parameter, Jinja calls it only when a template is rendered."""
    return written(value)


class _Template(jinja2.Template):
    def render(self, *args: Any, **kwargs: Any) -> str:
        """
        Raises:
            TemplateLimitError: the template exceeds a limit.
            jinja2.TemplateError: the template refuses the conversation. It may raise other errors as well.
        """
        messages = kwargs.get("messages", ())
        with render_budget(len(messages)) as spent:
            spent.begin(messages)
            try:
                return super().render(*args, **kwargs)
            except (RecursionError, MemoryError) as error:
                raise TemplateLimitError("calls itself too deeply, or takes too much memory") from error
            except (ArithmeticError, RuntimeError) as error:
                raise jinja2.TemplateRuntimeError(str(error)) from error


def compile_template(template: str) -> jinja2.Template:
    """Compile a template for `render`.

    Raises:
        jinja2.TemplateSyntaxError: the syntax is invalid, or the template is too long or too deeply nested.
    """
    environment = _environment()
    with _syntax_errors():
        code = environment.compile(metered(_parsed(environment, template)))
        return _Template.from_code(environment, code, environment.make_globals(None))


def parse_template(template: str) -> jinja2.nodes.Template:
    """Parse a template into Jinja's syntax tree.

    Raises:
        jinja2.TemplateSyntaxError: as `compile_template`.
    """
    with _syntax_errors():
        return _parsed(_environment(), template)


def undeclared_variables(template: str) -> frozenset[str]:
    """The names, including functions, that a template reads without always setting them first.

    Raises:
        jinja2.TemplateSyntaxError: as `compile_template`.
    """
    environment = _environment()
    environment.globals.clear()  # a caller may pass these functions too
    with _syntax_errors():
        names = TrackingCodeGenerator(environment)
        names.optimizer = None  # it evaluates each part of an expression again for all that it is in
        names.visit(_parsed(environment, template))
    return frozenset(names.undeclared_identifiers)


def _parsed(environment: SandboxedEnvironment, template: str) -> jinja2.nodes.Template:
    if len(template) > _MAX_TEMPLATE_CHARACTERS:
        raise TemplateSyntaxError(f"it has more than {_MAX_TEMPLATE_CHARACTERS:,} characters", 1)
    tree = environment.parse(template)
    if sum(1 for _ in tree.find_all(jinja2.nodes.Node)) > _MAX_TEMPLATE_NODES:
        raise TemplateSyntaxError(f"it has more than {_MAX_TEMPLATE_NODES:,} statements and expressions", 1)
    return tree


@contextmanager
def _syntax_errors() -> Iterator[None]:
    """Of Python's compiler, which compiles what Jinja makes of a template."""
    try:
        yield
    except (RecursionError, MemoryError) as error:
        raise TemplateSyntaxError("it is nested too deeply", 1) from error
    except (SyntaxError, ValueError, ArithmeticError) as error:
        raise TemplateSyntaxError(str(error), 1) from error


def _environment() -> SandboxedEnvironment:
    environment = _Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_GenerationTag, jinja2.ext.loopcontrols],
        finalize=_finalize,
        optimized=False,
    )
    environment.filters.clear()
    environment.filters.update({**metered_filters(), **OPERATIONS})
    environment.filters["tojson"] = metered_filter("tojson", _to_json)
    environment.tests.update(metered_tests())
    environment.globals.update(
        raise_exception=_raise_exception, strftime_now=_strftime_now, dict=_Dict(), namespace=_Namespace
    )
    environment.globals.pop("lipsum")
    return environment
