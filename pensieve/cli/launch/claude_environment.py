"""The environment that makes Claude Code work with a server (C7): pure values, no effects.

The names are those of Claude Code 2.1; docs/claude-code.md says what each is for.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pensieve.api.http.access import is_loopback
from pensieve.cli.launch.running_servers import RunningServer

ANY_TOKEN = "pensieve"  # noqa: S105 - a word for a server that wants no key; without one the CLI would ask for a login
KEY_VARIABLE = "PENSIEVE_API_KEY"
ANY_MODEL = "claude-pensieve"  # every claude-… name reaches the model that is served
REQUEST_MILLISECONDS = 3_600_000  # a cold prompt on a slow machine takes minutes, and 600 s is the CLI's default
MAX_OUTPUT_TOKENS = 32_000
SHARE_OF_OUTPUT = 4  # an answer may fill this part of the window
MODEL_VARIABLES = (
    "ANTHROPIC_MODEL",
    "ANTHROPIC_DEFAULT_OPUS_MODEL",
    "ANTHROPIC_DEFAULT_SONNET_MODEL",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL",
    "ANTHROPIC_DEFAULT_FABLE_MODEL",
    "CLAUDE_CODE_SUBAGENT_MODEL",
)
# The user's own secrets, and what would send requests to another provider or model.
REMOVED = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_CUSTOM_HEADERS",
    "ANTHROPIC_SMALL_FAST_MODEL",
    "ANTHROPIC_UNIX_SOCKET",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CODE_USE_ANTHROPIC_AWS",
    "CLAUDE_CODE_USE_ANTHROPIC_GOOGLE_CLOUD",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_FOUNDRY",
    "CLAUDE_CODE_USE_GATEWAY",
    "CLAUDE_CODE_USE_MANTLE",
    "CLAUDE_CODE_USE_VERTEX",
)
_BLANKED = tuple(name for name in REMOVED if name != "ANTHROPIC_SMALL_FAST_MODEL")  # the CLI takes "" for a name there
# Measured with 2.1.328. The CLI compacts a conversation this many tokens before the window is full.
_PROMPT_TOKENS, _FOUR_TOOLS_TOKENS, _BARE_TOKENS = 11_000, 3_600, 900
_COMPACTION_TOKENS = 3_000


@dataclass(frozen=True, slots=True)
class ClaudeEnvironment:
    """What is set, what is taken away, and remarks for whoever reads it."""

    variables: Mapping[str, str]
    removed: Sequence[str] = REMOVED
    remarks: Sequence[str] = field(default=())

    def applied_to(self, environment: Mapping[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in environment.items() if name not in self.removed}
        return {**kept, **self.variables}

    def as_settings(self) -> str:
        """The same for the CLI's --settings, which is stronger than the user's settings files.

        Their `env` would otherwise override the environment, and their `apiKeyHelper` would send its key along. A key
        of ours stays out of the arguments, which other users of the machine can see: the helper reads it.
        """
        told = {**dict.fromkeys(_BLANKED, ""), **self.variables}
        key = told.pop(KEY_VARIABLE, None)
        if key is None:
            return json.dumps({"apiKeyHelper": "", "env": told})
        return json.dumps({"apiKeyHelper": f"printenv {KEY_VARIABLE}", "env": {**told, "ANTHROPIC_AUTH_TOKEN": ""}})


def environment_for(
    server: RunningServer, api_key: str | None, inherited: Mapping[str, str], remarks: Sequence[str] = ()
) -> ClaudeEnvironment:
    """The environment for a server that runs; `inherited` is looked at for proxies alone."""
    variables = {
        **_access(server.url, api_key, inherited),
        **_models(server.model),
        "CLAUDE_CODE_MAX_CONTEXT_TOKENS": str(server.window_tokens),
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(output_tokens(server.window_tokens)),
    }
    return ClaudeEnvironment(variables, remarks=remarks)


def environment_without_server(url: str, api_key: str | None, inherited: Mapping[str, str]) -> ClaudeEnvironment:
    """What can be said for an address where nobody listens yet: all but the window."""
    remarks = (
        f"no server runs at {url} yet: start one with `pensieve serve`, then ask again,",
        "since CLAUDE_CODE_MAX_CONTEXT_TOKENS and CLAUDE_CODE_MAX_OUTPUT_TOKENS depend on its model",
    )
    return ClaudeEnvironment({**_access(url, api_key, inherited), **_models(ANY_MODEL)}, remarks=remarks)


def _access(url: str, api_key: str | None, inherited: Mapping[str, str]) -> dict[str, str]:
    return {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_AUTH_TOKEN": api_key or ANY_TOKEN,
        "API_TIMEOUT_MS": str(REQUEST_MILLISECONDS),
        "CLAUDE_CODE_ATTRIBUTION_HEADER": "0",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_DISABLE_1M_CONTEXT": "1",  # else the CLI writes opus[1m] into settings that name opus
        **({KEY_VARIABLE: api_key} if api_key else {}),
        **_past_proxies(url, inherited),
    }


def _models(model: str) -> dict[str, str]:
    return dict.fromkeys(MODEL_VARIABLES, model)


def _past_proxies(url: str, inherited: Mapping[str, str]) -> dict[str, str]:
    """A proxy must not be asked for this machine: it would find itself there, and read every prompt."""
    host = urlsplit(url).hostname or ""
    proxied = any(inherited.get(name) for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"))
    if not proxied or not is_loopback(host):
        return {}
    before = inherited.get("NO_PROXY") or inherited.get("no_proxy") or ""
    return dict.fromkeys(("NO_PROXY", "no_proxy"), f"{before},{host}" if before else host)


def output_tokens(window_tokens: int) -> int:
    """The longest answer that the CLI may ask for."""
    return max(1, min(MAX_OUTPUT_TOKENS, window_tokens // SHARE_OF_OUTPUT))


def too_small(server: RunningServer, arguments: Sequence[str]) -> str | None:
    """What to tell a user whose model cannot hold the prompt that these arguments make; None where it can."""
    prompt_tokens = _prompt_tokens(arguments)
    room = server.window_tokens - output_tokens(server.window_tokens) - _COMPACTION_TOKENS
    if prompt_tokens <= room:
        return None
    smaller = (('--tools "Read,Write,Bash,Edit"', _FOUR_TOOLS_TOKENS), ("--bare", _BARE_TOKENS))
    fitting = [f"{flag} (about {tokens} tokens)" for flag, tokens in smaller if tokens <= room]
    mends = ["serve a model with a larger window (--model)", *(f"make the prompt smaller with {f}" for f in fitting)]
    return (
        f"{server.model} has a window of {server.window_tokens} tokens, of which about {max(0, room)} are left for a "
        f"prompt, and Claude Code's own takes about {prompt_tokens} before you have written a word. "
        f"Expect it to fail. Better: {', or '.join(mends)}."
    )


def _prompt_tokens(arguments: Sequence[str]) -> int:
    flags = {argument.partition("=")[0] for argument in arguments}
    if "--bare" in flags:
        return _BARE_TOKENS
    return _FOUR_TOOLS_TOKENS if "--tools" in flags else _PROMPT_TOKENS


def written_for(shell: str, environment: ClaudeEnvironment) -> str:
    """Lines that a shell can evaluate; `shell` is one of SHELLS."""
    set_line, unset_line = SHELLS[shell]
    lines = [f"# {remark}" for remark in environment.remarks]
    lines += [unset_line(name) for name in environment.removed]
    lines += [set_line(name, value) for name, value in environment.variables.items()]
    return "\n".join(lines)


def _fish_quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _powershell_quoted(value: str) -> str:
    """Inside single quotes PowerShell also takes the typographic ones for an end."""
    for quote in "'‘’‚‛":
        value = value.replace(quote, quote * 2)
    return f"'{value}'"


SHELLS: Mapping[str, tuple[Callable[[str, str], str], Callable[[str], str]]] = {
    "sh": (lambda name, value: f"export {name}={shlex.quote(value)}", lambda name: f"unset {name}"),
    "fish": (lambda name, value: f"set -gx {name} {_fish_quoted(value)}", lambda name: f"set -e {name}"),
    "powershell": (
        lambda name, value: f"$env:{name} = {_powershell_quoted(value)}",
        lambda name: f"Remove-Item Env:{name} -ErrorAction SilentlyContinue",
    ),
}
