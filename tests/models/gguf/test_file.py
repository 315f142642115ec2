"""The reader agrees with the reference reader, and refuses truncated, damaged and malicious files."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pensieve.core.errors import ModelLoadingError
from pensieve.models.gguf.file import open_gguf
from tests.models.gguf.gguf_files import write_llama


@pytest.fixture(scope="module")
def valid_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "valid.gguf"
    write_llama(path)
    return path


def file_with(content: bytes, folder: Path) -> Path:
    path = folder / "damaged.gguf"
    path.write_bytes(content)
    return path


def error_message(path: Path) -> str:
    with pytest.raises(ModelLoadingError) as caught, open_gguf(path):
        pass
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_metadata_and_tensors_equal_those_of_the_reference_reader(valid_file: Path) -> None:
    reference = gguf.GGUFReader(valid_file)
    with open_gguf(valid_file) as file:
        for key, field in reference.fields.items():
            if not key.startswith("GGUF."):
                assert file.metadata[key] == field.contents()
        assert list(file.tensors) == [tensor.name for tensor in reference.tensors]
        for tensor in reference.tensors:
            found = file.tensors[tensor.name]
            assert found.type_name == tensor.tensor_type.name
            assert found.shape == tuple(int(size) for size in reversed(tensor.shape))
            assert file.rows(found).tobytes() == np.asarray(tensor.data).tobytes()


def test_every_type_of_metadata_is_read(tmp_path: Path) -> None:
    path = tmp_path / "metadata.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_int8("a", -8)
    writer.add_uint16("b", 65535)
    writer.add_float64("c", 0.1)
    writer.add_bool("d", val=True)
    writer.add_uint64("e", 2**63)
    writer.add_array("f", [[1, 2], [3]])
    writer.add_array("g", ["x", "é"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with open_gguf(path) as file:
        values = [file.metadata[key] for key in "abcdefg"]
    assert values == [-8, 65535, 0.1, True, 2**63, [[1, 2], [3]], ["x", "é"]]


def test_a_file_truncated_anywhere_is_refused(valid_file: Path, tmp_path: Path) -> None:
    content = valid_file.read_bytes()
    for length in [*range(0, 2000, 37), *range(2000, len(content), 4999), len(content) - 1]:
        assert "truncated" in error_message(file_with(content[:length], tmp_path)) or length < 4


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 5000), value=st.binary(min_size=1, max_size=8))
def test_a_damaged_file_is_refused_or_can_be_read_safely(
    valid_file: Path, tmp_path: Path, at: int, value: bytes
) -> None:
    content = bytearray(valid_file.read_bytes())
    content[at : at + len(value)] = value
    path = file_with(bytes(content), tmp_path)
    with suppress(ModelLoadingError), open_gguf(path) as file:
        for tensor in file.tensors.values():
            if tensor.row_bytes is not None:
                file.rows(tensor).sum()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"PK\x03\x04 a zip file", "not a GGUF file"),
        (struct.pack("<4sI", b"GGUF", 1), "version 1 is not supported; only 2 and 3 are"),
        (struct.pack(">4sI", b"GGUF", 3), "big-endian"),
        (struct.pack("<4sIQQ", b"GGUF", 3, 2**62, 0), "tensor records"),
        (struct.pack("<4sIQQ", b"GGUF", 3, 0, 2**62), "metadata entries"),
        (struct.pack("<4sIQQQ", b"GGUF", 3, 0, 1, 2**63) + bytes(64), "a metadata key"),
        (struct.pack("<4sIQQQ1sIIQ", b"GGUF", 3, 0, 1, 1, b"k", 9, 4, 2**62), "items"),
        (struct.pack("<4sIQQQ1sIIQ", b"GGUF", 3, 0, 1, 1, b"k", 9, 8, 2**62), "items"),
        (struct.pack("<4sIQQQ1sI", b"GGUF", 3, 0, 1, 1, b"k", 99), "unknown type 99"),
        (struct.pack("<4sIQQQ1sI", b"GGUF", 3, 0, 1, 1, b"k", 9) + struct.pack("<IQ", 9, 1) * 9 + bytes(64), "deep"),
        (struct.pack("<4sIQQQ17sII", b"GGUF", 3, 0, 1, 17, b"general.alignment", 4, 7), "alignment"),
        (struct.pack("<4sIQQQ1sI", b"GGUF", 3, 1, 0, 1, b"t", 9) + bytes(64), "9 dimensions"),
        (struct.pack("<4sIQQQ1sIQIQ", b"GGUF", 3, 1, 0, 1, b"t", 1, 31, 2, 0) + bytes(64), "cannot have the shape"),
        (
            struct.pack("<4sIQQ", b"GGUF", 3, 2, 0) + struct.pack("<Q1sIQIQ", 1, b"t", 1, 1, 0, 0) * 2 + bytes(64),
            "twice",
        ),
    ],
)
def test_each_kind_of_damage_has_its_own_error(tmp_path: Path, content: bytes, message: str) -> None:
    assert message in error_message(file_with(content, tmp_path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "No such file" in error_message(tmp_path / "absent.gguf")


def test_a_tensor_with_an_unknown_layout_can_be_listed_but_not_read(tmp_path: Path) -> None:
    record = struct.pack("<Q1sIQIQ", 1, b"t", 1, 256, 16, 0)
    with open_gguf(file_with(struct.pack("<4sIQQ", b"GGUF", 3, 1, 0) + record, tmp_path)) as file:
        assert file.tensors["t"].type_name == "IQ2_XXS"
        with pytest.raises(ModelLoadingError, match="IQ2_XXS"):
            file.rows(file.tensors["t"])
