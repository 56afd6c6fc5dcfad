"""One-hot labels, normalized vectors and padded sequences: by hand, and against Keras."""

import numpy as np
import pytest

from pyconv.utils import normalize, pad_sequences, to_categorical


def test_to_categorical():
    np.testing.assert_array_equal(to_categorical([0, 2, 1]), np.eye(3)[[0, 2, 1]])
    assert to_categorical([[1], [0]], 4).shape == (2, 4) and to_categorical([0]).dtype == "float32"
    assert to_categorical(np.zeros((2, 3), "uint8"), 5).shape == (2, 3, 5)
    assert to_categorical([], 3).shape == (0, 3) and to_categorical(2, 3).tolist() == [0, 0, 1]


@pytest.mark.parametrize("arguments,expected", [
    (([0, 3], 3), "from 0 to 3; with num_classes=3"), (([-1, 0],), "from -1"), (([0.5],), "no whole numbers"),
    (([0], 1.5), "num_classes=1.5")])
def test_to_categorical_errors(arguments, expected):
    with pytest.raises(ValueError, match=expected):
        to_categorical(*arguments)


def test_normalize():
    np.testing.assert_allclose(normalize([[3, 4], [0, 0]]), [[0.6, 0.8], [0, 0]], rtol=1e-6)
    np.testing.assert_allclose(normalize(np.array([[1.0, 3], [2, 1]]), 0, 1), [[1 / 3, 0.75], [2 / 3, 0.25]])
    assert normalize(np.ones(3)).dtype == "float64" and normalize([1, 2]).dtype == "float32"


def test_pad_sequences():
    given = [[1], [1, 2, 3], []]
    assert pad_sequences(given).tolist() == [[0, 0, 1], [1, 2, 3], [0, 0, 0]]
    assert pad_sequences(given, 2, padding="post", value=9).tolist() == [[1, 9], [2, 3], [9, 9]]
    assert pad_sequences(given, 2, truncating="post").tolist() == [[0, 1], [1, 2], [0, 0]]
    assert pad_sequences([np.ones((2, 3)), np.ones((1, 3))], dtype="float32").shape == (2, 2, 3)
    assert pad_sequences([], 4).shape == (0, 4) and pad_sequences([[1]], 0).shape == (1, 0)
    assert pad_sequences([["a"]], 2, object, value="").tolist() == [["", "a"]]


@pytest.mark.parametrize("arguments,error,expected", [
    (([[1]], None, "int32", "left"), ValueError, "padding='left'"), ((3,), TypeError, "list of sequences"),
    (([1, [2]],), TypeError, "element 0"), (([[1]], -1), ValueError, "maxlen=-1"),
    (([[1]], 3, "int32", "pre", "pre", "x"), ValueError, "is a text"),
    (([np.ones((1, 2)), np.ones((1, 3))],), ValueError, r"sequence 1 have shape \(3,\); expected \(2,\)")])
def test_pad_sequences_errors(arguments, error, expected):
    with pytest.raises(error, match=expected):
        pad_sequences(*arguments)


@pytest.mark.peers
def test_against_keras():
    utils = pytest.importorskip("keras").utils
    rng = np.random.default_rng(0)
    sequences = [rng.integers(1, 9, n).tolist() for n in (0, 1, 5, 8)]
    for maxlen in (None, 3, 6):
        for padding in ("pre", "post"):
            for truncating in ("pre", "post"):
                arguments = sequences, maxlen, "int64", padding, truncating, 7
                np.testing.assert_array_equal(pad_sequences(*arguments), utils.pad_sequences(*arguments))
    x = rng.normal(size=(3, 4, 2))
    for axis in (1, -1):                   # Keras takes axis=0 for -1
        for order in (1, 2, np.inf):
            np.testing.assert_allclose(normalize(x, axis, order), utils.normalize(x, axis, order), rtol=1e-6)
    for labels in (rng.integers(0, 5, (4, 3)), rng.integers(0, 5, (4, 1))):
        np.testing.assert_array_equal(to_categorical(labels, 5), utils.to_categorical(labels, 5))
