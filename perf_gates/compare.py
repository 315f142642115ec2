"""Our server beside `mlx_lm.server`, and beside any other: one model, one BLAS, the same loads in turn, in one run.

    python -m perf_gates.compare [--model FOLDER] [--rounds N] [--only WORDS] [--url NAME=URL ...]

Prints a Markdown table of medians, with ours over each of the others': above 1 ours is better, whichever way the
figure goes. The exit status is 1 where ours is worse than `mlx_lm.server` by more than the noise, or a promised ratio
is missed.
A server of --url has to serve the same model for its figures to say anything.
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
"""How much worse two equal servers may look on a machine that does other things."""
OURS, THEIRS = "pensieve", "mlx_lm.server"

Figures = dict[str, dict[str, list[float]]]
"""By load and by target, a figure a round."""


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    loads = [each for each in WORKLOADS if asked.only is None or asked.only in each.title]
    with ExitStack() as stack:
        targets = _targets(stack, _folder(asked.model, asked.shape), asked.url)
        for target in targets:
            ask(target, user("Hello"), 4)  # what is compiled or read at first use is in nobody's figures
        figures = measured(loads, targets, asked.rounds)
    print(f"\n{device_info().describe()}, load average {os.getloadavg()[0]:.1f}, medians of {asked.rounds} rounds\n")
    print(as_markdown(loads, targets, figures))
    missed = misses(loads, figures)
    print("\n".join(["", *missed]) if missed else "\nOurs is worse in no row, and what is promised holds.")
    return 1 if missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m perf_gates.compare", description=__doc__)
    parser.add_argument("--model", default=SMOLLM2.name, help="a folder or name (default: the embedded one)")
    parser.add_argument("--shape", choices=SHAPES, help="a model of random weights of this shape instead")
    parser.add_argument("--rounds", type=int, default=3, help="how often each load is sent to each server")
    parser.add_argument("--only", metavar="WORDS", help="the rows whose title has these words")
    parser.add_argument("--url", action="append", default=[], metavar="NAME=URL", help="another server; repeatable")
    return parser


def measured(loads: Sequence[Workload], targets: Sequence[Target], rounds: int) -> Figures:
    """Each load, sent to one target after the other; who is first changes from round to round."""
    figures: Figures = {each.title: {target.name: [] for target in targets} for each in loads}
    for number in range(rounds):
        for each in loads:
            for target in targets if number % 2 == 0 else targets[::-1]:
                figure = each.measure(target, number)
                figures[each.title][target.name].append(figure)
                print(f"round {number + 1}: {each.title}: {target.name} {figure:.4g} {each.unit}", file=sys.stderr)
    return figures


def as_markdown(loads: Sequence[Workload], targets: Sequence[Target], figures: Figures) -> str:
    others = targets[1:]
    heads = ["load", *(target.name for target in targets), *(f"{OURS} / {target.name}" for target in others)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for each in loads:
        row = figures[each.title]
        cells = [each.title, *(f"{statistics.median(row[target.name]):.4g} {each.unit}" for target in targets)]
        cells += [f"{median_ratio(each, row, target.name):.2f}" for target in others]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def median_ratio(load: Workload, row: dict[str, list[float]], other: str) -> float:
    """The median of the ratios that each round gave: what slows the machine for a while slows both."""
    return statistics.median(load.ratio(ours, theirs) for ours, theirs in zip(row[OURS], row[other], strict=True))


def misses(loads: Sequence[Workload], figures: Figures) -> list[str]:
    """A sentence for each row in which ours is worse than mlx-lm's server, or less better than promised."""
    found = []
    for each in loads:
        ratio, least = median_ratio(each, figures[each.title], THEIRS), each.min_ratio or 1 - NOISE
        if ratio < least:
            found.append(f"{each.title}: expected at least {least:g} times {THEIRS}, actual {ratio:.2f}")
    return found


def _targets(stack: ExitStack, folder: Path, urls: Sequence[str]) -> list[Target]:
    ours = stack.enter_context(serving("--model", str(folder), "--cache-disk", "0"))
    # Ours leaves compiling away on a CPU, where it gains nothing and calls a C++ compiler: so does theirs.
    environment = {"MLX_DISABLE_COMPILE": "1"} if device_info().backend == "cpu" else {}
    theirs = stack.enter_context(serving_mlx_lm(folder, environment=environment))
    targets = [Target(OURS, ours.url, _served_model(ours.url)), Target(THEIRS, theirs.url, "default_model")]
    for given in urls:
        name, _, url = given.rpartition("=")
        targets.append(Target(name or url, url.rstrip("/"), _served_model(url.rstrip("/"))))
    return targets


def _served_model(url: str) -> str:
    """The first that a server lists."""
    return str(httpx.get(f"{url}/v1/models", timeout=300).raise_for_status().json()["data"][0]["id"])


def _folder(model: str, shape: str | None) -> Path:
    """A folder that both servers run at the same speed: on a CPU its weights are dense, for both."""
    if shape is not None:
        return shape_folder(SHAPES[shape])
    folder = resolve(model, progress=ConsoleProgress())
    return _dense(folder) if device_info().backend == "cpu" else folder.path


def _dense(folder: ModelFolder) -> Path:
    """The model with the weights that our server makes of it on a CPU, which mlx-lm's does not unpack."""
    made = home() / "perf_gates" / f"{folder.path.name}-dense"
    make_folder(made, partial(_write_dense, folder), source=folder.id, needed_bytes=1 << 30, progress=ConsoleProgress())
    return made


def _write_dense(folder: ModelFolder, made: Path) -> None:
    import mlx.core as mx  # noqa: PLC0415 - the BLAS comes first
    from mlx.utils import tree_flatten  # noqa: PLC0415

    for path in folder.path.iterdir():
        if path.suffix in (".json", ".jinja", ".txt", ".model") and "safetensors" not in path.name:
            shutil.copyfile(path, made / path.name)
    (made / "pensieve-manifest.json").unlink(missing_ok=True)
    config = json.loads((made / "config.json").read_text(encoding="utf-8"))
    kept = {key: value for key, value in config.items() if key not in ("quantization", "quantization_config")}
    (made / "config.json").write_text(json.dumps(kept), encoding="utf-8")
    mx.save_safetensors(str(made / "model.safetensors"), dict(tree_flatten(load(folder).model.parameters())))


if __name__ == "__main__":
    sys.exit(main())
