"""Matrix products of any form and size. Dense layers whose weights are too large to be packed for each step: tasks
copy what they need, and update some rows of weights at a time, just after their gradients."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyconv
from pyconv import backends, config, layers, losses, ops, optimizers
from pyconv.graph import Variable, simplify, trace

pytest.importorskip("pyconv.backends.cpu.executor", reason="the CPU kernels are not built")
from pyconv.backends.cpu import lowering  # noqa: E402


def step(backend, threads, shape, units, batch, dtype, optimizer=lambda: optimizers.SGD(0.5)):
    """Changes of the weights by one step of training, and the loss."""
    pyconv.set_backend(backend)
    config.set_num_threads(threads)
    config.set_floatx(dtype)
    pyconv.utils.set_random_seed(5)
    # A convolution, so that samples are in lanes, and the gradient for the dense layer's input is wanted.
    model = pyconv.Sequential([pyconv.Input(shape), layers.Conv2D(shape[-1], 1), layers.MaxPooling2D(2),
                               layers.Flatten(), layers.Dense(units, activation="relu"), layers.Dense(3)])
    model.compile(optimizer(), losses.SparseCategoricalCrossentropy(from_logits=True))
    rng = np.random.default_rng(6)
    before = [w.copy() for w in model.get_weights()]
    loss = model.train_on_batch(rng.normal(size=(batch, *shape)).astype(dtype), rng.integers(0, 3, batch))
    return [a - b for a, b in zip(model.get_weights(), before, strict=True)], loss


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape, units, batch", [
    ((10, 10, 53), 131, 40),         # 1325 inputs: chunks of taps, and no whole vectors
    ((2, 2, 70), 1021, 130),         # more outputs than inputs, and an input gradient with few outputs
    ((8, 8, 32), 257, 33)])
def test_a_step_of_a_large_dense_layer(shape, units, batch, dtype):
    check_step(shape, units, batch, dtype)


@pytest.mark.parametrize("units", [5, 6, 7, 23, 37])
@pytest.mark.parametrize("batch", [8, 16, 24])
def test_weights_that_all_samples_meet_together(units, batch, monkeypatch):
    """Fewer and more outputs than a tile has rows, and blocks of samples that are and are not pairs."""
    monkeypatch.setattr(lowering, "BIG_WEIGHTS", 1)
    check_step((6, 6, 61), units, batch, "float32")


@pytest.mark.parametrize("optimizer", [
    lambda: optimizers.Adam(0.1), lambda: optimizers.SGD(0.5, momentum=0.9, nesterov=True),
    lambda: optimizers.AdamW(0.1, weight_decay=0.1, clipvalue=0.01), lambda: optimizers.Adam(0.1, global_clipnorm=0.1)])
def test_gradients_that_are_updated_at_once(optimizer, monkeypatch):
    monkeypatch.setattr(lowering, "LARGE_GRADIENT", 1)
    check_step((8, 8, 32), 257, 33, "float64", optimizer)


@pytest.mark.parametrize("m, n, samples", [(1000, 300, 40), (1001, 37, 5), (43, 500, 100)])
@pytest.mark.parametrize("alone", [True, False])
def test_a_row_of_a_gradient_lives_until_its_update(m, n, samples, alone, monkeypatch):
    """Unless something else reads the gradient (`alone` is False)."""
    monkeypatch.setattr(lowering, "LARGE_GRADIENT", 1)
    rng = np.random.default_rng(0)
    x, g, start, speed = (rng.normal(size=s) for s in ((samples, m), (samples, n), (m, n), (m, n)))
    weights, momentum = Variable(start), Variable(speed)

    def function(x, g):
        gradient = ops.base.apply("matmul", x, g, transpose_a=True, transpose_b=False)
        scale = 1.0 if alone else 1 / ops.max(gradient)
        momentum.assign(momentum.read() * 0.5 + gradient * scale)
        weights.assign(weights.read() - momentum.read() * 0.25)
        return ops.sum(x)
    program = backends.get("cpu").compile(simplify(trace(function, [(a.shape, "float64") for a in (x, g)],
                                                         training=True)[0]))
    program([x, g])
    gradient = x.T @ g
    moved = speed * 0.5 + gradient * (1 if alone else 1 / gradient.max())
    np.testing.assert_allclose(momentum.numpy(), moved, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(weights.numpy(), start - moved * 0.25, rtol=1e-9, atol=1e-9)
    last = max(step for step, *_ in program.listing)
    assert ("matmul" in {node.op for step, node, _ in program.listing if step == last}) == alone


SIZES = st.one_of(st.integers(1, 40), st.sampled_from([64, 77, 128, 130, 256]))


@given(SIZES, st.one_of(SIZES, st.sampled_from([512, 513, 1100])), SIZES, st.booleans(), st.booleans(), st.booleans(),
       st.sampled_from([(), (2,)]), st.sampled_from(["float32", "float64"]))
def test_products(m, k, n, transpose_a, transpose_b, settled, batch, dtype):
    """Also with a right side that changes, which tasks pack for themselves, and one that does not, packed ahead."""
    rng = np.random.default_rng(m * n + k)
    a = rng.normal(size=(*batch, *((k, m) if transpose_a else (m, k)))).astype(dtype)
    b = rng.normal(size=(*batch, *((n, k) if transpose_b else (k, n)))).astype(dtype)
    bias, weights = rng.normal(size=n).astype(dtype), Variable(b)

    def function(a, b):
        product = ops.base.apply("matmul", a, weights.read() if settled else b, transpose_a=transpose_a,
                                 transpose_b=transpose_b)
        return ops.relu(product + bias)
    program = backends.get("cpu").compile(simplify(trace(function, [(x.shape, dtype) for x in (a, b)],
                                                         training=False)[0]))
    threads, found = config.num_threads(), []
    try:
        for number in (1, 3):
            config.set_num_threads(number)
            found.append(program([a, b])[0])
    finally:
        config.set_num_threads(threads)
    left, right = (x.astype("float64") for x in (a, b))
    expected = np.maximum((left.swapaxes(-1, -2) if transpose_a else left)
                          @ (right.swapaxes(-1, -2) if transpose_b else right) + bias, 0)
    assert found[0].tobytes() == found[1].tobytes()
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=(1e-6 if dtype == "float32" else 1e-14) * 4 * k ** 0.5
                               * max(1, np.log2(k)))


@pytest.mark.parametrize("m, k, n, turned", [(1, 100, 333, False), (1, 17, 7, False), (3, 70, 45, True),
                                             (2, 257, 300, True), (700, 3, 290, False), (1, 300, 29, True)])
def test_products_that_wait_for_memory(m, k, n, turned, monkeypatch):
    monkeypatch.setattr(lowering, "PAST_CACHES", 1)
    rng = np.random.default_rng(m + k)
    a, b, bias = (rng.normal(size=s).astype("float32") for s in ((m, k), (n, k) if turned else (k, n), (n,)))

    def function(a, b):
        return ops.relu(ops.base.apply("matmul", a, b, transpose_a=False, transpose_b=turned) + bias)
    program = backends.get("cpu").compile(simplify(trace(function, [(x.shape, "float32") for x in (a, b)],
                                                         training=False)[0]))
    expected = np.maximum(a.astype("float64") @ (b.T if turned else b) + bias, 0)
    np.testing.assert_allclose(program([a, b])[0], expected, rtol=0, atol=3e-5)


def check_step(shape, units, batch, dtype, *optimizer):
    """Against the reference, with the same bits for any number of threads."""
    state = pyconv.backends.current().name, config.num_threads(), config.floatx()
    try:
        expected, right = step("reference", 1, shape, units, batch, dtype, *optimizer)
        one, loss = step("cpu", 1, shape, units, batch, dtype, *optimizer)
        three, _ = step("cpu", 3, shape, units, batch, dtype, *optimizer)
    finally:
        pyconv.set_backend(state[0])
        config.set_num_threads(state[1])
        config.set_floatx(state[2])
    bound = 1e-5 if dtype == "float32" else 1e-12
    assert abs(loss - right) <= bound * abs(right)
    for a, b, c in zip(one, three, expected, strict=True):
        assert a.tobytes() == b.tobytes()
        assert np.linalg.norm(a - c) <= bound * 10 * np.linalg.norm(c)
