"""The suite's command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from features.harness.outline.tags import LEVELS


@dataclass(frozen=True, slots=True)
class SuiteOptions:
    """The suite's own options. Without `target`, the reference server is started and judged."""

    target: str | None
    scripted_target: str | None
    rate_limited_target: str | None
    api_key: str | None
    second_api_key: str | None
    model: str | None
    model_folder: str | None
    capabilities: tuple[str, ...] | None
    without: tuple[str, ...]
    ids: tuple[str, ...]
    levels: tuple[str, ...]
    capability: tuple[str, ...]
    spec_rows: tuple[str, ...]
    scorecard: Path | None
    results: Path | None
    html: Path | None


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance", "conformance of a server with the Messages API")
    _add_target(group)
    _add_selection(group)
    _add_reports(group)


def options_of(config: pytest.Config) -> SuiteOptions:
    return SuiteOptions(
        target=config.getoption("--target"),
        scripted_target=config.getoption("--scripted-target"),
        rate_limited_target=config.getoption("--rate-limited-target"),
        api_key=config.getoption("--api-key"),
        second_api_key=config.getoption("--second-api-key"),
        model=config.getoption("--model"),
        model_folder=config.getoption("--model-folder"),
        capabilities=config.getoption("conformance_declared"),
        without=config.getoption("conformance_without"),
        ids=_values(config, "conformance_ids"),
        levels=_values(config, "conformance_levels"),
        capability=_values(config, "conformance_capability"),
        spec_rows=_values(config, "conformance_spec"),
        scorecard=config.getoption("conformance_scorecard"),
        results=config.getoption("conformance_results"),
        html=config.getoption("conformance_html"),
    )


def _add_target(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--target",
        metavar="URL|FILE|NAME",
        help="the server to judge: its base URL, a target file, or the name of one in features/targets"
        " (default: reference, which the suite starts itself)",
    )
    group.addoption(
        "--scripted-target",
        metavar="URL",
        help="base URL of the same server playing features/harness/target/script.toml, for slow and failing requests",
    )
    group.addoption(
        "--rate-limited-target",
        metavar="URL",
        help="base URL of the same server with a limit of three requests a minute for each client",
    )
    group.addoption("--api-key", metavar="KEY", help="the key that --target requires; the auth scenarios need one")
    group.addoption(
        "--second-api-key",
        metavar="KEY",
        help="another key that --target accepts, of a client that shares nothing with that of --api-key",
    )
    group.addoption("--model", metavar="NAME", help="the model to request (default: the first in /v1/models)")
    group.addoption("--model-folder", metavar="FOLDER", help="replaces {folder} in a target file's command")
    group.addoption(
        "--capabilities",
        metavar="A,B",
        type=_names,
        dest="conformance_declared",
        help="the capabilities that the target declares, or all (default: those in its file; all for a URL)",
    )
    group.addoption(
        "--without",
        metavar="A,B",
        type=_names,
        default=(),
        dest="conformance_without",
        help="what to leave out",
    )


def _add_selection(group: pytest.OptionGroup) -> None:
    """Each option may be repeated. A scenario runs if it matches one value of every kind that is given."""
    for flag, metavar, kind, text in (
        ("--id", "ID", "ids", "run only the scenario with this id"),
        ("--capability", "NAME", "capability", "run the scenarios that need this capability"),
        ("--spec", "ROW", "spec", "run the scenarios for this row of the specification, such as W10"),
    ):
        group.addoption(
            flag, metavar=metavar, action="append", dest=f"conformance_{kind}", help=f"{text}; may be repeated"
        )
    group.addoption(
        "--level", choices=LEVELS, action="append", dest="conformance_levels", help="run the rules of this level"
    )


def _add_reports(group: pytest.OptionGroup) -> None:
    for name, text in (
        ("scorecard", "write a scorecard in Markdown"),
        ("results", "write all verdicts as JSON"),
        ("html", "write an HTML page with the transcript of each failure"),
    ):
        group.addoption(f"--{name}", metavar="FILE", type=Path, dest=f"conformance_{name}", help=text)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _values(config: pytest.Config, name: str) -> tuple[str, ...]:
    return tuple(config.getoption(name) or ())
