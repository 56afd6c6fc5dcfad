"""The safetensors format: round trips, what the original package makes of it, and damaged files."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pyconv.saving import safetensors

ARRAYS = {"a/kernel": np.arange(6, dtype="float32").reshape(2, 3), "b": np.array(7, "int64"),
          "empty": np.zeros((0, 4)), "flags": np.array([True, False, True]), "c": np.float16([1.5, 2]),
          "strided": np.arange(10, dtype="float64")[::2], "big": np.arange(3, dtype=">i4")}


def same(a, b):
    assert list(a) == sorted(b, key=lambda n: -np.asarray(b[n]).dtype.itemsize)
    for name in b:
        assert a[name].dtype == np.asarray(b[name]).dtype.newbyteorder("=") and a[name].shape == b[name].shape
        np.testing.assert_array_equal(a[name], b[name])


def raw(header, data=b""):
    """A file with any header, also a wrong one."""
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(header)) + header + data


def test_round_trip():
    same(safetensors.load(safetensors.save(ARRAYS)), ARRAYS)
    assert safetensors.load(safetensors.save({})) == {}


def test_files(tmp_path):
    path = tmp_path / "x.safetensors"
    safetensors.save_file(ARRAYS, path, {"made": "by hand"})
    same(safetensors.load_file(path), ARRAYS)
    assert safetensors.read_metadata(path)["made"] == "by hand"
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]


@given(st.dictionaries(st.text(max_size=5).filter(lambda n: n != "__metadata__"), hnp.arrays(
    st.sampled_from(sorted(safetensors.TYPES.values())),
    hnp.array_shapes(min_dims=0, min_side=0, max_dims=3)), max_size=4))
def test_any_arrays(arrays):
    found = safetensors.load(safetensors.save(arrays))
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert found[name].tobytes() == array.tobytes() and found[name].dtype == array.dtype
        assert found[name].shape == array.shape


@pytest.mark.peers
def test_the_original_package_reads_and_writes_the_same_files(tmp_path):
    original = pytest.importorskip("safetensors.numpy")
    native = {n: a.astype(a.dtype.newbyteorder("=")).copy() for n, a in ARRAYS.items()}
    safetensors.save_file(ARRAYS, tmp_path / "ours.safetensors")
    theirs = original.load_file(tmp_path / "ours.safetensors")
    original.save_file(native, tmp_path / "theirs.safetensors", {"format": "np"})
    ours = safetensors.load_file(tmp_path / "theirs.safetensors")
    for name, array in native.items():
        for found in (theirs, ours):
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype and found[name].shape == array.shape


def test_a_file_written_by_hand():
    """The example of the format's own description: two bytes per bfloat16, which becomes float32."""
    values = np.array([1.0, -2.5], "float32")
    data = (values.view("uint32") >> 16).astype("<u2").tobytes()
    file = raw({"x": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}, data)
    np.testing.assert_array_equal(safetensors.load(file)["x"], values)


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize("data,expected", [
    (b"", "0 bytes, fewer than"), (b"12345", "5 bytes, fewer than"),
    (struct.pack("<Q", 1 << 40) + b"{}", "announce a header of 1099511627776 bytes, and 2 follow"),
    (raw(b"[1]"), "no dictionary"), (raw(b"{"), "not the JSON"), (raw(b"\xff\xfe"), "not the JSON"),
    (raw(b'{"a":1,"a":2}'), "stands in it twice"), (raw({"x": 3}), "entry of 'x' is not complete"),
    (raw({"x": {"dtype": "F32"}}), "entry of 'x' is not complete"),
    (raw({"x": {**ENTRY, "shape": [-2]}}), "not complete"),
    (raw({"x": {**ENTRY, "dtype": "F8_E4M3"}}), "has the element type 'F8_E4M3'"),
    (raw({"x": {**ENTRY, "shape": [3]}}, bytes(8)), "takes 12 bytes, but the header gives it 8"),
    (raw({"x": ENTRY}, bytes(7)), "7 bytes of data; its header describes 8: it is cut off"),
    (raw({"x": ENTRY}, bytes(9)), "something was appended"),
    (raw({"x": ENTRY, "y": ENTRY}, bytes(8)), "'y' begins at byte 0 of the data; expected 8"),
    (raw({"x": {**ENTRY, "data_offsets": [4, 12]}}, bytes(12)), "begins at byte 4 of the data; expected 0"),
    (raw({"__metadata__": 3}), "no dictionary of texts")])
def test_damaged_files(data, expected):
    with pytest.raises(ValueError, match=expected):
        safetensors.load(data)


def test_every_flipped_bit_and_every_cut_is_noticed():
    data = safetensors.save({"w": np.arange(4, dtype="float32")})
    for at in range(0, len(data) * 8, 7):
        wrong = bytearray(data)
        wrong[at // 8] ^= 1 << at % 8
        try:
            found = safetensors.load(bytes(wrong))
        except ValueError:
            continue
        # what is left is a name or a text of the header that changed into another
        assert list(found) != ["w"] or found["w"].tobytes() == np.arange(4, dtype="float32").tobytes()
    for length in range(len(data)):
        with pytest.raises(ValueError):
            safetensors.load(data[:length])


@pytest.mark.parametrize("arrays,error", [({"x": np.array(["text"])}, TypeError), ({"x": 1j}, TypeError),
                                          ({"__metadata__": np.zeros(1)}, ValueError),
                                          ({3: 1.0}, ValueError)])
def test_what_cannot_be_written(arrays, error, tmp_path):
    with pytest.raises(error):
        safetensors.save_file(arrays, tmp_path / "x.safetensors")
    assert not list(tmp_path.iterdir())
