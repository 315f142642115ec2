"""Target files: valid keys, and clear errors for invalid files before anything is judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.harness.outline.options import SuiteOptions
from features.harness.target.target_file import (
    TARGETS,
    ServerRole,
    TargetFileError,
    find_target,
    known_ids,
    load_target,
)
from tests.features.suite import run_suite
from tests.features.throwaway import ONE_MODEL, answering

_USAGE_ERROR = 4
_MINIMAL = 'name = "One"\ncapabilities = "all"\n[server]\nurl = "http://127.0.0.1:1"\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "target.toml"
    path.write_text(text, encoding="utf-8")
    return path


def options_without_target() -> SuiteOptions:
    fields = dict.fromkeys(SuiteOptions.__dataclass_fields__, None)
    return SuiteOptions(**{**fields, "ids": (), "levels": (), "capability": (), "spec_rows": (), "without": ()})  # type: ignore[arg-type]


@pytest.mark.parametrize("path", sorted(TARGETS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_target_in_the_repository_can_be_read(path: Path) -> None:
    target = load_target(path)
    assert target.name
    assert target.capabilities is not None


def test_a_target_is_found_by_url_by_file_and_by_name(tmp_path: Path) -> None:
    by_url = find_target("http://127.0.0.1:1")
    assert by_url.roles[ServerRole.SERVER].url == "http://127.0.0.1:1"
    assert by_url.capabilities is None, "a bare URL is taken to have all"
    assert find_target(str(written(tmp_path, _MINIMAL))).name == "One"
    assert find_target("reference").path == TARGETS / "reference.toml"


def test_the_error_for_an_unknown_target_lists_the_known_ones() -> None:
    with pytest.raises(TargetFileError, match=r"one of .*reference"):
        find_target("no-such-target")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "TOMLDecodeError"),
        ('name = "One"\n[server]\nurl = "http://x"', "capabilities"),
        ('name = "One"\ncapabilities = "all"', r"\[server\] is missing"),
        (
            'name = "One"\ncapabilities = "all"\n[server]\nurl = "http://x"\ncommand = ["x"]',
            "either a url or a command",
        ),
        (f"colour = 1\n{_MINIMAL}", "unknown keys .'colour'"),
        (_MINIMAL.replace('"all"', '["flight"]'), "capabilities: unknown capability flight; choose from messages"),
        (f'without = ["flight"]\n{_MINIMAL}', "without: unknown capability flight"),
        (f'{_MINIMAL}[disabled]\nflight = "no"', "disabled: unknown capability flight"),
        (f'{_MINIMAL}[[expected_failure]]\nid = "no-such-id"\nreason = "x"', "no scenario has the id no-such-id"),
        (f'{_MINIMAL}[[expected_failure]]\nid = "reply-shape"', "reason"),
    ],
)
def test_an_invalid_file_is_refused_with_a_message_that_names_the_problem(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(TargetFileError, match=message):
        load_target(written(tmp_path, text))


def test_the_ids_of_all_chapters_are_known() -> None:
    assert {"reply-shape", "key-missing", "stream-equals-reply"} <= known_ids()


def test_an_unknown_target_is_a_usage_error(tmp_path: Path) -> None:
    run = run_suite("--target", "no-such-target", "--id", "reply-shape", report=tmp_path / "report.xml")
    assert run.exit_code == _USAGE_ERROR
    assert "unknown target no-such-target" in run.output


@pytest.mark.parametrize("option", ["--capabilities", "--without", "--capability"])
def test_an_unknown_capability_is_a_usage_error(option: str, almost_a_server: str, tmp_path: Path) -> None:
    run = run_suite("--target", almost_a_server, option, "flight", report=tmp_path / "report.xml")
    assert run.exit_code == _USAGE_ERROR
    assert f"{option}: unknown capability flight" in run.output


def test_a_key_is_read_from_the_environment_variable_that_the_file_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {**ONE_MODEL, "/health": {"the key": "KEY"}}
    arguments = ("--id", "health-tells-memory")
    with answering(answers) as url:
        text = _MINIMAL.replace("http://127.0.0.1:1", url)
        path = written(tmp_path, f'api_key_env = "KEY_OF_A_TEST"\n{text}')
        run = run_suite("--target", str(path), *arguments, report=tmp_path / "report.xml")
        assert run.exit_code == _USAGE_ERROR
        assert "KEY_OF_A_TEST, which is not set" in run.output
        monkeypatch.setenv("KEY_OF_A_TEST", "sk-from-the-environment")
        run = run_suite("--target", str(path), *arguments, report=tmp_path / "report.xml")
        assert run.verdicts == {"health-tells-memory": "fail"}
        assert "sk-from-the-environment" not in (tmp_path / "report.json").read_text()
        assert '{\\"the key\\": \\"…\\"}' in (tmp_path / "report.json").read_text()


def test_a_command_with_a_folder_requires_the_option(tmp_path: Path) -> None:
    text = 'name = "One"\ncapabilities = "all"\n[server]\ncommand = ["serve", "{folder}"]\n'
    run = run_suite("--target", str(written(tmp_path, text)), "--id", "reply-shape", report=tmp_path / "report.xml")
    assert run.exit_code == _USAGE_ERROR
    assert "--model-folder" in run.output


def test_a_command_that_does_not_start_a_server_ends_the_run(tmp_path: Path) -> None:
    text = (
        'name = "One"\ncapabilities = "all"\n[server]\ncommand = ["{python}", "-c", "raise SystemExit(\'no luck\')"]\n'
    )
    run = run_suite("--target", str(written(tmp_path, text)), "--id", "reply-shape", report=tmp_path / "report.xml")
    assert run.exit_code == _USAGE_ERROR
    assert "no luck" in run.output


def test_a_capability_that_the_model_does_not_have_is_not_judged(tmp_path: Path) -> None:
    cannot = {"id": "nothing", "capabilities": {"structured_outputs": {"supported": False}}}
    with answering({**ONE_MODEL, "/v1/models/nothing": cannot}) as url:
        run = run_suite("--target", url, "--capability", "structured-output", report=tmp_path / "report.xml")
    assert set(run.verdicts.values()) == {"unsupported"}


def test_the_word_all_declares_every_capability(almost_a_server: str, tmp_path: Path) -> None:
    card = tmp_path / "card.md"
    run = run_suite(
        *("--target", almost_a_server, "--capabilities", "all", "--without", "models", "--scorecard", str(card)),
        *("--id", "health-tells-requests", "--id", "models-list-shape"),
        report=tmp_path / "report.xml",
    )
    assert run.verdicts == {"health-tells-requests": "fail", "models-list-shape": "unsupported"}
    assert "MUST: none of 1 scenarios was judged. SHOULD: 0 of 1 scenarios pass." in card.read_text()
