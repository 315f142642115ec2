"""Chat templates: their size, and templates that do more for each message than to write it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import jinja2

from pensieve.models.templates.budget import TemplateLimitError, render_budget
from pensieve.models.templates.environment import compile_template, undeclared_variables
from tests.fuzz.growth.search import MAX_BYTES, OK, REFUSED, Cost, Measure, isolated

_LOOP: Final = "{% for m in messages %}BODY{% endfor %}"
_NAMED: Final = "{% set ns = namespace(x=START) %}{% for m in messages %}{% set ns.x = NEXT %}{% endfor %}{{ ns.x }}"


def _nested(begin: str, end: str) -> Callable[[int], str]:
    return lambda n: begin * n + "a" + end * n


def _named(start: str, following: str) -> str:
    return _NAMED.replace("START", start).replace("NEXT", following)


TEMPLATES: Final[Mapping[str, Callable[[int], str]]] = {
    "text": lambda n: "a" * n,
    "outputs": lambda n: "{{ messages }}" * n,
    "names": lambda n: "".join(f"{{{{ v{at} }}}}" for at in range(n)),
    "conditions": lambda n: "{% if messages %}a{% endif %}" * n,
    "branches": lambda n: "{% if a %}" + "{% elif a %}" * n + "{% endif %}",
    "loops": lambda n: _LOOP.replace("BODY", "a") * n,
    "macros": lambda n: "".join(f"{{% macro m{at}() %}}a{{% endmacro %}}" for at in range(n)),
    "macros that call the one before": lambda n: (
        "{% macro m0() %}a{% endmacro %}"
        + "".join(f"{{% macro m{at}() %}}{{{{ m{at - 1}() }}}}{{% endmacro %}}" for at in range(1, n))
        + f"{{{{ m{n - 1}() }}}}"
    ),
    "macros that call the one before twice": lambda n: (
        "{% macro m0() %}a{% endmacro %}"
        + "".join(f"{{% macro m{at}() %}}{{{{ m{at - 1}() ~ m{at - 1}() }}}}{{% endmacro %}}" for at in range(1, n))
        + f"{{{{ m{n - 1}() }}}}"
    ),
    "variables": lambda n: "".join(f"{{% set v{at} = {at} %}}" for at in range(n)),
    "variables in conditions": lambda n: "".join(f"{{% if a %}}{{% set v{at} = 1 %}}{{% endif %}}" for at in range(n)),
    "blocks": lambda n: "".join(f"{{% block b{at} %}}a{{% endblock %}}" for at in range(n)),
    "filters": lambda n: "{{ 'a'" + "|upper" * n + " }}",
    "sums": lambda n: "{{ 'a'" + " + 'a'" * n + " }}",
    "parts of a concatenation": lambda n: "{{ 'a'" + " ~ 'a'" * n + " }}",
    "comparisons": lambda n: "{{ 1" + " < 2" * n + " }}",
    "keys": lambda n: "{{ a" + ".b" * n + " }}",
    "items of a list": lambda n: "{{ [" + "1," * n + "] }}",
    "keys of an object": lambda n: "{{ {" + ",".join(f"'k{at}': 1" for at in range(n)) + "} }}",
    "digits of a number": lambda n: "{{ " + "9" * n + " }}",
    "parentheses": lambda n: "{{ " + "(" * n + "1" + ")" * n + " }}",
    "comments": lambda n: "{# a #}" * n,
    "begun comments": lambda n: "{# a " * n,
    "spaces": lambda n: "{{" + " " * n + "a }}",
    "lines": lambda n: "{{ a }}\n" * n,
    "nested conditions": _nested("{% if true %}", "{% endif %}"),
    "nested loops": _nested("{% for m in [1] %}", "{% endfor %}"),
    "nested macros": _nested("{% macro m() %}", "{% endmacro %}"),
    "nested lists": lambda n: "{{ " + "[" * n + "]" * n + " }}",
    "nested texts": _nested("{% set a %}", "{% endset %}"),
    "raw texts": lambda n: "{% raw %}a{% endraw %}" * n,
}
LOOPS: Final[Mapping[str, str]] = {
    "writes all": _LOOP.replace("BODY", "{{ messages }}"),
    "looks through all": _LOOP.replace("BODY", "{% for o in messages %}{% if o.role == 'x' %}a{% endif %}{% endfor %}"),
    "looks through all twice": _LOOP.replace(
        "BODY",
        "{% for o in messages %}{% for p in messages %}{% if p.role == 'x' %}a{% endif %}{% endfor %}{% endfor %}",
    ),
    "filters all": _LOOP.replace("BODY", "{{ messages | selectattr('role', 'equalto', 'x') | list | length }}"),
    "writes all as JSON": _LOOP.replace("BODY", "{{ messages | tojson }}"),
    "slices all": _LOOP.replace("BODY", "{{ messages[loop.index:] | length }}"),
    "searches all": _LOOP.replace("BODY", "{{ m in messages }}"),
    "sorts all": _LOOP.replace("BODY", "{{ (messages | map(attribute='content') | sort)[0] }}"),
    "grows a text": _named("''", "ns.x ~ m.content"),
    "grows a list": _named("[]", "ns.x + [m]"),
    "doubles a text": _named("'a'", "ns.x ~ ns.x"),
    "nests lists": _named("[]", "[ns.x, ns.x]"),
    "replaces in a text": _named("''", "(ns.x ~ m.content) | replace('a', 'b')"),
    "splits a text": _named("''", "(ns.x ~ m.content).split('a') | join('a')"),
}


@contextmanager
def templates(_: Path) -> Iterator[Mapping[str, Measure]]:
    written = {f"template with {name}": partial(_cost, template) for name, template in TEMPLATES.items()}
    yield {**written, **{f"template that {name}": partial(_messages, text) for name, text in LOOPS.items()}}


def _cost(template: Callable[[int], str], size: int) -> Cost:
    text = template(size)
    return isolated(lambda: _rendered(text, 3, len(text))[0])


def _messages(template: str, size: int) -> Cost:
    """For each million of the steps and characters that are counted: a template itself may do more than it should."""

    def per_unit() -> Cost:
        cost, num_units = _rendered(template, size, 100 * size)
        return cost._replace(seconds=cost.seconds / num_units)

    return isolated(per_unit)


def _rendered(template: str, num_messages: int, num_bytes: int) -> tuple[Cost, float]:
    """The cost, and the millions of steps and characters that were counted, at least 1."""
    messages = [{"role": "user", "content": f"{number} a"} for number in range(num_messages)]
    begun, status = time.process_time(), OK
    with render_budget(num_messages) as spent:
        try:
            undeclared_variables(template)
            compile_template(template).render(messages=messages)
        except TemplateLimitError:  # as expensive as a template may be, however short it is
            status, num_bytes = REFUSED, MAX_BYTES
        except jinja2.TemplateError:
            status = REFUSED
    counted = spent.max_steps - spent.steps + spent.max_characters - spent.characters
    return Cost(time.process_time() - begun, 0.0, status, num_bytes), max(1.0, counted / 1e6)
