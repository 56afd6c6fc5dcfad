"""The Free Spoken Digit Dataset: 3,000 recordings of the digits zero to nine, by six speakers."""

from __future__ import annotations

import os

import numpy as np

__all__ = ["SAMPLE_RATE", "load_data"]

SAMPLE_RATE = 8000       # samples a second
COUNT = 3000
_HOME = "https://github.com/Jakobovski/free-spoken-digit-dataset"
_MEMBERS = ("samples", "offsets", "digit", "speaker", "take")


def load_data(*, length=SAMPLE_RATE, dtype="float32", padding="post", return_speakers=False, cache_dir=None):
    """Loads the recordings, cut or filled up with silence to one length, and their digits.

    The file ``fsdd.npz`` is looked for in the folder that the environment variable `PYCONV_DATA_DIR` names, if it is
    set: in its sub-folder `fsdd`, else directly in it; then in the cache, ``cache_dir/datasets/fsdd``. It is not
    downloaded, since no public address has the recordings in one file. It has these arrays: `samples`, int16, all
    recordings end to end; `offsets`, one more than there are recordings: recording i is
    ``samples[offsets[i]:offsets[i + 1]]``; `digit`, `speaker` (names) and `take` (0 to 49), one per recording.

    Takes 0 to 4 of each speaker and digit are the test set, as its makers say: 300 recordings.

    Args:
        length: samples per recording, at 8,000 a second; by default 8000, one second, longer than 99 of 100
            recordings. None: that of the longest.
        dtype: `"float32"` (default) or `"float64"`, from -1 to 1, or `"int16"`, as recorded.
        padding: `"post"` (default) puts the silence behind short recordings, `"pre"` before them, `"center"`
            on both sides. Long ones are cut at the same places.
        return_speakers: whether the speakers' names are returned too.
        cache_dir: folder of the cache; by default `pyconv.utils.files.cache_directory()`.

    Returns:
        `(x_train, y_train), (x_test, y_test)`, NumPy arrays:
        `x_train`: shape `(2700, length, 1)`: recordings, samples, one channel.
        `y_train`: uint8, shape `(2700,)`: the digits, 0 to 9.
        `x_test`, `y_test`: the same, with 300 in the place of 2,700.
        With `return_speakers` each pair has a third array, of the speakers' names.

    Raises:
        FileNotFoundError: there is no such file; the message tells where to get the recordings.
        ValueError: the file is not the data set's, or an argument is wrong.

    Source: Z. Jackson, C. Souza, J. Flaks, Y. Pan, H. Nicolas and A. Thite, "Jakobovski/free-spoken-digit-
    dataset: v1.0.8", Zenodo, 2018.

    Licence of the data: Creative Commons Attribution-ShareAlike 4.0.
    """
    if length is not None and (isinstance(length, bool) or not isinstance(length, (int, np.integer))
                               or length < 1):
        raise ValueError(f"length={length!r} must be an int of at least 1, or None.")
    if dtype not in ("float32", "float64", "int16"):
        raise ValueError(f"dtype={dtype!r} must be 'float32', 'float64' or 'int16'.")
    if padding not in ("pre", "post", "center"):
        raise ValueError(f"padding={padding!r} must be 'pre', 'post' or 'center'.")
    data = _read(_find(cache_dir))
    x = _aligned(data["samples"], data["offsets"].astype("int64"), length, padding)
    if dtype != "int16":
        x = x.astype(dtype) / np.asarray(32768, dtype)
    arrays = x[..., None], data["digit"].astype("uint8"), data["speaker"]
    arrays = arrays if return_speakers else arrays[:2]
    test = data["take"] < 5
    return tuple(a[~test] for a in arrays), tuple(a[test] for a in arrays)


def _find(cache_dir=None) -> str:
    from ..utils.files import cache_directory
    folder, tried = os.environ.get("PYCONV_DATA_DIR", ""), []
    if folder and not os.path.isdir(folder):
        raise FileNotFoundError(f"PYCONV_DATA_DIR is {folder!r}, which is no folder: set it to a folder of data sets, "
                                "or unset it.")
    if folder:
        tried = [os.path.join(folder, "fsdd", "fsdd.npz"), os.path.join(folder, "fsdd.npz")]
    cache = cache_directory() if cache_dir is None else os.fspath(cache_dir)
    tried.append(os.path.join(cache, "datasets", "fsdd", "fsdd.npz"))
    for path in tried:
        if os.path.isfile(path):
            return path
    raise FileNotFoundError(f"The Free Spoken Digit Dataset is not downloaded by pyconv, and there is no "
                            f"{', nor '.join(tried)}. Get the recordings from {_HOME}, put them into an fsdd.npz as "
                            "pyconv.datasets.fsdd.load_data describes, and save it there, or let the environment "
                            "variable PYCONV_DATA_DIR name a folder that holds fsdd/fsdd.npz.")


def _read(path) -> dict:
    """The arrays of the file, checked."""
    import zipfile
    import zlib
    try:
        with np.load(path, allow_pickle=False) as file:
            data = {name: file[name] for name in _MEMBERS}
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is not the Free Spoken Digit Dataset, or is damaged: {error}; expected an "
                         f".npz file with the arrays {', '.join(_MEMBERS)}.") from None
    offsets, count = data["offsets"], len(data["digit"])
    problems = [
        (count != COUNT, f"it has {count} recordings, expected {COUNT}"),
        (data["samples"].dtype != "int16" or data["samples"].ndim != 1,
         f"its samples are {data['samples'].dtype}, expected one row of int16"),
        (offsets.shape != (count + 1,) or offsets.dtype.kind not in "iu", "its offsets do not fit"),
        (any(data[n].shape != (count,) for n in ("speaker", "take")), "not every recording has a label"),
        (count and int(data["digit"].max()) > 9, "it has digits above 9")]
    if not any(wrong for wrong, _ in problems):
        steps = np.diff(offsets.astype("int64"))
        problems = [(offsets[0] != 0 or offsets[-1] != len(data["samples"]) or (steps < 1).any(),
                     "its offsets do not divide the samples into recordings")]
    for wrong, what in problems:
        if wrong:
            raise ValueError(f"{path} is not the Free Spoken Digit Dataset: {what}.")
    return data


def _aligned(samples, offsets, length, padding) -> np.ndarray:
    """(recordings, length): each cut, or filled up with zeros."""
    sizes = np.diff(offsets)
    length = int(sizes.max()) if length is None else int(length)
    out = np.zeros((len(sizes), length), samples.dtype)
    for row, (start, size) in enumerate(zip(offsets[:-1], sizes, strict=True)):
        spare = length - size                    # negative: the recording is longer
        before = {"post": 0, "pre": spare, "center": spare // 2}[padding]
        first = max(-before, 0)
        part = samples[start + first:start + min(size, first + length)]
        out[row, max(before, 0):max(before, 0) + len(part)] = part
    return out
