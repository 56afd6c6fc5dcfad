"""Data sets kept as IDX files: the format's parser, and one loader for all of them.

An IDX file (LeCun's format for MNIST) is a header and an array: two zero bytes, a byte for the element type,
a byte for the number of dimensions, each dimension as a big-endian 32-bit integer, then the elements,
big-endian, the last dimension fastest. A data set is one `IdxDataset`, a table of names, mirrors, shapes and
hashes.
"""

import math
import os
from typing import NamedTuple

import numpy as np

DATA_DIR_VARIABLE = "PYCONV_DATA_DIR"

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


class IdxFile(NamedTuple):
    """One file: its name without `.gz`, the shape of its uint8 array, and the SHA-256 that it must have."""

    name: str
    shape: tuple[int, ...]
    sha256: str


class IdxDataset(NamedTuple):
    """A data set of four IDX files.

    name: the module's and the sub-folder's name.
    title: the name in messages.
    mirrors: addresses of folders that hold the four files, gzip-compressed, each ending in a slash.
    hash_of: what the SHA-256s are of: `"content"`, the decompressed bytes (the gzip wrapper may then differ
        from mirror to mirror), or `"gzip"`, the compressed file as it is published.
    classes: labels are below this number.
    """

    name: str
    title: str
    mirrors: tuple[str, ...]
    hash_of: str
    classes: int
    train_images: IdxFile
    train_labels: IdxFile
    test_images: IdxFile
    test_labels: IdxFile


def parse_idx(content, name, *, shape=None, dtype=None):
    """Returns the array that an IDX file holds.

    Args:
        content: the file's decompressed bytes.
        name: what the file is called in error messages.
        shape: the shape that it must have, if known.
        dtype: the element type that it must have, if known.

    Returns:
        A new writable array, in the machine's byte order.

    Raises:
        ValueError: the magic number is wrong, the type is unknown, the shape or the type is another one than
            asked for, or the length is not exactly what the header announces.
    """
    if len(content) < 4:
        raise ValueError(f"{name}: truncated: {len(content)} bytes, an IDX header has at least 4")
    zeros, code, ndim = bytes(content[:2]), content[2], content[3]
    if zeros != b"\0\0" or code not in _TYPES or ndim == 0:
        raise ValueError(
            f"{name}: begins with {bytes(content[:4]).hex(' ')}, which is no IDX magic number (00 00, then a "
            f"type out of {', '.join(f'{known:02x}' for known in _TYPES)}, then the number of dimensions)"
        )
    start = 4 + 4 * ndim
    if len(content) < start:
        raise ValueError(f"{name}: truncated: {len(content)} bytes, its IDX header alone has {start}")
    found_shape = tuple(int(size) for size in np.frombuffer(content, ">u4", ndim, 4))
    stored_dtype = np.dtype(_TYPES[code])
    found_dtype = stored_dtype.newbyteorder("=")
    if shape is not None and found_shape != tuple(shape):
        raise ValueError(f"{name}: holds an array of shape {found_shape}, expected {tuple(shape)}")
    if dtype is not None and found_dtype != np.dtype(dtype):
        raise ValueError(f"{name}: holds elements of type {found_dtype}, expected {np.dtype(dtype)}")
    count = math.prod(found_shape)
    end = start + count * stored_dtype.itemsize
    if len(content) < end:
        raise ValueError(f"{name}: truncated: {len(content)} bytes, its IDX header announces {end}")
    if len(content) > end:
        raise ValueError(f"{name}: wrong length: goes on after the {end} bytes that its IDX header announces")
    elements = np.frombuffer(content, stored_dtype, count, start).astype(found_dtype)  # always a copy
    try:
        return elements.reshape(found_shape)
    except ValueError as error:
        raise ValueError(f"{name}: NumPy has no array of shape {found_shape}: {error}") from error


def load(dataset, *, cache_dir=None, timeout=30.0):
    """Returns `(x_train, y_train), (x_test, y_test)` of an `IdxDataset`, fetched where it has to be."""

    def array(file):
        return _load_file(dataset, file, cache_dir, timeout)

    return (
        (array(dataset.train_images), array(dataset.train_labels)),
        (array(dataset.test_images), array(dataset.test_labels)),
    )


def _load_file(dataset, file, cache_dir, timeout):
    from pyconv.utils.files import cache_directory, obtain

    local = _find_local(dataset, file)
    if local is not None:
        # A file that somebody decompressed has a known hash only where that of the content is known.
        verifiable = dataset.hash_of == "content" or local.endswith(".gz")
        try:
            return _read(dataset, file, local, local, verifiable)
        except ValueError as error:
            raise ValueError(
                f"{error}. This file was found through {DATA_DIR_VARIABLE} and is not the {file.name} of "
                f"{dataset.title}. Replace it by the one from {_addresses(dataset, file)}, put "
                f"{dataset.title} in the sub-folder {dataset.name!r} if this file belongs to another data "
                f"set, or unset {DATA_DIR_VARIABLE} to have it downloaded to the cache."
            ) from error
    name = f"{file.name}.gz"
    target = os.path.join(cache_directory() if cache_dir is None else os.fspath(cache_dir), "datasets")
    target = os.path.join(target, dataset.name, name)
    return obtain(
        target,
        [mirror + name for mirror in dataset.mirrors],
        lambda path, label: _read(dataset, file, path, label, True),
        timeout=timeout,
        advice=(
            f"Check the connection, or download the file by hand from {_addresses(dataset, file)} and save "
            f"it as {target}, or set {DATA_DIR_VARIABLE} to a folder that has it as {dataset.name}/{name}."
        ),
    )


def _addresses(dataset, file):
    return " or ".join(f"{mirror}{file.name}.gz" for mirror in dataset.mirrors)


def _find_local(dataset, file):
    """Returns the path of the file under PYCONV_DATA_DIR, or None if it is not there."""
    folder = os.environ.get(DATA_DIR_VARIABLE)
    if not folder:
        return None
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f"{DATA_DIR_VARIABLE} is {folder!r}, which is no folder: set it to a folder of data sets, or "
            f"unset it"
        )
    inside = os.path.join(folder, dataset.name)
    candidates = [os.path.join(inside, f"{file.name}.gz"), os.path.join(inside, file.name)]
    candidates.append(os.path.join(folder, f"{file.name}.gz"))
    if dataset.hash_of == "content":
        # Data sets share file names. Without a hash of the content, only the sub-folder tells whose it is.
        candidates.append(os.path.join(folder, file.name))
    return next((path for path in candidates if os.path.isfile(path)), None)


def _read(dataset, file, path, label, verify_hash):
    """Returns the array in the file at `path`, or raises ValueError: `label`, then what is wrong with it."""
    import hashlib

    with open(path, "rb") as stream:
        stored = stream.read()
    is_gzip = stored[:2] == b"\x1f\x8b"  # by its content: some servers decompress on the way
    length = 4 + 4 * len(file.shape) + math.prod(file.shape)
    content = _decompress(stored, label, length + 1) if is_gzip else stored
    array = parse_idx(content, label, shape=file.shape, dtype=np.uint8)
    if verify_hash:
        of_content = dataset.hash_of == "content"
        what = "decompressed content" if of_content else "compressed file"
        found = hashlib.sha256(content if of_content else stored).hexdigest()
        if found != file.sha256:
            raise ValueError(f"{label}: the SHA-256 of its {what} is {found}, expected {file.sha256}")
    if len(file.shape) == 1 and array.size and int(array.max()) >= dataset.classes:
        raise ValueError(f"{label}: has a label {int(array.max())}, expected 0 to {dataset.classes - 1}")
    return array


def _decompress(stored, label, limit):
    """Returns the decompressed bytes, but no more than `limit` of them."""
    import gzip
    import io
    import zlib

    try:
        with gzip.GzipFile(fileobj=io.BytesIO(stored)) as stream:
            return stream.read(limit)
    except EOFError as error:
        raise ValueError(f"{label}: truncated: its gzip data end after {len(stored)} bytes") from error
    except (OSError, zlib.error) as error:
        raise ValueError(f"{label}: broken gzip data: {error}") from error
