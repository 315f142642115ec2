"""How long Claude Code's first prompt is for a model, counted with the model's own tokenizer and chat template (C7).

Claude Code's words are not ours to ship. A sample in the same manner, instructions and the schema of a tool, is
counted by the server, alone and repeated; what a repetition adds is how this model encodes such text. How many
repetitions Claude Code's prompt equals was measured with the real client, version 2.1.332, and the tokenizers and
templates of eight families (SmolLM2, Qwen 3 and 3.5, Llama 3.1, gpt-oss, Gemma 4, Devstral, GLM 4.7): 19.1 to 20.9
with all tools, 6.2 to 7.0 with four, 1.0 to 1.7 with --bare. tests/claude_code/test_first_prompt.py compares again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

Body = Mapping[str, Any]

_DEFAULT: Final = 20.0
_BY_FLAG: Final[Mapping[str, float]] = {"--bare": 1.6, "--tools": 6.5}
_OTHER_PROMPTS: Final = {
    "--agent",
    "--disallowedTools",
    "--disallowed-tools",
    "--system-prompt",
    "--system-prompt-file",
}
_REPEATED: Final = 3
SHORTER: Final = ('--tools "Read,Write,Bash,Edit"', "--bare")
"""What a user can add to make the prompt shorter, longest first."""

_INSTRUCTIONS: Final = """\
You help with software engineering in the folder that the user works in. Read a file before you change it, and follow
the conventions of the code around it: its libraries, names and comments. Make the smallest change that solves the
problem, and do not add features, files or explanations that are not part of the task.
 - Never guess a URL, a path or the name of a function. Search for it, and say so if it does not exist.
 - If several commands do not depend on each other, run them in parallel, in one answer.
 - Before an action that cannot be undone (deleting branches, overwriting uncommitted work, sending messages), ask.
 - Report what you did and what you saw. If a test fails, quote its output; if you skipped a step, say which.
# Tone
Keep answers short: the user reads them in a terminal. Text outside tool calls is shown as GitHub-flavoured markdown.
Refer to code as `file_path:line_number`. Do not use emoji.
"""
_DESCRIPTION: Final = """\
Searches the files of a folder for a regular expression and returns the lines that match, with their files.

Usage:
- ALWAYS use this tool to search. NEVER run `grep` or `rg` as a shell command.
- The full syntax of regular expressions is supported, such as "log.*Error" or "function\\s+\\w+".
- Restrict the search with the parameter glob ("*.js", "**/*.tsx") or type ("py", "rust").
- The paths in the result are relative to `path`, which has to be absolute, e.g. /home/user/project/src.
- Results over 25000 characters are cut. To see more, use `head_limit` and `offset`.
"""
_PROPERTIES: Final[Body] = {
    "pattern": {"type": "string", "description": "The regular expression to search for in the contents of files"},
    "path": {"type": "string", "description": "File or folder to search in. The current folder if omitted"},
    "output_mode": {
        "type": "string",
        "enum": ["content", "files_with_matches", "count"],
        "description": "What to return. Defaults to 'files_with_matches'",
    },
    "head_limit": {"type": "number", "minimum": 0, "description": "Return only the first N lines (default: 250)"},
    "multiline": {"type": "boolean", "default": False, "description": "Let patterns span several lines"},
}


def first_prompt_tokens(arguments: Sequence[str], count: Callable[[Body], int]) -> dict[str, int]:
    """The tokens of the prompt with these arguments, under "", and with each flag of SHORTER that makes it shorter.

    `count` is the server's count of tokens for the body of a request.
    """
    one, several = count(_sample(1)), count(_sample(_REPEATED))
    each = (several - one) / (_REPEATED - 1)
    sizes = {"": _size(arguments), **{flag: _BY_FLAG[flag.split()[0]] for flag in SHORTER}}
    return {flag: round(one + each * (size - 1)) for flag, size in sizes.items() if size <= sizes[""]}


def is_of_known_length(arguments: Sequence[str]) -> bool:
    """Whether none of the arguments makes the prompt a text that was not measured."""
    return not _OTHER_PROMPTS & _flags(arguments)


def _size(arguments: Sequence[str]) -> float:
    flags = _flags(arguments)
    return next((size for flag, size in _BY_FLAG.items() if flag in flags), _DEFAULT)


def _flags(arguments: Sequence[str]) -> set[str]:
    return {argument.partition("=")[0] for argument in arguments}


def _sample(times: int) -> Body:
    schema = {"type": "object", "properties": _PROPERTIES, "required": ["pattern"], "additionalProperties": False}
    tools = [
        {"name": f"Search{number}", "description": _DESCRIPTION, "input_schema": schema} for number in range(times)
    ]
    return {
        "system": [{"type": "text", "text": _INSTRUCTIONS}] * times,
        "tools": tools,
        "messages": [{"role": "user", "content": "Hello"}],
    }
