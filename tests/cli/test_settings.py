import argparse
from collections.abc import Mapping
from pathlib import Path

import pytest

from pensieve.cli import settings
from pensieve.cli.settings import Settings, SettingsError, read_settings


def parsed(*flags: str, environment: Mapping[str, str] | None = None) -> Settings:
    parser = argparse.ArgumentParser()
    settings.add_arguments(parser)
    return read_settings(parser.parse_args(flags), environment or {})


def test_nothing_needs_to_be_given() -> None:
    assert parsed() == Settings(
        model=None,
        host="127.0.0.1",
        port=8765,
        api_key=None,
        cors_origins=(),
        script=None,
        checked=False,
        grace_seconds=10.0,
        rate_limit=None,
        cache_memory=None,
        cache_disk=None,
        memory_limit=None,
        kv_bits=None,
        allow_models=(),
        idle_unload=None,
        no_speculation=False,
        draft_model=None,
        log_level="WARNING",
    )


def test_a_flag_is_stronger_than_the_environment() -> None:
    environment = {"PENSIEVE_PORT": "1", "PENSIEVE_MODEL": "there"}
    chosen = parsed("--port", "2", environment=environment)
    assert (chosen.port, chosen.model) == (2, "there")


def test_an_empty_variable_is_not_set() -> None:
    assert parsed(environment={"PENSIEVE_API_KEY": ""}).api_key is None


def test_flags_that_repeat_and_lists_in_the_environment_are_the_same() -> None:
    flags = parsed("--cors-origin", "https://a.example/", "--cors-origin", "https://b.example")
    listed = parsed(environment={"PENSIEVE_CORS_ORIGINS": "https://a.example, https://b.example"})
    assert flags.cors_origins == listed.cors_origins == ("https://a.example", "https://b.example")


def test_switches_and_paths_are_read() -> None:
    chosen = parsed("--checked", "--script", "a.toml", "--log-level", "debug")
    assert (chosen.checked, chosen.script, chosen.log_level) == (True, Path("a.toml"), "DEBUG")
    assert not parsed(environment={"PENSIEVE_CHECKED": "0"}).checked


@pytest.mark.parametrize(
    ("text", "num_bytes"), [("0", 0), ("512", 512), ("512MB", 512 * 10**6), ("1.5 gb", 1_500_000_000), ("7k", 7000)]
)
def test_sizes_are_read_in_the_units_of_disks(text: str, num_bytes: int) -> None:
    assert parsed("--cache-disk", text).cache_disk == parsed("--cache-memory", text).cache_memory == num_bytes


@pytest.mark.parametrize(
    ("flags", "environment", "named"),
    [
        (("--port", "x"), {}, "--port"),
        (("--port", "65536"), {}, "--port"),
        ((), {"PENSIEVE_PORT": "-1"}, "PENSIEVE_PORT"),
        (("--grace-seconds", "nan"), {}, "--grace-seconds"),
        (("--cache-memory", "much"), {}, "--cache-memory"),
        (("--cache-disk", "-1"), {}, "--cache-disk"),
        (("--rate-limit", "0"), {}, "--rate-limit"),
        (("--memory-limit", "0"), {}, "--memory-limit"),
        (("--kv-bits", "4"), {}, "--kv-bits"),
        (("--idle-unload", "soon"), {}, "--idle-unload"),
        (("--script", "a.toml", "--allow-model", "other"), {}, "--allow-model"),
        (("--draft-model", "small", "--no-speculation"), {}, "--draft-model"),
        (("--script", "a.toml", "--draft-model", "small"), {}, "--draft-model"),
        (("--log-level", "loud"), {}, "--log-level"),
        ((), {"PENSIEVE_CHECKED": "perhaps"}, "PENSIEVE_CHECKED"),
    ],
)
def test_a_value_that_cannot_be_read_names_where_it_came_from(
    flags: tuple[str, ...], environment: dict[str, str], named: str
) -> None:
    with pytest.raises(SettingsError, match=f"^{named}: "):
        parsed(*flags, environment=environment)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2"])  # noqa: S104
def test_the_network_is_not_served_without_a_key(host: str) -> None:
    with pytest.raises(SettingsError, match="--api-key"):
        parsed("--host", host)
    assert parsed("--host", host, "--api-key", "secret").host == host


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1.5s", 1.5), ("10m", 600), ("2 h", 7200), ("0", None), ("never", None)]
)
def test_times_are_read_with_their_unit(text: str, seconds: float | None) -> None:
    assert parsed("--idle-unload", text).idle_seconds == seconds


def test_a_model_alone_stays_and_several_go_when_nobody_uses_them() -> None:
    assert parsed().idle_seconds is None
    assert parsed("--allow-model", "org/one", "--allow-model", "org/two").idle_seconds == 600
    assert parsed("--allow-model", "org/one", "--idle-unload", "never").idle_seconds is None
