"""`pensieve doctor` as a process: its exit status, its report, and nothing private in it."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pensieve.cli.doctor.examination import TABLE
from pensieve.models.files.home import home

SECRETS = {
    "PENSIEVE_API_KEY": "correct-horse-battery",
    "ANTHROPIC_API_KEY": "sk-ant-planted-000000",
    "HF_TOKEN": "hf_planted00000000",
    "HTTP_PROXY": "http://marie:radium@proxy.planted.example:3128",
}


def doctor(*flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PENSIEVE_")}
    command = (sys.executable, "-m", "pensieve", "doctor", *flags)
    return subprocess.run(
        command, env={**kept, **environment}, capture_output=True, text=True, timeout=600, check=False
    )


def test_the_report_names_the_problems_and_nothing_private(tmp_path: Path) -> None:
    """Everything that a user may have chosen is planted with a word of its own."""
    user_home = tmp_path / "marie.planted"
    project = user_home / "Secret Planted Project"
    (user_home / ".claude").mkdir(parents=True)
    project.mkdir()
    settings = {"env": {"ANTHROPIC_BASE_URL": "https://planted.example", "ANTHROPIC_AUTH_TOKEN": "planted-token"}}
    (user_home / ".claude/settings.json").write_text(json.dumps(settings), encoding="utf-8")
    (project / "names.json").write_text("{planted", encoding="utf-8")
    model = project / "planted model"
    ended = doctor(
        "--quick",
        "--json",
        HOME=str(user_home),
        USER="marie.planted",
        LOGNAME="marie.planted",
        PENSIEVE_HOME=str(project),
        PENSIEVE_MODEL=str(model),
        PENSIEVE_API_KEYS=str(project / "planted keys.toml"),
        **SECRETS,
    )
    assert ended.returncode == 1, ended.stderr
    report = json.loads(ended.stdout)
    found = {result["name"]: result for result in report["checks"]}
    assert report["status"] == "problem"
    assert [result["name"] for result in report["checks"]] == [name for name, _ in TABLE]
    assert {name for name, result in found.items() if result["status"] == "problem"} >= {
        "settings",
        "its settings",
        "proxy",
    }
    assert all(result.get("fix") for result in found.values() if result["status"] == "problem")
    printed = (ended.stdout + ended.stderr).lower()
    for private in ("planted", "marie", "radium", "horse", str(tmp_path).lower()):
        assert private not in printed
    assert f'{socket.gethostname().lower()}"' not in printed


def test_an_installation_that_is_well_answers() -> None:
    """The embedded model, loaded and asked through a server of its own."""  # words: quoted
    ended = doctor(PENSIEVE_HOME=str(home()), PENSIEVE_PORT="0")
    assert "Paris" in ended.stdout, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    has_problem = "problem" in ended.stdout
    assert ended.returncode == (1 if has_problem else 0), ended.stdout


@pytest.mark.parametrize("flags", [("--verbose",), ("now",)])
def test_wrong_usage_is_refused(flags: tuple[str, ...]) -> None:
    assert doctor(*flags).returncode == 2


def test_a_home_that_cannot_exist_is_examined_too(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = doctor("--quick", PENSIEVE_HOME=str(tmp_path / "file/home"))
    assert ended.returncode == 1
    assert "set PENSIEVE_HOME" in ended.stdout
