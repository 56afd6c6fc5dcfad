"""Dense layers whose weights are too large to be packed for each step: tasks copy what they need."""

import numpy as np
import pytest

import pyconv
from pyconv import config, layers, losses, optimizers

pytest.importorskip("pyconv.backends.cpu.executor", reason="the CPU kernels are not built")


def step(backend, threads, shape, units, batch, dtype):
    """Changes of the weights by one step of training, and the loss."""
    pyconv.set_backend(backend)
    config.set_num_threads(threads)
    config.set_floatx(dtype)
    pyconv.utils.set_random_seed(5)
    # A convolution, so that samples are in lanes, and the gradient for the dense layer's input is wanted.
    model = pyconv.Sequential([pyconv.Input(shape), layers.Conv2D(shape[-1], 1), layers.MaxPooling2D(2),
                               layers.Flatten(), layers.Dense(units, activation="relu"), layers.Dense(3)])
    model.compile(optimizers.SGD(0.5), losses.SparseCategoricalCrossentropy(from_logits=True))
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
    """Against the reference, with the same bits for any number of threads."""
    state = pyconv.backends.current().name, config.num_threads(), config.floatx()
    try:
        expected, right = step("reference", 1, shape, units, batch, dtype)
        one, loss = step("cpu", 1, shape, units, batch, dtype)
        three, _ = step("cpu", 3, shape, units, batch, dtype)
    finally:
        pyconv.set_backend(state[0])
        config.set_num_threads(state[1])
        config.set_floatx(state[2])
    bound = 1e-5 if dtype == "float32" else 1e-12
    assert abs(loss - right) <= bound * abs(right)
    for a, b, c in zip(one, three, expected, strict=True):
        assert a.tobytes() == b.tobytes()
        assert np.linalg.norm(a - c) <= bound * 10 * np.linalg.norm(c)
