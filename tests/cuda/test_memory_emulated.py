"""Where memory of the device, or pinned memory of the host, does not suffice: an error that helps, and nothing lost."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyconv
from pyconv import backends, layers, ops
from pyconv.backends.cuda import driver
from tests.cuda.emulator import standin

X = np.random.default_rng(0).normal(size=(22, 6, 6, 2)).astype("float32")
Y = np.random.default_rng(1).integers(0, 3, 22)


KERNELS: dict = {}       # compiled kernels, which all the devices of this file share


def session(fails=()):
    """Train and predict on a device of its own; allocations with the numbers `fails` fail. Every failed call is made
    again. Returns the numbers that came out, how many allocations there were, and the errors."""
    before, errors = backends._loaded.pop(("cuda", 0), None), []
    pending = list(fails)

    def attempt(function):
        while True:
            try:
                return function()
            except MemoryError as error:
                errors.append(str(error))
                standin.failing = pending.pop(0) if pending else None
    try:
        with pyconv.device("cuda") as backend:
            backend.driver._kernels = KERNELS
            pyconv.random.set_random_seed(7)
            model = pyconv.Sequential([pyconv.Input((6, 6, 2)), layers.Conv2D(3, 5), layers.Flatten(),
                                       layers.Dropout(0.2), layers.Dense(3)])
            model.compile(pyconv.optimizers.SGD(0.01, 0.9),
                          pyconv.losses.SparseCategoricalCrossentropy(from_logits=True))
            start, standin.failing = standin.allocations, pending.pop(0) if pending else None
            found = [attempt(lambda i=i: model.train_on_batch(X[i:i + 8], Y[i:i + 8])) for i in (0, 8)]
            found += [attempt(lambda: model.predict(X, batch_size=8, verbose=0)),
                      attempt(lambda: model.evaluate(X, Y, batch_size=11, verbose=0)),
                      attempt(lambda: model.train_on_batch(X[:8], Y[:8])), *model.get_weights()]
            return found, standin.allocations - start, errors
    finally:
        standin.failing = None
        backends._loaded.pop(("cuda", 0), None)
        if before is not None:
            backends._loaded[("cuda", 0)] = before


@functools.cache
def undisturbed():
    return session()


def test_every_allocation_fails_in_turn():
    expected, count, errors = undisturbed()
    assert count > 20 and not errors
    raised = 0
    for n in range(count):
        # One failure is got over by letting go of what is not in use; two in a row are an error of the call.
        for fails in ([n, 0], [n])[:1 + (n % 3 == 0)]:
            found, _, errors = session(fails)
            raised += len(errors)
            for a, b in zip(found, expected, strict=True):
                assert np.array_equal(a, b), f"other results after allocation {n} had failed"
    assert raised


@settings(max_examples=8)
@given(st.lists(st.integers(0, 12), min_size=2, max_size=6))
def test_several_fail(fails):
    found, _, _ = session(fails)
    assert all(np.array_equal(a, b) for a, b in zip(found, undisturbed()[0], strict=True))


@pytest.mark.devices
def test_a_model_can_be_used_on():
    """What is too large for the memory is an error that helps; smaller batches go on as if nothing had been."""
    x = np.random.default_rng(2).normal(size=(4000, 100)).astype("float32")

    def run(wanted):
        pyconv.random.set_random_seed(3)
        model = pyconv.Sequential([pyconv.Input((100,)), layers.Dense(200, "relu"), layers.Dense(1)])
        model.compile("adam", "mse")
        with pyconv.device("cuda"):
            out = [model.train_on_batch(x[:8], x[:8, :1])]
            if wanted:
                pool = driver.cupy().get_default_memory_pool()
                pool.free_all_blocks()
                pool.set_limit(size=pool.used_bytes() + (1 << 20))
                try:
                    for call in (model.train_on_batch, lambda x, y: model.evaluate(x, y, 4000, verbose=0),
                                 lambda x, y: model.predict(x, 4000, verbose=0)):
                        with pytest.raises(MemoryError, match=r"cuda:0 has no .* MiB left.*smaller batch_size.*"
                                                              r"Nothing has changed: the model can be used as before"):
                            call(x, x[:, :1])
                finally:
                    pool.set_limit(size=0)
            return [*out, *(model.train_on_batch(x[i:i + 8], x[i:i + 8, :1]) for i in (8, 16)), *model.get_weights()]
    for a, b in zip(run(True), run(False), strict=True):
        np.testing.assert_array_equal(a, b)


def failing_twice(monkeypatch):
    calls = iter((True, True))
    real = standin.empty

    def empty(shape, dtype=float):
        if next(calls, False):
            raise standin.OutOfMemoryError("Out of memory")
        return real(shape, dtype)
    monkeypatch.setattr(standin, "empty", empty)


def test_the_message(monkeypatch):
    program_of = ops.transpose
    failing_twice(monkeypatch)
    with pyconv.device("cuda"), pytest.raises(MemoryError, match=(
            r"cuda:0 has no [\d.]+ MiB left.*0.50 GiB of its 1.00 GiB are free, this process uses 0.25 GiB.*"
            r"smaller batch_size.*float32.*float16.*nvidia-smi.*Nothing has changed")) as caught:
        program_of(np.zeros((513, 101), "float32"))
    assert isinstance(caught.value.__cause__, standin.OutOfMemoryError)
    with pyconv.device("cuda"):
        np.testing.assert_array_equal(program_of(np.ones((513, 101), "float32")), 1)


def test_pinned_memory_that_is_missing(monkeypatch):
    def alloc(nbytes):
        raise RuntimeError("cudaErrorMemoryAllocation: out of memory")
    monkeypatch.setattr(standin.cuda, "alloc_pinned_memory", alloc)
    with pyconv.device("cuda"), pytest.raises(MemoryError, match=r"host has no [\d.]+ MiB.*cuda:0.*Smaller batches"):
        ops.transpose(np.zeros((513, 103), "float32"))
