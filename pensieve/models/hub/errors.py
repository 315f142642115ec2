"""The hub's errors, each turned into a message that states what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pensieve.core.errors import ModelLoadingError
from pensieve.models.hub.name import HubName

_UNREACHABLE: Final = (
    "the hub cannot be reached and there is no copy on this machine: check the network (HF_HUB_OFFLINE, proxies), or "
    "name a model on this machine; `pensieve models list` shows them"
)


@contextmanager
def hub_errors_explained(wanted: HubName) -> Iterator[None]:
    """Turn the hub's errors into a ModelLoadingError that states what to do."""
    from huggingface_hub import errors  # noqa: PLC0415

    source = str(wanted)
    try:
        yield
    except ModelLoadingError:
        raise
    except errors.GatedRepoError as error:
        fix = f"accept the licence on its page ({wanted.name} on the hub), then run `hf auth login`"
        raise ModelLoadingError(source, f"the hub requires you to accept its licence first: {fix}") from error
    except errors.RepositoryNotFoundError as error:
        fix = "check the spelling; if it is private, run `hf auth login`"
        raise ModelLoadingError(source, f"the hub has no such model: {fix}") from error
    except errors.RevisionNotFoundError as error:
        fix = "name one of its branches, tags or full commits, or leave out the @"
        raise ModelLoadingError(source, f"{wanted.name} has no revision {wanted.revision}: {fix}") from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise ModelLoadingError(source, _UNREACHABLE) from error
    except Exception as error:  # its errors have no common root
        if _is_unreachable(error):
            raise ModelLoadingError(source, _UNREACHABLE) from error
        raise ModelLoadingError(
            source,
            f"the download failed: {str(error) or type(error).__name__}; what has arrived is kept, so pull it again",
        ) from error


def _is_unreachable(error: Exception) -> bool:
    """Whether no connection was made. By class name, as huggingface_hub's HTTP library differs between versions."""
    return any(kind.__name__ in ("ConnectError", "ConnectTimeout", "ProxyError") for kind in type(error).__mro__)
