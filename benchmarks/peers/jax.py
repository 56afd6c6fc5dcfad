"""JAX: the network as a function, a hand-written Adam, one jitted step."""

from __future__ import annotations

import os

import jax
import jax.numpy as jnp
import numpy as np

from ..networks import NETWORKS, draw_images, draw_weights, scaled
from . import CHECKED


def forward(weights, x, network):
    parameters = iter(weights)
    for layer in network.layers:
        if layer[0] == "conv":
            x = jax.lax.conv_general_dilated(x, next(parameters), (1, 1), [(layer[3], layer[3])] * 2,
                                             dimension_numbers=("NHWC", "HWIO", "NHWC")) + next(parameters)
        elif layer[0] == "pool":
            window = (1, layer[1], layer[1], 1)
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")
        elif layer[0] == "flatten":
            x = x.reshape(x.shape[0], -1)
        else:
            x = x @ next(parameters) + next(parameters)
        if layer[0] in ("conv", "dense") and layer[-1] == "relu":
            x = jax.nn.relu(x)
    return x


def loss(weights, x, y, network):
    logits = forward(weights, x, network)
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()


def adam(weights, state, gradients):
    m, v, t = state
    t = t + 1
    m = [a + (g - a) * 0.1 for a, g in zip(m, gradients, strict=True)]
    v = [a + (g * g - a) * 0.001 for a, g in zip(v, gradients, strict=True)]
    rate = 0.001 * jnp.sqrt(1 - 0.999 ** t) / (1 - 0.9 ** t)
    weights = [w - rate * a / (jnp.sqrt(b) + 1e-7) for w, a, b in zip(weights, m, v, strict=True)]
    return weights, (m, v, t)


class Peer:
    def __init__(self, threads):
        # XLA takes as many threads as the process may use cores.
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])

    def versions(self):
        return {"JAX": jax.__version__}

    def prepare(self, task, quick):
        network, kind = NETWORKS[task["network"]], task["kind"]
        count = task["batch"] * task["steps"] if kind == "train" else task["count"] if kind == "predict" else CHECKED
        images, y = draw_images(network, count)
        x, y = scaled(images, False), y.astype("int32")
        weights = [jnp.asarray(w) for w in draw_weights(network)]
        infer = jax.jit(lambda w, a: forward(w, a, network))
        outputs = np.asarray(infer(weights, x[:CHECKED]))
        if kind == "train":
            candidates = {"jit": self.train(network, task, weights, x, y)}
        elif kind == "predict":
            def predict(warm, size):
                return [np.asarray(infer(weights, x[i:i + size])) for i in range(0, size if warm else len(x), size)]
            candidates = {f"jit, batches of {size}": lambda warm, size=size: predict(warm, size)
                          for size in (250, 1000)}
        else:
            one = x[:1].copy()
            candidates = {"jit": lambda: np.asarray(infer(weights, one))}
        for function in candidates.values():
            function(True) if kind != "one" else function()
        return candidates, {}, outputs

    def train(self, network, task, weights, x, y):
        batch, steps = task["batch"], task["steps"]

        @jax.jit
        def step(weights, state, a, b):
            gradients = jax.grad(loss)(weights, a, b, network)
            return adam(weights, state, gradients)
        current = [weights, ([jnp.zeros_like(w) for w in weights], [jnp.zeros_like(w) for w in weights],
                             jnp.zeros((), "float32"))]
        x, y = jnp.asarray(x), jnp.asarray(y)
        batches = [(x[i * batch:(i + 1) * batch], y[i * batch:(i + 1) * batch]) for i in range(steps)]

        def run(warm):
            for a, b in batches[:2 if warm else steps]:
                current[:] = step(*current, a, b)
            current[0][0].block_until_ready()
        return run
