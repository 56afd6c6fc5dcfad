"""The safetensors format: named arrays in a file that can hold nothing else.

A file is the length of its header (8 bytes, unsigned, little-endian), the header, and the bytes of all
arrays. The header is JSON: ``{name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}}``, with
offsets from the end of the header, and an optional ``"__metadata__"``, a dictionary of texts. Arrays are
little-endian and C-ordered, follow each other without gaps, and fill the file to its end. The functions
have the names of the package `safetensors`, which reads and writes the same files.

Source: https://github.com/huggingface/safetensors, section "Format".
"""

from __future__ import annotations

import io
import json
import math
import os
import zlib

import numpy as np

from .atomic import replacing

__all__ = ["load", "load_file", "read", "read_metadata", "save", "save_file", "write"]

TYPES = {"BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32",
         "I32": "int32", "U64": "uint64", "I64": "int64", "F16": "float16", "F32": "float32",
         "F64": "float64"}
_NAMES = {np.dtype(dtype): name for name, dtype in TYPES.items()}
_CHECKSUM = "crc32"                     # the key of the checksum among the metadata
_LONGEST_HEADER = 100_000_000           # bytes; the limit of the original
_CHUNK = 1 << 20


# ---- writing

def _little_endian(name, array) -> np.ndarray:
    array = np.asarray(array)
    if array.dtype.newbyteorder("=") not in _NAMES:
        raise TypeError(f"array {name!r} has dtype {array.dtype}, which safetensors files do not have here; "
                        f"expected one of {', '.join(TYPES.values())}.")
    # an array without axes would get one from ascontiguousarray
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)


def _bytes(array):
    return memoryview(array.reshape(-1).view(np.uint8)) if array.size else memoryview(b"")


def write(file, tensors, metadata=None):
    """Write arrays to a binary file that is open for writing.

    tensors: dict
        Name -> array. Arrays with wide elements come first in the file, so that each is aligned.
    metadata: dict, optional
        Texts by name. A checksum of all bytes is added as "crc32".
    """
    arrays = {}
    for name, array in tensors.items():
        if not isinstance(name, str) or name == "__metadata__":
            raise ValueError(f"{name!r} cannot be the name of an array.")
        arrays[name] = _little_endian(name, array)
    order = sorted(arrays, key=lambda name: -arrays[name].dtype.itemsize)
    checksum, offset, entries = 0, 0, {}
    for name in order:
        array = arrays[name]
        checksum = zlib.crc32(_bytes(array), checksum)
        entries[name] = {"dtype": _NAMES[array.dtype.newbyteorder("=")], "shape": list(array.shape),
                         "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    texts = {str(k): str(v) for k, v in (metadata or {}).items()}
    header = json.dumps({"__metadata__": {**texts, _CHECKSUM: f"{checksum:08x}"}, **entries},
                        separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)
    file.write(len(header).to_bytes(8, "little"))
    file.write(header)
    for name in order:
        file.write(_bytes(arrays[name]))


def save(tensors, metadata=None) -> bytes:
    """The bytes of a file with these arrays; see `write`."""
    buffer = io.BytesIO()
    write(buffer, tensors, metadata)
    return buffer.getvalue()


def save_file(tensors, filename, metadata=None):
    """Write arrays to a new file, which takes the place of an old one once it is complete; see `write`."""
    with replacing(filename) as file:
        write(file, tensors, metadata)


# ---- reading

def _exactly(file, count, label, what):
    data = bytearray(count)
    view, done = memoryview(data), 0
    while done < count:
        piece = file.read(min(_CHUNK, count - done))
        if not piece:
            raise ValueError(f"{label} ends within {what}, after {done} of {count} bytes: it is cut off. "
                             "Copy or save it again.")
        view[done:done + len(piece)] = piece
        done += len(piece)
    return data


def _no_duplicates(pairs):
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands in it twice")
    return found


def _header(file, size, label):
    """(entries, metadata, bytes of data) of an open file of `size` bytes."""
    if size < 8:
        raise ValueError(f"{label} is no safetensors file: it has {size} bytes, fewer than the length of a "
                         "header takes.")
    length = int.from_bytes(_exactly(file, 8, label, "the length of its header"), "little")
    if length > _LONGEST_HEADER or length > size - 8:
        raise ValueError(f"{label} is no safetensors file, or is cut off: its first 8 bytes announce a "
                         f"header of {length} bytes, and {size - 8} follow.")
    raw = _exactly(file, length, label, "its header")
    try:
        header = json.loads(raw.decode(), object_pairs_hook=_no_duplicates)
        if not isinstance(header, dict):
            raise ValueError("it is no dictionary")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{label} is no safetensors file: its header is not the JSON that it should be "
                         f"({error}).") from None
    metadata = header.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict):
        raise ValueError(f"{label}: the header's __metadata__ is no dictionary of texts.")
    _check(header, size - 8 - length, label)
    return header, metadata


def _check(entries, available, label):
    """Every entry is complete and consistent, and they cover the data exactly."""
    for name, entry in entries.items():
        try:
            dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
            right = (isinstance(dtype, str) and begin <= end
                     and all(type(n) is int and n >= 0 for n in (*shape, begin, end)))
        except (TypeError, KeyError, ValueError):
            right = False
        if not right:
            raise ValueError(f"{label}: the header's entry of {name!r} is not complete: {entry!r:.200}.")
        if dtype not in TYPES and dtype != "BF16":
            raise ValueError(f"{label}: array {name!r} has the element type {dtype!r}, which pyconv does not "
                             f"have; it reads {', '.join(TYPES)} and BF16.")
        if len(shape) > 32 or any(n >= 1 << 62 for n in shape):
            raise ValueError(f"{label}: array {name!r} has the shape {shape!r:.200}, which no array of NumPy has.")
        needed = math.prod(shape) * (2 if dtype == "BF16" else np.dtype(TYPES[dtype]).itemsize)
        if needed != end - begin:
            raise ValueError(f"{label}: array {name!r} of shape {tuple(shape)} and type {dtype} takes "
                             f"{needed} bytes, but the header gives it {end - begin}.")
    at = 0
    for name in _in_order(entries):
        begin, end = entries[name]["data_offsets"]
        if begin != at:
            raise ValueError(f"{label}: array {name!r} begins at byte {begin} of the data; expected {at}, "
                             f"where the one before ends.")
        at = end
    if at != available:
        what = "it is cut off" if at > available else "something was appended"
        raise ValueError(f"{label} has {available} bytes of data; its header describes {at}: {what}.")


def _in_order(entries):
    return sorted(entries, key=lambda name: entries[name]["data_offsets"])


def _array(data, dtype, shape):
    if dtype == "BF16":                  # the upper half of a float32
        return (np.frombuffer(data, "<u2").astype("uint32") << 16).view("float32").reshape(shape)
    array = np.frombuffer(data, np.dtype(TYPES[dtype]).newbyteorder("<")).reshape(shape)
    return array.astype(TYPES[dtype], copy=False)


def read(file, size, label="the file") -> tuple:
    """(name -> array, metadata) from a binary file that is open for reading and `size` bytes long.

    Every entry is checked against the size before any is used; bfloat16 becomes float32. A file with pyconv's
    checksum is checked against it.

    Raises
    ------
    ValueError
        If the file is no safetensors file, or is damaged; the message begins with `label` and tells where.
    """
    entries, metadata = _header(file, size, label)
    found, checksum = {}, 0
    for name in _in_order(entries):
        begin, end = entries[name]["data_offsets"]
        data = _exactly(file, end - begin, label, f"the array {name!r}")
        checksum = zlib.crc32(data, checksum)
        found[name] = _array(data, entries[name]["dtype"], entries[name]["shape"])
    expected = metadata.get(_CHECKSUM)
    if expected is not None and expected != f"{checksum:08x}":
        raise ValueError(f"{label} is damaged: the checksum of its arrays is {checksum:08x}, not {expected} as "
                         f"when it was written. Copy or save it again.")
    return {name: found[name] for name in entries}, metadata


def load(data: bytes) -> dict:
    """Name -> array, from the bytes of a file; see `read`."""
    return read(io.BytesIO(data), len(data), "the data")[0]


def load_file(filename) -> dict:
    """Name -> array, from a file; see `read`. FileNotFoundError if there is none."""
    with open(filename, "rb") as file:
        return read(file, os.fstat(file.fileno()).st_size, f"the file {os.fspath(filename)!r}")[0]


def read_metadata(filename) -> dict:
    """The texts that a file carries beside its arrays."""
    with open(filename, "rb") as file:
        return _header(file, os.fstat(file.fileno()).st_size, f"the file {os.fspath(filename)!r}")[1]
