"""The suite as a pytest plugin: its options, its tags, whom it judges.

It is inert in a run that holds none of the suite's scenarios.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

from features.harness.capabilities import UnknownCapabilityError, registry
from features.harness.judged import JUDGED, judged_target
from features.harness.options import Options, add_options, options_of
from features.harness.scoreboard import Scoreboard
from features.harness.tags import apply_tag, chosen, id_of, properties_of, register_markers
from features.harness.target import UnreachableError
from features.harness.target_file import TargetFileError

pytest_plugins = (
    "features.harness.fixtures",
    "features.steps.auth",
    "features.steps.calls",
    "features.steps.content",
    "features.steps.errors",
    "features.steps.limits",
    "features.steps.metrics",
    "features.steps.models",
    "features.steps.openai",
    "features.steps.openai_answers",
    "features.steps.openai_sdk",
    "features.steps.pace",
    "features.steps.replies",
    "features.steps.requests",
    "features.steps.sdk",
    "features.steps.sdk_tools",
    "features.steps.service",
    "features.steps.streams",
    "features.steps.structured",
    "features.steps.thinking",
    "features.steps.prompt_cache",
    "features.steps.tokens",
    "features.steps.tool_results",
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
