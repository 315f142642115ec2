"""The suite as a pytest plugin: its options, its tags, whom it judges.

It is inert in a run that holds none of the suite's scenarios.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

from features.harness.outline.capabilities import UnknownCapabilityError, registry
from features.harness.outline.options import Options, add_options, options_of
from features.harness.outline.tags import apply_tag, chosen, id_of, properties_of, register_markers
from features.harness.scoreboard import Scoreboard
from features.harness.target.judged import JUDGED, judged_target
from features.harness.target.target import UnreachableError
from features.harness.target.target_file import TargetFileError

pytest_plugins = (
    "features.harness.scene.fixtures",
    "features.service.steps_auth",
    "features.tools.steps_calls",
    "features.content.steps_content",
    "features.messages.steps_errors",
    "features.limits.steps_limits",
    "features.service.steps_metrics",
    "features.models.steps_models",
    "features.openai.steps_requests",
    "features.openai.steps_answers",
    "features.openai.steps_sdk",
    "features.messages.steps_pace",
    "features.messages.steps_replies",
    "features.messages.steps_requests",
    "features.messages.steps_sdk",
    "features.tools.steps_sdk",
    "features.service.steps_service",
    "features.messages.steps_streams",
    "features.answers.steps_structured",
    "features.answers.steps_thinking",
    "features.claude_code.steps_prompt_cache",
    "features.tokens.steps_tokens",
    "features.tools.steps_results",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    register_markers(config)


@pytest.hookimpl(tryfirst=True)  # pytest-bdd's own would make a mark of any tag
def pytest_bdd_apply_tag(tag: str, function: Callable[..., object]) -> bool | None:
    return apply_tag(tag, function)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        item.user_properties.extend(properties_of(item))
    asked = options_of(config)
    if asked.ids or asked.levels or asked.capability or asked.spec_rows:
        kept = _chosen(items, asked)
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


def pytest_collection_finish(session: pytest.Session) -> None:
    """Judging a server that is not there is a mistake of the command line, not a hundred failures."""
    if not any(map(id_of, session.items)) or session.config.option.collectonly:
        return
    try:
        judged = judged_target(options_of(session.config))
    except (UnreachableError, TargetFileError, UnknownCapabilityError) as error:
        raise pytest.UsageError(str(error)) from error
    session.config.stash[JUDGED] = judged
    session.config.pluginmanager.register(Scoreboard(judged, session.items), "conformance-scoreboard")


def _chosen(items: list[pytest.Item], asked: Options) -> list[pytest.Item]:
    try:
        registry().known(asked.capability, source="--capability")
    except UnknownCapabilityError as error:
        raise pytest.UsageError(str(error)) from error
    return chosen(items, ids=asked.ids, levels=asked.levels, capabilities=asked.capability, spec_rows=asked.spec_rows)


def pytest_bdd_before_step(step_func: Callable[..., object]) -> None:
    """pytest-bdd calls a coroutine function and drops the coroutine: the step would pass whatever it says."""
    if inspect.iscoroutinefunction(step_func) or inspect.isasyncgenfunction(step_func):
        raise TypeError(f"step {step_func.__qualname__} is a coroutine function: it would never run")
