"""ModelManager: which models are loaded (S1)."""

from __future__ import annotations

from typing import Protocol

from contracts.clauses import ensures, raises_only, refuses, requires
from contracts.protocols.inference import InferenceModel
from contracts.values.vocabulary import ErrorKind, ModelConfig, ModelInfo


class ModelManager(Protocol):
    """Loads and unloads models, and lists those that are loaded or can be."""

    def loaded(self) -> tuple[ModelInfo, ...]:
        """The loaded models, newest first."""

    @ensures(
        "MM-10",
        "every loaded model is known",
        lambda self, result: {info.id for info in self.loaded()} <= {info.id for info in result},
    )
    def known(self) -> tuple[ModelInfo, ...]:
        """The models that can be borrowed, loaded or not."""

    def find(self, name: str) -> ModelInfo | None:
        """The known model with that name, if any. A model's id is always one of its names."""

    def in_use(self, model_id: str) -> bool:
        """Whether the model has an open stream or a borrower."""

    def get(self, model_id: str) -> InferenceModel | None:
        """The loaded model with that id, if any."""

    @refuses("MM-1", "an empty source is refused", lambda config: not config.source, ErrorKind.MODEL_LOADING)
    @ensures(
        "MM-2",
        "the returned model is listed as loaded",
        lambda self, result: any(info.id == result.info.id for info in self.loaded()),
    )
    @raises_only(
        "MM-3",
        "loading fails only because of the model, the memory or the device",
        ErrorKind.MODEL_LOADING,
        ErrorKind.INSUFFICIENT_MEMORY,
        ErrorKind.OVERLOADED,
        ErrorKind.DEVICE,
    )
    async def load_model(self, config: ModelConfig) -> InferenceModel:
        """Load the model that `config` names, or return it if it is already loaded.

        If memory is short, unused models are unloaded first.

        Raises:
            MODEL_LOADING: there is no such model, or a file is damaged or of an unknown type; the message names it.
            INSUFFICIENT_MEMORY: the weights can never fit; the message has both sizes.
            OVERLOADED: the models in use leave no room for it now.
            DEVICE: no device can run it.
        """

    @refuses("MM-11", "an unknown name is refused", lambda self, name: self.find(name) is None, ErrorKind.NOT_FOUND)
    @ensures(
        "MM-12",
        "a borrowed model is loaded and in use",
        lambda self, result: self.get(result.info.id) is not None and self.in_use(result.info.id),
    )
    @raises_only(
        "MM-13",
        "borrowing fails only because of the name, the model, the memory or the device",
        ErrorKind.NOT_FOUND,
        ErrorKind.MODEL_LOADING,
        ErrorKind.INSUFFICIENT_MEMORY,
        ErrorKind.OVERLOADED,
        ErrorKind.DEVICE,
    )
    async def borrow(self, name: str) -> InferenceModel:
        """The known model with that name, loaded if necessary. It is not unloaded before it is given back.

        Raises:
            NOT_FOUND: no model has that name; the message lists those that exist.
            MODEL_LOADING, INSUFFICIENT_MEMORY, OVERLOADED, DEVICE: as `load_model`.
        """

    @requires("MM-14", "only a borrowed model is given back", lambda self, model_id: self.in_use(model_id))
    @raises_only("MM-15", "giving a model back never fails")
    def give_back(self, model_id: str) -> None:
        """Return a borrowed model; call it once per `borrow`."""

    @refuses(
        "MM-4",
        "unloading a model that is not loaded is refused",
        lambda self, model_id: self.get(model_id) is None,
        ErrorKind.NOT_FOUND,
    )
    @refuses(
        "MM-5",
        "unloading a model in use is refused",
        lambda self, model_id: self.in_use(model_id),
        ErrorKind.OVERLOADED,
    )
    @ensures("MM-6", "an unloaded model is gone", lambda self, model_id: self.get(model_id) is None)
    @raises_only("MM-7", "unloading fails only with these errors", ErrorKind.NOT_FOUND, ErrorKind.OVERLOADED)
    async def unload_model(self, model_id: str) -> None:
        """Free a model's memory.

        Raises:
            NOT_FOUND: the model is not loaded.
            OVERLOADED: it has an open stream or a borrower.
        """

    @ensures("MM-8", "the number of freed bytes is not negative", lambda result: result >= 0)
    @raises_only("MM-9", "freeing unneeded memory never fails")
    async def optimize_memory_usage(self) -> int:
        """Return unneeded memory to the system; the result is the number of bytes freed."""

    async def aclose(self) -> None:
        """Close every model. Closing again does nothing."""
