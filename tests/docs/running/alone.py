"""Runs a command where it sees only its own processes, if the system permits that: Linux does, to root.

    python -m tests.docs.running.alone COMMAND …

`pensieve ps`, `stop` and others find every server of the user, and the pages show `pensieve stop --all`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMESPACE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--")


def main(command: list[str]) -> None:
    is_permitted = shutil.which("unshare") and not subprocess.run((*NAMESPACE, "true"), check=False).returncode
    words = [*NAMESPACE, *command] if is_permitted else command
    os.execvp(words[0], words)  # noqa: S606 - in place of this process, with no shell between


if __name__ == "__main__":
    main(sys.argv[1:])
