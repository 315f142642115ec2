"""Loads a model and builds everything that its engine needs, in one phase on the thread that owns MLX."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass, field

from pensieve.core.defaults.model_settings import ModelSettings
from pensieve.core.errors import ModelLoadingError
from pensieve.device.device import device_info
from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.engine.batch.batch import Batch
from pensieve.engine.decoding.forced_script import ForcedScript
from pensieve.engine.decoding.grammar_mask import Grammars
from pensieve.engine.layers.replace import replace_layers
from pensieve.engine.memory.memos import MemoSizes
from pensieve.engine.memory.plan import MemoryPlan
from pensieve.engine.memory.pressure import PressureRelief
from pensieve.engine.memory.probe import ACTIVATIONS_SHARE, CHUNK_TOKENS, Probe, probe, report_limitations
from pensieve.engine.options import EngineOptions
from pensieve.engine.prompt_cache.answer_memory import AnswerMemory
from pensieve.engine.prompt_cache.prompt_cache import PromptCache
from pensieve.engine.requests.event_stream import Deliver, deliver
from pensieve.engine.speculation.draft_model import DraftModel, load_draft, option_for, ready_to_draft
from pensieve.engine.speculation.mtp import MtpDrafter, drafter_of
from pensieve.engine.speculation.pass_costs import Pace
from pensieve.engine.warm_up import check, log_if_slow, timed_prefill, warm_up
from pensieve.models.estimate.known_model import Speculation, known_model
from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.loading.load import LoadedModel, load
from pensieve.models.prompts.chat_template import ChatTemplate

FLUSH_SECONDS = 10.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineParts:
    models: tuple[LoadedModel, ...]
    """The model, and the draft model if there is one."""
    settings: ModelSettings
    plan: MemoryPlan
    probe: Probe
    drafter: DraftModel | MtpDrafter | None
    forced: ForcedScript | None
    answers: AnswerMemory
    prompt_cache: PromptCache
    template: ChatTemplate
    grammars: Grammars
    relief: PressureRelief
    pace: Pace = field(default_factory=Pace)
    """How long passes take, from which follows how much is worth drafting."""
    deliver: Deliver = deliver
    """Passes events to their streams."""

    @property
    def model(self) -> LoadedModel:
        return self.models[0]

    def speculation(self, options: EngineOptions) -> Speculation:
        """What drafts: a draft model or an MTP head that could not be used is not it."""
        if not options.speculation:
            return "off"
        if self.drafter is None:
            return "prompt_lookup"
        return "mtp" if isinstance(self.drafter, MtpDrafter) else "draft_model"

    def new_batch(self, options: EngineOptions) -> Batch:
        batch = self.plain_batch(options)
        if options.speculation:
            batch.speculate(self.pace, self.drafter)
        return batch

    def checked_batch(self, options: EngineOptions) -> Batch:
        """A batch for after a fault.

        Raises:
            Exception: the model no longer computes.
        """
        check(self.plain_batch(options))
        return self.new_batch(options)

    def plain_batch(self, options: EngineOptions) -> Batch:
        """Without speculation."""
        return Batch(self.model, self.probe, options, chunk_tokens=self.probe.chunk_tokens, forced=self.forced)


def load_parts(folder: ModelFolder, memory: DeviceMemory, options: EngineOptions, resources: ExitStack) -> EngineParts:
    """`resources` frees what was loaded, also after a failure. It is to be closed on the thread that owns MLX.

    Raises:
        ModelLoadingError: the model's files are missing, damaged or of an unknown kind.
        InsufficientMemoryError: the weights do not fit, or leave no room for requests.
    """
    resources.callback(memory.reclaim)
    plan = MemoryPlan(memory, _expected_weights_bytes(folder, options))
    resources.callback(plan.release)
    models = _load_models(folder, options, resources)
    plan.correct(sum(model.weights_bytes for model in models))
    memory.reserve_for_process()
    with log_if_slow("measuring the model's memory needs and compiling its kernels"):
        parts = _build(folder, memory, options, plan, models)
        resources.callback(parts.answers.close)
        resources.callback(parts.prompt_cache.close, FLUSH_SECONDS)
        if device_info().backend != "cpu":
            warm_up(parts.model, parts.probe, parts.plain_batch(options), parts.grammars, kv_bits=options.kv_bits)
            parts.prompt_cache.note_prefill(*timed_prefill(parts.model, parts.probe, kv_bits=options.kv_bits))
    return parts


def _expected_weights_bytes(folder: ModelFolder, options: EngineOptions) -> int:
    dense, drafting = device_info().backend == "cpu", options.draft_model
    expected = known_model(folder.id, folder, dense=dense, with_mtp=options.wants_mtp).weights_bytes
    if drafting is not None:
        expected += known_model(option_for(drafting.id), drafting, dense=dense).weights_bytes
    return expected


def _load_models(folder: ModelFolder, options: EngineOptions, resources: ExitStack) -> tuple[LoadedModel, ...]:
    models = [load(folder, with_mtp=options.wants_mtp)]
    resources.callback(models[0].release)
    models[0].context_window_tokens = options.settings.window_within(models[0].context_window_tokens)
    if options.draft_model is not None:
        models.append(load_draft(options.draft_model))
        resources.callback(models[1].release)
    for each in [model.model for model in models] + [model.mtp for model in models if model.mtp is not None]:
        replace_layers(each)
    return tuple(models)


def _build(
    folder: ModelFolder,
    memory: DeviceMemory,
    options: EngineOptions,
    plan: MemoryPlan,
    models: tuple[LoadedModel, ...],
) -> EngineParts:
    model = models[0]
    probed = probe(
        model,
        memory,
        chunk_tokens=CHUNK_TOKENS[device_info().backend],
        max_bytes=int(ACTIVATIONS_SHARE * memory.capacity_bytes),
        kv_bits=options.kv_bits,
    )
    report_limitations(folder.id, probed, kv_bits=options.kv_bits)
    draft = _draft_model(options, models, probed, memory)
    head = drafter_of(model, folder.id) if model.mtp is not None else None
    memos = MemoSizes.within(memory.capacity_bytes)
    plan.add_memos(memos)
    draft_probe = draft.probe if draft is not None else None
    plan.add(probed, model.context_window_tokens, draft_probe, head.sizes if head is not None else None)
    if plan.why_this_window:
        log.warning("%s has a window of %d tokens: %s", folder.id, plan.window_tokens, plan.why_this_window)
    answers = options.cache.open_answers(folder)
    prompt_cache = PromptCache(memory, options.cache.open_store(model, folder, kv_bits=options.kv_bits))
    return EngineParts(
        models=models,
        settings=options.settings.over_makers(model.sampling),
        plan=plan,
        probe=probed,
        drafter=draft or head,
        forced=ForcedScript(options.script, model) if options.script is not None else None,
        answers=answers,
        prompt_cache=prompt_cache,
        template=_template(folder, model, options, answers, memos),
        grammars=Grammars(model, max_bytes=memos.grammars_bytes, max_verdicts_bytes=memos.verdicts_bytes),
        relief=PressureRelief(memory, prompt_cache, chunk_tokens=probed.chunk_tokens),
    )


def _draft_model(
    options: EngineOptions, models: tuple[LoadedModel, ...], probed: Probe, memory: DeviceMemory
) -> DraftModel | None:
    if options.draft_model is None:
        return None
    return ready_to_draft(options.draft_model.id, models[1], models[0], probed, memory)


def _template(
    folder: ModelFolder, model: LoadedModel, options: EngineOptions, answers: AnswerMemory, memos: MemoSizes
) -> ChatTemplate:
    """
    Raises:
        ModelLoadingError: the template does not read one of the operator's arguments.
    """
    template = ChatTemplate(model.tokenizer, model.dialect, answers.recall, max_cached_bytes=memos.encodings_bytes)
    arguments = options.settings.template_arguments
    try:
        return template.with_arguments(arguments) if arguments else template
    except ValueError as error:
        raise ModelLoadingError(folder.id, f"template_arguments: {error}") from error
