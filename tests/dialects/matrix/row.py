"""A row of the table: a small model of one type, whose answers from the engine are compared with mlx-lm's own."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import mlx.core as mx

from contracts.values.generation import GenerationFinished, TextGenerated
from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role, Sampling
from pensieve.engine.engine import Engine
from pensieve.engine.options import EngineOptions
from pensieve.engine.prompt_cache.open import CacheOptions
from pensieve.models.files.model_folder import ModelFolder
from tests.dialects.matrix.coverage import NOTES, SEEDS
from tests.dialects.matrix.model_types import config_of
from tests.dialects.matrix.sizes import VOCABULARY
from tests.support.engines import GIB, parts_of, start_engine
from tests.support.mlx_lm_classes import classes_of
from tests.support.tiny_model import write_byte_tokenizer

OUTPUT_TOKENS: Final = 24
FIRST: Final = "Tell me about the sea."
TEXTS: Final = (
    "Which of the two rivers is the longer one, and by how much?",
    "Count to three.",
    "A sentence that is a good deal longer than the others, so that the rows of a batch differ in length by a lot.",
)
_THEN: Final = "And then?"
END_OF_TURN: Final = "<|im_end|>\n"
_END: Final = 2
"""<|im_end|>, the last of the control tokens."""
_GREEDY: Final = Sampling(temperature=0.0)
_OPTIONS: Final = EngineOptions(cache=CacheOptions(memory_bytes=GIB // 4))


@dataclass(frozen=True)
class Comparison:
    """A row of the table. `difference` is for the message of a failing test."""

    model_type: str
    equals: bool
    together: str
    second_turn: str
    difference: str = ""
    is_in_rows: bool = True
    """Whether every layer that keeps tokens has rows."""

    @property
    def line(self) -> str:
        found = ("yes" if self.equals else "different", self.together, self.second_turn)
        note = NOTES.get(self.model_type, "")
        cells = [self.model_type, *(found if not note else ["see note"] * len(found)), note]
        return f"| {' | '.join(cells)} |"


def write_small_model(folder: Path, config: dict[str, Any], *, seed: int = 0) -> Path:
    """Write a model of random f32 weights, whose answers differ from prompt to prompt, with an ASCII tokenizer."""
    mx.random.seed(seed)
    model_class, args_class = classes_of(config["model_type"])
    model = model_class(args_class.from_dict(config))
    model.set_dtype(mx.float32)
    _strengthen(model)
    _write_ascii_tokenizer(folder)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    importlib.import_module("mlx_lm.utils").save_model(folder, model)
    return folder


def _strengthen(model: Any) -> None:
    """Make answers depend on more than the last token: freshly initialised layers add little to it, and some
    parameters are zero.
    """
    nn: Any = importlib.import_module("mlx.nn")
    for module in model.modules():
        for name, array in module.parameters().items():
            if not isinstance(array, mx.array) or isinstance(module, nn.Embedding):
                continue
            if bool(mx.all(array == array.reshape(-1)[0])):
                module[name] = array + 0.3 * mx.random.normal(array.shape)
            elif array.ndim > 1:
                module[name] = array * 3.0
    for path, module in model.named_modules():
        if "A_log" in module:
            module["A_log"] = module["A_log"] - 4.0  # so that a recurrent state lasts longer than a few tokens
        if path.endswith("w_lora"):
            module.lora[2]["bias"] = module.lora[2]["bias"] - 4.0


def _write_ascii_tokenizer(folder: Path) -> None:
    """The byte tokenizer, cut to the vocabulary of the models."""
    write_byte_tokenizer(folder)
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"].items()
    tokenizer["model"]["vocab"] = {token: number for token, number in vocabulary if number < VOCABULARY}
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")


async def compared(model_type: str, folder: Path) -> Comparison:
    """One answer alone, three at once, and a second turn, each compared with mlx-lm's."""
    write_small_model(folder, config_of(model_type), seed=SEEDS.get(model_type, 0))
    reference = MlxLmModel(folder)
    with _log_of("pensieve.engine.memory.probe") as lines:
        made_at = "2026-01-01T00:00:00Z"
        engine = await start_engine(ModelFolder(folder, model_type, model_type, made_at), _OPTIONS)
    try:
        probe = parts_of(engine).probe
        alone, _ = await _answer(engine, conversation(FIRST))
        together = [text for text, _ in await asyncio.gather(*(_answer(engine, conversation(it)) for it in TEXTS))]
        second, cached_tokens = await _answer(engine, conversation(FIRST, alone, _THEN))
    finally:
        await engine.aclose()
    token_ids = [reference.answer(prompt_of(text)) for text in (FIRST, *TEXTS)]
    token_ids.append(reference.answer([*prompt_of(FIRST), *token_ids[0], *tokens_of(END_OF_TURN + rendered(_THEN))]))
    expected = list(map(text_of, token_ids))
    differences = [pair for pair in zip(expected, (alone, *together, second), strict=True) if pair[0] != pair[1]]
    return Comparison(
        model_type,
        equals=alone == expected[0],
        together=_batching(lines) if together == expected[1:4] else "different",
        second_turn=_second_turn(second == expected[4], cached_tokens),
        difference="; ".join(f"mlx-lm {one!r}, here {other!r}" for one, other in differences),
        is_in_rows=probe.rows != "none" and not probe.sizes.has_padded_layers,
    )


def _batching(lines: list[str]) -> str:
    """As logged when the model was loaded."""
    if any("answers one request at a time" in line for line in lines):
        return "one at a time"
    if any("runs a pass for each request" in line for line in lines):
        return "a pass for each"
    return (
        "batched; prompts one at a time"
        if any("prefills one prompt at a time" in line for line in lines)
        else "batched"
    )


def _second_turn(is_same: bool, cached_tokens: int) -> str:  # noqa: FBT001
    return ("cached" if cached_tokens else "computed") if is_same else "different"


class MlxLmModel:
    """The same model, loaded and run by mlx-lm itself."""

    def __init__(self, folder: Path) -> None:
        utils: Any = importlib.import_module("mlx_lm.utils")
        self._model, _ = utils.load_model(folder)

    def answer(self, prompt: list[int], **settings: int) -> list[int]:
        """The answer's token ids, without the end token. `settings` are those of `mlx_lm.generate.generate_step`."""
        stream_generate = importlib.import_module("mlx_lm").stream_generate
        answers = stream_generate(self._model, _tokenizer(), prompt, max_tokens=OUTPUT_TOKENS, **settings)
        return [int(answer.token) for answer in answers if answer.token != _END]


@cache
def _tokenizer() -> Any:
    tokenizer_utils: Any = importlib.import_module("mlx_lm.tokenizer_utils")
    with TemporaryDirectory() as folder:
        _write_ascii_tokenizer(Path(folder))
        return tokenizer_utils.load(Path(folder))


def tokens_of(text: str) -> list[int]:
    return list(_tokenizer().encode(text, add_special_tokens=False))


def text_of(token_ids: list[int]) -> str:
    """One character for each token. Control tokens, whose ids come before those of the bytes, are left out."""
    return "".join(chr(token_id - _END - 1) for token_id in token_ids if token_id > _END)


def prompt_of(text: str) -> list[int]:
    return tokens_of(rendered(text))


def rendered(text: str) -> str:
    """As by the tokenizer's template, tests.support.tiny_model.CHATML."""
    return f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"


def conversation(*texts: str) -> GenerationRequest:
    roles = (Role.USER, Role.ASSISTANT, Role.USER)
    messages = tuple(ChatMessage(role, text) for role, text in zip(roles, texts, strict=False))
    return GenerationRequest(messages, OUTPUT_TOKENS, _GREEDY)


async def _answer(engine: Engine, request: GenerationRequest) -> tuple[str, int]:
    """The answer's text, and the number of prompt tokens that came from the cache."""
    text, cached_tokens = "", 0
    async with aclosing(engine.generate(request)) as events:
        async for event in events:
            if isinstance(event, TextGenerated):
                text += event.text
            elif isinstance(event, GenerationFinished):
                cached_tokens = event.usage.cached_tokens
    return text, cached_tokens


@contextmanager
def _log_of(name: str) -> Iterator[list[str]]:
    """The lines that the logger writes inside the block."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger(name)
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
