"""The CIFAR data sets, from the archives that their maker publishes for C programs: bytes, no pickle.

A file is records of equal length: one byte for each kind of label, then 3 x 1,024 bytes, the red, green and blue of an
image of 32 rows by 32 columns, row by row.
"""

import os
from typing import NamedTuple

import numpy as np

_PIXELS = 3 * 32 * 32


class CifarDataset(NamedTuple):
    """One data set.

    name: the module's and the sub-folder's name. title: the name in messages. archive: the file's name at `address`.
    md5: of the archive, as published. train, test: names of members. classes: for each label of a record, how many
    there are. counts: records in a member of the training data, and of the test data.
    """

    name: str
    title: str
    address: str
    archive: str
    md5: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    classes: tuple[int, ...]
    counts: tuple[int, int]


def load(dataset, label=0, *, cache_dir=None, timeout=30.0):
    """`(x_train, y_train), (x_test, y_test)`; label: which of a record's labels y is."""
    from ..utils.files import cache_directory, obtain

    path = os.path.join(cache_directory() if cache_dir is None else os.fspath(cache_dir), "datasets", dataset.name,
                        dataset.archive)
    folder = os.environ.get("PYCONV_DATA_DIR")
    if folder:
        if not os.path.isdir(folder):
            raise FileNotFoundError(f"PYCONV_DATA_DIR is {folder!r}, which is no folder: set it to a folder of data "
                                    "sets, or unset it")
        for place in (os.path.join(folder, dataset.name), folder):
            local = os.path.join(place, dataset.archive)
            if os.path.isfile(local):
                try:
                    return _read(dataset, local, local, label)
                except ValueError as error:
                    raise ValueError(f"{error}. This file was found through PYCONV_DATA_DIR. Replace it by the one "
                                     f"from {dataset.address}, or unset PYCONV_DATA_DIR to have it downloaded to the "
                                     "cache.") from error
    return obtain(path, [dataset.address + dataset.archive], lambda p, text: _read(dataset, p, text, label),
                  timeout=timeout,
                  advice=f"Check the connection, or download the file by hand from {dataset.address}{dataset.archive} "
                         f"and save it as {path}, or set PYCONV_DATA_DIR to a folder that has it as "
                         f"{dataset.name}/{dataset.archive}.")


def _read(dataset, path, label, which):
    """The arrays, or ValueError: `label`, then what is wrong with the archive."""
    import tarfile
    import zlib

    from ..utils.files import hash_file

    found = hash_file(path, "md5")
    if found != dataset.md5:
        raise ValueError(f"{label}: the MD5 of {dataset.title}'s archive is {found}, expected {dataset.md5}")
    length, files = len(dataset.classes) + _PIXELS, {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = member.name.rsplit("/", 1)[-1]
                if member.isfile() and name in (*dataset.train, *dataset.test):
                    count = dataset.counts[name in dataset.test]
                    if member.size != count * length:
                        raise ValueError(f"{label}: {name} has {member.size} bytes, expected {count * length}")
                    files[name] = np.frombuffer(archive.extractfile(member).read(), "u1").reshape(count, length)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{label}: broken archive: {error}") from error
    missing = [name for name in (*dataset.train, *dataset.test) if name not in files]
    if missing:
        raise ValueError(f"{label}: {', '.join(missing)} is missing in it")

    def part(names):
        records = np.concatenate([files[name] for name in names])
        y = records[:, which:which + 1].copy()
        if y.size and int(y.max()) >= dataset.classes[which]:
            raise ValueError(f"{label}: has a label {int(y.max())}, expected 0 to {dataset.classes[which] - 1}")
        x = records[:, len(dataset.classes):].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return np.ascontiguousarray(x), y
    return part(dataset.train), part(dataset.test)
