"""What `pensieve launch claude` says where Claude Code's first prompt does not fit the model's window."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pensieve.cli.launch.first_prompt import Body, first_prompt_tokens, is_of_known_length
from pensieve.cli.launch.unloaded import problem_before_loading
from pensieve.cli.launch.window import WindowProblem, judge, suggestion
from pensieve.models.library.aliases import curated_models
from tests.cli.launch.claude_user import User
from tests.support.running_server import scripted_server
from tests.support.sdk_client import serving
from tests.support.tiny_model import EMBEDDED_VOCABULARY, write_tiny_model

SIZES = {"": 12_300, '--tools "Read,Write,Bash,Edit"': 4_100, "--bare": 1_130}
GIB = 1024**3


def problem(window_tokens: int, *, is_known: bool = True) -> WindowProblem | None:
    return judge(window_tokens, "m", SIZES, is_known=is_known, is_running=True)


def test_a_prompt_over_the_window_is_a_certain_problem_with_both_figures_and_the_command() -> None:
    found = problem(8_192)
    assert found is not None
    assert found.is_certain
    text = "\n".join(found.lines)
    assert "window of 8,192 tokens" in text
    assert "about 12,300 of them" in text
    assert "pensieve launch claude --model coder-" in text
    assert "--bare (about 1,130 tokens)" in text
    assert "--tools" not in text  # 4,100 tokens, an answer and the room for compaction are more than the window


def test_a_prompt_within_the_window_that_leaves_no_room_is_a_warning() -> None:
    found = problem(16_384)
    assert found is not None
    assert not found.is_certain
    assert problem(32_768) is None


def test_a_prompt_that_was_not_measured_is_never_refused() -> None:
    found = problem(8_192, is_known=False)
    assert found is not None
    assert not found.is_certain
    assert not is_of_known_length(["--system-prompt=Short."])
    assert is_of_known_length(["-p", "Hello", "--model", "opus"])


def counting() -> Iterator[int]:
    """A sample alone, then three of them: 100 tokens and 50 for each."""
    yield from (150, 250)


@pytest.mark.parametrize(("arguments", "tokens"), [((), 1100), (("--tools=Read",), 425), (("--bare", "-p"), 180)])
def test_the_flags_that_shorten_the_prompt_change_the_count(arguments: tuple[str, ...], tokens: int) -> None:
    counts = counting()
    bodies: list[Body] = []

    def counted(body: Body) -> int:
        bodies.append(body)
        return next(counts)

    assert first_prompt_tokens(arguments, counted)[""] == tokens
    assert [len(body["tools"]) for body in bodies] == [1, 3]


@pytest.mark.parametrize(
    ("gigabytes", "command"),
    [
        (4, "\n    pensieve launch claude --model coder-8gb"),
        (16, "\n    pensieve launch claude --model coder-16gb"),
        (32, "\n    PENSIEVE_MEMORY_LIMIT=24GB pensieve launch claude --model coder-32gb"),
        (512, "\n    PENSIEVE_MEMORY_LIMIT=48GB pensieve launch claude --model coder-64gb"),
    ],
)
def test_the_offered_alias_suits_the_machine_and_brings_its_memory_limit(gigabytes: int, command: str) -> None:
    assert suggestion(gigabytes * GIB, is_running=False).endswith(command)


def test_every_class_of_machine_has_a_recommended_model() -> None:
    for machine_gb in {model.machine_gb for model in curated_models()}:
        assert f"coder-{machine_gb}gb" in suggestion(machine_gb * GIB, is_running=True)


def test_claude_is_not_started_on_a_window_too_small_for_its_prompt(user: User, tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "tiny", vocab_size=EMBEDDED_VOCABULARY, max_position_embeddings=8192)
    environment = {"PENSIEVE_HOME": str(tmp_path)}
    before_loading = problem_before_loading(str(folder), environment, ())
    assert problem_before_loading(str(folder), environment, ["--bare"]) is None
    with serving("--model", str(folder)) as client:
        url = str(client.base_url)
        refused = user.launch("--url", url)
        assert not user.record_file.exists()
        printed = user.launch("--url", url, "--print-env")
        shorter = user.launch("--url", url, "--bare")
    assert refused.returncode == 1
    assert "tiny has a window of 8,192 tokens, and Claude Code's first prompt takes about 12," in refused.stderr
    assert "--model coder-" in refused.stderr
    assert before_loading is not None
    assert before_loading.lines[0] in refused.stderr, "the count without the server is the server's count"
    assert printed.stdout.startswith("# tiny has a window of 8,192 tokens")
    assert all(line.startswith(("#", "export", "unset")) for line in printed.stdout.splitlines())
    assert (shorter.returncode, shorter.stderr) == (0, "")
    assert user.record_file.exists()


def test_a_window_too_small_is_refused_before_the_model_is_loaded(user: User, tmp_path: Path) -> None:
    del user.environment["PENSIEVE_SCRIPT"]
    folder = write_tiny_model(tmp_path / "tiny", max_position_embeddings=65536)
    refused = user.launch("--model", str(folder), PENSIEVE_CONTEXT="8192")
    assert refused.returncode == 1
    assert "pensieve: tiny has a window of 8,192 tokens" in refused.stderr
    assert "to download):\n    " in refused.stderr
    assert "stop the server" not in refused.stderr
    assert not user.record_file.exists()
    assert not (user.pensieve_home / "logs").exists(), "no server was started"


@pytest.mark.parametrize("model", ["no-such-model", "org/no-such-model"])
def test_what_is_wrong_with_a_model_is_left_to_the_server_to_say(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    environment = dict(os.environ)
    assert problem_before_loading(model, {"PENSIEVE_HOME": str(tmp_path)}, ()) is None
    assert problem_before_loading(None, {"PENSIEVE_PORT": "many"}, ()) is None
    assert dict(os.environ) == environment


def test_a_prompt_that_was_counted_as_tight_is_a_warning_and_claude_starts(user: User, tmp_path: Path) -> None:
    with scripted_server(tmp_path) as client:
        ended = user.launch("--url", str(client.base_url))
    assert ended.returncode == 0
    assert "pensieve: warning: scripted has a window of 8,192 tokens" in ended.stderr
