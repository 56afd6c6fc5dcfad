"""JAX: the network as a function, a hand-written Adam, one jitted step."""

from __future__ import annotations

import os

import jax
import jax.numpy as jnp
import numpy as np

from ..networks import draw_images, draw_weights, network_of, scaled
from . import CHECKED


def forward(weights, x, network, key=None):
    """The outputs; with `key`, those of training: statistics of the batch, dropout. (The moving statistics are left
    alone, which spares JAX some work that the others do.)"""
    parameters, rank = iter(weights), len(network.shape) - 1
    order = ("N" + "DHW"[3 - rank:] + "C", "DHW"[3 - rank:] + "IO", "N" + "DHW"[3 - rank:] + "C")

    def run(x, layers):
        for kind, o in layers:
            if kind in ("conv", "depthwise"):
                kernel, groups = next(parameters), 1
                if kind == "depthwise":
                    kernel, groups = kernel.swapaxes(-1, -2), kernel.shape[-2]
                x = jax.lax.conv_general_dilated(x, kernel, (o["stride"],) * rank, [(o["padding"],) * 2] * rank,
                                                 dimension_numbers=order, feature_group_count=groups)
                if o.get("bias"):
                    x = x + next(parameters)
            elif kind == "batch_norm":
                gamma, beta, mean, variance = (next(parameters) for _ in range(4))
                if key is not None:
                    axes = tuple(range(x.ndim - 1))
                    mean, variance = x.mean(axes), x.var(axes)
                x = (x - mean) * (gamma * jax.lax.rsqrt(variance + 1e-5)) + beta
            elif kind == "pool":
                window = (1, *[o["size"]] * rank, 1)
                x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")
            elif kind == "global_average":
                x = x.mean(tuple(range(1, x.ndim - 1)))
            elif kind == "flatten":
                x = x.reshape(x.shape[0], -1)
            elif kind == "dropout" and key is not None:
                x = jnp.where(jax.random.bernoulli(key, 1 - o["rate"], x.shape), x / (1 - o["rate"]), 0)
            elif kind == "dense":
                x = x @ next(parameters) + next(parameters)
            elif kind == "residual":
                body = run(x, o["body"])
                x = jax.nn.relu(body + run(x, o["shortcut"]))
            if o.get("activation"):
                x = jax.nn.relu(x)
        return x
    return run(x, network.layers)


def loss(weights, x, y, network, key):
    logits = forward(weights, x, network, key)
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
        network, kind = network_of(task), task["kind"]
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
            key = jax.random.key(state[2].astype("int32"))
            gradients = jax.grad(loss)(weights, a, b, network, key)
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
