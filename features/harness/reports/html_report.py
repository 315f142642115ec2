"""A self-contained HTML page: every verdict, and the HTTP exchanges of each failed scenario."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from features.harness.outline.capabilities import registry
from features.harness.reports.scorecard import headline
from features.harness.verdicts.run_record import RunRecord
from features.harness.verdicts.verdicts import Example, Judgement, ScenarioVerdict

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1c1c1c; }
h2 { margin: 2.5rem 0 .2rem; } p.sentence { margin-top: 0; color: #555; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; vertical-align: top; padding: .3rem .6rem;
border-top: 1px solid #ddd; } td.verdict { white-space: nowrap; font-weight: 600; }
.pass { color: #1a7f37; } .fail, .error, .unexpected-pass { color: #b42318; }
.expected-failure { color: #9a6700; } .unsupported, .disabled { color: #777; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f6f6f4; padding: .8rem; border-radius: .3rem; }
code { font-size: .9em; } summary { cursor: pointer; }
@media (prefers-color-scheme: dark) { body { background: #161616; color: #ddd; } pre { background: #242424; }
td, th { border-color: #333; } p.sentence { color: #aaa; } .pass { color: #57ab5a; }
.fail, .error, .unexpected-pass { color: #f47067; } .expected-failure { color: #d4a72c; } }
"""


def rendered(record: RunRecord) -> str:
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(record.target_name)}: conformance</title><style>{_STYLE}</style></head><body>",
            *_head(record),
            *(part for name in registry().capabilities for part in _chapter(record, name)),
            "</body></html>",
            "",
        ]
    )


def _head(record: RunRecord) -> Iterator[str]:
    yield f"<h1>{escape(record.target_name)}</h1>"
    started = record.started_at.strftime("%Y-%m-%d %H:%M UTC")
    by = f"the conformance suite, version {escape(record.suite_version)}"
    yield f"<p>Judged on {started}{escape(record.place)} by {by}.</p>"
    yield f"<p>{escape(record.judged.file.note)}</p><p>{escape(headline(record))}</p>"


def _chapter(record: RunRecord, name: str) -> Iterator[str]:
    judgements = record.of_capability(name)
    if not judgements:
        return
    yield f'<h2 id="{name}">{name}</h2><p class="sentence">{escape(registry().capabilities[name].sentence)}</p>'
    yield "<table><tr><th>verdict</th><th>level</th><th>scenario</th></tr>"
    yield from map(_row, judgements)
    yield "</table>"


def _row(judgement: Judgement) -> str:
    about, verdict = judgement.about, judgement.verdict
    words = [f"<code>{escape(about.id)}</code> {escape(about.name)}"]
    if verdict is not ScenarioVerdict.PASS:
        words.append(f"<br>{escape(judgement.reason)}")
        words.append(escape(f" ({judgement.of_examples})") if judgement.of_examples else "")
    words += [_example(example) for example in judgement.examples if example.transcript or _is_failure(example)]
    kind = verdict.replace(" ", "-")
    return (
        f'<tr id="{escape(about.id)}"><td class="verdict {kind}">{verdict}</td><td>{about.level}</td>'
        f"<td>{''.join(words)}</td></tr>"
    )


def _is_failure(example: Example) -> bool:
    return example.verdict in (ScenarioVerdict.FAIL, ScenarioVerdict.ERROR)


def _example(example: Example) -> str:
    title = escape(example.label or "Transcript")
    return (
        f"<details><summary>{title}</summary><pre>{escape(example.reason)}</pre>"
        f"<pre>{escape(example.transcript)}</pre></details>"
    )
