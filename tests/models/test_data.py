"""What fit, evaluate and predict take as data, and what they say about the rest."""

import numpy as np
import pytest

from pyconv.models.data import ArrayData, BatchData, as_arrays, make_data, split
from pyconv.random import set_random_seed


def rows(data):
    return [item.tolist() for item in data.epoch()]


def test_arrays_are_taken_as_they_are():
    x = np.arange(12, dtype="uint8").reshape(6, 2)
    data = make_data(x, np.arange(6))
    assert data.args[0] is x and data.args[0].dtype == np.uint8
    assert as_arrays(np.ones((2, 3)), "x").dtype == np.float64


@pytest.mark.parametrize("make", [
    lambda a: np.asfortranarray(a), lambda a: a.astype(">f4"), lambda a: np.repeat(a, 2, 0)[::2],
    lambda a: a.tolist(), lambda a: a.astype("float16"), lambda a: tuple(map(tuple, a.tolist())),
    lambda a: a[::-1][::-1], lambda a: list(map(list, a))])
def test_arrays_of_any_layout_become_native(make):
    a = np.arange(12, dtype="float32").reshape(4, 3)
    given = make(a)
    if isinstance(given, np.ndarray):
        given.flags.writeable = False
    array = as_arrays(given, "x")
    assert array.dtype == np.float32 and array.flags.c_contiguous and array.dtype.isnative
    np.testing.assert_array_equal(array, a)


def test_anything_with_array_will_do():
    class Wrapped:
        def __array__(self, dtype=None, copy=None):
            return np.ones((3, 2), "float32")
    np.testing.assert_array_equal(as_arrays(Wrapped(), "x"), np.ones((3, 2)))


def test_nests_of_arrays():
    a, b = np.zeros((3, 1)), np.zeros((3, 2))
    assert [v.shape for v in as_arrays([a, b], "x")] == [(3, 1), (3, 2)]
    assert list(as_arrays({"first": a, "second": b.tolist()}, "x")) == ["first", "second"]


def test_batches_cover_the_samples_in_order():
    data = ArrayData(np.zeros((7, 2)), batch_size=3)
    assert rows(data) == [[0, 1, 2], [3, 4, 5], [6]] and data.num_batches == 3


def test_shuffling_is_decided_by_the_seed():
    data = ArrayData(np.zeros((50, 2)), batch_size=50, shuffle=True)
    set_random_seed(3)
    first, second = rows(data), rows(data)
    set_random_seed(3)
    assert rows(data) == first != second
    assert sorted(first[0]) == list(range(50)) != first[0]


def test_steps_go_on_where_the_last_epoch_ended():
    data = ArrayData(np.zeros((5, 2)), batch_size=2, steps=2)
    assert rows(data) == [[0, 1], [2, 3]]
    assert rows(data) == [[4], [0, 1]]


def test_an_iterable_starts_anew_and_a_generator_does_not():
    x = np.zeros((2, 3), "float32")
    again = BatchData([(x, x)] * 3)
    assert [len(list(again.epoch())) for _ in range(2)] == [3, 3]
    once = make_data((x, x) for _ in range(3))
    assert isinstance(once, BatchData) and len(list(once.epoch())) == 3
    with pytest.warns(UserWarning, match="ended after 0 batches"):
        assert not list(once.epoch())
    assert once.exhausted
    with pytest.warns(UserWarning, match="ended after 3 batches of this epoch, but 4"):
        assert len(list(make_data(((x, x) for _ in range(3)), steps=4).epoch())) == 3
    endless = make_data([(x, x)] * 3, steps=2)
    assert [len(list(endless.epoch())) for _ in range(3)] == [2, 2, 2]


def test_a_list_of_pairs_is_an_iterable_of_batches():
    x = np.zeros((2, 3), "float32")
    assert isinstance(make_data([(x, x), (x, x)]), BatchData)
    assert isinstance(make_data([x, x]), ArrayData)


def test_something_with_length_and_items_is_an_iterable():
    class Items:
        def __len__(self):
            return 2

        def __getitem__(self, i):
            return np.full((3, 1), i), np.zeros(3)
    data = make_data(Items())
    assert data.num_batches == 2 and [x[0, 0] for x, _, _ in data.epoch()] == [0, 1]


def test_class_weights():
    labels = np.array([0, 1, 2, 1])
    expected = [1, 3, 1, 3]
    for y in (labels, labels[:, None], np.eye(3)[labels], labels.astype("float32")):
        data = make_data(np.zeros((4, 1)), y, class_weight={1: 3.0})
        np.testing.assert_array_equal(data.args[2], expected)
    both = make_data(np.zeros((4, 1)), labels, [1, 2, 3, 4], class_weight={1: 3.0})
    np.testing.assert_array_equal(both.args[2], [1, 6, 3, 12])


def test_split_takes_the_last_part():
    x, y = np.arange(10), np.arange(10)
    (a, b, _), (c, d, w) = split(x, y, None, 0.3)
    assert a.tolist() == b.tolist() == list(range(7)) and c.tolist() == d.tolist() == [7, 8, 9] and w is None
    with pytest.raises(ValueError, match="validation_split=0.05 of 10 samples leaves no samples for "
                                         "training|validation"):
        split(np.arange(10), None, None, 0.999)


X = np.zeros((4, 2), "float32")


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: make_data(X, np.zeros(3)), ValueError, "x has 4 samples and y has 3"),
    (lambda: make_data(X, np.zeros(4), np.zeros(5)), ValueError, "x has 4 samples and sample_weight has 5"),
    (lambda: make_data([X, X[:2]]), ValueError, r"x\[0\] has 4 samples and x\[1\] has 2"),
    (lambda: make_data({"a": X, "b": X[:2]}), ValueError, r"x\['a'\] has 4 samples and x\['b'\] has 2"),
    (lambda: make_data(X[:0]), ValueError, r"x has no samples \(shape \(0, 2\)\)"),
    (lambda: make_data(None), ValueError, "x is missing"),
    (lambda: make_data(np.float32(3)), ValueError, "x is a single number"),
    (lambda: make_data(X.astype(complex)), TypeError, "x holds complex numbers.*two channels"),
    (lambda: make_data(np.array([X, None], dtype=object)), TypeError, "x holds Python objects.*Pad or cut"),
    (lambda: make_data(X, np.array(["cat"] * 4)), TypeError, "y holds texts.*Turn them into numbers"),
    (lambda: make_data([[1, 2], [3]]), ValueError, "x is a list whose parts have different lengths"),
    (lambda: make_data("images"), TypeError, "x is a text"),
    (lambda: make_data(X, batch_size=0), ValueError, "batch_size=0 must be at least 1"),
    (lambda: make_data(X, batch_size=-3), ValueError, "batch_size=-3 must be at least 1"),
    (lambda: make_data(X, batch_size=2.5), TypeError, "batch_size must be an int, got 2.5"),
    (lambda: make_data(X, batch_size=True), TypeError, "batch_size must be an int, got True"),
    (lambda: make_data(iter([X]), X), ValueError, "y must not be given"),
    (lambda: make_data(iter([X]), batch_size=3), ValueError, "batches already have their size"),
    (lambda: list(make_data(iter([(X, X, X, X)])).epoch()), ValueError, "got a tuple of 4 parts"),
    (lambda: make_data(X, np.zeros(4), class_weight=[1, 2]), TypeError, "class_weight must be a dictionary"),
    (lambda: make_data(X, np.zeros(4), class_weight={"cat": 2}), TypeError, "keys must be int labels"),
    (lambda: make_data(X, class_weight={0: 2}), ValueError, "class_weight needs one array of labels"),
    (lambda: make_data(X, np.full(4, 2**63, "uint64")), ValueError, "y has unsigned 64-bit integers above")])
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
