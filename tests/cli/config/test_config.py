"""`pensieve config`, the starter file and the page of all settings (U5)."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from pensieve.cli.config.document import settings_document
from pensieve.cli.config.edit import starter_text
from pensieve.cli.config.examples import EXAMPLES
from pensieve.cli.main import main
from pensieve.cli.settings.settings_file import read_settings_file
from pensieve.cli.settings.table import MODEL_TABLE, TABLE

PAGE = Path(__file__).parents[3] / "docs" / "settings.md"
FIX = "write it again with: python -m pensieve.cli.config.document > docs/settings.md"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the settings file of this test would be."""
    monkeypatch.delenv("PENSIEVE_CONFIG")
    monkeypatch.setenv("PENSIEVE_HOME", str(tmp_path))
    return tmp_path / "config.toml"


def test_show_says_where_each_value_comes_from(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(
        '\nmax_queued = 3\n[models."org/name"]\ntop_k = 7\ntemplate_arguments = {a = true}', encoding="utf-8"
    )
    monkeypatch.setenv("PENSIEVE_LOG_LEVEL", "info")
    assert main(["config", "show", "--port", "9000", "--api-key", "secret"]) == 0
    printed = capsys.readouterr().out
    rows = [re.split(r"\s{2,}", line.strip()) for line in printed.splitlines()]
    for row in (
        ["port", "9000", "--port"],
        ["api_key", "(hidden)", "--api-key"],
        ["log_level", "info", "PENSIEVE_LOG_LEVEL"],
        ["max_queued", "3", "config.toml:2"],
        ["host", "127.0.0.1", "default"],
        ['[models."org/name"]'],
        ["top_k", "7", "config.toml:4"],
        ["template_arguments", "a = true", "config.toml:5"],
    ):
        assert row in rows
    assert str(file) in printed
    assert "secret" not in printed


def test_show_has_what_the_makers_of_the_served_model_recommend(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def rows(*flags: str) -> list[list[str]]:
        assert main(["config", "show", *flags]) == 0
        return [re.split(r"\s{2,}", line.strip()) for line in capsys.readouterr().out.splitlines()]

    assert not file.exists()
    embedded = rows("--top-k", "5")  # before it is downloaded
    assert ["temperature", "0.2", "smollm2-135m's makers"] in embedded
    assert ["top_p", "0.9", "smollm2-135m's makers"] in embedded
    assert ["top_k", "5", "--top-k"] in embedded
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "config.json").touch()
    (folder / "generation_config.json").write_text('{"temperature": 0.6, "top_k": 20}', encoding="utf-8")
    own = rows("--model", str(folder), "--temperature", "0.3")
    assert ["temperature", "0.3", "--temperature"] in own
    assert ["top_k", "20", "own's makers"] in own
    assert ["top_p", "the model's own", "default"] in own
    assert ["temperature", "the model's own, else 1.0", "default"] in rows("--model", "org/elsewhere")


def test_check_names_everything_that_is_wrong_at_once(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", "check"]) == 0
    file.write_text("prot = 1\ntop_p = 2", encoding="utf-8")
    monkeypatch.setenv("PENSIEVE_TOP_K", "many")
    monkeypatch.setenv("PENSIEVE_MODLE", "x")
    assert main(["config", "check"]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert errors == [
        f"pensieve: {file}, line 1: prot: unknown setting; did you mean port?",
        f"pensieve: {file}, line 2: top_p: 2 is not a number from 0.0 to 1.0",
        "pensieve: PENSIEVE_TOP_K: 'many' is not a whole number, at least 0",
        "pensieve: PENSIEVE_MODLE is not a variable of Pensieve; did you mean PENSIEVE_MODEL?",
    ]


def test_check_names_settings_that_contradict_each_other(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text('host = "0.0.0.0"', encoding="utf-8")
    assert main(["config", "check"]) == 1
    assert "set a key" in capsys.readouterr().err


def test_path_prints_the_path_alone(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "path"]) == 0
    assert capsys.readouterr().out == f"{file}\n"


def test_edit_makes_a_file_in_which_nothing_is_set_and_checks_what_becomes_of_it(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    editor = tmp_path / "an editor.py"
    editor.write_text("import sys; open(sys.argv[1], 'a').write('prot = 1')", encoding="utf-8")
    monkeypatch.setenv("VISUAL", "true")
    assert main(["config", "edit"]) == 0
    assert file.read_text(encoding="utf-8") == starter_text()
    assert file.stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("VISUAL", f"{sys.executable} '{editor}'")
    assert main(["config", "edit"]) == 1
    assert "prot: unknown setting; did you mean port?" in capsys.readouterr().err


def test_the_starter_file_has_every_setting_with_a_value_that_is_accepted(tmp_path: Path) -> None:
    assert tomllib.loads(starter_text()) == {}
    lines = [line for line in starter_text().splitlines() if re.match(r"# (\w+ = |\[)", line)]
    path = tmp_path / "config.toml"
    (tmp_path / "keys.toml").write_text("alice = 'key'", encoding="utf-8")
    for written in (path, tmp_path / "keys.toml"):
        written.touch()
        written.chmod(0o600)
    path.write_text("\n".join(line.removeprefix("# ") for line in lines), encoding="utf-8")
    found = read_settings_file(path)
    assert found.problems == ()
    assert {*found.values} == {setting.name for setting in TABLE} - {"model_settings"}
    assert {*found.models["organisation/name"]} == {setting.name for setting in MODEL_TABLE}


def test_every_setting_has_an_example() -> None:
    assert {*EXAMPLES} == {setting.name for setting in (*TABLE, *MODEL_TABLE)} - {"model_settings"}


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == settings_document(), FIX
