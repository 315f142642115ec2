"""Whether Claude Code's first prompt fits the window of the model, and what to serve if it does not (C7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pensieve.cli.launch.claude_environment import output_tokens
from pensieve.cli.launch.first_prompt import Body, first_prompt_tokens, is_of_known_length
from pensieve.models.library.aliases import CuratedModel, curated_models, machine_class_gb

AMPLE_TOKENS = 65_536
"""A window in which the first prompt fits by any tokenizer, so that it need not be counted."""
COMPACTION_TOKENS = 3_000
"""Claude Code compacts a conversation this many tokens before the window is full."""


@dataclass(frozen=True, slots=True)
class WindowProblem:
    """The first prompt does not fit the window, or leaves no room to work. `lines` say so, and what to do."""

    lines: Sequence[str]
    is_certain: bool


def window_problem(
    model: str, window_tokens: int, count: Callable[[Body], int], arguments: Sequence[str], *, is_running: bool
) -> WindowProblem | None:
    """None if Claude Code, started with these arguments, has room to work. `count` counts the tokens of a body, and
    `is_running` says whether a server has loaded the model.
    """
    if window_tokens >= AMPLE_TOKENS:
        return None
    sizes = first_prompt_tokens(arguments, count)
    return judge(window_tokens, model, sizes, is_known=is_of_known_length(arguments), is_running=is_running)


def judge(
    window_tokens: int, model: str, sizes: dict[str, int], *, is_known: bool, is_running: bool
) -> WindowProblem | None:
    """`sizes` are the tokens of the first prompt as it is, under "", and with each flag that makes it shorter."""
    import psutil  # noqa: PLC0415 - the supervisor of a server does without it

    room = window_tokens - output_tokens(window_tokens) - COMPACTION_TOKENS
    if sizes[""] <= room:
        return None
    fitting = [f"{flag} (about {size:,} tokens)" for flag, size in sizes.items() if size <= room]
    is_certain = is_known and sizes[""] > window_tokens
    outcome = "It does not fit." if is_certain else "That leaves too little room to work."
    first = (
        f"{model} has a window of {window_tokens:,} tokens, and Claude Code's first prompt takes about "
        f"{sizes['']:,} of them, counted with the model's own tokenizer. {outcome}"
    )
    shorter = [f"Or make the prompt shorter with {' or '.join(fitting)}."] if fitting else []
    offer = suggestion(psutil.virtual_memory().total, is_running=is_running)
    return WindowProblem([first, offer, *shorter], is_certain)


def suggestion(machine_bytes: int, *, is_running: bool) -> str:
    """The command that serves the model recommended for a machine of this size."""
    machine_gb = machine_class_gb(machine_bytes)
    model = next(model for model in curated_models() if model.machine_gb == machine_gb)
    before = ": stop the server that runs now, then" if is_running else ":"
    return (
        f"For this machine ({machine_bytes / 1024**3:.0f} GB), the catalogue recommends {model.alias} "
        f"({model.name}, {model.weights_bytes / 1e9:.1f} GB to download){before}\n"
        f"    {launch_command(model)}"
    )


def launch_command(model: CuratedModel) -> str:
    limit = f"PENSIEVE_MEMORY_LIMIT={model.memory_limit} " if model.memory_limit else ""
    return f"{limit}pensieve launch claude --model {model.alias}"
