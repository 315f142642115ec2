"""Makes any stage of the generation loop raise, hang or slow down, through the parts that the loop is given.

`load_with(fault)` is the `load` of `Engine.start`. Nothing of the engine is patched: its model, batch, decoder, prompt
cache, relief and delivery are wrapped in parts that strike before they do their work.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from typing import Any, cast

from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.engine.assembly import EngineParts, load_parts
from pensieve.engine.batch.batch import Batch
from pensieve.engine.engine import LoadParts
from pensieve.engine.kv.rows.flat import FlatRows
from pensieve.engine.options import EngineOptions
from pensieve.engine.prompt_cache.match import Match
from pensieve.engine.requests.event_stream import Delivery, deliver
from pensieve.engine.requests.output import Decoder, Output
from pensieve.engine.requests.progress import AnswerProgress
from pensieve.engine.requests.prompt import PreparedPrompt
from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.tokenizers.text_decoder import TextDecoder
from tests.engine.faults.fault import PLAIN, Fault, Stage


class Intercepted:
    """Passes everything on to `target`, and calls `before` when a method of this name is called."""

    def __init__(self, target: Any, name: str, before: Callable[[], None]) -> None:
        self._target = target
        self._name = name
        self._before = before

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if name != self._name:
            return found

        def call(*arguments: Any, **keywords: Any) -> Any:
            self._before()
            return found(*arguments, **keywords)

        return call


class _FaultyModel:
    """A call with one token of each row decodes. One with several prefills, or decodes with copies of the token, as a
    CPU may, and one with flat rows does both.
    """

    def __init__(self, model: Any, fault: Fault) -> None:
        self._model = model
        self._fault = fault

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, tokens: Any, *arguments: Any, **keywords: Any) -> Any:
        is_flat = any(isinstance(each, FlatRows) for each in keywords.get("cache") or ())
        if is_flat or tokens.shape[1] > 1:
            self._fault.at(Stage.PREFILL)
        if is_flat or tokens.shape[1] == 1:
            self._fault.at(Stage.DECODE)
        return self._model(tokens, *arguments, **keywords)


class _FaultyScript:
    """A ForcedScript whose logits processors strike."""

    def __init__(self, script: Any, fault: Fault) -> None:
        self._script = script
        self._fault = fault

    def processor_for(self, request: Any) -> Callable[[Any, Any], Any]:
        forced = self._script.processor_for(request)

        def process(token_ids: Any, logits: Any) -> Any:
            self._fault.at(Stage.SAMPLE)
            return forced(token_ids, logits)

        return process


class _FaultyDecoder:
    def __init__(self, decoder: Decoder, fault: Fault) -> None:
        self._decoder = decoder
        self._fault = fault

    def step(self, token_id: int) -> str:
        self._fault.at(Stage.TEXT)
        return self._decoder.step(token_id)

    def finish(self) -> str:
        return self._decoder.finish()


class _FaultyBatch(Batch):
    def __init__(self, parts: EngineParts, options: EngineOptions, fault: Fault) -> None:
        super().__init__(parts.model, parts.probe, options, chunk_tokens=parts.probe.chunk_tokens, forced=parts.forced)
        self._parts = parts
        self._fault = fault

    def insert(self, prompt: PreparedPrompt, max_tokens: int, match: Match, stops: Any = ()) -> int:
        self._fault.at(Stage.INSERT)
        return super().insert(prompt, max_tokens, match, stops)

    def new_output(self, prompt: PreparedPrompt, progress: AnswerProgress) -> Output:
        """Only the answers to requests without streaming have a faulty decoder (`PLAIN` marks them)."""
        model = self._parts.model
        decoder: Decoder = TextDecoder(model.tokenizer, model.dialect.marks.characters)
        if PLAIN in prompt.request.messages[-1].text:
            decoder = _FaultyDecoder(decoder, self._fault)
        return Output(prompt, progress, decoder, model.dialect, streams_calls=False)


@dataclass(frozen=True, slots=True)
class _FaultyParts(EngineParts):
    fault: Fault | None = None

    def plain_batch(self, options: EngineOptions) -> Batch:
        assert self.fault is not None
        self.fault.at(Stage.REBUILD)
        return _FaultyBatch(self, options, self.fault)


def load_with(fault: Fault) -> LoadParts:
    def faulty_deliver(deliveries: list[Delivery]) -> None:
        if len({stream for stream, _ in deliveries}) > 1 or fault.num_strikes:
            fault.at(Stage.EMIT)  # both clients are affected
        deliver(deliveries)

    def load(folder: ModelFolder, memory: DeviceMemory, options: EngineOptions, resources: ExitStack) -> EngineParts:
        whole = load_parts(folder, memory, options, resources)
        fault.note_load()
        storing = Intercepted(whole.prompt_cache, "keep", lambda: fault.at(Stage.STORE))
        prompt_cache = Intercepted(storing, "admit", lambda: fault.at(Stage.ADMIT))
        parts = replace(
            whole,
            models=(replace(whole.model, model=_FaultyModel(whole.model.model, fault)), *whole.models[1:]),
            forced=cast("Any", _FaultyScript(whole.forced, fault)) if whole.forced is not None else None,
            prompt_cache=cast("Any", prompt_cache),
            relief=cast("Any", Intercepted(whole.relief, "update", lambda: fault.at(Stage.RELIEF))),
            deliver=faulty_deliver,
        )
        return _FaultyParts(**{each.name: getattr(parts, each.name) for each in fields(EngineParts)}, fault=fault)

    return load
