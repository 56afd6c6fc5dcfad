"""split_dataset."""

import numpy as np
import pytest

import pyconv
from pyconv.utils import split_dataset

X = np.arange(20).reshape(10, 2)


def test_sizes():
    for left, right, counts in ((0.8, None, (8, 2)), (None, 0.25, (8, 2)), (3, None, (3, 7)),
                                (None, 3, (7, 3)), (0.9, 0.1, (9, 1)), (0.5, 0.2, (5, 2)), (2, 3, (2, 3))):
        a, b = split_dataset(X, left, right)
        assert (len(a), len(b)) == counts
        np.testing.assert_array_equal(np.concatenate([a, b]), X[:sum(counts)])


def test_nests_and_lists():
    (x, y), (v, w) = split_dataset((X, X[:, 0]), 0.5)
    assert x.shape == v.shape == (5, 2) and w.tolist() == [10, 12, 14, 16, 18] and len(y) == 5
    left, right = split_dataset({"a": X}, 0.5)
    assert left["a"].shape == (5, 2) and len(right["a"]) == 5
    assert split_dataset(["a", "b", "c"], 1) == (["a"], ["b", "c"])
    pairs = [(np.ones(2), i) for i in range(4)]
    left, right = split_dataset(pairs, 0.5)
    assert [i for _, i in left] == [0, 1] and [i for _, i in right] == [2, 3]


def test_shuffle():
    a, b = split_dataset(X, 0.5, shuffle=True, seed=1)
    again, _ = split_dataset(X, 0.5, shuffle=True, seed=1)
    np.testing.assert_array_equal(a, again)
    assert not np.array_equal(a, X[:5])
    np.testing.assert_array_equal(np.sort(np.concatenate([a, b])[:, 0]), X[:, 0])
    results = []
    for _ in range(2):
        pyconv.utils.set_random_seed(4)
        results.append(split_dataset(X, 0.5, shuffle=True)[0])
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("arguments,error,expected", [
    ((X,), ValueError, "give left_size or right_size"), ((X, 1.5), ValueError, "fraction between 0 and 1"),
    ((X, 10), ValueError, "from 1 to 9"), ((X, 0.01), ValueError, "one part empty"),
    ((X, 6, 6), ValueError, "more than the 10"), ((X, "half"), TypeError, "left_size must be"),
    ((X[:1], 0.5), ValueError, "cannot be split"), (((X, X[:5]), 0.5), ValueError, "equally many"),
    ((iter([1]), 0.5), TypeError, "list"), ((X, True), TypeError, "left_size")])
def test_errors(arguments, error, expected):
    with pytest.raises(error, match=expected):
        split_dataset(*arguments)
