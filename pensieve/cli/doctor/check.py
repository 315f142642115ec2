"""What a check finds, and what it may look at."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

from pensieve.cli.doctor.device import DeviceReport, device_report
from pensieve.cli.settings.read import read_settings
from pensieve.cli.settings.settings import Settings, SettingsError
from pensieve.cli.settings.settings_file import read_settings_file
from pensieve.models.files.progress import Progress, SilentProgress

Status = Literal["ok", "problem", "skipped"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """`fix` is what to do about a problem, and None otherwise. `private` are parts of both texts that must not be in a
    bug report: paths, names of files and programs.
    """

    status: Status
    what: str
    fix: str | None = None
    private: tuple[str, ...] = ()


def ok(what: str, *private: object) -> CheckResult:
    return CheckResult("ok", what, private=tuple(map(str, private)))


def problem(what: str, fix: str, *private: object) -> CheckResult:
    return CheckResult("problem", what, fix, tuple(map(str, private)))


def skipped(why: str) -> CheckResult:
    return CheckResult("skipped", why)


@dataclass
class Subject:
    """What is examined: this machine, this user's environment, and the current folder, since Claude Code reads settings
    there. A `quick` examination computes no checksums and starts no server.
    """

    environment: Mapping[str, str]
    folder: Path
    quick: bool = False
    progress: Progress = field(default_factory=SilentProgress)

    @cached_property
    def device(self) -> DeviceReport:
        return device_report()

    @cached_property
    def settings(self) -> Settings | SettingsError:
        try:
            return read_settings(
                argparse.Namespace(), self.environment, read_settings_file(environment=self.environment)
            )
        except SettingsError as error:
            return error

    @property
    def served(self) -> Settings:
        """The settings that a server would have; the defaults if they are wrong, which is a result of its own."""
        return self.settings if isinstance(self.settings, Settings) else read_settings(argparse.Namespace(), {})


Check = Callable[[Subject], CheckResult]
IS_MAC: Final = sys.platform == "darwin"


def install_command(extra: str | None = None) -> str:
    """How this installation is made again; by default with the extra that this machine needs."""
    from pensieve.device import missing_mlx  # noqa: PLC0415 - most examinations find nothing missing
    from pensieve.device.blas import has_nvidia_gpu  # noqa: PLC0415

    if extra is None:
        extra = "" if IS_MAC else "cuda13" if has_nvidia_gpu() else "cpu"
    return missing_mlx.install_command(extra)
