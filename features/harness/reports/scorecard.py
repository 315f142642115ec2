"""The scorecard: how far a server conforms, on one page of Markdown. A scenario that was not judged has not passed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from features.harness.outline.capabilities import registry
from features.harness.outline.tags import LEVELS
from features.harness.verdicts.run_record import RunRecord
from features.harness.verdicts.verdicts import BAD, NOT_JUDGED, Judgement, ScenarioVerdict

_MAX_REASON_LENGTH = 240
_LISTED_ONE_BY_ONE = (
    ScenarioVerdict.UNEXPECTED_PASS,
    ScenarioVerdict.ERROR,
    ScenarioVerdict.FAIL,
    ScenarioVerdict.EXPECTED_FAILURE,
)


def rendered(record: RunRecord) -> str:
    return "\n".join([*_head(record), *_table(record), *_rest(record)]) + "\n"


def headline(record: RunRecord) -> str:
    """A few sentences on how far the server conforms."""
    sentences = [_of_level(record, level) for level in LEVELS if record.of_level(level)]
    if record.left_out:
        sentences.append(f"Only part of the suite was run: {record.left_out} scenarios were left out.")
    if record.undeclared:
        undeclared = "; ".join(
            f"{name} ({registry().capabilities[name].sentence.removesuffix('.')})" for name in record.undeclared
        )
        sentences.append(f"The target does not declare {undeclared}.")
    return " ".join(sentences)


def _of_level(record: RunRecord, level: str) -> str:
    of_level = record.of_level(level)
    judged = [judgement for judgement in of_level if judgement.verdict not in NOT_JUDGED]
    passed = sum(judgement.verdict is ScenarioVerdict.PASS for judgement in judged)
    left = len(of_level) - len(judged)
    if not judged:
        return f"{level}: none of {left} scenarios was judged."
    summary = f"{level}: {passed} of {len(judged)} scenarios pass"
    return f"{summary}; {left} more were not judged." if left else f"{summary}."


def _head(record: RunRecord) -> Iterator[str]:
    yield f"# Scorecard: {record.target_name}\n"
    day = record.started_at.date().isoformat()
    yield f"Judged on {day}{_escaped(record.place)} by the conformance suite, version {record.suite_version}.\n"
    if record.judged.file.note:
        yield f"{record.judged.file.note}\n"
    yield f"{headline(record)}\n"


def _table(record: RunRecord) -> Iterator[str]:
    yield "| capability | MUST passed | SHOULD passed | other verdicts |"
    yield "|---|---|---|---|"
    for name in registry().capabilities:
        if judgements := record.of_capability(name):
            cells = [_passed(judgements, level) for level in LEVELS]
            yield f"| {name} | {' | '.join(cells)} | {_other_verdicts(record, judgements, name)} |"


def _passed(judgements: Sequence[Judgement], level: str) -> str:
    of_level = [judgement for judgement in judgements if judgement.about.level == level]
    passed = sum(judgement.verdict is ScenarioVerdict.PASS for judgement in of_level)
    return f"{passed} of {len(of_level)}" if of_level else "–"


def _other_verdicts(record: RunRecord, judgements: Sequence[Judgement], name: str) -> str:
    counts = [
        f"{number} {verdict}"
        for verdict in ScenarioVerdict
        if verdict is not ScenarioVerdict.PASS
        and (number := sum(judgement.verdict is verdict for judgement in judgements))
    ]
    return ", ".join(counts if name in record.judged.declared else ["not declared", *counts])


def _rest(record: RunRecord) -> Iterator[str]:
    if all(judgement.verdict is ScenarioVerdict.PASS for judgement in record.judgements):
        return
    yield "\n## What did not pass"
    for verdict in _LISTED_ONE_BY_ONE:
        if judgements := record.with_verdict(verdict):
            yield f"\n### {verdict.capitalize()}\n"
            yield from (f"- {_line(judgement)}" for judgement in judgements)
    for verdict in sorted(NOT_JUDGED):
        yield from _not_judged(record.with_verdict(verdict), verdict)


def _line(judgement: Judgement) -> str:
    about, reason = judgement.about, judgement.reason
    shown = reason if len(reason) <= _MAX_REASON_LENGTH else f"{reason[:_MAX_REASON_LENGTH]}…"
    examples = f" ({judgement.of_examples})" if judgement.of_examples and judgement.verdict in BAD else ""
    return f"`{about.id}` ({about.level}, {about.home}){examples}: {_escaped(shown)}"


def _not_judged(judgements: Sequence[Judgement], verdict: ScenarioVerdict) -> Iterator[str]:
    """One line per reason, with the ids of its scenarios."""
    by_reason: dict[str, list[str]] = {}
    for judgement in judgements:
        by_reason.setdefault(judgement.reason, []).append(f"`{judgement.about.id}`")
    if by_reason:
        yield f"\n### {verdict.capitalize()}\n"
    yield from (f"- {_escaped(reason)}: {', '.join(ids)}" for reason, ids in by_reason.items())


def _escaped(text: str) -> str:
    """A server's text is data: it must not become a link, a tag or a table on the page."""
    return "".join(f"\\{character}" if character in "\\`*_[]<>|" else character for character in text)
