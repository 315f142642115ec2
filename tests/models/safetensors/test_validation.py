"""A header that a stranger wrote is refused in time that grows in proportion to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pensieve.core.errors import ModelLoadingError
from pensieve.models.safetensors.validation import validate_safetensors


def with_header(folder: Path, header: str) -> Path:
    path = folder / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode() + b"\0")
    return path


def test_one_name_of_a_hundred_thousand_that_occurs_twice_is_named(tmp_path: Path) -> None:
    """With a comparison of all names, it takes over a minute."""
    entries = "".join(f'"t{number}": {{}}, ' for number in range(100_000))
    path = with_header(tmp_path, f'{{{entries}"t99999": {{}}}}')
    with pytest.raises(ModelLoadingError, match="its header has 't99999' twice"):
        validate_safetensors("model", path)


@pytest.mark.parametrize(("num_dimensions", "is_valid"), [(32, True), (33, False), (100_000, False)])
def test_a_tensor_of_many_dimensions_is_refused_by_their_number(
    tmp_path: Path, num_dimensions: int, *, is_valid: bool
) -> None:
    """The product of a hundred thousand sizes of 62 bits takes 20 s."""
    shape = [1] * num_dimensions if is_valid else [2**62] * num_dimensions
    path = with_header(tmp_path, json.dumps({"t": {"dtype": "U8", "shape": shape, "data_offsets": [0, 1]}}))
    if is_valid:
        validate_safetensors("model", path)
        return
    with pytest.raises(ModelLoadingError, match=f"'t' has {num_dimensions} dimensions, more than 32"):
        validate_safetensors("model", path)
