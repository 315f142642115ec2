"""A mutant to look at: `python -m tests.mutants.serve NAME [--upstream URL]`, until it is interrupted."""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading

from features.harness.target.target import SCRIPT, reference_server
from tests.mutants.catalogue import MUTANTS, RIGHT
from tests.mutants.proxy import served


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the reference server with one fault.")
    by_name = {mutant.name: mutant for mutant in (RIGHT, *MUTANTS)}
    parser.add_argument("name", choices=sorted(by_name), metavar="NAME", help=", ".join(by_name))
    parser.add_argument(
        "--upstream", metavar="URL", help="the right server (default: starts one that plays the suite's script)"
    )
    asked = parser.parse_args()
    with contextlib.ExitStack() as stack:
        upstream = asked.upstream or stack.enter_context(reference_server("--script", str(SCRIPT)))
        url = stack.enter_context(served(by_name[asked.name], upstream))
        mutant = by_name[asked.name]
        told = f"{mutant.caught_by or 'nothing'} where the right server {mutant.right.value}"
        sys.stdout.write(f"{mutant.name} at {url}, caught by {told}\n")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
