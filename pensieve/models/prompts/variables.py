"""The variables by which each family's template controls thinking: on or off, effort, budget, and earlier thinking.

Sources: the templates themselves. GLM 4.7 has clear_thinking, LFM2.5 preserve_thinking and keep_past_thinking, Hunyuan
preserved_thinking, DeepSeek V4 drop_thinking, Nemotron 3 truncate_history_thinking, Solar think_render_option; gpt-oss,
Solar, Hunyuan and DeepSeek V4 have reasoning_effort, Kimi K3 thinking_effort; Seed-OSS thinking_budget; MiniMax M3
thinking_mode; Cohere's reasoning.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import jinja2
from jinja2 import nodes

from contracts.values.vocabulary import Thinking
from pensieve.models.templates.environment import parse_template, undeclared_variables

_SWITCHES: Final[Mapping[str, Callable[[bool], object]]] = {
    "enable_thinking": lambda enabled: enabled,
    "thinking": lambda enabled: enabled,
    "reasoning": lambda enabled: enabled,
    "thinking_mode": lambda enabled: "enabled" if enabled else "disabled",
}
_PAST: Final[Mapping[str, Callable[[bool], object]]] = {
    "clear_thinking": lambda keeps: not keeps,
    "drop_thinking": lambda keeps: not keeps,
    "truncate_history_thinking": lambda keeps: not keeps,
    "preserve_thinking": lambda keeps: keeps,
    "preserved_thinking": lambda keeps: keeps,
    "keep_past_thinking": lambda keeps: keeps,
    "think_render_option": lambda keeps: "all" if keeps else "lastthink",
}
_EFFORTS: Final = ("reasoning_effort", "thinking_effort", "reasoning_strength")
_SCALE: Final = ("minimal", "low", "medium", "high", "xhigh", "max")
_PRINTED: Final = {"low", "medium", "high"}
"""Values for a template that prints the word unchecked: the three of gpt-oss (OpenAI's harmony format)."""
_OFF: Final = ("none", "no_think", "off", "disabled")
_BUDGET: Final = "thinking_budget"


class TemplateVariables:
    """The values for the variables that one template reads."""

    def __init__(self, template: str | None) -> None:
        """`template` is None if it is unknown, as with tokenizers whose own code writes the prompt."""
        self.names = undeclared_variables(template) if template is not None else frozenset()
        efforts = [name for name in _EFFORTS if name in self.names]
        tree = parse_template(template) if template is not None and efforts else None
        self._efforts = {name: _accepted_words(tree, name) for name in efforts if tree is not None}

    def require(self, names: Iterable[str]) -> None:
        """
        Raises:
            ValueError: the template does not read one of the variables.
        """
        for name in names:
            if name not in self.names:
                close = difflib.get_close_matches(name, self.names, n=1)
                meant = (
                    f"; did you mean {close[0]}?" if close else f"; it reads {', '.join(sorted(self.names)) or 'none'}"
                )
                raise ValueError(f"the chat template reads no variable {name}{meant}")

    def of(self, thinking: Thinking) -> dict[str, Any]:
        """Always includes enable_thinking, which templates without thinking ignore."""
        values: dict[str, Any] = {"enable_thinking": thinking.enabled}
        values |= {name: value(thinking.enabled) for name, value in _SWITCHES.items() if name in self.names}
        if thinking.keeps_past is not None:
            values |= {name: value(thinking.keeps_past) for name, value in _PAST.items() if name in self.names}
        if _BUDGET in self.names and not (thinking.enabled and thinking.budget_tokens is None):
            values[_BUDGET] = thinking.budget_tokens if thinking.enabled else 0
        for name, accepted in self._efforts.items():
            effort = self._effort(accepted, thinking)
            if effort is not None:
                values[name] = effort
        return values

    def _effort(self, accepted: frozenset[str], thinking: Thinking) -> str | None:
        """The template's word for the effort, or None to leave it to the template's default."""
        off = next((word for word in _OFF if word in accepted), None)
        if not thinking.enabled:
            return off or ("minimal" if "minimal" in accepted else None if self._has_switch else "low")
        if thinking.effort is None:
            return _nearest("high", accepted) if off else None
        return _nearest(thinking.effort, accepted)

    @property
    def _has_switch(self) -> bool:
        return not self.names.isdisjoint(_SWITCHES)


def _nearest(effort: str, accepted: frozenset[str]) -> str | None:
    """The accepted word for an effort, or the next higher one.

    None if the lowest accepted word is above both the effort and "low": DeepSeek V4 accepts "high" and "max", and
    thinks less than either without a word.
    """
    words = [word for word in _SCALE if word in accepted]
    level = _SCALE.index(effort)
    if _SCALE.index(words[0]) > max(level, _SCALE.index("low")):
        return None
    return next((word for word in words if _SCALE.index(word) >= level), words[-1])


def _accepted_words(tree: nodes.Template, name: str) -> frozenset[str]:
    """The words that a template compares a variable with, and the variable's default."""
    compared = {
        word
        for comparison in tree.find_all(nodes.Compare)
        if _compares(comparison, name)
        for word in _words(comparison)
    }
    if not compared.intersection(_SCALE):
        return frozenset(_PRINTED | compared)
    defaults = {word for node in tree.find_all(nodes.Assign) if _assigns(node, name) for word in _words(node)}
    return frozenset(compared | defaults)


def _compares(comparison: nodes.Compare, name: str) -> bool:
    """Finds filtered variables too: `name | lower == "none"`."""
    return any(found.name == name for found in _all(comparison.expr, nodes.Name))


def _assigns(node: nodes.Assign, name: str) -> bool:
    return isinstance(node.target, nodes.Name) and node.target.name == name


def _words(node: nodes.Node) -> Iterator[str]:
    for found in _all(node, nodes.Const):
        if isinstance(found.value, str) and found.value in (*_SCALE, *_OFF):
            yield found.value


def _all(node: nodes.Node, kind: type[Any]) -> Iterator[Any]:
    if isinstance(node, kind):
        yield node
    yield from node.find_all(kind)


def template_source(tokenizer: Any) -> str | None:
    """A tokenizer's chat templates as one text, or None if it has none or they do not parse."""
    template = getattr(tokenizer, "chat_template", None)
    text = "\n".join(template.values()) if isinstance(template, Mapping) else template
    if not isinstance(text, str):
        return None
    try:
        parse_template(text)
    except jinja2.TemplateError:
        return None
    return text
