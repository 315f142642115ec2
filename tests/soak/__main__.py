"""`python -m tests.soak`: see docs/reliability.md. Its exit status is 1 if the run broke a limit."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pensieve.device import blas
from tests.soak.plan import Plan
from tests.soak.report import as_json, write_document
from tests.soak.run import Run
from tests.soak.verdict import objections


def main(arguments: Sequence[str]) -> int:
    options = _options(arguments)
    blas.preload()
    plan = Plan(options.soak, with_embedded=not options.tiny)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        run = Run(plan, Path(folder))
        run.play()
    found = list(objections((run.steady, run.killed), run.measured, plan.level_seconds))
    report = as_json(run, found, options.note)
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(json.dumps(report, indent=2), encoding="utf-8")
    if options.document is not None:
        write_document(options.document, report)
    print("\n".join(found) or "all limits were kept", flush=True)
    return 1 if found else 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--soak", type=float, default=600, metavar="SECONDS", help="86400 is a day (default: 600)")
    parser.add_argument("--tiny", action="store_true", help="without the embedded model")
    parser.add_argument("--report", type=Path, default=Path("results/soak.json"), metavar="FILE")
    parser.add_argument("--document", type=Path, metavar="FILE", help="write the figures into this page")
    parser.add_argument("--note", default="", help="a sentence about the machine, for the report")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
