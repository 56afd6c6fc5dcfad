"""Variables: storage, assignment outside and inside of programs."""

import numpy as np
import pytest

from pyconv import ops
from pyconv.graph import Variable, aligned_empty, trace


def test_storage_is_aligned_a_copy_and_stays_in_place():
    value = np.arange(6.0).reshape(2, 3)
    v = Variable(value, dtype="float32", name="w")
    value[...] = 0
    storage = v.array
    v.assign(np.full((2, 3), 7.0))
    assert v.array is storage and (storage == 7).all()
    assert storage.ctypes.data % 128 == 0 and storage.flags.c_contiguous and storage.dtype == "float32"


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (5,), (2, 3, 4)])
@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_aligned_empty(shape, dtype):
    array = aligned_empty(shape, dtype)
    assert array.shape == shape and array.dtype == dtype and array.flags.c_contiguous
    assert array.ctypes.data % 128 == 0 or array.size == 0


def test_values_outside_of_a_trace_are_copies():
    v = Variable(np.zeros(3))
    v.numpy()[...] = 1
    v.value[...] = 1
    np.asarray(v)[...] = 1
    np.testing.assert_array_equal(v.numpy(), 0)


def test_assign_at_once(backend):
    v = Variable(np.zeros(3, "float32"))
    v.assign([1, 2, 3])
    v.assign_add(1)
    v.assign_sub(np.array([0, 0, 4], "float32"))
    np.testing.assert_array_equal(v.numpy(), [2, 3, 0])
    assert v.dtype == "float32"


def test_updates_take_place_at_the_end_of_a_run(backend):
    """In a trace an assigned value is read back at once, by later code; the storage changes at the end."""
    a, b = Variable(np.array([1.0])), Variable(np.array([10.0]))

    def swap():
        before = [a.value, b.value]
        a.assign(b.value)
        b.assign(before[0])
        return [*before, a.value, b.value]
    graph, _ = trace(swap, [])
    program = backend.compile(graph)
    assert [x.item() for x in program([])] == [1, 10, 10, 1]
    assert a.numpy() == 10 and b.numpy() == 1
    program([])
    assert a.numpy() == 1 and b.numpy() == 10


def test_updates_add_up_over_runs(backend):
    v = Variable(np.zeros((), "int64"))

    def count(n):
        v.assign_add(n)
        v.assign_add(1)
        return v
    program = backend.compile(trace(count, [((), "int64")])[0])
    assert [int(program([np.array(2)])[0]) for _ in range(3)] == [3, 6, 9]
    assert v.numpy() == 9


def test_a_failed_run_changes_nothing(backend):
    v = Variable(np.zeros(2))

    def step(x):
        v.assign(v + x)
        return ops.check_finite(x, "bad input")
    program = backend.compile(trace(step, [((2,), "float64")])[0])
    with pytest.raises(ValueError, match="bad input"):
        program([np.array([1.0, np.nan])])
    np.testing.assert_array_equal(v.numpy(), 0)
    program([np.array([1.0, 2.0])])
    np.testing.assert_array_equal(v.numpy(), [1, 2])


def test_results_are_not_the_storage(backend):
    v = Variable(np.ones(2))
    (out,) = backend.compile(trace(lambda: v.value, [])[0])([])
    out[...] = 5
    np.testing.assert_array_equal(v.numpy(), 1)


def test_assigned_constants_take_the_variables_type(backend):
    v = Variable(np.ones(2, "float32"))
    program = backend.compile(trace(lambda: v.assign(np.array([3, 4])), [])[0])
    program([])
    np.testing.assert_array_equal(v.numpy(), [3, 4])


def test_errors():
    v = Variable(np.ones((2, 3), "float32"), name="kernel")
    with pytest.raises(ValueError, match=r"'kernel' has shape \(2, 3\); a value of shape \(3,\)"):
        v.assign(np.ones(3))
    with pytest.raises(ValueError, match=r"a value of shape \(\)"):
        v.assign(1.0)
    with pytest.raises(TypeError, match="float16"):
        Variable(np.ones(2, "float16"))

    def wrong_type(x):
        v.assign(x)
    with pytest.raises(TypeError, match="'kernel' is float32; a float64 value cannot be assigned.*ops.cast"):
        trace(wrong_type, [((2, 3), "float64")])
    kept = []
    trace(lambda x: kept.append(x) or x, [((2, 3), "float32")])
    with pytest.raises(ValueError, match="symbolic value outside of a trace"):
        v.assign(kept[0])


def test_repr_and_truth():
    assert repr(Variable(np.ones(2), name="b", trainable=False)) == "<Variable b (2,) float64 not trainable>"
    assert bool(Variable(np.array(1.0))) and not bool(Variable(np.array(0)))
