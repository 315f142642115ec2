"""docs/settings.md, from the table of settings.

Write it again with: python -m pensieve.cli.config.document > docs/settings.md
"""

from __future__ import annotations

from collections.abc import Iterable

from pensieve.cli.config.examples import EXAMPLES
from pensieve.cli.settings.names import OTHER_VARIABLES
from pensieve.cli.settings.setting import Setting
from pensieve.cli.settings.table import MODEL_TABLE, TABLE

_HEAD = """# Settings

<!-- Written by `python -m pensieve.cli.config.document > docs/settings.md`; do not edit. -->

A setting of `pensieve serve` has one name in three places. For `top_k`:

| where | written as | |
|---|---|---|
| a flag | `--top-k 20` | overrides the other two |
| an environment variable | `PENSIEVE_TOP_K=20` | overrides the file |
| the settings file | `top_k = 20` | for every start |

```sh
pensieve config edit    # opens the file in your editor
pensieve config check   # names all that is wrong in it and in the environment
pensieve config show    # every setting, its value, and where that comes from
pensieve config path    # where the file is
```

The first time, `edit` opens a file with every setting as a comment.

The file is TOML. It is `config.toml` in `PENSIEVE_HOME` where that is set; otherwise
`~/Library/Application Support/pensieve/config.toml` on macOS and `~/.config/pensieve/config.toml` on Linux.
`PENSIEVE_CONFIG` names another one. `pensieve launch` starts its server with the same settings.

```toml
model = "coder-16gb"
memory_limit = "24GB"
idle_unload = "30m"

[models."mlx-community/Qwen3-8B-4bit"]
alias = "qwen"
context = 32768
temperature = 0.6
thinking = "off"
```

- A wrong key or value prevents the start; the message names the file, the line, the key and the fix. An unknown
  `PENSIEVE_` variable is a warning.
- A relative path is below the file's folder.
- Keys may be written with dashes too: `top-k`.
- A file with `api_key` in it must be closed to other users: `chmod 600` it.
"""
_MODELS = """## Settings of one model

A table `[models."NAME"]` in the file applies to one model. NAME is what `--model` and `--allow-model` say, or the id
that clients use; it needs quotation marks if it has a dot or a slash. A table of a model that is not served has no
effect.
"""
_PER_MODEL = """
For each of these, the first that is set wins: what a request says (where it may), the model's table in the file of
`--model-settings`, the flag, the environment variable, the model's table in the settings file, the settings file
outside its tables, the model's own default. The file of `--model-settings` has the same tables without `models.`, such
as `["mlx-community/Qwen3-8B-4bit"]`; a table of a model that is not served prevents the start there.

- `alias` is a name for clients, and for `--model` and `--allow-model`.
- `context` never raises a window above the model's own.
- `idle_unload` is how long the model stays loaded without a request.
- `draft_model` outside the tables is for the main model alone.
- `template_arguments` are checked when the model is loaded: a name that its chat template does not read is refused.
"""


def settings_document() -> str:
    table = _table(("setting", "flag", "variable", "default", "what it does"), map(_row, TABLE))
    models = _table(("key", "example", "what it does"), map(_model_row, MODEL_TABLE))
    others = _table(("variable", "what it does"), ((f"`{name}`", text) for name, text in OTHER_VARIABLES.items()))
    return "\n".join([_HEAD, "## All settings\n", table, _MODELS, models + _PER_MODEL, "## Other variables\n", others])


def _row(setting: Setting) -> tuple[str, ...]:
    metavar = f" {setting.metavar}" if setting.metavar else ""
    example = EXAMPLES.get(setting.name)
    key = f"`{setting.name} = {example}`" if example else "only on the command line"
    return key, f"`{setting.flag}{metavar}`", f"`{setting.variable}`", setting.default_text, setting.sentence


def _model_row(setting: Setting) -> tuple[str, ...]:
    return f"`{setting.name}`", f"`{EXAMPLES[setting.name]}`", setting.sentence


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in lines)


if __name__ == "__main__":
    print(settings_document(), end="")
