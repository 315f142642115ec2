"""Whether Claude Code's first prompt fits a model that a new server would load: found out before it is loaded."""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pensieve.cli.launch.first_prompt import Body
from pensieve.cli.launch.window import WindowProblem, window_problem
from pensieve.cli.settings.read import read_settings
from pensieve.cli.settings.settings import Settings, SettingsError
from pensieve.cli.settings.settings_file import read_settings_file
from pensieve.core.errors import ModelLoadingError, PensieveError

if TYPE_CHECKING:
    from pensieve.core.defaults.model_settings import ModelSettings
    from pensieve.models.estimate.without_weights import SmallFiles
    from pensieve.models.files.progress import Progress
    from pensieve.models.prompts.chat_template import ChatTemplate


def problem_before_loading(
    model: str | None, environment: Mapping[str, str], arguments: Sequence[str]
) -> WindowProblem | None:
    """The problem of a server that a user starts in this environment, with `--model` or without.

    None also where it cannot be found out: the server says what is wrong with its settings or its model, and its window
    may be smaller for lack of memory.
    """
    try:
        settings = read_settings(argparse.Namespace(model=model), environment, read_settings_file())
        if settings.script is not None:
            return None
        with _undone():
            return _problem(settings, arguments)
    except (SettingsError, PensieveError, OSError):
        return None


def _problem(settings: Settings, arguments: Sequence[str]) -> WindowProblem | None:
    from pensieve.models.estimate.without_weights import without_weights  # noqa: PLC0415 - not needed for --help
    from pensieve.models.files.progress import ConsoleProgress  # noqa: PLC0415
    from pensieve.models.library.embedded import SMOLLM2  # noqa: PLC0415
    from pensieve.models.loading.config import context_window_tokens  # noqa: PLC0415

    name = settings.models.source(settings.model or SMOLLM2.name)
    own = settings.models.of([name], is_main=True).settings
    progress = ConsoleProgress()
    with without_weights(name, progress) as files:
        stated_tokens = context_window_tokens(files.config)
        if stated_tokens is None:
            return None
        model = _UnloadedModel(name, files, own, progress)
        shown = Path(name).name if Path(name).exists() else name
        return window_problem(shown, own.window_within(stated_tokens), model.count, arguments, is_running=False)


class _UnloadedModel:
    def __init__(self, name: str, files: SmallFiles, settings: ModelSettings, progress: Progress) -> None:
        self._name = name
        self._progress = progress
        self._files = files
        self._settings = settings

    def count(self, body: Body) -> int:
        """As the server's count, by the model's own tokenizer and template."""
        from pensieve.api.anthropic.decode import decode_count  # noqa: PLC0415

        decoded = decode_count(json.dumps({"model": self._name, **body}).encode())
        prompt = self._settings.prompt(decoded.prompt)
        return len(self._template.render(prompt.messages, prompt.tools, prompt.thinking).token_ids)

    @cached_property
    def _template(self) -> ChatTemplate:
        """
        Raises:
            ModelLoadingError: the tokenizer cannot be loaded.
        """
        from pensieve.models.prompts.chat_template import ChatTemplate  # noqa: PLC0415
        from pensieve.models.tokenizers.dialect_of import dialect_of  # noqa: PLC0415
        from pensieve.models.tokenizers.load import load_tokenizer  # noqa: PLC0415

        self._progress.print(f"Counting Claude Code's first prompt with the tokenizer of {self._name}.")  # seconds
        try:
            tokenizer = load_tokenizer(self._files.tokenizer_folder(), self._files.config.get("eos_token_id"))
            template = ChatTemplate(tokenizer, dialect_of(tokenizer))
            arguments = self._settings.template_arguments
            return template.with_arguments(arguments) if arguments else template
        except Exception as error:  # Transformers and tokenizers raise various ones for invalid files
            raise ModelLoadingError(self._name, str(error)) from error


@contextmanager
def _undone() -> Iterator[None]:
    """Undo what loading a tokenizer does to this process, which becomes Claude Code: a BLAS sets variables for its
    threads. The server logs again what would be logged here.
    """
    before = dict(os.environ)
    logging.disable()
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        os.environ.clear()
        os.environ.update(before)
