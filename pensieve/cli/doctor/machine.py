"""Checks of the machine: memory and what uses it, the GPU's limit on a Mac, disks, and file descriptors."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Final

import psutil

from pensieve.cli.doctor.check import IS_MAC, CheckResult, Subject, ok, problem, skipped
from pensieve.cli.sizes import format_gigabytes
from pensieve.cli.wiring import capacity_bytes
from pensieve.core.errors import ValidationError
from pensieve.models.files.home import home, home_problem

_GB: Final = 1000**3
_MIN_FREE_MEMORY: Final = 2 * _GB
"""What the embedded model and its process take, twice over."""
MIN_FREE_DISK: Final = 5 * _GB
"""A small model for coding, or half of the default prompt cache."""
_MIN_FILES: Final = 1024
_PROGRAM_BYTES: Final = _GB // 2
_WARN: Final = 2


def memory(subject: Subject) -> CheckResult:
    machine = psutil.virtual_memory()
    total = subject.device.memory_bytes or machine.total
    programs = _largest_programs()
    used = "; the largest programs: " + ", ".join(f"{name} {format_gigabytes(size)}" for name, size in programs)
    available = min(machine.available, total)
    what = f"{format_gigabytes(available)} of {format_gigabytes(total)} are free{used if programs else ''}"
    names = [name for name, _ in programs]
    try:
        capacity_bytes(subject.served.memory_limit, total)
    except ValidationError as error:
        return problem(f"{what}; {error}", "lower PENSIEVE_MEMORY_LIMIT, or leave it out", *names)
    if available < _MIN_FREE_MEMORY or (IS_MAC and _mac_pressure() >= _WARN):
        return problem(what, "close programs that you do not need, or unload models from other servers", *names)
    return ok(what, *names)


def _largest_programs() -> list[tuple[str, int]]:
    """The three programs with most memory, all processes of a name together. Those of other users may be hidden."""
    sizes: Counter[str] = Counter()
    for process in psutil.process_iter(["name", "memory_info"]):
        if process.info["name"] and process.info["memory_info"]:
            sizes[process.info["name"]] += process.info["memory_info"].rss
    return [(name, size) for name, size in sizes.most_common(3) if size >= _PROGRAM_BYTES]


def _mac_pressure() -> int:
    """The level of memory pressure that macOS reports: 1 normal, 2 warning, 4 critical. Not run on a Mac yet."""
    try:
        text = subprocess.run(  # a fixed command
            ("/usr/sbin/sysctl", "-n", "kern.memorystatus_vm_pressure_level"),
            capture_output=True, text=True, timeout=10, check=False,
        ).stdout  # fmt: skip
        return int(text)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return 1


def gpu_limit(subject: Subject) -> CheckResult:
    """Beyond that limit, Metal makes the whole machine slow, or fails. Not run on a Mac yet."""
    allowed, total = subject.device.max_gpu_bytes, subject.device.memory_bytes
    if allowed is None or total is None:
        return skipped("only a Mac limits the memory of its GPU")
    try:
        limit = capacity_bytes(subject.served.memory_limit, total)
    except ValidationError:
        return skipped("the memory limit is wrong")
    what = f"macOS lets the GPU use {format_gigabytes(allowed)}, and Pensieve's limit is {format_gigabytes(limit)}"
    if limit <= allowed:
        return ok(what)
    megabytes = -(-limit // 2**20)
    return problem(
        what,
        f"set PENSIEVE_MEMORY_LIMIT={allowed // _GB}GB, or raise the GPU's limit until the next restart with "
        f"`sudo sysctl iogpu.wired_limit_mb={megabytes}`",
    )


def disk(_: Subject) -> CheckResult:
    if wrong := home_problem():
        return problem(wrong, "set PENSIEVE_HOME to a folder that can be written", home())
    from huggingface_hub import constants  # noqa: PLC0415 - half a second

    folders = {"Pensieve's files": home(), "models from the hub": Path(constants.HF_HUB_CACHE)}
    free = {what: shutil.disk_usage(_existing(folder)).free for what, folder in folders.items()}
    what = ", ".join(f"{format_gigabytes(num_bytes)} free for {name}" for name, num_bytes in free.items())
    for folder in folders.values():
        if not os.access(_existing(folder), os.W_OK | os.X_OK):
            fix = "set PENSIEVE_HOME and HF_HOME to folders that can be written"
            return problem(f"{folder} cannot be written", fix, folder)
    if min(free.values()) < MIN_FREE_DISK:
        fix = "`pensieve models remove NAME`, `pensieve cache prune --to-bytes 1GB`, or set PENSIEVE_HOME and HF_HOME"
        return problem(what, f"{fix} to folders on another disk")
    return ok(what)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    while not folder.exists():
        folder = folder.parent
    return folder


def descriptors(_: Subject) -> CheckResult:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard in (resource.RLIM_INFINITY, -1):
        return ok("no limit on open files")
    what = f"a process may open {hard} files"
    return ok(what) if hard >= _MIN_FILES else problem(what, f"raise the limit: `ulimit -n {_MIN_FILES}` or more")
