"""Whole networks: every algorithm, whatever is fused or shares memory, gives the same predictions and steps."""

import numpy as np
import pytest
from benchmarks.networks import NETWORKS
from benchmarks.peers.pyconv import build

import pyconv
from pyconv import config, losses, optimizers

pytest.importorskip("pyconv.backends.cpu.executor", reason="the CPU kernels are not built")


def run(network, algorithm, x, y):
    """(Predictions, what a step changes in the weights), in float64."""
    config.set_conv_algorithm(algorithm)
    pyconv.utils.set_random_seed(0)
    model, rng = build(network), np.random.default_rng(1)
    for weight in model.weights:
        if "variance" in weight.path:
            weight.assign(rng.random(weight.shape) + 0.5)
        elif len(weight.shape) == 1:
            weight.assign(0.3 * rng.standard_normal(weight.shape))
    predictions = model.predict(x, batch_size=len(x), verbose=0)
    model.compile(optimizers.SGD(1.0), losses.SparseCategoricalCrossentropy(from_logits=True))
    before = [np.array(weight) for weight in model.weights]
    model.train_on_batch(x, y)
    return predictions, [np.array(weight) - old for weight, old in zip(model.weights, before, strict=True)]


@pytest.mark.parametrize("batch", [1, 3, 32])
@pytest.mark.parametrize("name", NETWORKS)
def test_algorithms_agree(name, batch):
    """In float64, where rounding is too small for a ReLU to decide otherwise."""
    network, rng = NETWORKS[name], np.random.default_rng(batch)
    network = network._replace(layers=tuple(layer for layer in network.layers if layer[0] != "dropout"))
    x, y = rng.integers(0, 256, (batch, *network.shape), "uint8"), rng.integers(0, 10, batch)
    config.set_floatx("float64")
    (one, steps), (two, others) = (run(network, algorithm, x, y) for algorithm in ("direct", "winograd"))
    np.testing.assert_allclose(two, one, rtol=0, atol=1e-11 * np.abs(one).max())
    for step, other in zip(steps, others, strict=True):
        assert np.linalg.norm(step - other) <= 1e-10 * max(np.linalg.norm(step), 1e-3)
