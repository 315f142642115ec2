"""Target files: what they may say, and that a wrong one is told of before anything is judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.harness.outline.options import Options
from features.harness.target.target_file import TARGETS, Role, TargetFileError, find_target, known_ids, load_target
from tests.features.suite import run_suite
from tests.features.throwaway import ONE_MODEL, answering

_USAGE_ERROR = 4
_LEAST = 'name = "One"\ncapabilities = "all"\n[server]\nurl = "http://127.0.0.1:1"\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "target.toml"
    path.write_text(text, encoding="utf-8")
    return path


def options_without_target() -> Options:
    fields = dict.fromkeys(Options.__dataclass_fields__, None)
    return Options(**{**fields, "ids": (), "levels": (), "capability": (), "spec_rows": (), "without": ()})  # type: ignore[arg-type]


@pytest.mark.parametrize("path", sorted(TARGETS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_target_of_ours_can_be_read(path: Path) -> None:
    target = load_target(path)
    assert target.name
    assert target.capabilities is not None


def test_a_target_is_found_by_url_by_file_and_by_name(tmp_path: Path) -> None:
    by_url = find_target("http://127.0.0.1:1")
    assert by_url.roles[Role.SERVER].url == "http://127.0.0.1:1"
    assert by_url.capabilities is None, "nobody has said: all are presumed"
    assert find_target(str(written(tmp_path, _LEAST))).name == "One"
    assert find_target("reference").path == TARGETS / "reference.toml"


def test_a_name_that_is_no_target_is_told_with_those_that_are() -> None:
    with pytest.raises(TargetFileError, match=r"one of .*reference"):
        find_target("no-such-target")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name = ", "TOMLDecodeError"),
        ('name = "One"\n[server]\nurl = "http://x"', "capabilities"),
        ('name = "One"\ncapabilities = "all"', r"\[server\] is missing"),
        (
            'name = "One"\ncapabilities = "all"\n[server]\nurl = "http://x"\ncommand = ["x"]',
            "either a url or a command",
        ),
        (f"colour = 1\n{_LEAST}", "unknown keys .'colour'"),
        (_LEAST.replace('"all"', '["flight"]'), "names no capability by flight; there are messages"),
        (f'without = ["flight"]\n{_LEAST}', "without names no capability by flight"),
        (f'{_LEAST}[disabled]\nflight = "no"', "disabled names no capability by flight"),
        (f'{_LEAST}[[expected_failure]]\nid = "no-such-id"\nreason = "x"', "names no scenario by no-such-id"),
        (f'{_LEAST}[[expected_failure]]\nid = "reply-shape"', "reason"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_what_is_wrong(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(TargetFileError, match=told):
        load_target(written(tmp_path, text))


def test_the_ids_of_all_chapters_are_known() -> None:
    assert {"reply-shape", "key-missing", "stream-equals-reply"} <= known_ids()


def test_a_target_that_is_unknown_is_a_usage_error(tmp_path: Path) -> None:
    run = run_suite("--target", "no-such-target", "--id", "reply-shape", report=tmp_path / "report.xml")
    assert run.exit_code == _USAGE_ERROR
    assert "there is no target no-such-target" in run.output


@pytest.mark.parametrize("option", ["--capabilities", "--without", "--capability"])
def test_a_capability_that_is_unknown_is_a_usage_error(option: str, almost_a_server: str, tmp_path: Path) -> None:
    run = run_suite("--target", almost_a_server, option, "flight", report=tmp_path / "report.xml")
    assert run.exit_code == _USAGE_ERROR
    assert f"{option} names no capability by flight" in run.output


def test_a_key_is_taken_from_the_variable_that_the_file_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {**ONE_MODEL, "/health": {"the key": "KEY"}}
    arguments = ("--id", "health-tells-memory")
    with answering(told) as url:
        text = _LEAST.replace("http://127.0.0.1:1", url)
        path = written(tmp_path, f'api_key_env = "KEY_OF_A_TEST"\n{text}')
        run = run_suite("--target", str(path), *arguments, report=tmp_path / "report.xml")
        assert run.exit_code == _USAGE_ERROR
        assert "KEY_OF_A_TEST, which is not set" in run.output
        monkeypatch.setenv("KEY_OF_A_TEST", "sk-out-of-the-environment")
        run = run_suite("--target", str(path), *arguments, report=tmp_path / "report.xml")
        assert run.verdicts == {"health-tells-memory": "fail"}
        assert "sk-out-of-the-environment" not in (tmp_path / "report.json").read_text()
        assert '{\\"the key\\": \\"…\\"}' in (tmp_path / "report.json").read_text()


def test_a_command_that_takes_a_folder_wants_one(tmp_path: Path) -> None:
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


def test_what_a_model_says_that_it_cannot_do_is_not_judged(tmp_path: Path) -> None:
    cannot = {"id": "nothing", "capabilities": {"structured_outputs": {"supported": False}}}
    with answering({**ONE_MODEL, "/v1/models/nothing": cannot}) as url:
        run = run_suite("--target", url, "--capability", "structured-output", report=tmp_path / "report.xml")
    assert set(run.verdicts.values()) == {"unsupported"}


def test_all_capabilities_are_declared_by_one_word(almost_a_server: str, tmp_path: Path) -> None:
    card = tmp_path / "card.md"
    run = run_suite(
        *("--target", almost_a_server, "--capabilities", "all", "--without", "models", "--scorecard", str(card)),
        *("--id", "health-tells-requests", "--id", "models-list-shape"),
        report=tmp_path / "report.xml",
    )
    assert run.verdicts == {"health-tells-requests": "fail", "models-list-shape": "unsupported"}
    assert "MUST: none of 1 scenarios was judged. SHOULD: 0 of 1 scenarios pass." in card.read_text()
