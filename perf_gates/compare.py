"""Compares our server with `mlx_lm.server` and others: the same model, BLAS and workloads, alternated in one run.

    python -m perf_gates.compare [--model FOLDER] [--rounds N] [--only WORDS] [--url NAME=URL ...]

Prints a Markdown table of medians and of the ratios to each other server. A ratio above 1 means that ours is better,
for times as well as for speeds. The exit status is 1 if ours is worse than `mlx_lm.server` by more than the noise or
misses a required ratio. Figures of a --url server are comparable only if it serves the same model.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import httpx

from pensieve.device import blas

blas.preload()  # before anything imports MLX

# ruff: noqa: E402
from pensieve.device.device import device_info
from pensieve.models.files.atomic_folder import make_folder
from pensieve.models.files.home import home
from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.library.embedded import SMOLLM2
from pensieve.models.library.resolve import resolve
from pensieve.models.loading.load import load
from perf_gates.loads.loads import WORKLOADS, Target, Workload, ask, user
from perf_gates.loads.servers import serving, serving_mlx_lm
from perf_gates.loads.shapes import SHAPES, shape_folder

NOISE: Final = 0.05
"""How far apart two equally fast servers may measure on a busy machine."""
OURS, THEIRS = "pensieve", "mlx_lm.server"

Figures = dict[str, dict[str, list[float]]]
"""One figure per round, by workload title and target name."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    workloads = [workload for workload in WORKLOADS if options.only is None or options.only in workload.title]
    with ExitStack() as stack:
        targets = _targets(stack, _folder(options.model, options.shape), options.url)
        for target in targets:
            ask(target, user("Hello"), 4)  # warm-up, so that no figure includes first-use work
        figures = measure_all(workloads, targets, options.rounds)
    print(f"\n{device_info().describe()}, load average {os.getloadavg()[0]:.1f}, medians of {options.rounds} rounds\n")
    print(as_markdown(workloads, targets, figures))
    missed = misses(workloads, figures)
    print("\n".join(["", *missed]) if missed else "\nOurs is not worse in any row and reaches every required ratio.")
    return 1 if missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m perf_gates.compare", description=__doc__)
    parser.add_argument("--model", default=SMOLLM2.name, help="a model folder or name (default: the embedded model)")
    parser.add_argument("--shape", choices=SHAPES, help="use a model of this shape with random weights instead")
    parser.add_argument("--rounds", type=int, default=3, help="how often each server runs each workload")
    parser.add_argument("--only", metavar="WORDS", help="run only the workloads whose title contains WORDS")
    parser.add_argument("--url", action="append", default=[], metavar="NAME=URL", help="a further server; repeatable")
    return parser


def measure_all(workloads: Sequence[Workload], targets: Sequence[Target], rounds: int) -> Figures:
    """Run each workload on all targets in turn. The order alternates between rounds."""
    figures: Figures = {workload.title: {target.name: [] for target in targets} for workload in workloads}
    for number in range(rounds):
        for workload in workloads:
            for target in targets if number % 2 == 0 else targets[::-1]:
                figure = workload.measure(target, number)
                figures[workload.title][target.name].append(figure)
                progress = f"round {number + 1}: {workload.title}: {target.name} {figure:.4g} {workload.unit}"
                print(progress, file=sys.stderr)
    return figures


def as_markdown(workloads: Sequence[Workload], targets: Sequence[Target], figures: Figures) -> str:
    others = targets[1:]
    heads = ["workload", *(target.name for target in targets), *(f"{OURS} / {target.name}" for target in others)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for workload in workloads:
        row = figures[workload.title]
        cells = [workload.title, *(f"{statistics.median(row[target.name]):.4g} {workload.unit}" for target in targets)]
        cells += [f"{median_ratio(workload, row, target.name):.2f}" for target in others]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def median_ratio(workload: Workload, row: dict[str, list[float]], other: str) -> float:
    """The median of the ratios per round, so that a slow phase of the machine affects both servers alike."""
    return statistics.median(workload.ratio(ours, theirs) for ours, theirs in zip(row[OURS], row[other], strict=True))


def misses(workloads: Sequence[Workload], figures: Figures) -> list[str]:
    """One sentence for each workload in which ours is worse than mlx-lm's server or misses its required ratio."""
    sentences = []
    for workload in workloads:
        ratio, min_ratio = median_ratio(workload, figures[workload.title], THEIRS), workload.min_ratio or 1 - NOISE
        if ratio < min_ratio:
            sentences.append(f"{workload.title}: expected at least {min_ratio:g} times {THEIRS}, actual {ratio:.2f}")
    return sentences


def _targets(stack: ExitStack, folder: Path, urls: Sequence[str]) -> list[Target]:
    ours = stack.enter_context(serving("--model", str(folder), "--cache-disk", "0"))
    # Ours disables compilation on CPUs, where it gains nothing and runs a C++ compiler, so theirs does too.
    environment = {"MLX_DISABLE_COMPILE": "1"} if device_info().backend == "cpu" else {}
    theirs = stack.enter_context(serving_mlx_lm(folder, environment=environment))
    targets = [Target(OURS, ours.url, _served_model(ours.url)), Target(THEIRS, theirs.url, "default_model")]
    for argument in urls:
        name, _, url = argument.rpartition("=")
        targets.append(Target(name or url, url.rstrip("/"), _served_model(url.rstrip("/"))))
    return targets


def _served_model(url: str) -> str:
    """The first model that the server lists."""
    return str(httpx.get(f"{url}/v1/models", timeout=300).raise_for_status().json()["data"][0]["id"])


def _folder(model: str, shape: str | None) -> Path:
    """A folder that both servers run at the same speed. On a CPU its weights are dense."""
    if shape is not None:
        return shape_folder(SHAPES[shape])
    folder = resolve(model, progress=ConsoleProgress())
    return _dense(folder) if device_info().backend == "cpu" else folder.path


def _dense(folder: ModelFolder) -> Path:
    """A copy with the dense weights that our server unpacks on a CPU, which mlx-lm's server does not do."""
    dense = home() / "perf_gates" / f"{folder.path.name}-dense"
    write = partial(_write_dense, folder)
    make_folder(dense, write, source=folder.id, needed_bytes=1 << 30, progress=ConsoleProgress())
    return dense


def _write_dense(folder: ModelFolder, target: Path) -> None:
    import mlx.core as mx  # noqa: PLC0415 - the BLAS comes first
    from mlx.utils import tree_flatten  # noqa: PLC0415

    for path in folder.path.iterdir():
        if path.suffix in (".json", ".jinja", ".txt", ".model") and "safetensors" not in path.name:
            shutil.copyfile(path, target / path.name)
    (target / "pensieve-manifest.json").unlink(missing_ok=True)
    config = json.loads((target / "config.json").read_text(encoding="utf-8"))
    without_quantization = {
        key: value for key, value in config.items() if key not in ("quantization", "quantization_config")
    }
    (target / "config.json").write_text(json.dumps(without_quantization), encoding="utf-8")
    mx.save_safetensors(str(target / "model.safetensors"), dict(tree_flatten(load(folder).model.parameters())))


if __name__ == "__main__":
    sys.exit(main())
