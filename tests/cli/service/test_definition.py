"""What of the environment the service gets, and what it refuses."""

from pathlib import Path

import pytest

from pensieve.cli.service.definition import ServiceError, define
from pensieve.cli.settings.settings import SettingsError


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_settings_are_kept_and_other_variables_are_not(tmp_path: Path) -> None:
    kept = {"PENSIEVE_PORT": "9000", "PENSIEVE_API_KEY": "k", "HTTPS_PROXY": "http://p", "no_proxy": "localhost"}
    others = {
        "ANTHROPIC_API_KEY": "a",
        "AWS_SECRET": "s",
        "PATH": "/bin",
        "PENSIEVE_SUPERVISED": "3,4",
        "HF_TOKEN": "t",
    }
    definition = define({**kept, **others, "PENSIEVE_MODEL": ""}, tmp_path)
    assert definition.variables == kept
    assert definition.settings.port == 9000


def test_relative_paths_are_completed(tmp_path: Path) -> None:
    (tmp_path / "models/mine").mkdir(parents=True)
    given = {
        "PENSIEVE_HOME": "kept",
        "PENSIEVE_API_KEYS": "../keys.toml",
        "PENSIEVE_MODEL": "models/mine",
        "PENSIEVE_ALLOW_MODELS": "org/name,./models/mine",
    }
    keys = tmp_path.parent / "keys.toml"
    keys.write_text('name = "0123456789abcdef0123456789abcdef"\n', encoding="utf-8")
    keys.chmod(0o600)
    assert define(given, tmp_path).variables == {
        "PENSIEVE_HOME": f"{tmp_path}/kept",
        "PENSIEVE_API_KEYS": f"{tmp_path.parent}/keys.toml",
        "PENSIEVE_MODEL": f"{tmp_path}/models/mine",
        "PENSIEVE_ALLOW_MODELS": f"org/name,{tmp_path}/models/mine",
    }


def test_the_settings_file_is_that_of_the_service(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/config.toml").write_text("port = 9123\n", encoding="utf-8")
    assert define({"PENSIEVE_HOME": "kept"}, tmp_path).settings.port == 9123


def test_a_port_that_changes_and_a_wrong_setting_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="PENSIEVE_PORT"):
        define({"PENSIEVE_PORT": "0"}, tmp_path)
    with pytest.raises(SettingsError, match="PENSIEVE_PORT"):
        define({"PENSIEVE_PORT": "http"}, tmp_path)
