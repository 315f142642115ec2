"""Rewrites a template's syntax tree so that its work is counted: loops, macros, operators, comparisons, slices, keys.

Jinja's sandbox can intercept arithmetic, but neither loops nor `~`, comparisons and slices. A filter is the cheapest
call that a tree can hold, and it may have a name that no template can write.
"""

from __future__ import annotations

from typing import Any, Final

import jinja2
from jinja2 import nodes
from jinja2.visitor import NodeTransformer

_OPERATORS: Final[dict[type[nodes.BinExpr], str]] = {
    nodes.Add: "a sum",
    nodes.Sub: "a difference",
    nodes.Mul: "a product",
    nodes.Div: "a quotient",
    nodes.FloorDiv: "a whole quotient",
    nodes.Mod: "a remainder",
    nodes.Pow: "a power",
}
_BODIES: Final = (nodes.For, nodes.Macro, nodes.CallBlock, nodes.Block)
_NODES_PER_PASS: Final = 10
"""What a loop or a call costs apart from its body."""
_LITERALS: Final = (nodes.List, nodes.Tuple)


def metered(tree: nodes.Template) -> nodes.Template:
    """The tree itself, changed.

    Raises:
        jinja2.TemplateSyntaxError: it uses a statement that no chat template needs.
    """
    _Meter().visit(tree)
    return tree


class _Meter(NodeTransformer):
    def generic_visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> nodes.Node:
        if isinstance(node, nodes.EvalContextModifier):
            raise jinja2.TemplateSyntaxError("autoescape is not for chat templates", node.lineno)
        num_nodes = _num_nodes(node) if isinstance(node, _BODIES) else 0
        node = super().generic_visit(node, *args, **kwargs)
        if isinstance(node, nodes.BinExpr) and type(node) in _OPERATORS:
            return _call(_OPERATORS[type(node)], node, node.left, node.right)
        if isinstance(node, _BODIES):
            node.body.insert(0, nodes.ExprStmt(_call("a tick", node, nodes.Const(None), nodes.Const(num_nodes))))
        if isinstance(node, nodes.For) and node.test is not None:
            node.iter = _call("an iteration", node, node.iter)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802 - as Jinja names it
        self.generic_visit(node)
        return _call("a concatenation", node, *node.nodes)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        values = [node.expr, *(operand.expr for operand in node.ops)]
        if all(_is_cheap(left, operand) for left, operand in zip(values, node.ops, strict=False)):
            return node
        rest = [part for operand in node.ops for part in (nodes.Const(operand.op), operand.expr)]
        return _call("a comparison", node, node.expr, *rest)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            return _call("a copy", node, node)
        if not isinstance(node.arg, nodes.Const):
            node.arg = _call("a key", node, node.arg)
        return node

    def visit_Pair(self, node: nodes.Pair) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if not isinstance(node.key, nodes.Const):
            node.key = _call("a key", node, node.key)
        return node


def _call(name: str, node: nodes.Node, *values: nodes.Node) -> nodes.Filter:
    first, *rest = values
    return nodes.Filter(first, name, rest, [], None, None, lineno=node.lineno)


def _is_cheap(left: nodes.Node, operand: nodes.Operand) -> bool:
    """Whether one side is a constant that bounds the cost."""
    if operand.op in ("in", "notin"):
        return isinstance(operand.expr, _LITERALS) and all(isinstance(item, nodes.Const) for item in operand.expr.items)
    return isinstance(left, nodes.Const) or isinstance(operand.expr, nodes.Const)


def _num_nodes(node: nodes.Node) -> int:
    """The nodes in a body, without those in the bodies in it, which are counted whenever they run."""
    count, stack = _NODES_PER_PASS, [node]
    while stack:
        for child in stack.pop().iter_child_nodes():
            count += 1
            if not isinstance(child, _BODIES):
                stack.append(child)
    return count
