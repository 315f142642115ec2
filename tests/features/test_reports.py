"""The reports: what they contain, and what they must never contain."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import pytest

from tests.features.suite import SuiteRun, run_suite
from tests.features.throwaway import answering

_KEY = "sk-very-secret"
_HOSTILE = "<script>alert('x')</script> | a `cell` [link](http://evil.example) KEY"


@dataclass(frozen=True)
class Reports:
    run: SuiteRun
    scorecard: str
    html: str
    results: str


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """The reports on a server that passes one scenario, fails some with hostile text, and does not declare another."""
    folder = tmp_path_factory.mktemp("reports")
    target = folder / "target.toml"
    answers = {
        "/v1/models": {"data": [{"id": _HOSTILE}], "first_id": "a", "last_id": "b", "has_more": False},
        "/health": {"status": _HOSTILE, "requests": {"active": 0}},
    }
    with answering(answers) as url:
        target.write_text(
            f'name = "A <b>server</b>"\nnote = "A throwaway server."\ncapabilities = "all"\nwithout = ["auth"]\n'
            f'[server]\nurl = "{url}"\n[[expected_failure]]\nid = "head-of-the-root"\nreason = "it has no root"\n'
        )
        ids = (
            "health-tells-requests",
            "health-tells-how-it-is",
            "models-list-shape",
            "key-missing",
            "head-of-the-root",
        )
        run = run_suite(
            *("--target", str(target), "--api-key", _KEY),
            *("--scorecard", str(folder / "new" / "card.md"), "--html", str(folder / "report.html")),
            *(f"--id={slug}" for slug in ids),
            report=folder / "report.xml",
        )
    card, html = (folder / "new" / "card.md").read_text(), (folder / "report.html").read_text()
    return Reports(run, card, html, (folder / "report.json").read_text())


def test_the_scorecard_counts_by_capability_and_level(reports: Reports) -> None:
    assert "| health | – | 1 of 3 | 1 fail, 1 expected failure |" in reports.scorecard
    assert "| models | 0 of 1 | – | 1 fail |" in reports.scorecard
    assert "| auth | 0 of 1 | – | not declared, 1 unsupported |" in reports.scorecard


def test_the_scorecard_begins_with_how_far_the_server_conforms(reports: Reports) -> None:
    head = reports.scorecard.partition("| capability")[0]
    assert "MUST: 0 of 1 scenarios pass; 1 more were not judged." in head
    assert "SHOULD: 1 of 3 scenarios pass." in head
    assert "The target does not declare auth (" in head
    assert "Only part of the suite was run" in head
    assert "A throwaway server." in head
    assert "suite, version " in head


def test_the_scorecard_lists_every_scenario_that_did_not_pass_with_its_reason(reports: Reports) -> None:
    assert "- `head-of-the-root` (SHOULD, health): it has no root" in reports.scorecard
    assert "- `models-list-shape` (MUST, models): expected type to be 'model' actual None" in reports.scorecard
    assert "- auth: not declared by the target: `key-missing`" in reports.scorecard
    assert "health-tells-requests" not in reports.scorecard, "what passed is only counted in the table"


def test_a_servers_text_is_escaped_in_the_scorecard(reports: Reports) -> None:
    [line] = [line for line in reports.scorecard.splitlines() if "health-tells-how-it-is" in line]
    assert r"\<script\>" in line
    assert r"\[link\]" in line


def test_the_page_is_self_contained_and_escapes_a_servers_text(reports: Reports) -> None:
    assert "<script" not in reports.html
    assert "&lt;script&gt;alert" in reports.html
    assert "A &lt;b&gt;server" in reports.html
    assert not re.search(r"""(src|href)\s*=|@import|url\(""", reports.html.replace("](http", ""))


def test_the_page_shows_what_was_expected_and_the_exchange(reports: Reports) -> None:
    assert "expected type to be &#x27;model&#x27;" in reports.html
    assert "&gt; GET /v1/models" in reports.html


def test_no_report_contains_a_key(reports: Reports) -> None:
    for text in (reports.scorecard, reports.html, reports.results):
        assert _KEY not in text
    assert "x-api-key: …" in reports.html


def test_the_results_are_written_for_programs(reports: Reports) -> None:
    results = json.loads(reports.results)
    assert results["target"]["name"] == "A <b>server</b>"
    assert results["target"]["undeclared"] == ["auth"]
    assert results["summary"]["expected failure"] == 1
    assert results["summary"]["unsupported"] == 1
    assert reports.run.exit_code == 1
    [passed] = [row for row in results["scenarios"] if row["id"] == "health-tells-requests"]
    assert (passed["verdict"], passed["level"], passed["spec"]) == ("pass", "SHOULD", ["W5"])
