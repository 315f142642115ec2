"""Models from the Hugging Face hub, in its own cache, shared with every other program that uses it."""

from __future__ import annotations

import sys
from pathlib import Path

from pensieve.core.errors import ModelLoadingError
from pensieve.metal.mlx_lm_import import import_mlx_lm
from pensieve.models.progress import Progress


def hub_folder(name: str, progress: Progress) -> Path:
    """Fetch what mlx-lm needs of `organisation/name`, or find it in the cache; a broken download is resumed.

    The folder is named for the commit.

    Raises:
        ModelLoadingError: no such model, no access to it, or no network and no copy.
    """
    import_mlx_lm()
    from huggingface_hub import errors, snapshot_download  # noqa: PLC0415 - takes half a second to import
    from huggingface_hub.utils.tqdm import disable_progress_bars  # noqa: PLC0415
    from mlx_lm.utils import DEFAULT_ALLOW_PATTERNS  # noqa: PLC0415 - only after import_mlx_lm

    progress.say(f"Looking for {name} on the Hugging Face hub.")
    if not sys.stderr.isatty():
        disable_progress_bars()  # they redraw themselves many times a second, into what may be a log
    try:
        return Path(snapshot_download(name, allow_patterns=DEFAULT_ALLOW_PATTERNS))
    except errors.GatedRepoError as error:
        mend = "accept its licence on its page, then run `hf auth login`"
        raise ModelLoadingError(name, f"the hub gives it only to those who accepted its licence: {mend}") from error
    except errors.RepositoryNotFoundError as error:
        mend = "check the spelling; if it is private, run `hf auth login`"
        raise ModelLoadingError(name, f"the hub has no such model: {mend}") from error
    except errors.LocalEntryNotFoundError as error:
        mend = "see to the network, or give the path of a model on this machine"
        raise ModelLoadingError(name, f"the hub cannot be reached and no copy is here: {mend}") from error
    except Exception as error:  # its errors have no common root
        raise ModelLoadingError(name, f"the hub did not deliver it: {error}") from error
