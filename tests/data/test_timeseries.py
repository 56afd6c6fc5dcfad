"""Windows over a series: by hand, and against Keras's numbers by its formula."""

import numpy as np
import pytest

import pyconv
from pyconv import layers
from pyconv.utils import timeseries_dataset_from_array

SERIES = np.arange(10)


def test_the_windows_of_kerass_documentation():
    """Its first example: series of 100, sequence_length=10, sampling_rate=2, sequence_stride=3."""
    windows = np.concatenate(list(timeseries_dataset_from_array(np.arange(100), None, 10, 3, 2)))
    assert windows[0].tolist() == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
    assert windows[1].tolist() == [3, 5, 7, 9, 11, 13, 15, 17, 19, 21]
    assert windows[-1].tolist() == [81, 83, 85, 87, 89, 91, 93, 95, 97, 99]


def test_targets_are_the_next_value():
    data = timeseries_dataset_from_array(SERIES[:-1], SERIES[3:], 3, batch_size=4)
    assert len(data) == 2
    x, y = (np.concatenate(parts) for parts in zip(*data, strict=True))
    assert x.tolist() == [[i, i + 1, i + 2] for i in range(7)] and y.tolist() == list(range(3, 10))


def test_shuffle_and_range():
    data = timeseries_dataset_from_array(SERIES, None, 2, batch_size=None, shuffle=True, seed=1,
                                         start_index=2, end_index=8)
    (first,), _ = list(data), data.on_epoch_end()
    assert sorted(first.tolist()) == [[i, i + 1] for i in range(2, 7)]
    assert not np.array_equal(first, list(data)[0])


def test_in_fit():
    series = np.sin(np.arange(60, dtype="float32") / 3)[:, None]
    model = pyconv.Sequential([pyconv.Input((4, 1)), layers.Flatten(), layers.Dense(1)])
    model.compile("adam", "mse")
    data = timeseries_dataset_from_array(series, series[4:], 4)
    loss = model.fit(data, epochs=5, verbose=0).history["loss"]
    assert loss[-1] < loss[0]


@pytest.mark.parametrize("arguments,error,expected", [
    ((SERIES, None, 0), ValueError, "sequence_length=0"), ((SERIES, None, 2.0), TypeError, "must be an int"),
    ((SERIES, None, 11), ValueError, "reaches over 11 rows, but there are 10"),
    ((SERIES, None, 2, 1, 1, 4, False, None, 5, 3), ValueError, "must lie in order")])
def test_errors(arguments, error, expected):
    with pytest.raises(error, match=expected):
        timeseries_dataset_from_array(*arguments)
