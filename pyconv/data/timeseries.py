"""Windows that slide over a series."""

from __future__ import annotations

import math

import numpy as np

from ..utils.configurable import describe
from ..utils.foreign import to_hosts
from .py_dataset import PyDataset

__all__ = ["Windows", "timeseries_dataset_from_array"]


class Windows(PyDataset):
    """The batches of `timeseries_dataset_from_array`."""

    def __init__(self, data, targets, starts, length, rate, batch_size, shuffle, generator):
        super().__init__(workers=0)          # slicing is faster than handing it to a thread
        self.data, self.targets, self.starts = data, targets, starts
        self.length, self.rate, self.batch_size = length, rate, batch_size
        self.shuffle, self._generator = shuffle, generator
        self._order = np.arange(len(starts))
        self.on_epoch_end()

    def __len__(self):
        return math.ceil(len(self.starts) / self.batch_size)

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        order = self._order[index * self.batch_size:(index + 1) * self.batch_size]
        starts = self.starts[order]
        x = self.data[starts[:, None] + self.rate * np.arange(self.length)]
        return x if self.targets is None else (x, self.targets[starts])

    def on_epoch_end(self):
        if self.shuffle:
            self._order = self._generator.permutation(len(self.starts))


def timeseries_dataset_from_array(data, targets, sequence_length, sequence_stride=1, sampling_rate=1,
                                  batch_size=128, shuffle=False, seed=None, start_index=None, end_index=None):
    """Windows of a series in batches, for `fit`.

    Window i begins at row ``start = start_index + i * sequence_stride`` and holds the rows ``start,
    start + sampling_rate, ...``, `sequence_length` of them. Its target is ``targets[start]``: to predict the
    row h behind a window of n neighbours give ``targets=series[n - 1 + h:]``.

    Parameters
    ----------
    data: array (time, ...)
    targets: array (time or fewer, ...), or None
        Windows begin only where there is a target.
    sequence_length, sequence_stride, sampling_rate: int
    batch_size: int
        Default 128; None: all windows in one batch.
    shuffle: bool
        Whether each epoch has a new order; default False.
    seed: int, optional
        Default: drawn from the process's generator.
    start_index, end_index: int, optional
        Only the rows from `start_index` to before `end_index` are used.

    Returns
    -------
    PyDataset
        Of batches x (batch, sequence_length, ...), or (x, y).

    Raises
    ------
    ValueError, TypeError
        For sizes that are no positive ints, indices out of range, and series too short for a window.
    """
    data = np.asarray(to_hosts(data))
    counts = {"sequence_length": sequence_length, "sequence_stride": sequence_stride,
              "sampling_rate": sampling_rate, **({} if batch_size is None else {"batch_size": batch_size})}
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"timeseries_dataset_from_array: {name} must be an int, got {describe(value)}.")
        if value < 1:
            raise ValueError(f"timeseries_dataset_from_array: {name}={value} must be at least 1.")
    first, last = start_index or 0, len(data) if end_index is None else end_index
    if not 0 <= first < last <= len(data):
        raise ValueError(f"timeseries_dataset_from_array: start_index={start_index} and "
                         f"end_index={end_index} "
                         f"must lie in order within the {len(data)} rows of data.")
    reach = (sequence_length - 1) * sampling_rate + 1
    stop = last - reach + 1
    if targets is not None:
        targets = np.asarray(to_hosts(targets))
        stop = min(stop, len(targets))
    starts = np.arange(first, stop, sequence_stride)
    if not len(starts):
        raise ValueError(f"timeseries_dataset_from_array: a window reaches over {reach} rows, but there are "
                         f"{last - first}{'' if targets is None else f', and {len(targets)} targets'}.")
    from .splitting import _generator
    generator = _generator(seed) if shuffle else None
    return Windows(data, targets, starts, int(sequence_length), int(sampling_rate),
                   int(batch_size or len(starts)), bool(shuffle), generator)
