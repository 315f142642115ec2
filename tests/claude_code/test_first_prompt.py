"""How long the real Claude Code's first prompt is, and how long `pensieve launch claude` expects it to be."""

import pytest

from pensieve.cli.launch.first_prompt import first_prompt_tokens
from pensieve.cli.launch.running_servers import RunningServer, count_tokens
from tests.claude_code.client import ClaudeCode
from tests.claude_code.test_turns import long_form


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        pytest.param(("--tools", "Read,Write,Bash,Edit"), marks=long_form),
        pytest.param(("--bare",), marks=long_form),
    ],
)
def test_the_first_prompt_is_about_as_long_as_launch_expects(claude: ClaudeCode, arguments: tuple[str, ...]) -> None:
    claude.ask("Say hello", *arguments)
    real = claude.recorder.messages[0].prompt_tokens
    server = RunningServer(claude.recorder.upstream, claude.model, 131072)
    estimated = first_prompt_tokens(arguments, lambda body: count_tokens(server, None, body))[""]
    assert 0.85 * real < estimated < 1.15 * real, f"{estimated} tokens estimated, {real} sent"
