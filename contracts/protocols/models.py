"""ModelManager: which models are loaded (S1)."""

from __future__ import annotations

from typing import Protocol

from contracts.clauses import ensures, raises_only, refuses, requires
from contracts.protocols.inference import InferenceModel
from contracts.values.vocabulary import ErrorKind, ModelConfig, ModelInfo


class ModelManager(Protocol):
    """Loads and unloads models, and knows which are loaded, and which can be."""

    def loaded(self) -> tuple[ModelInfo, ...]:
        """The models that answer now, newest first."""

    @ensures(
        "MM-10",
        "every model that is loaded is known",
        lambda self, result: {info.id for info in self.loaded()} <= {info.id for info in result},
    )
    def known(self) -> tuple[ModelInfo, ...]:
        """The models that can be borrowed, loaded or not."""

    def find(self, name: str) -> ModelInfo | None:
        """The known model of that name, if there is one. Its id is always its name."""

    def in_use(self, model_id: str) -> bool:
        """Whether a stream of this model is open, or somebody has borrowed it."""

    def get(self, model_id: str) -> InferenceModel | None:
        """The loaded model of that id, if there is one."""

    @refuses("MM-1", "an empty source is refused", lambda config: not config.source, ErrorKind.MODEL_LOADING)
    @ensures(
        "MM-2",
        "the model that comes back is among those that are loaded",
        lambda self, result: any(info.id == result.info.id for info in self.loaded()),
    )
    @raises_only(
        "MM-3",
        "loading fails only over the model, the memory or the device",
        ErrorKind.MODEL_LOADING,
        ErrorKind.INSUFFICIENT_MEMORY,
        ErrorKind.OVERLOADED,
        ErrorKind.DEVICE,
    )
    async def load_model(self, config: ModelConfig) -> InferenceModel:
        """Load what `config` names; a model that is loaded already is handed out again.

        Where memory does not suffice, models that nobody uses are unloaded first.

        Raises:
            MODEL_LOADING: no such model, or files that are damaged or of an unknown kind; the message names the file.
            INSUFFICIENT_MEMORY: the weights can never fit; the message gives both figures.
            OVERLOADED: the models that are in use leave no room for it now.
            DEVICE: no device can run it.
        """

    @refuses(
        "MM-11", "a name that is not known is refused", lambda self, name: self.find(name) is None, ErrorKind.NOT_FOUND
    )
    @ensures(
        "MM-12",
        "a borrowed model is loaded, and in use",
        lambda self, result: self.get(result.info.id) is not None and self.in_use(result.info.id),
    )
    @raises_only(
        "MM-13",
        "borrowing fails only over the name, the model, the memory or the device",
        ErrorKind.NOT_FOUND,
        ErrorKind.MODEL_LOADING,
        ErrorKind.INSUFFICIENT_MEMORY,
        ErrorKind.OVERLOADED,
        ErrorKind.DEVICE,
    )
    async def borrow(self, name: str) -> InferenceModel:
        """The known model of that name, loaded if it is not, and not unloaded before it is given back.

        Raises:
            NOT_FOUND: no model is known by that name; the message says which are.
            MODEL_LOADING, INSUFFICIENT_MEMORY, OVERLOADED, DEVICE: as `load_model`.
        """

    @requires("MM-14", "what is given back was borrowed", lambda self, model_id: self.in_use(model_id))
    @raises_only("MM-15", "giving back cannot fail")
    def give_back(self, model_id: str) -> None:
        """Once for each time that it was borrowed."""

    @refuses(
        "MM-4",
        "a model that is not loaded cannot be unloaded",
        lambda self, model_id: self.get(model_id) is None,
        ErrorKind.NOT_FOUND,
    )
    @refuses(
        "MM-5", "a model in use is not unloaded", lambda self, model_id: self.in_use(model_id), ErrorKind.OVERLOADED
    )
    @ensures("MM-6", "an unloaded model is gone", lambda self, model_id: self.get(model_id) is None)
    @raises_only("MM-7", "unloading fails only so", ErrorKind.NOT_FOUND, ErrorKind.OVERLOADED)
    async def unload_model(self, model_id: str) -> None:
        """Free a model's memory.

        Raises:
            NOT_FOUND: no such model is loaded.
            OVERLOADED: a stream of it is open, or somebody has borrowed it.
        """

    @ensures("MM-8", "what was freed is a number of bytes", lambda result: result >= 0)
    @raises_only("MM-9", "freeing what is not needed cannot fail")
    async def optimize_memory_usage(self) -> int:
        """Give unneeded memory back to the system; bytes that came free."""

    async def aclose(self) -> None:
        """Close every model. Closing again does nothing."""
