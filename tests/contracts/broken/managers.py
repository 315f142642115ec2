"""Model managers that are wrong in one way each."""

from __future__ import annotations

from contracts.values.vocabulary import ModelConfig, ModelInfo
from pensieve.core.errors import DeviceError, ModelLoadingError, NotFoundError
from tests.contracts.broken.register import Broken
from tests.contracts.in_memory.model import InMemoryManager, InMemoryModel

broken = Broken[InMemoryManager]()


@broken.by("MM-1")
class LoadsAnEmptySource(InMemoryManager):
    async def load_model(self, config: ModelConfig) -> InMemoryModel:
        return await super().load_model(ModelConfig(config.source or "one"))


@broken.by("MM-2")
class ForgetsWhatItLoads(InMemoryManager):
    def loaded(self) -> tuple[ModelInfo, ...]:
        return super().loaded()[1:]


@broken.by("MM-3")
class LoadingCrashes(InMemoryManager):
    async def load_model(self, config: ModelConfig) -> InMemoryModel:
        try:
            return await super().load_model(config)
        except ModelLoadingError as error:
            if not config.source:
                raise
            raise FileNotFoundError(config.source) from error


@broken.by("MM-4")
class UnloadsAbsentModels(InMemoryManager):
    async def unload_model(self, model_id: str) -> None:
        if model_id in self.models:
            await super().unload_model(model_id)


@broken.by("MM-5")
class UnloadsModelsInUse(InMemoryManager):
    async def unload_model(self, model_id: str) -> None:
        if self.models.pop(model_id, None) is None:
            await super().unload_model(model_id)


@broken.by("MM-6")
class KeepsUnloadedModels(InMemoryManager):
    async def unload_model(self, model_id: str) -> None:
        model = self.get(model_id)
        await super().unload_model(model_id)
        if model is not None:
            self.models[model_id] = model


@broken.by("MM-7")
class UnloadingCrashes(InMemoryManager):
    async def unload_model(self, model_id: str) -> None:
        del self.models[model_id]


@broken.by("MM-8")
class FreesNegativeBytes(InMemoryManager):
    async def optimize_memory_usage(self) -> int:
        return -1


@broken.by("MM-9")
class FreeingCrashes(InMemoryManager):
    async def optimize_memory_usage(self) -> int:
        raise NotImplementedError


@broken.by("MM-10")
class KnowsOnlyOneModel(InMemoryManager):
    def known(self) -> tuple[ModelInfo, ...]:
        return super().known()[1:]

    def find(self, name: str) -> ModelInfo | None:
        return next((info for info in super().known() if info.id == name), None)


@broken.by("MM-11")
class LendsToAnyName(InMemoryManager):
    async def borrow(self, name: str) -> InMemoryModel:
        return await super().borrow(name if self.find(name) else "one")


@broken.by("MM-12")
class LendsWithoutCounting(InMemoryManager):
    async def borrow(self, name: str) -> InMemoryModel:
        model = await super().borrow(name)
        self.num_borrowed[name] = 0
        return model


@broken.by("MM-13")
class BorrowingCrashes(InMemoryManager):
    async def borrow(self, name: str) -> InMemoryModel:
        if name not in self.num_borrowed:
            raise KeyError(name)
        return await super().borrow(name)


@broken.by("MM-15")
class GivingBackCrashes(InMemoryManager):
    def give_back(self, model_id: str) -> None:
        raise RuntimeError(model_id)


@broken.by("MM-20")
class BlamesTheDevice(InMemoryManager):
    async def load_model(self, config: ModelConfig) -> InMemoryModel:
        if config.source.startswith("/"):
            raise DeviceError("something went wrong")
        return await super().load_model(config)


@broken.by("MM-20")
class ListsModelsThatFailedToLoad(InMemoryManager):
    async def load_model(self, config: ModelConfig) -> InMemoryModel:
        self.models.setdefault(config.source, self.make(config.source))
        return await super().load_model(config)


@broken.by("MM-21")
class LoadsTwice(InMemoryManager):
    async def load_model(self, config: ModelConfig) -> InMemoryModel:
        self.models.pop(config.source, None)
        return await super().load_model(config)


@broken.by("MM-22")
class ReturnsAnyModel(InMemoryManager):
    def get(self, model_id: str) -> InMemoryModel | None:
        return super().get(model_id) or next(iter(self.models.values()), None)


@broken.by("MM-23")
class IsNeverInUse(InMemoryManager):
    def in_use(self, model_id: str) -> bool:
        return model_id == "unknown"


@broken.by("MM-23")
class StaysInUse(InMemoryManager):
    def in_use(self, model_id: str) -> bool:
        return model_id in self.models and self.models[model_id].num_started > 0


@broken.by("MM-24")
class LoadsEachModelOnce(InMemoryManager):
    def __init__(self) -> None:
        super().__init__()
        self.unloaded: set[str] = set()

    async def unload_model(self, model_id: str) -> None:
        await super().unload_model(model_id)
        self.unloaded.add(model_id)

    async def load_model(self, config: ModelConfig) -> InMemoryModel:
        if config.source in self.unloaded:
            raise ModelLoadingError(config.source, "its files are still locked")
        return await super().load_model(config)


@broken.by("MM-25")
class FreesTheModels(InMemoryManager):
    async def optimize_memory_usage(self) -> int:
        self.models.clear()
        return 5000


@broken.by("MM-26")
class ListsTheOldestFirst(InMemoryManager):
    def loaded(self) -> tuple[ModelInfo, ...]:
        return super().loaded()[::-1]


@broken.by("MM-27")
class ClosesOnlyOnce(InMemoryManager):
    is_closed = False

    async def aclose(self) -> None:
        if self.is_closed:
            raise NotFoundError("no model is left")
        self.is_closed = True
        await super().aclose()


@broken.by("MM-27")
class StaysOpen(InMemoryManager):
    async def aclose(self) -> None:
        return


@broken.by("MM-28")
class ForgetsTheSecondBorrower(InMemoryManager):
    def give_back(self, model_id: str) -> None:
        self.num_borrowed[model_id] = 0


@broken.by("MM-28")
class IgnoresReturns(InMemoryManager):
    def give_back(self, model_id: str) -> None:
        self.num_borrowed[model_id] -= 0


@broken.by("MM-29")
class LendsOnlyLoadedModels(InMemoryManager):
    async def borrow(self, name: str) -> InMemoryModel:
        if self.find(name) is not None and name not in self.models:
            raise ModelLoadingError(name, "load it first")
        return await super().borrow(name)


@broken.by("MM-29")
class LoadsForEachBorrower(InMemoryManager):
    async def borrow(self, name: str) -> InMemoryModel:
        self.models.pop(name, None)
        return await super().borrow(name)
