"""The scorecard: how far a server conforms, on one page of Markdown. What was not judged is never counted as kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from features.harness.outline.capabilities import registry
from features.harness.outline.tags import LEVELS
from features.harness.verdicts.run_record import RunRecord
from features.harness.verdicts.verdicts import BAD, NOT_JUDGED, Judgement, Verdict

_LONGEST_REASON = 240
_TOLD_ONE_BY_ONE = (Verdict.UNEXPECTED_PASS, Verdict.ERROR, Verdict.FAIL, Verdict.EXPECTED_FAILURE)


def rendered(record: RunRecord) -> str:
    return "\n".join([*_head(record), *_table(record), *_rest(record)]) + "\n"


def headline(record: RunRecord) -> str:
    """The verdict on the server in one sentence or two."""
    sentences = [_of_level(record, level) for level in LEVELS if record.of_level(level)]
    if record.left_out:
        sentences.append(f"The run was of a part of the suite: {record.left_out} scenarios were left out.")
    if record.undeclared:
        told = "; ".join(
            f"{name} ({registry().capabilities[name].sentence.removesuffix('.')})" for name in record.undeclared
        )
        sentences.append(f"It does not declare {told}.")
    return " ".join(sentences)


def _of_level(record: RunRecord, level: str) -> str:
    of_level = record.of_level(level)
    judged = [judgement for judgement in of_level if judgement.verdict not in NOT_JUDGED]
    passed = sum(judgement.verdict is Verdict.PASS for judgement in judged)
    left = len(of_level) - len(judged)
    if not judged:
        return f"{level}: none of {left} scenarios was judged."
    told = f"{level}: {passed} of {len(judged)} scenarios pass"
    return f"{told}; {left} more were not judged." if left else f"{told}."


def _head(record: RunRecord) -> Iterator[str]:
    yield f"# Scorecard: {record.target_name}\n"
    day = record.started_at.date().isoformat()
    yield f"Judged on {day}{_escaped(record.place)} by the conformance suite, version {record.suite_version}.\n"
    if record.judged.file.note:
        yield f"{record.judged.file.note}\n"
    yield f"{headline(record)}\n"


def _table(record: RunRecord) -> Iterator[str]:
    yield "| capability | MUST passed | SHOULD passed | besides |"
    yield "|---|---|---|---|"
    for name in registry().capabilities:
        if judgements := record.of_capability(name):
            cells = [_passed(judgements, level) for level in LEVELS]
            yield f"| {name} | {' | '.join(cells)} | {_besides(record, judgements, name)} |"


def _passed(judgements: Sequence[Judgement], level: str) -> str:
    of_level = [judgement for judgement in judgements if judgement.about.level == level]
    passed = sum(judgement.verdict is Verdict.PASS for judgement in of_level)
    return f"{passed} of {len(of_level)}" if of_level else "–"


def _besides(record: RunRecord, judgements: Sequence[Judgement], name: str) -> str:
    told = [
        f"{number} {verdict}"
        for verdict in Verdict
        if verdict is not Verdict.PASS and (number := sum(judgement.verdict is verdict for judgement in judgements))
    ]
    return ", ".join(told if name in record.judged.declared else ["not declared", *told])


def _rest(record: RunRecord) -> Iterator[str]:
    if all(judgement.verdict is Verdict.PASS for judgement in record.judgements):
        return
    yield "\n## What did not pass"
    for verdict in _TOLD_ONE_BY_ONE:
        if judgements := record.with_verdict(verdict):
            yield f"\n### {verdict.capitalize()}\n"
            yield from (f"- {_told(judgement)}" for judgement in judgements)
    for verdict in sorted(NOT_JUDGED):
        yield from _not_judged(record.with_verdict(verdict), verdict)


def _told(judgement: Judgement) -> str:
    about, reason = judgement.about, judgement.reason
    shown = reason if len(reason) <= _LONGEST_REASON else f"{reason[:_LONGEST_REASON]}…"
    examples = f" ({judgement.of_examples})" if judgement.of_examples and judgement.verdict in BAD else ""
    return f"`{about.id}` ({about.level}, {about.home}){examples}: {_escaped(shown)}"


def _not_judged(judgements: Sequence[Judgement], verdict: Verdict) -> Iterator[str]:
    """One line a reason, with the ids that it stands for."""
    by_reason: dict[str, list[str]] = {}
    for judgement in judgements:
        by_reason.setdefault(judgement.reason, []).append(f"`{judgement.about.id}`")
    if by_reason:
        yield f"\n### {verdict.capitalize()}\n"
    yield from (f"- {_escaped(reason)}: {', '.join(ids)}" for reason, ids in by_reason.items())


def _escaped(text: str) -> str:
    """A server's words are data: they make no link, no tag and no table of the page."""
    return "".join(f"\\{character}" if character in "\\`*_[]<>|" else character for character in text)
