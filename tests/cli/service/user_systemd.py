"""A systemd of a user's own, with a journal, in namespaces where the machine looks like one that systemd runs.

It needs root, and a machine that systemd has not booted, such as a container.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from tests.support.waiting import wait_until

_SYSTEMD = Path("/lib/systemd/systemd")
_TREES = [Path("/sys/fs/cgroup", controllers) for controllers in ("", "systemd", "unified")]
_SET_UP = """
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/systemd/journal /run/log/journal /run/user/$(id -u)
head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \\n' >/run/machine-id
if [ -e /etc/machine-id ]; then mount --bind /run/machine-id /etc/machine-id; fi
/lib/systemd/systemd-journald &
for tree in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
    group=$tree/user.slice/user-$(id -u).slice/user@$(id -u).service  # by its name, journald knows a user's unit
    if [ -w $tree/cgroup.procs ] && mkdir -p $group; then echo 0 >$group/cgroup.procs; fi
done
/lib/systemd/systemd --user &
wait
"""


def why_not() -> str:
    """Why there can be none here, or ''."""
    if not os.environ.get("PENSIEVE_SYSTEMD"):
        return "`tox -e service` runs it, in a minute"
    if os.getuid() or not _SYSTEMD.exists() or not shutil.which("nsenter"):
        return "needs root, systemd's programs and nsenter"
    return "systemd runs this machine" if Path("/run/systemd/system").exists() else ""


class UserSystemd:
    """`pid` is that of the first process of its namespaces. Programs run there, with its user's environment."""

    def __init__(self, pid: int, environment: Mapping[str, str]) -> None:
        self.pid = pid
        self._environment = environment

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        home = self._environment["HOME"]
        namespaces = ("--target", str(self.pid), "--mount", "--pid", f"--wdns={home}")
        return subprocess.run(
            (shutil.which("nsenter") or "nsenter", *namespaces, *command),
            env={**self._environment, **variables},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def pensieve(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-P", "-m", "pensieve", *words, **variables)


@contextlib.contextmanager
def user_systemd(home: Path, **variables: str) -> Iterator[UserSystemd]:
    environment = {
        "HOME": str(home),
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        "XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}",
        **variables,
    }
    namespaces = ("--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc")
    process = subprocess.Popen(
        (shutil.which("unshare") or "unshare", *namespaces, "sh", "-c", _SET_UP),
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    try:
        wait_until(psutil.Process(process.pid).children)
        systemd = UserSystemd(psutil.Process(process.pid).children()[0].pid, environment)
        wait_until(lambda: systemd.run("systemctl", "--user", "show-environment").returncode == 0)
        yield systemd
    finally:
        process.kill()  # and all processes of its namespace with it
        process.wait(120)
        wait_until(_are_removed)


def _are_removed() -> bool:
    """Remove the control groups of the user, each of which stays until its last process has gone."""
    groups = [group for tree in _TREES for group in tree.glob("user.slice/**/")]
    for group in sorted(groups, reverse=True):
        with contextlib.suppress(OSError):
            group.rmdir()
    return not any(group.exists() for group in groups)
