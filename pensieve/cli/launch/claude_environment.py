"""The environment variables that make Claude Code work with a Pensieve server (C7): pure functions.

The variables are those of Claude Code 2.1. docs/claude-code.md explains each of them.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pensieve.api.http.access import is_loopback
from pensieve.cli.launch.running_servers import RunningServer

ANY_TOKEN = "pensieve"  # noqa: S105 - for a server without a key; with no token at all the CLI would ask for a login
KEY_VARIABLE = "PENSIEVE_API_KEY"
ANY_MODEL = "claude-pensieve"  # every claude-… name reaches the served model
REQUEST_MILLISECONDS = 3_600_000  # a cold prompt on a slow machine takes minutes, and 600 s is the CLI's default
MAX_OUTPUT_TOKENS = 32_000
WINDOWS_PER_OUTPUT = 4  # an answer may fill a quarter of the window
MODEL_VARIABLES = (
    "ANTHROPIC_MODEL",
    "ANTHROPIC_DEFAULT_OPUS_MODEL",
    "ANTHROPIC_DEFAULT_SONNET_MODEL",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL",
    "ANTHROPIC_DEFAULT_FABLE_MODEL",
    "CLAUDE_CODE_SUBAGENT_MODEL",
)
# The user's own keys, and variables that would send requests to another provider or model.
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
_BLANKED = tuple(
    name for name in REMOVED if name != "ANTHROPIC_SMALL_FAST_MODEL"
)  # the CLI would take "" as a model's name


@dataclass(frozen=True, slots=True)
class ClaudeEnvironment:
    """The variables to set and to remove, with remarks for the user."""

    variables: Mapping[str, str]
    removed: Sequence[str] = REMOVED
    remarks: Sequence[str] = field(default=())

    def applied_to(self, environment: Mapping[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in environment.items() if name not in self.removed}
        return {**kept, **self.variables}

    def as_settings(self) -> str:
        """The same environment as JSON for the CLI's --settings, which override the user's settings files.

        The `env` of those files would otherwise override the environment, and their `apiKeyHelper` would add its key.
        The server's key is not part of the JSON, because other users of the machine can see arguments: an
        `apiKeyHelper` reads it from the environment.
        """
        variables = {**dict.fromkeys(_BLANKED, ""), **self.variables}
        key = variables.pop(KEY_VARIABLE, None)
        if key is None:
            return json.dumps({"apiKeyHelper": "", "env": variables})
        return json.dumps(
            {"apiKeyHelper": f"printenv {KEY_VARIABLE}", "env": {**variables, "ANTHROPIC_AUTH_TOKEN": ""}}
        )


def environment_for(
    server: RunningServer, api_key: str | None, inherited: Mapping[str, str], remarks: Sequence[str] = ()
) -> ClaudeEnvironment:
    """The environment for a running server. Only the proxy variables of `inherited` matter."""
    variables = {
        **_access(server.url, api_key, inherited),
        **_models(server.model),
        "CLAUDE_CODE_MAX_CONTEXT_TOKENS": str(server.window_tokens),
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(output_tokens(server.window_tokens)),
    }
    return ClaudeEnvironment(variables, remarks=remarks)


def environment_without_server(url: str, api_key: str | None, inherited: Mapping[str, str]) -> ClaudeEnvironment:
    """The environment for an address where no server listens yet, without the variables that depend on the model."""
    remarks = (
        f"no server runs at {url} yet: start one with `pensieve serve`, then run this command again,",
        "because CLAUDE_CODE_MAX_CONTEXT_TOKENS and CLAUDE_CODE_MAX_OUTPUT_TOKENS depend on its model",
    )
    return ClaudeEnvironment({**_access(url, api_key, inherited), **_models(ANY_MODEL)}, remarks=remarks)


def _access(url: str, api_key: str | None, inherited: Mapping[str, str]) -> dict[str, str]:
    return {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_AUTH_TOKEN": api_key or ANY_TOKEN,
        "API_TIMEOUT_MS": str(REQUEST_MILLISECONDS),
        "CLAUDE_CODE_ATTRIBUTION_HEADER": "0",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_DISABLE_1M_CONTEXT": "1",  # or the CLI changes opus in settings files to opus[1m]
        **({KEY_VARIABLE: api_key} if api_key else {}),
        **_proxy_exemption(url, inherited),
    }


def _models(model: str) -> dict[str, str]:
    return dict.fromkeys(MODEL_VARIABLES, model)


def _proxy_exemption(url: str, inherited: Mapping[str, str]) -> dict[str, str]:
    """Keep requests to this machine away from a proxy, which would reach itself there, and could read the prompts."""
    host = urlsplit(url).hostname or ""
    proxied = any(inherited.get(name) for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"))
    if not proxied or not is_loopback(host):
        return {}
    exempt = inherited.get("NO_PROXY") or inherited.get("no_proxy") or ""
    return dict.fromkeys(("NO_PROXY", "no_proxy"), f"{exempt},{host}" if exempt else host)


def output_tokens(window_tokens: int) -> int:
    """The longest answer that the CLI may request."""
    return max(1, min(MAX_OUTPUT_TOKENS, window_tokens // WINDOWS_PER_OUTPUT))


def shell_lines(shell: str, environment: ClaudeEnvironment) -> str:
    """The environment as lines for a shell to evaluate. `shell` is a key of SHELLS."""
    set_line, unset_line = SHELLS[shell]
    lines = [f"# {remark}" for remark in environment.remarks]
    lines += [unset_line(name) for name in environment.removed]
    lines += [set_line(name, value) for name, value in environment.variables.items()]
    return "\n".join(lines)


def _fish_quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _powershell_quoted(value: str) -> str:
    """In PowerShell, typographic quotes end a single-quoted string too."""
    for quote in "'‘’‚‛":
        value = value.replace(quote, quote * 2)
    return f"'{value}'"


SHELLS: Mapping[str, tuple[Callable[[str, str], str], Callable[[str], str]]] = {
    "sh": (lambda name, value: f"export {name}={shlex.quote(value)}", lambda name: f"unset {name}"),
    "fish": (lambda name, value: f"set -gx {name} {_fish_quoted(value)}", lambda name: f"set -e {name}; or true"),
    "powershell": (
        lambda name, value: f"$env:{name} = {_powershell_quoted(value)}",
        lambda name: f"Remove-Item Env:{name} -ErrorAction SilentlyContinue",
    ),
}
