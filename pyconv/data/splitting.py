"""Dividing a data set into two."""

from __future__ import annotations

import numpy as np

from ..graph import flatten, map_structure
from ..utils.configurable import describe
from ..utils.foreign import to_hosts

__all__ = ["split_dataset"]


def split_dataset(dataset, left_size=None, right_size=None, shuffle=False, seed=None):
    """Divide samples into two parts, for training and validation for example.

    Parameters
    ----------
    dataset: array, or a nest (tuple, list or dictionary) of arrays with one row per sample
        Or an iterable of samples, such as a list of texts or of pairs (x, y).
    left_size, right_size: float or int, optional
        A fraction between 0 and 1, or a number of samples. One of them may be left out: it is then what
        remains. Fractions are of all samples, rounded down.
    shuffle: bool
        Whether samples are drawn at random; default False: the first ones go left.
    seed: int, optional
        Default: drawn from the process's generator, so that `set_random_seed` decides it.

    Returns
    -------
    tuple of two
        In the form of `dataset`: nests of arrays, or lists of samples.

    Raises
    ------
    ValueError
        If no size is given, they are out of range, or a part would be empty; if arrays differ in length.
    TypeError
        For sizes that are no numbers.
    """
    arrays, count = _samples(dataset)
    if count < 2:
        raise ValueError(f"split_dataset: {count} sample{'s' if count != 1 else ''} cannot be split in two.")
    left, right = _sizes(left_size, right_size, count)
    order = np.arange(count)
    if shuffle:
        order = _generator(seed).permutation(count)
    parts = order[:left], order[left:left + right]
    if arrays is None:
        samples = list(dataset)
        return [samples[i] for i in parts[0]], [samples[i] for i in parts[1]]
    return tuple(map_structure(lambda a, rows=rows: a[rows], arrays) for rows in parts)


def _generator(seed):
    from .. import random
    return random.host_generator() if seed is None else np.random.Generator(np.random.Philox(seed))


def _samples(dataset):
    """(nest of arrays or None for a list of samples, number of samples)."""
    if not isinstance(dataset, (np.ndarray, tuple, list, dict)) and not hasattr(dataset, "__array__"):
        if not hasattr(dataset, "__len__"):
            raise TypeError(f"split_dataset takes arrays or a list of samples, got {describe(dataset)}; "
                            "write list(...) around an iterator.")
        return None, len(dataset)
    leaves = flatten(dataset)
    nested = isinstance(dataset, (tuple, list, dict)) and all(hasattr(a, "__array__") for a in leaves)
    if nested and isinstance(dataset, list) and any(isinstance(v, tuple) for v in dataset):
        nested = False                                     # a list of pairs (x, y)
    if isinstance(dataset, list) and not nested:
        return None, len(dataset)
    arrays = map_structure(lambda a: np.asarray(to_hosts(a)), dataset)
    counts = {a.shape[0] if a.ndim else 0 for a in flatten(arrays)}
    if len(counts) != 1:
        raise ValueError(f"split_dataset: the arrays must have equally many samples, got shapes "
                         f"{', '.join(str(a.shape) for a in flatten(arrays))}.")
    return arrays, counts.pop()


def _sizes(left, right, count):
    if left is None and right is None:
        raise ValueError("split_dataset: give left_size or right_size.")

    def number(name, size):
        if isinstance(size, bool) or not isinstance(size, (int, float, np.integer, np.floating)):
            raise TypeError(f"split_dataset: {name} must be a fraction or a number of samples, got "
                            f"{describe(size)}.")
        whole = isinstance(size, (int, np.integer))
        if not (0 < size < count if whole else 0 < size < 1):
            raise ValueError(f"split_dataset: {name}={size} must be "
                             + (f"from 1 to {count - 1}, there being {count} samples." if whole
                                else "a fraction between 0 and 1."))
        return int(size) if whole else int(count * size)
    first = None if left is None else number("left_size", left)
    last = None if right is None else number("right_size", right)
    first = count - last if first is None else first
    last = count - first if last is None else last
    # 0.9 and 0.1 are all samples, though each is rounded
    if isinstance(left, float) and isinstance(right, float) and abs(left + right - 1) < 1e-9:
        last = count - first
    if first + last > count:
        raise ValueError(f"split_dataset: left_size={left} and right_size={right} are more than the {count} "
                         "samples.")
    if not first or not last:
        raise ValueError(f"split_dataset: left_size={left} and right_size={right} of {count} samples leave "
                         "one part empty.")
    return first, last
