"""The suite as a pytest plugin: it registers options, tags and steps, and finds the target to judge.

It does nothing in a run without scenarios of the suite.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

from features.harness.judge import Judge
from features.harness.outline.capabilities import UnknownCapabilityError, registry
from features.harness.outline.options import SuiteOptions, add_options, options_of
from features.harness.outline.tags import apply_tag, expect_known, id_of, properties_of, register_markers, selected
from features.harness.scoreboard import Scoreboard
from features.harness.target.judged import JUDGED, JudgedTarget, judged_target
from features.harness.target.target import UnreachableError
from features.harness.target.target_file import FEATURES, TargetFileError, known_ids


def step_modules() -> tuple[str, ...]:
    """Every steps_*.py of a chapter's folder, as an importable name."""
    return tuple(f"features.{path.parent.name}.{path.stem}" for path in sorted(FEATURES.glob("*/steps_*.py")))


pytest_plugins = ("features.harness.scene.fixtures", *step_modules())


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    register_markers(config)


@pytest.hookimpl(tryfirst=True)  # pytest-bdd's own hook would turn every tag into a plain marker
def pytest_bdd_apply_tag(tag: str, function: Callable[..., object]) -> bool | None:
    return apply_tag(tag, function)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        item.user_properties.extend(properties_of(item))
    options = options_of(config)
    if options.ids or options.levels or options.capability or options.spec_rows:
        kept = _selected(items, options)
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist starts its processes
def pytest_sessionstart(session: pytest.Session) -> None:
    """The process that only distributes a run collects nothing: it checks the command line at once."""
    if session.config.pluginmanager.hasplugin("dsession"):
        judged = _judged(session.config)
        expect_known("id", judged.options.ids, known_ids())
        if urls := judged.urls:
            raise pytest.UsageError(
                f"-n needs a target that every process can start for itself, and {urls[0]} runs already: its scenarios"
                " would disturb each other. Run without -n"
            )
        session.config.pluginmanager.register(Scoreboard(judged))


def pytest_collection_finish(session: pytest.Session) -> None:
    """An unreachable server is one mistake on the command line, not a hundred failures."""
    config = session.config
    if not any(map(id_of, session.items)) or config.option.collectonly:
        return
    judged = config.stash[JUDGED] = _judged(config)
    config.pluginmanager.register(Judge(judged, session.items))
    if not hasattr(config, "workerinput"):  # pytest-xdist's processes report to another one
        config.pluginmanager.register(Scoreboard(judged))


def _judged(config: pytest.Config) -> JudgedTarget:
    try:
        return judged_target(options_of(config))
    except (UnreachableError, TargetFileError, UnknownCapabilityError) as error:
        raise pytest.UsageError(str(error)) from error


def _selected(items: list[pytest.Item], options: SuiteOptions) -> list[pytest.Item]:
    try:
        registry().validated(options.capability, source="--capability")
    except UnknownCapabilityError as error:
        raise pytest.UsageError(str(error)) from error
    return selected(
        items,
        ids=options.ids,
        levels=options.levels,
        capabilities=options.capability,
        spec_rows=options.spec_rows,
    )


def pytest_bdd_before_step(step_func: Callable[..., object]) -> None:
    """pytest-bdd never awaits a step: a coroutine function would pass without running."""
    if inspect.iscoroutinefunction(step_func) or inspect.isasyncgenfunction(step_func):
        raise TypeError(
            f"step {step_func.__qualname__} is a coroutine function, which would never run: write a plain function"
        )
