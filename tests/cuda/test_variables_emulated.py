"""Variables between the host and the (emulated) device: one value, wherever it was computed last."""

import copy
import pickle

import numpy as np
import pytest

import pyconv
from pyconv import backends, ops
from pyconv.graph import Variable, trace
from tests.cuda import devices
from tests.cuda.emulator import standin


def adding(v, backend):
    return backends.get(backend).compile(trace(lambda x: v.assign_add(x), [((3,), "float32")])[0])


ONES = np.ones(3, "float32")


@pytest.mark.devices
def test_programs_of_all_backends_see_each_other():
    v = Variable(np.zeros(3, "float32"))
    programs = {name: adding(v, name) for name in ("cpu", "cuda", "reference")}
    order = "cuda cuda cpu cuda reference cpu cpu cuda cuda reference cuda".split()
    for i, name in enumerate(order, 1):
        np.testing.assert_array_equal(programs[name]([ONES])[0], i)
    np.testing.assert_array_equal(v.numpy(), len(order))


def test_reading_leaves_the_copy_alone_and_writing_does_not():
    v, program = Variable(np.zeros(3, "float32")), None
    program = adding(v, "cuda")
    program([ONES])
    assert float(v.numpy().sum()) == float(np.asarray(v).sum()) == 3

    def uploads():
        start = len(standin.log)
        program([ONES])
        return standin.log[start:].count("H2D")
    assert uploads() == 1                      # the input alone
    v.numpy()
    assert uploads() == 1
    v.array[0] = 10
    assert uploads() == 2
    np.testing.assert_array_equal(v.numpy(), [11, 4, 4])
    v.assign(ONES)
    assert uploads() == 2
    np.testing.assert_array_equal(v.numpy(), 2)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))],
                         ids=["copy", "deepcopy", "pickle"])
def test_copies_have_the_device_s_value_and_storage_of_their_own(copied):
    v = Variable(np.zeros(3, "float32"), name="v", trainable=False)
    v.path = "layer/v"
    adding(v, "cuda")([ONES])
    other = copied(v)
    assert (other.name, other.path, other.trainable, other.dtype) == ("v", "layer/v", False, "float32")
    np.testing.assert_array_equal(other.numpy(), 1)
    for name in ("cuda", "cpu"):
        adding(other, name)([ONES])
    adding(v, "cuda")([ONES])
    np.testing.assert_array_equal([v.numpy(), other.numpy()], [[2] * 3, [3] * 3])
    assert other.array.ctypes.data % 128 == 0


def test_objects_that_have_computed_there_can_be_copied():
    there = devices.put(np.eye(3, dtype="float32"))
    for make in (pyconv.losses.MeanSquaredError, pyconv.metrics.MeanSquaredError):
        own = make()
        own(there, there)
        for other in (copy.copy(own), copy.deepcopy(own), pickle.loads(pickle.dumps(own))):
            result = other(there, devices.put(np.zeros((3, 3), "float32")))
            assert float(result.get() if devices.lies_there(result) else result) > 0


def test_values_stay_on_the_device_until_they_are_asked_for():
    v = Variable(np.zeros(3, "float32"))
    program = adding(v, "cuda")
    start = len(standin.log)
    for _ in range(4):
        program([ONES])
    assert standin.log[start:].count("D2H") == 4        # the outputs alone
    np.testing.assert_array_equal(v.numpy(), 4)
    assert standin.log[start:].count("D2H") == 5


@pytest.mark.devices
def test_two_variables_change_places():
    a, b = Variable(np.arange(3.0)), Variable(np.full(3, 7.0))

    def swap():
        x, y = a.value, b.value
        a.assign(y)
        b.assign(x)
        return x
    program = backends.get("cuda").compile(trace(swap, [])[0])
    (out,) = program([])
    np.testing.assert_array_equal(out, np.arange(3.0))
    np.testing.assert_array_equal([a.numpy(), b.numpy()], [np.full(3, 7.0), np.arange(3.0)])


@pytest.mark.devices
def test_updates_see_old_values_only():
    """New values that are written at once must not be seen by what reads the old ones: spread, in other chains, given
    away, twice, or as an output."""
    def fresh():
        return [Variable(np.arange(4.0) + i) for i in range(5)] + [Variable(np.array(2.0))]

    def function(a, b, c, d, e, scalar):
        def step(x):
            old = a.value
            new = old * 2 + x
            a.assign(new)
            b.assign(b.value + ops.sum(old))            # through a reduction
            c.assign(ops.reshape(old, (4, 1))[:, 0] - c.value)
            d.assign(new)                               # the same value for two
            e.assign(old)
            scalar.assign(scalar.value * ops.max(x) + scalar.value)
            return old, new * scalar.value
        return step
    results = []
    for name in ("reference", "cuda"):
        variables = fresh()
        program = backends.get(name).compile(trace(function(*variables), [((4,), "float64")])[0])
        outputs = [program([np.array([1.0, 2.0, 3.0, 4.0]) * k]) for k in (1, 2, 3)]
        results.append([*outputs[0], *outputs[2], *(v.numpy() for v in variables)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-14)


def test_an_update_is_one_launch():
    w, m = Variable(np.ones(5, "float32")), Variable(np.zeros(5, "float32"))

    def step(g):
        m.assign(m.value * 0.9 + g)
        w.assign_sub(m.value * 0.1)
    program = backends.get("cuda").compile(trace(step, [((5,), "float32")])[0])
    assert len(program.plan) == 2           # the status, and the chain
    for _ in range(3):
        program([np.ones(5, "float32")])
    np.testing.assert_allclose(m.numpy(), 2.71, rtol=1e-6)
    np.testing.assert_allclose(w.numpy(), 1 - 0.1 * (1 + 1.9 + 2.71), rtol=1e-6)


@pytest.mark.devices
@pytest.mark.parametrize("run", [1, 2, 3])      # launched one by one, captured, replayed
def test_a_failed_run_changes_nothing(run):
    w = Variable(np.ones(3, "float32"))

    def step(x, labels):
        loss = ops.check_finite(ops.sum(x * w), "the loss is not finite")
        entropy = ops.sparse_softmax_cross_entropy(ops.stack([x, x, x]), labels)
        w.assign_sub(0.1 * x)
        return loss, entropy
    program = backends.get("cuda").compile(trace(step, [((3,), "float32"), ((3,), "int64")])[0])
    good = [ONES, np.array([0, 1, 2])]
    for _ in range(run - 1):
        program(good)
    before = w.numpy()
    with pytest.raises(ValueError, match="the loss is not finite"):
        program([ONES * np.float32(np.nan), good[1]])
    for label in (3, -1, 2**40):
        with pytest.raises(ValueError, match=f"A label is {label}, but with 3 classes labels must be from 0 to 2"):
            program([ONES, np.array([0, label, 9])])
    np.testing.assert_array_equal(w.numpy(), before)
    program(good)
    np.testing.assert_allclose(w.numpy(), before - 0.1, rtol=1e-6)


def test_rows_are_gathered_and_bytes_stay_bytes():
    x = np.arange(60, dtype="uint8").reshape(20, 3)
    program = backends.get("cuda").compile(trace(lambda t: ops.cast(t, "float32") / 2, [((4, 3), "uint8")])[0])
    rows = np.array([19, 0, 3, 3])
    for _ in range(3):
        np.testing.assert_array_equal(program([x], rows)[0], x[rows] / np.float32(2))
    assert program.staging.nbytes < 512
    with pytest.raises(IndexError):
        program([x], np.array([0, 1, 2, 20]))


def test_launches_are_captured_once_and_replayed():
    program = adding(Variable(np.zeros(3, "float32")), "cuda")
    start = len(standin.log)
    for i in range(4):
        np.testing.assert_array_equal(program([ONES])[0], i + 1)
    assert standin.log[start:].count("graph") == 3 and program.uncaptured is None


def test_a_device_for_a_while():
    with pyconv.device("cuda:0"):
        assert pyconv.config.backend() == "cuda"
        np.testing.assert_allclose(ops.exp(ONES), np.e, rtol=1e-6)
    assert pyconv.config.backend() == "cpu"
    with pytest.raises(RuntimeError, match="no device cuda:1: this process sees 1"):
        pyconv.set_backend("cuda:1")
