"""Saved runs give the newest figure of each gate for the same machine, profile, device and model."""

from __future__ import annotations

import json
from pathlib import Path

from contracts.gates import Profile
from perf_gates.reporting.last_run import last_figures, save_run
from perf_gates.reporting.report import Report


def save(folder: Path, gate_id: str, figure: float, *, shape: str = "embedded") -> Path:
    report = Report(Profile.CUDA)
    report.judge(gate_id, figure)
    return save_run(folder, report.as_json(), report.as_markdown(), device="a GPU", shape=shape)


def figures(folder: Path, *, profile: str = "cuda", shape: str = "embedded") -> dict[str, float]:
    return last_figures(folder, profile=profile, device="a GPU", shape=shape)


def test_the_newest_figure_of_each_gate_is_used(tmp_path: Path) -> None:
    for gate_id, figure in (("G-3.1a", 10), ("G-2.2a", 20), ("G-3.1a", 30)):
        save(tmp_path, gate_id, figure)
    assert figures(tmp_path) == {"G-3.1a": 30, "G-2.2a": 20}


def test_runs_of_another_machine_profile_or_model_are_ignored(tmp_path: Path) -> None:
    path = save(tmp_path, "G-3.1a", 10, shape="qwen3-4b")
    assert figures(tmp_path) == {}
    assert figures(tmp_path, profile="cpu", shape="qwen3-4b") == {}
    assert figures(tmp_path, shape="qwen3-4b") == {"G-3.1a": 10}
    path.write_text(json.dumps({**json.loads(path.read_text()), "machine": "another"}))
    assert figures(tmp_path, shape="qwen3-4b") == {}


def test_unreadable_files_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "damaged.json").write_text("{")
    (tmp_path / "list.json").write_text("[]")
    assert figures(tmp_path) == {}
    assert figures(tmp_path / "nowhere") == {}


def test_a_run_is_saved_as_a_markdown_table_too(tmp_path: Path) -> None:
    path = save(tmp_path, "G-3.1a", 10)
    assert "| G-3.1a |" in path.with_suffix(".md").read_text(encoding="utf-8")
    assert json.loads(path.read_text())["gates"][0]["verdict"] == "pass"
