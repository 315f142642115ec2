"""The settings of one model, and from how many places they come."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from contracts.values.vocabulary import Sampling
from pensieve.core.defaults.model_settings import ModelSettings


@dataclass(frozen=True, slots=True)
class ModelTable:
    """None means not set. `idle_seconds` are infinite for a model that stays loaded."""

    settings: ModelSettings = ModelSettings()  # noqa: RUF009 - frozen
    draft_model: str | None = None
    idle_seconds: float | None = None
    alias: str | None = None

    def over(self, general: ModelTable) -> ModelTable:
        """These settings, completed by the `general` ones."""
        return ModelTable(
            self.settings.over(general.settings),
            self.draft_model or general.draft_model,
            general.idle_seconds if self.idle_seconds is None else self.idle_seconds,
            self.alias or general.alias,
        )


def model_table(values: Mapping[str, Any]) -> ModelTable:
    """From values by the names of their settings. Those that are missing or None are not set."""
    settings = ModelSettings(
        Sampling(**{each.name: values.get(each.name) for each in fields(Sampling)}),
        values.get("thinking"),
        values.get("max_thinking_tokens"),
        values.get("context"),
        values.get("template_arguments"),
    )
    return ModelTable(settings, values.get("draft_model"), values.get("idle_unload"), values.get("alias"))


@dataclass(frozen=True, slots=True)
class ModelTables:
    """From the strongest to the weakest: the tables of `--model-settings`, flags and variables, the tables of the
    settings file, and that file outside its tables. `of_file` and `of_model_settings` are by model name.
    """

    of_model_settings: Mapping[str, ModelTable] = field(default_factory=dict)
    given: ModelTable = ModelTable()
    of_file: Mapping[str, ModelTable] = field(default_factory=dict)
    general: ModelTable = ModelTable()

    def of(self, names: Collection[str], *, is_main: bool) -> ModelTable:
        """The settings of a model that has these names. The server's draft model is for the main model alone."""
        given, general = (each if is_main else replace(each, draft_model=None) for each in (self.given, self.general))
        return _named(self.of_model_settings, names).over(given).over(_named(self.of_file, names)).over(general)

    def source(self, name: str) -> str:
        """The model that `name` is an alias of, else `name`."""
        tables = [*self.of_model_settings.items(), *self.of_file.items()]
        return next((model for model, table in tables if table.alias == name), name)


def _named(tables: Mapping[str, ModelTable], names: Collection[str]) -> ModelTable:
    return next((tables[name] for name in names if name in tables), ModelTable())
