"""Code stays out of what others keep private, and tests nearly so."""

from __future__ import annotations

import ast
from typing import Final

import pytest

from tests.style.private_names import MAX_IN_TESTS, may_reach, reaches_in, reaches_of

CASES: Final = {
    "engine._loop": "engine._loop",
    "a.b()._c.d": "a.b()._c",
    "from mlx_lm.utils import _get_classes": "mlx_lm.utils._get_classes",
    "monkeypatch.setattr(module, '_LIMIT', 1)": "_LIMIT",
    "monkeypatch.setattr('package.module._LIMIT', 1)": "_LIMIT",
    "getattr(tokenizer, '_tokenizer', None)": "_tokenizer",
    "operator.attrgetter('batch._rows.size')": "_rows",
    "vars(cache)['_state'], cache.__dict__['_state'], vars(cache)['state']": "_state _state",
    "for name in ('encode', '_encode_plus'): getattr(tokenizer, name)": "_encode_plus",
    "from anthropic.lib._tools import Tool": "_tools",
    "import anthropic._client as client": "_client",
    "importlib.import_module('anthropic._client')": "_client",
    "class A:\n __slots__ = ('_x', '_y')": "",
    "from __future__ import annotations": "",
    "name.endswith('_total'); {'_a': 1}; text = '_b'": "",
    "class A:\n def f(self):\n  return self._x + self.y._z": "self.y._z",
    "class A:\n def f(self):\n  self._x = 1\n def g(self, other):\n  return other._x": "",
    "class A:\n async def _f(self):\n  await super()._f()": "",
    "class A:\n _x: int\ndef f(a):\n return a._x": "a._x",
    "self._x, cls._y, a.__class__, a.b, _c": "",
    "from package import __version__": "",
    "from package import (\n    a,\n    _b,\n    _c as d,\n)": "package._b package._c",
    "from package import (\n    _b as c, d\n)": "package._b",
}


def test_no_module_reaches_into_what_another_keeps_private() -> None:
    assert [*map(str, reaches_in("pensieve", "contracts", "features"))] == []


def test_tests_and_gates_reach_into_little() -> None:
    found = reaches_in("tests", "perf_gates")
    assert len(found) <= MAX_IN_TESTS, "\n".join(map(str, found))


@pytest.mark.parametrize(("code", "expected"), CASES.items())
def test_what_counts_as_reaching(code: str, expected: str) -> None:
    assert [name for _, name in reaches_of(ast.parse(code))] == expected.split()
    assert may_reach(code) or not expected
