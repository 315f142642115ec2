"""A hostile chat template ends in one sentence, after work that is counted, and in little memory."""

from __future__ import annotations

import sys
import tracemalloc
from typing import Final

import jinja2
import pytest

from pensieve.models.templates.budget import Budget, TemplateLimitError, render_budget
from pensieve.models.templates.environment import compile_template, undeclared_variables

_NESTED: Final = "{% set ns = namespace(x='ab') %}{% for i in range(100) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}"
_TUPLES: Final = _NESTED.replace("[ns.x, ns.x]", "(ns.x, ns.x)")
_DOUBLING: Final = "{% set ns = namespace(x='ab') %}{% for i in range(100) %}{% set ns.x = VALUE %}{% endfor %}"

STEPS: Final = (
    "{% for a in range(10**5) %}{% for b in range(10**5) %}x{% endfor %}{% endfor %}",
    "{% for a in range(10**5) %}{% for b in range(10**5) if false %}{% endfor %}{% endfor %}",
    "{% set x = 'a' * 10**6 %}{% for i in range(10**5) %}{{ 'b' in x }}{% endfor %}",
    "{% set x = 'a' * 10**6 %}{% for i in range(10**5) %}{{ x.count('b') }}{% endfor %}",
    f"{_NESTED}{{{{ ns.x }}}}",
    f"{_NESTED}{{{{ ns.x ~ '' }}}}",
    f"{_NESTED}{{{{ ns.x | tojson }}}}",
    f"{_NESTED}{{{{ ns.x | string }}}}",
    f"{_NESTED}{{{{ ns.x | upper }}}}",
    f"{_NESTED}{{{{ [ns.x] | join }}}}",
    f"{_NESTED}{{{{ '%s' % ns.x }}}}",
    f"{_NESTED}{{{{ '{{}}'.format(ns.x) }}}}",
    f"{_NESTED}{{{{ '{{!r}}'.format(ns.x) }}}}",
    f"{_NESTED}{{% set y = ns.x + [] %}}{{{{ y == ns.x }}}}",
    f"{_NESTED}{{{{ ns.x in [ns.x + []] }}}}",
    f"{_NESTED}{{{{ ns.x is eq(ns.x + []) }}}}",
    f"{_NESTED}{{{{ [ns.x].count(ns.x + []) }}}}",
    f"{_NESTED}{{% for i in [1] %}}{{{{ loop.changed(ns.x) }}}}{{% endfor %}}",
    f"{_TUPLES}{{{{ {{}}[ns.x] }}}}",
    f"{_TUPLES}{{{{ {{ns.x: 1}} }}}}",
    f"{_TUPLES}{{{{ {{}}.get(ns.x) }}}}",
    f"{_TUPLES}{{{{ dict([(ns.x, 1)]) }}}}",
)
CHARACTERS: Final = (
    "{{ 'a' * 10**10 }}",
    "{{ [1] * 10**10 }}",
    _DOUBLING.replace("VALUE", "ns.x ~ ns.x"),
    _DOUBLING.replace("VALUE", "ns.x + ns.x"),
    _DOUBLING.replace("VALUE", "ns.x | replace('a', 'aaaa')"),
    "{{ 'a' | center(10**9) }}",
    "{{ 'a'.center(10**9) }}",
    "{{ 'a'.zfill(10**9) }}",
    "{{ 'a\t'.expandtabs(10**9) }}",
    "{{ 'a\n' | indent(10**9) }}",
    "{{ 'a\n' | indent('x' * 10**7) }}{{ 'a\nb\nc\nd\ne\nf\ng' | indent('x' * 10**7) }}",
    "{{ (['a' * 10**4] * 10**5) | join }}",
    "{{ (range(10**4) | map('string')) | join('x' * 10**5) }}",
    "{{ ('a' * 10**5).join(range(10**4) | map('string')) }}",
    "{{ ('a' * 10**6).replace('', 'b' * 10**6) }}",
    "{{ ('a' * 10**6) | replace('', 'b' * 10**6) }}",
    "{{ ('%s' * 10**5) % ((('x' * 10**4),) * 10**5) }}",
    "{{ ('{0}' * 10**4).format('x' * 10**5) }}",
    "{{ [1] | tojson(indent=10**9) }}",
    "{{ ('<' * 20000000) | e }}",
    "{{ strftime_now('%99999999d' * 10**6) }}",
    "{% set l = [1] * 10**6 %}{% for i in range(100) %}{% set _ = l.extend(l) %}{% endfor %}",
    "{% set l = [] %}{% set x = 'a' * 10**6 %}{% for i in range(10**5) %}{{ l.append(x ~ i) }}{% endfor %}",
    "{% set l = [] %}{% set x = 'a' * 10**6 %}{% for i in range(10**5) %}{{ l.append(x[1:]) }}{% endfor %}",
    "{% set l = [] %}{% set x = 'a' * 10**6 %}{% for i in range(10**5) %}{{ l.append(x.upper()) }}{% endfor %}",
    "{% set l = [] %}{% set x = 'a' * 10**6 %}{% for i in range(10**5) %}{{ l.append(x | upper) }}{% endfor %}",
    "{% set x %}{% for i in range(10**5) %}" + "y" * 10**4 + "{% endfor %}{% endset %}",
    "{% macro m() %}{% for i in range(10**5) %}" + "y" * 10**4 + "{% endfor %}{% endmacro %}{{ m() }}",
    "{% filter upper %}{% for i in range(10**5) %}" + "y" * 10**4 + "{% endfor %}{% endfilter %}",
    "{% for i in range(10**5) %}" + "y" * 10**4 + "{% endfor %}",
)
OTHERS: Final = (
    ("{{ '%1000000000d' % 1 }}", "field wider"),
    ("{{ '%*d' % (10**9, 1) }}", "field wider"),
    ("{{ '%1000000000d' | format(1) }}", "field wider"),
    ("{{ '{:>1000000000}'.format(1) }}", "field wider"),
    ("{{ '{:{}}'.format(1, 10**9) }}", "field wider"),
    ("{{ 10 ** (10 ** 10) }}", "bits"),
    ("{% set ns = namespace(n=3) %}{% for i in range(100) %}{% set ns.n = ns.n * ns.n %}{% endfor %}", "bits"),
    ("{{ range(10**5) | batch(10**9, 'x') | list }}", "short texts"),
    ("{{ 1.5 | round(10**9, 'ceil') }}", "short texts"),
    ("{{ ('a ' * 10**5) | urlize }}", "short texts"),
    ("{{ ('a ' * 10**5) | wordwrap(1, true, 'x' * 10**5) }}", "short texts"),
    ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "too deeply"),
    ("{% block a %}{{ self.a() }}{% endblock %}", "too deeply"),
    ("{% for x in [1] recursive %}{{ loop([1]) }}{{ loop([1]) }}{% endfor %}", "too deeply"),
)


@pytest.mark.parametrize("template", STEPS)
def test_work_without_end_stops_at_a_number_of_steps(template: str) -> None:
    compiled = compile_template(template)
    with render_budget() as budget:
        budget.steps = budget.max_steps = 300_000
        with pytest.raises(TemplateLimitError, match=r"takes more than .* steps"):
            compiled.render()


@pytest.mark.parametrize("template", CHARACTERS)
def test_texts_and_lists_without_end_stop_at_a_number_of_characters(template: str) -> None:
    compiled = compile_template(template)
    tracemalloc.start()
    try:
        with pytest.raises(TemplateLimitError, match=r"makes more than .* characters"):
            compiled.render()
        assert tracemalloc.get_traced_memory()[1] < 500_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("template", "limit"), OTHERS)
def test_other_limits_are_named(template: str, limit: str) -> None:
    with pytest.raises(TemplateLimitError, match=limit):
        compile_template(template).render()


@pytest.mark.parametrize(
    "template",
    [
        "{{ range(10**9) | list }}",
        "{{ (1).to_bytes(10**10, 'big') }}",
        "{{ 'a'.encode('idna') }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ ('' | attr('__class__')).mro() }}",
        "{{ 'x'.format_map({}) }}",
        "{{ 1 / 0 }}",
        "{{ 10.0 ** 1000 }}",
        "{{ lipsum(10**9) }}",
    ],
)
def test_what_no_template_needs_is_an_error_of_the_template(template: str) -> None:
    with pytest.raises(jinja2.TemplateError):
        compile_template(template).render()


@pytest.mark.parametrize("tag", ["{% include 'x' %}", "{% import 'x' as y %}", "{% extends 'x' %}"])
def test_a_template_reads_no_other_file(tag: str) -> None:
    with pytest.raises(TypeError, match="no loader"):
        compile_template(tag).render()


@pytest.mark.parametrize(
    "template",
    [
        "{{" + "(" * 5000 + "1" + ")" * 5000 + "}}",
        "{{" + "[" * 150 + "1" + "]" * 150 + "}}",
        "{% if 1 %}" * 500 + "{% endif %}" * 500,
        "{{ " + "9" * 5000 + " }}",
        "{{ 1 " + "+ 1" * 4000 + " }}",
        "{{ 1 }}" * 20_000,
        "x" * 300_000,
        "{% autoescape true %}{% endautoescape %}",
    ],
    ids=lambda template: template[:20],
)
def test_a_template_that_cannot_be_compiled_has_a_syntax_error(template: str) -> None:
    with pytest.raises(jinja2.TemplateSyntaxError):
        compile_template(template)


def test_constants_are_not_evaluated_when_a_template_is_compiled() -> None:
    compile_template("{{ 'a' * 10**10 }}{{ 'a' | center(10**9) }}{{ 10 ** (10 ** 10) }}")


def test_operators_give_what_jinja_gives() -> None:
    template = (
        "{{ 7 + 2 * 3 - 4 // 3 }} {{ 7 % 4 }} {{ 2 ** 10 }} {{ 1 / 4 }} {{ 'a' ~ 1 ~ none ~ [1, 'b'] }} "
        "{{ 'x%03d' % 7 }} "
        "{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 'b' in ['a', x] }} {{ x not in 'abc' }} {{ [1] + [2] }} {{ 'ab' * 2 }} "
        "{{ [3, 1, 2] | sort | join('-') }} {{ 'abc'[1:] }} {{ {'k': x}['k'] }} {{ '{:>3}|{}'.format(1, x) }} "
        "{{ (range(5) | select('odd') | list) }} {{ x | replace('b', 'c') | upper | center(3) }} {{ '<' | e }} "
        "{{ {'a': 'é'} | tojson }} {{ [x, x].count('b') }} {{ 'a,b'.split(',') }} {{ '-'.join(['a', x]) }}"
    )
    plain = jinja2.Environment()  # noqa: S701 - as for a chat template
    expected = plain.from_string(template).render(x="b").replace(r"\u00e9", "é").replace("&#34;", '"')
    assert compile_template(template).render(x="b") == expected


def test_a_long_conversation_is_within_the_limits_of_a_template_that_appends_to_one_text() -> None:
    template = (
        "{% set ns = namespace(text='') %}{% for message in messages %}"
        "{% set ns.text = ns.text ~ '<' ~ message.role ~ '>' ~ message.content %}{% endfor %}{{ ns.text }}"
    )
    messages = [{"role": "user", "content": "word " * 200}] * 2000
    assert len(compile_template(template).render(messages=messages)) == 2000 * 1006


def test_a_template_that_looks_at_each_pair_of_messages_is_within_the_limits() -> None:
    template = "{% for a in messages %}{% for b in messages %}{{ '' if a == b }}{% endfor %}{% endfor %}"
    assert compile_template(template).render(messages=[{"role": "user", "content": str(n)} for n in range(150)]) == ""


def _num_calls(template: str) -> int:
    """Of functions in Python, to find the variables that a template reads."""
    num_calls = 0

    def count(*_: object) -> None:
        nonlocal num_calls
        num_calls += 1

    sys.setprofile(count)
    try:
        undeclared_variables(template)
    finally:
        sys.setprofile(None)
    return num_calls


@pytest.mark.parametrize("part", [".b", " + 'a'", "|upper", "[0]"])
def test_the_variables_of_long_expressions_are_found_in_proportion(part: str) -> None:
    """Jinja's optimizer takes time by the cube of the length."""
    short, long = (_num_calls("{{ a" + part * length + " }}") for length in (40, 160))
    assert long < 5 * short


def test_the_steps_of_a_long_conversation_have_a_limit() -> None:
    """A template that looks through all messages for each of them takes minutes for ten thousand."""
    assert Budget(100).max_steps < Budget(1000).max_steps < Budget(10_000).max_steps
    assert Budget(10_000).max_steps == Budget(100_000).max_steps <= 1_000_000_000


@pytest.mark.parametrize(
    ("filters", "num_filters"),
    [("map('upper')", 1), ("select('string')", 1), ("reject('none') | map('upper') | select('string')", 3)],
)
@pytest.mark.parametrize("source", ["items", "(items | map('trim'))"])
def test_filters_that_apply_others_cost_steps_for_each_item(filters: str, num_filters: int, source: str) -> None:
    spent = []
    for number in (100, 200):
        with render_budget() as budget:
            compile_template(f"{{% for i in {source} | {filters} %}}{{% endfor %}}").render(items=["a"] * number)
            spent.append(budget.max_steps - budget.steps)
    assert spent[1] - spent[0] >= 100 * 25 * num_filters


def test_filters_that_apply_others_take_nothing_for_an_empty_list() -> None:
    assert compile_template("{{ none | map('upper') | list }}{{ missing | select | list }}").render() == "[][]"
