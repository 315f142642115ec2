"""What to print where MLX cannot be imported: the command that installs it, by the tool that installed Pensieve."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

DISTRIBUTION = "pensieve-server"


def cannot_import(error: ImportError) -> str:
    """One sentence. `error` names no module of MLX if MLX is installed and one of its libraries cannot be loaded."""
    command = install_command("cuda13" if shutil.which("nvidia-smi") else "cpu")
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == "mlx":
        return f"MLX, which computes the model, is not installed; install it with: {command}"
    return f"MLX cannot be imported ({error}); install the one for this machine with: {command}"


def install_command(
    extra: str, prefix: str = sys.prefix, executable: str = sys.executable, source: str | None = None
) -> str:
    """The command that adds an extra to this installation, which uv, pipx or pip made.

    pip keeps what is installed and adds to it; the other two begin from nothing, so they need its `source`.
    """
    name = f"{DISTRIBUTION}[{extra}]" if extra else DISTRIBUTION
    source = _source() if source is None else source
    requirement = shlex.quote(f"{name} @ {source}" if source else name)
    parents = Path(prefix).parts
    if "uv" in parents and "tools" in parents:
        return f"uv tool install {requirement}"
    if "pipx" in parents:
        return f"pipx install --force {requirement}"
    return f"{shlex.quote(executable)} -m pip install {shlex.quote(name)}"


def _source() -> str:
    """The address of a clone, file or repository (PEP 610); empty for a release of PyPI."""
    try:
        text = distribution(DISTRIBUTION).read_text("direct_url.json")
    except PackageNotFoundError:
        return ""
    origin = json.loads(text or "{}")
    vcs = origin.get("vcs_info", {}).get("vcs")
    return f"{vcs}+{origin['url']}" if vcs else str(origin.get("url", ""))
