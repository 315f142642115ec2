"""The settings file: where each value is from, what is wrong in it, and what overrides it (U5)."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import Mock

import pytest

from pensieve.cli.settings import table
from pensieve.cli.settings.read import Source, find_values, read_settings
from pensieve.cli.settings.settings import Settings, SettingsError
from pensieve.cli.settings.settings_file import read_settings_file, settings_path
from pensieve.cli.settings.toml_lines import line_numbers


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def arguments(*flags: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    table.add_arguments(parser)
    return parser.parse_args(flags)


def read(path: Path, *flags: str, environment: Mapping[str, str] | None = None) -> Settings:
    return read_settings(arguments(*flags), environment or {}, read_settings_file(path))


def test_the_file_is_weaker_than_a_variable_and_a_variable_than_a_flag(tmp_path: Path) -> None:
    path = write(tmp_path, "port = 1\nmax_queued = 2\nrate_limit = 3")
    environment = {"PENSIEVE_MAX_QUEUED": "20", "PENSIEVE_RATE_LIMIT": "30"}
    settings = read(path, "--rate-limit", "300", environment=environment)
    assert (settings.port, settings.max_queued, settings.rate_limit) == (1, 20, 300)
    found = find_values(arguments("--rate-limit", "300"), environment, read_settings_file(path))
    assert [(found[name].origin, found[name].source) for name in ("port", "max_queued", "rate_limit", "host")] == [
        (f"{path}:1", Source.FILE),
        ("PENSIEVE_MAX_QUEUED", Source.VARIABLE),
        ("--rate-limit", Source.FLAG),
        ("default", Source.DEFAULT),
    ]


def test_values_have_the_types_of_toml(tmp_path: Path) -> None:
    text = """
        memory-limit = "2GB"
        cache_disk = 0
        allow_models = ["org/one", "org/two"]
        checked = true
        idle_unload = 90
        temperature = 1
        script = "answers.toml"
        model = "org/zero"
    """
    settings = read(write(tmp_path, text))
    assert (settings.memory_limit, settings.cache_disk, settings.checked) == (2 * 10**9, 0, True)
    assert (settings.allow_models, settings.idle_seconds) == (("org/one", "org/two"), 90)
    assert (settings.temperature, settings.script) == (1, tmp_path / "answers.toml")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[a", "config.toml: Expected"),
        ("prot = 1", "config.toml, line 1: prot: unknown setting; did you mean port?"),
        ("\n# x\nqwertz = 1", "line 3: qwertz: unknown setting; `pensieve config show` lists them all"),
        ('port = "80"', "line 1: port: '80' is not a number; write it without quotation marks"),
        ("port = 70000", "line 1: port: 70000 is not a port from 0 to 65535"),
        ("port = true", "line 1: port: True is not a number"),
        ("model = 7", 'line 1: model: 7 is not a text; write model = "…", in quotation marks'),
        ("api_key = 1234567", 'line 1: api_key: it is not a text; write api_key = "…", in quotation marks'),
        ('model = ""', "line 1: model: must not be empty; remove the line for the default"),
        ('checked = "yes"', "line 1: checked: 'yes' is not true or false, without quotation marks"),
        ('allow_models = "a"', "line 1: allow_models: 'a' is not a list; write allow_models = [\"a\"]"),
        ("allow_models = [1]", "line 1: allow_models: every item of the list must be in quotation marks"),
        ("top_k = 1\n\n'top-k' = 2", "config.toml, line 3: top-k: is set twice, at "),
        ('alias = "q"', 'alias: is a setting of a model: move it into a table such as [models."organisation/name"]'),
        ('model_settings = "m"', "model_settings: belongs to the command line: write its tables into this file"),
        ("[server]\nport = 1", "line 1: server: is not a table of this file; the table of a model is [models.server]"),
        ("models = 1", 'line 1: models: put each model into a table such as [models."organisation/name"]'),
        (
            "[models]\ntop_k = 1",
            'line 2: [models] top_k: is outside a table: put it under a model name, such as [models."',
        ),
        (
            "[models.a]\nport = 1",
            "line 2: [models.a] port: is a setting of the server, not of a model: move the line above",
        ),
        ("[models.a]\nkeep_alive = 1", "line 2: [models.a] keep_alive: unknown setting; did you mean idle_unload?"),
        ("[models.Qwen2.5]\ntop_k = 1", 'needs quotation marks: [models."Qwen2.5"]'),
        ('[models."x/y"]\ntop_p = 2', 'line 2: [models."x/y"] top_p: 2 is not a number from 0.0 to 1.0'),
        ("[models.a]\nalias = 'b'\n[models.b]", "line 2: [models.a] alias: 'b' is already a table of that name"),
        ("[models.a]\nalias = 'c'\n[models.b]\nalias = 'c'", "line 4: [models.b] alias: 'c' is already the alias of a"),
        ("[models.a]\nalias = 'b c'", "alias: 'b c' is not a name of up to 64 letters"),
        ("[models.a]\ntemplate_arguments = {tools = 1}", "template_arguments: tools comes from the request"),
        ("[models.a]\ntemplate_arguments = 1", "1 is not a table; write template_arguments = { name = value }"),
    ],
)
def test_an_error_names_file_line_key_and_fix(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(SettingsError) as error:
        read(write(tmp_path, text))
    assert str(error.value).startswith(str(tmp_path))
    assert problem in str(error.value)


def test_an_error_counts_the_others(tmp_path: Path) -> None:
    path = write(tmp_path, "prot = 1\nmodell = 'a'\n")
    with pytest.raises(SettingsError, match=r"PENSIEVE_TOP_K: .*names 2 more"):
        read(path, environment={"PENSIEVE_TOP_K": "x"})


def test_a_key_that_other_users_can_read_is_refused_with_the_fix(tmp_path: Path) -> None:
    path = write(tmp_path, "api_key = 'secret'")
    assert read(path).api_key == "secret"
    path.chmod(0o644)
    with pytest.raises(SettingsError, match=f"other users can read the key; run: chmod 600 {path}"):
        read(path)


def test_a_model_takes_the_strongest_value_of_each_setting(tmp_path: Path) -> None:
    text = """
        temperature = 0.1
        top_p = 0.1
        top_k = 1
        draft_model = "org/draft"

        [models."org/one"]
        top_p = 0.2
        top_k = 2
        context = 4096
        idle_unload = "never"
        template_arguments = { mode = "x" }
    """
    models = read(write(tmp_path, text), "--top-k", "3").models
    own, other = models.of(("org/one",), is_main=False), models.of(("org/two",), is_main=True)
    assert (own.settings.sampling.temperature, own.settings.sampling.top_p, own.settings.sampling.top_k) == (
        0.1,
        0.2,
        3,
    )
    assert (own.settings.context_tokens, own.settings.template_arguments) == (4096, {"mode": "x"})
    assert (own.idle_seconds, own.draft_model) == (float("inf"), None)
    assert (other.settings.sampling.top_p, other.settings.context_tokens, other.draft_model) == (0.1, None, "org/draft")


def test_a_flag_against_speculation_overrides_a_draft_model_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, 'draft_model = "org/draft"')
    assert read(path, "--no-speculation").draft_model is None
    with pytest.raises(SettingsError, match="--draft-model: needs speculation"):
        read(write(tmp_path, 'draft_model = "org/draft"\nno_speculation = true'))


def test_the_file_is_in_the_home_that_is_set_or_where_a_variable_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PENSIEVE_CONFIG")
    monkeypatch.setenv("PENSIEVE_HOME", str(tmp_path))
    assert settings_path() == tmp_path / "config.toml"
    assert read_settings_file().problems == ()
    monkeypatch.setenv("PENSIEVE_CONFIG", str(tmp_path / "other.toml"))
    assert settings_path() == tmp_path / "other.toml"
    assert "other.toml: [Errno 2] No such file" in read_settings_file().problems[0]


def test_keys_are_found_on_the_line_on_which_they_begin() -> None:
    text = 'a = [\n  "[b]",\n  "c = 1",\n]\n# d = 1\n\n"e.f" = """\n[g]\n"""\n'
    text += '[h."i/j"]\nk = { l = 1 }\nm.n = 2\n[[o]]\np=1\n'
    assert line_numbers(text) == {
        ("a",): 1,
        ("e.f",): 7,
        ("h",): 10,
        ("h", "i/j"): 10,
        ("h", "i/j", "k"): 11,
        ("h", "i/j", "k", "l"): 11,
        ("h", "i/j", "m"): 12,
        ("h", "i/j", "m", "n"): 12,
        ("o",): 13,
        ("o", "p"): 14,
    }


def test_a_list_of_any_length_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "allow_models = [\n" + '"organisation/name",\n' * 1000 + "]\n"
    counted = Mock(side_effect=tomllib.loads)
    monkeypatch.setattr(tomllib, "loads", counted)
    assert line_numbers(text) == {("allow_models",): 1}
    assert counted.call_count <= 3


def test_a_file_that_is_no_settings_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"#" * 2_000_000)
    assert read_settings_file(path).problems == (f"{path}: is larger than 1,000,000 bytes",)
