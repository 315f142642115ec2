"""The settings of `pensieve serve`: precedence, parsing, and contradictions."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from contracts.values.vocabulary import Sampling
from pensieve.cli.settings import table
from pensieve.cli.settings.read import read_settings
from pensieve.cli.settings.settings import Settings, SettingsError
from pensieve.core.defaults.model_settings import ModelSettings, ThinkingMode
from pensieve.core.defaults.sampling import ALLOWED


def parsed(*flags: str, environment: Mapping[str, str] | None = None) -> Settings:
    parser = argparse.ArgumentParser()
    table.add_arguments(parser)
    return read_settings(parser.parse_args(flags), environment or {})


_UNSET_SAMPLING: Any = dict.fromkeys(ALLOWED)


def defaults_of(settings: Settings) -> ModelSettings:
    return settings.models.of(("any",), is_main=True).settings


def test_every_setting_has_a_default() -> None:
    assert parsed() == Settings(
        model=None,
        host="127.0.0.1",
        port=8765,
        api_key=None,
        api_keys=None,
        cors_origins=(),
        allow_hosts=(),
        script=None,
        checked=False,
        grace_seconds=10.0,
        rate_limit=None,
        max_batch_size=16,
        max_queued=32,
        cache_memory=None,
        cache_disk=None,
        cache_writes=50_000_000_000,
        memory_limit=None,
        kv_bits=None,
        context=None,
        allow_models=(),
        idle_unload=None,
        no_speculation=False,
        no_mtp=False,
        draft_model=None,
        **_UNSET_SAMPLING,
        thinking=None,
        max_thinking_tokens=None,
        model_settings=None,
        stall_timeout=60.0,
        no_supervise=False,
        log_level="INFO",
        log_format=None,
        log_file=None,
        log_prompts=None,
    )


def test_a_flag_overrides_the_environment() -> None:
    environment = {"PENSIEVE_PORT": "1", "PENSIEVE_MODEL": "there"}
    chosen = parsed("--port", "2", environment=environment)
    assert (chosen.port, chosen.model) == (2, "there")


def test_an_empty_variable_counts_as_unset() -> None:
    assert parsed(environment={"PENSIEVE_API_KEY": ""}).api_key is None


@pytest.mark.parametrize("flag", [each.flag for each in table.TABLE if each.metavar])
def test_an_empty_flag_is_refused(flag: str) -> None:
    """As of `--api-key "$KEY"` without a KEY: the server would have a key that no client can send."""
    with pytest.raises(SettingsError, match=f"{flag}: must not be empty"):
        parsed(flag, "")


def test_a_key_is_one_that_clients_can_send() -> None:
    assert parsed(environment={"PENSIEVE_API_KEY": "from-a-file\n"}).api_key == "from-a-file"
    for key in ("schlüssel", "two\nlines"):
        with pytest.raises(SettingsError, match="--api-key: no client can send this key") as refused:
            parsed("--api-key", key)
        assert key not in str(refused.value)


@pytest.mark.parametrize("flag", ["--memory-limit", "--cache-writes", "--context", "--port", "--max-queued"])
def test_a_number_of_any_length_is_refused_in_a_short_sentence(flag: str) -> None:
    for number in ("1" * 400, "1" * 5000):
        with pytest.raises(SettingsError) as refused:
            parsed(flag, number)
        assert len(str(refused.value)) < 150


def test_a_context_has_room_for_an_answer() -> None:
    for number in ("0", "1", "32"):
        with pytest.raises(SettingsError, match=f"--context: '?{number}'? is not a whole number above 32"):
            parsed("--context", number)
    assert parsed("--context", "33").context == 33


def test_an_origin_is_written_as_browsers_send_it() -> None:
    for wrong in ("notes.example", "https://notes.example/path", "https://me@notes.example", "https://"):
        with pytest.raises(SettingsError, match=r"--cors-origin: .* is not an origin"):
            parsed("--cors-origin", wrong)
    accepted = ("*", "http://localhost:3000", "chrome-extension://abc")
    assert parsed(environment={"PENSIEVE_CORS_ORIGINS": ",".join(accepted)}).cors_origins == accepted


def test_a_repeated_flag_and_a_list_in_the_environment_mean_the_same() -> None:
    flags = parsed("--cors-origin", "https://a.example/", "--cors-origin", "https://b.example")
    listed = parsed(environment={"PENSIEVE_CORS_ORIGINS": "https://a.example, https://b.example"})
    assert flags.cors_origins == listed.cors_origins == ("https://a.example", "https://b.example")


def test_host_names_are_written_as_in_a_host_header() -> None:
    flags = parsed("--allow-host", "Host.Docker.Internal", "--allow-host", "mac.local:8765")
    listed = parsed(environment={"PENSIEVE_ALLOW_HOSTS": "host.docker.internal,mac.local"})
    assert flags.allow_hosts == listed.allow_hosts == ("host.docker.internal", "mac.local")
    with pytest.raises(SettingsError, match=r"--allow-host: 'http://mac.local' is not a host name"):
        parsed("--allow-host", "http://mac.local")


def test_an_address_in_brackets_means_the_same_without_them() -> None:
    assert parsed("--host", "[::1]").host == "::1"


def test_switches_and_paths_are_parsed() -> None:
    chosen = parsed("--checked", "--script", "a.toml", "--log-level", "debug")
    assert (chosen.checked, chosen.script, chosen.log_level) == (True, Path("a.toml"), "DEBUG")
    assert not parsed(environment={"PENSIEVE_CHECKED": "0"}).checked


def test_concurrency_is_set_by_flags_and_the_environment() -> None:
    settings = parsed("--max-batch-size", "4", environment={"PENSIEVE_MAX_QUEUED": "0"})
    assert (settings.max_batch_size, settings.max_queued) == (4, 0)


def test_model_defaults_come_from_flags_and_the_environment() -> None:
    flags = ("--temperature", "0", "--top-p", "0.9", "--top-k", "0", "--thinking", "off")
    environment = {"PENSIEVE_MIN_P": "0.05", "PENSIEVE_REPETITION_PENALTY": "1.1", "PENSIEVE_MAX_THINKING_TOKENS": "9"}
    assert defaults_of(parsed(*flags, environment=environment)) == ModelSettings(
        Sampling(0.0, 0.9, 0, 0.05, 1.1), ThinkingMode.OFF, 9
    )
    assert defaults_of(parsed()) == ModelSettings()
    assert defaults_of(parsed("--thinking", "auto")) == ModelSettings(thinking=ThinkingMode.AUTO)


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [("0", 0), ("512", 512), ("512MB", 512 * 10**6), ("1.5 gb", 1_500_000_000), ("7k", 7000), ("1GiB", 2**30)],
)
def test_sizes_may_have_units(text: str, num_bytes: int) -> None:
    assert parsed("--cache-disk", text).cache_disk == parsed("--cache-memory", text).cache_memory == num_bytes


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [
        ("50GB/day", 50 * 10**9),
        ("1.5 gb / Day", 1_500_000_000),
        ("2GiB", 2 * 2**30),
        ("0", 0),
        ("0/day", 0),
        ("unlimited", None),
    ],
)
def test_daily_writes_are_a_size_or_unlimited(text: str, num_bytes: int | None) -> None:
    assert parsed("--cache-writes", text).cache_writes == num_bytes
    assert parsed(environment={"PENSIEVE_CACHE_WRITES": text}).cache_writes == num_bytes


@pytest.mark.parametrize(
    ("flags", "environment", "named"),
    [
        (("--port", "x"), {}, "--port"),
        (("--port", "65536"), {}, "--port"),
        ((), {"PENSIEVE_PORT": "-1"}, "PENSIEVE_PORT"),
        (("--grace-seconds", "nan"), {}, "--grace-seconds"),
        (("--grace-seconds", "soon"), {}, "--grace-seconds"),
        (("--cache-memory", "much"), {}, "--cache-memory"),
        (("--cache-disk", "-1"), {}, "--cache-disk"),
        (("--cache-writes", "50GB/week"), {}, "--cache-writes"),
        ((), {"PENSIEVE_CACHE_WRITES": "/day"}, "PENSIEVE_CACHE_WRITES"),
        (("--rate-limit", "0"), {}, "--rate-limit"),
        (("--max-batch-size", "0"), {}, "--max-batch-size"),
        ((), {"PENSIEVE_MAX_BATCH_SIZE": "many"}, "PENSIEVE_MAX_BATCH_SIZE"),
        (("--max-queued", "-1"), {}, "--max-queued"),
        ((), {"PENSIEVE_MAX_QUEUED": "1.5"}, "PENSIEVE_MAX_QUEUED"),
        (("--memory-limit", "0"), {}, "--memory-limit"),
        (("--kv-bits", "4"), {}, "--kv-bits"),
        (("--idle-unload", "soon"), {}, "--idle-unload"),
        (("--script", "a.toml", "--allow-model", "other"), {}, "--allow-model"),
        (("--draft-model", "small", "--no-speculation"), {}, "--draft-model"),
        (("--script", "a.toml", "--draft-model", "small"), {}, "--draft-model"),
        (("--temperature", "2.5"), {}, "--temperature"),
        (("--temperature", "nan"), {}, "--temperature"),
        (("--top-p", "95%"), {}, "--top-p"),
        ((), {"PENSIEVE_TOP_K": "1.5"}, "PENSIEVE_TOP_K"),
        (("--min-p", "-1"), {}, "--min-p"),
        (("--repetition-penalty", "0"), {}, "--repetition-penalty"),
        (("--thinking", "never"), {}, "--thinking"),
        ((), {"PENSIEVE_MAX_THINKING_TOKENS": "0"}, "PENSIEVE_MAX_THINKING_TOKENS"),
        (("--log-level", "loud"), {}, "--log-level"),
        ((), {"PENSIEVE_LOG_FORMAT": "xml"}, "PENSIEVE_LOG_FORMAT"),
        ((), {"PENSIEVE_CHECKED": "perhaps"}, "PENSIEVE_CHECKED"),
    ],
)
def test_a_wrong_value_names_its_flag_or_variable(
    flags: tuple[str, ...], environment: dict[str, str], named: str
) -> None:
    with pytest.raises(SettingsError, match=f"^{named}: "):
        parsed(*flags, environment=environment)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2"])  # noqa: S104
def test_a_network_address_requires_a_key(host: str) -> None:
    with pytest.raises(SettingsError, match="--api-key"):
        parsed("--host", host)
    assert parsed("--host", host, "--api-key", "secret").host == host


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1.5s", 1.5), ("10m", 600), ("2 h", 7200), ("0", None), ("never", None)]
)
def test_durations_may_have_units(text: str, seconds: float | None) -> None:
    assert parsed("--idle-unload", text).idle_seconds == seconds


def test_several_models_are_unloaded_when_idle_by_default_and_a_single_one_is_not() -> None:
    assert parsed().idle_seconds is None
    assert parsed("--allow-model", "org/one", "--allow-model", "org/two").idle_seconds == 600
    assert parsed("--allow-model", "org/one", "--idle-unload", "never").idle_seconds is None


def test_a_file_of_keys_suffices_for_a_network_address(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.touch(mode=0o600)
    path.write_text("alice = 'key-of-alice'", encoding="utf-8")
    keys = parsed("--host", "0.0.0.0", environment={"PENSIEVE_API_KEYS": str(path)}).api_keys  # noqa: S104
    assert keys is not None
    assert keys.find("key-of-alice") is not None


def test_a_wrong_file_of_keys_is_refused_at_start_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.touch(mode=0o600)
    path.write_text("\nalice = 5", encoding="utf-8")
    with pytest.raises(SettingsError, match=f"--api-keys: {path}, line 2: 'alice'"):
        parsed("--api-keys", str(path))


@pytest.mark.parametrize("flag", ["--log-file", "--log-prompts", "--api-keys"])
def test_the_home_folder_of_an_unknown_user_is_named(flag: str) -> None:
    with pytest.raises(SettingsError, match=f"{flag}: '~no-such-user/x': there is no user 'no-such-user'"):
        parsed(flag, "~no-such-user/x")
