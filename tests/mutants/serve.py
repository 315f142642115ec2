"""Serve one mutant for inspection: `python -m tests.mutants.serve NAME [--upstream URL]`, until interrupted."""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading

from features.harness.target.target import SCRIPT, reference_server
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import NO_FAULT
from tests.mutants.proxy import served


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the reference server with one fault.")
    by_name = {mutant.name: mutant for mutant in (NO_FAULT, *MUTANTS)}
    parser.add_argument("name", choices=sorted(by_name), metavar="NAME", help=", ".join(by_name))
    parser.add_argument(
        "--upstream", metavar="URL", help="the correct server (default: start one that plays the suite's script)"
    )
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        upstream = arguments.upstream or stack.enter_context(reference_server("--script", str(SCRIPT)))
        url = stack.enter_context(served(by_name[arguments.name], upstream))
        mutant = by_name[arguments.name]
        caught_by = f"{mutant.caught_by or 'nothing'} where the correct server {mutant.base.value}"
        sys.stdout.write(f"{mutant.name} at {url}, caught by {caught_by}\n")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
