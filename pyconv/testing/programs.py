"""Hypothesis strategies for whole programs: random graphs, and random networks with a step of training.

A strategy gives a function on tensors and arrays to call it with. The function follows a plan that was drawn
before, so that it does the same however often and on whatever backend it is traced.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .. import ops
from ..graph import Variable, gradients
from .optional import strategies as st
from .strategies import Kit

__all__ = ["Case", "graphs", "training_steps"]


class Case(NamedTuple):
    """A function of tensors, the arrays to call it with, the variables that it uses, and what was drawn."""

    function: object
    arrays: list
    variables: list
    plan: list


# Functions that keep the shape and map moderate numbers to moderate numbers. Some do nothing, or undo each
# other: these are what simplification looks for.
UNARY = {
    "tanh": ops.tanh, "relu": ops.relu, "sigmoid": ops.sigmoid, "negative": ops.negative,
    "absolute": ops.absolute,
    "softplus": ops.softplus, "plus 0": lambda x: x + 0, "times 1": lambda x: 1 * x,
    "over 1": lambda x: x / 1,
    "power 1": lambda x: x ** 1, "minus 0": lambda x: x - 0, "half": lambda x: x * 0.5,
    "0 minus": lambda x: 0 - x,
    "zeros": lambda x: x + np.zeros(x.shape), "cast": lambda x: ops.cast(ops.cast(x, "float64"), x.dtype),
    "flat and back": lambda x: ops.reshape(ops.reshape(x, (-1,)), x.shape),
    "flip": lambda x: ops.flip(x, 0), "twice transposed": lambda x: ops.transpose(ops.transpose(x)),
    "rolled": lambda x: ops.transpose(ops.transpose(x, _rolled(x)), _rolled(x, -1)),
    "cut and padded": lambda x: ops.pad(x[1:], [(1, 0)] + [(0, 0)] * (x.ndim - 1)),
    "centred": lambda x: x - ops.mean(x, 0,
                                      keepdims=True), "over its sum": lambda x: x / (1 + ops.sum(x * x)),
    "softmax": ops.softmax, "masked": lambda x: ops.where(x > 0, x,
                                                          0.25 * x), "no gradient": ops.stop_gradient,
    "doubled and cut": lambda x: ops.concatenate([x, x * 2], 0)[:len(x)],
    "first row": lambda x: ops.broadcast_to(x[:1], x.shape), "rounded": lambda x: ops.floor(x * 4) / 4,
    "squared": lambda x: ops.square(ops.tanh(x)), "products": lambda x: ops.tanh(_square_product(x)),
}
BINARY = {
    "add": ops.add, "subtract": ops.subtract, "multiply": lambda a, b: ops.tanh(a) * b,
    "maximum": ops.maximum,
    "minimum": ops.minimum, "where": lambda a, b: ops.where(a > b, a, b * 0.5),
}


def _rolled(x, by=1):
    return [(i + by) % x.ndim for i in range(x.ndim)]


def _square_product(x):
    """x @ x.T @ x over the last two axes, for at least two axes; x itself otherwise."""
    if x.ndim < 2:
        return x
    axes = [*range(x.ndim - 2), x.ndim - 1, x.ndim - 2]
    return ops.matmul(ops.matmul(x, ops.transpose(x, axes)), x) * (1 / x.size)


@st.composite
def graphs(draw, dtypes=("float32", "float64"), least_steps=1, most_steps=15) -> Case:
    """A random graph: chains and branches of functions on one or two arrays of one shape."""
    kit = Kit(dtypes=dtypes, smooth=True, layouts=("C",))
    shape = kit.shape(draw, least_rank=1, most_rank=3, empty=False)
    dtype = draw(kit.dtypes())
    arrays = [kit.values(draw, shape, dtype) for _ in range(draw(st.integers(1, 2)))]
    plan = []
    for i in range(draw(st.integers(least_steps, most_steps))):
        place = st.one_of(st.just(len(arrays) + i - 1), st.integers(0, len(arrays) + i - 1))
        if draw(st.booleans()):
            plan.append((draw(st.sampled_from(sorted(UNARY))), draw(place)))
        else:
            plan.append((draw(st.sampled_from(sorted(BINARY))), draw(place), draw(place)))

    def function(*tensors):
        values = list(tensors)
        for name, *places in plan:
            values.append((UNARY if len(places) == 1 else BINARY)[name](*(values[i] for i in places)))
        return values[-3:]
    return Case(function, arrays, [], plan)


@st.composite
def training_steps(draw, dtype="float64", smooth=False) -> Case:
    """One step of training a random convnet on a random batch: forward, loss, gradients and updates.

    The function takes images and labels and returns the loss, the logits, and the gradients of all weights;
    it updates the weights and the moving averages of batch normalization. With `smooth`, no part of it has a
    kink: then small errors (of float32) make small differences in the gradients.
    """
    # Hypothesis draws the number of layers and the batch, which shrink. The other choices follow from a seed:
    # drawn one by one, most of the networks would be copies of each other with one choice changed.
    layers, batch = draw(st.integers(1, 6)), Kit.batch(draw, 34, least=1)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def pick(*choices):
        return choices[rng.integers(len(choices))]

    last = pick(True, True, False)
    data_format = "channels_last" if last else "channels_first"
    rank = pick(2, 2, 2, 1, 3)
    size = pick(*{1: [9, 16], 2: [6, 8, 11], 3: [4, 5]}[rank])
    channels, classes = pick(1, 3, 4), pick(2, 5, 10)
    image = (size,) * rank + (channels,) if last else (channels,) + (size,) * rank
    x = rng.normal(size=(batch, *image)).astype(dtype)
    labels = rng.integers(0, classes, batch)
    activations = ["tanh", "sigmoid", "none"] + ([] if smooth else ["relu", "relu", "relu"])
    kinds = ["conv", "conv", "conv", "batch_norm", "residual", "inception", "activation"] \
        + ([] if smooth else ["pool", "pool", "drop"])
    plan, weights, updated = [], [], []

    def weight(*shape, scale=None):
        scale = np.sqrt(1 / max(np.prod(shape[:-1]), 1)) if scale is None else scale
        weights.append(Variable(rng.normal(size=shape) * scale, dtype))
        return weights[-1]

    sizes = size
    for _ in range(layers):
        kind = pick(*kinds)
        if kind == "conv":
            k = pick(*(n for n in (1, 2, 3, 3, 5) if n <= sizes))
            stride, padding = pick(1, 1, 2), pick("same", "valid", "same")
            depthwise = pick(False, False, True)
            filters = pick(1, 4, 6, 8, 16, 20) if not depthwise else channels
            kernel = weight(*(k,) * rank, 1 if depthwise else channels, filters)
            bias = weight(filters, scale=0.1) if pick(False, True) else None
            groups = channels if depthwise else 1
            plan.append(("conv", kernel, bias, stride, padding, groups, pick(*activations)))
            sizes = -(-sizes // stride) if padding == "same" else (sizes - k) // stride + 1
            channels = filters
        elif kind == "pool":
            k = min(pick(2, 2, 3), sizes)
            stride, padding = pick(2, k), pick("valid", "same")
            plan.append(("pool", k, stride, padding))
            sizes = -(-sizes // stride) if padding == "same" else (sizes - k) // stride + 1
        elif kind == "batch_norm":
            moving = [Variable(np.zeros(channels), dtype), Variable(np.ones(channels), dtype)]
            updated.extend(moving)
            plan.append(("batch_norm", weight(channels, scale=1.0), weight(channels, scale=0.1), *moving))
        elif kind == "residual":
            plan.append(("residual", weight(*(3,) * rank, channels, channels)))
        elif kind == "inception":
            more = pick(1, 3, 8)
            plan.append(("inception", weight(*(1,) * rank, channels, more)))
            channels += more
        elif kind == "drop":
            state = Variable(np.array([rng.integers(100), 0]))
            updated.append(state)
            plan.append(("drop", state))
        else:
            plan.append(("activation", pick(*activations)))
    head = pick("flatten", "average")
    features = channels * (sizes ** rank if head == "flatten" else 1)
    dense, dense_bias = weight(features, classes), weight(classes, scale=0.1)

    def along_channels(v):
        return v.read() if last else ops.reshape(v.read(), (-1,) + (1,) * rank)

    def layer(t, kind, *args):
        conv = {"data_format": data_format}
        if kind == "conv":
            kernel, bias, stride, padding, groups, activation = args
            t = ops.conv(t, kernel, stride, padding, groups=groups, **conv)
            return activate(t if bias is None else t + along_channels(bias), activation)
        if kind == "pool":
            return ops.max_pool(t, *args, **conv)
        if kind == "batch_norm":
            gamma, beta, mean, variance = args
            axes = tuple(i for i in range(t.ndim) if i != (t.ndim - 1 if last else 1))
            m, v = ops.mean(t, axes, keepdims=True), ops.variance(t, axes, keepdims=True)
            for moving, now in ((mean, m), (variance, v)):
                moving.assign(moving.value * 0.9 + ops.reshape(now, moving.shape) * 0.1)
            return (t - m) * (ops.rsqrt(v + 1e-1) * along_channels(gamma)) + along_channels(beta)
        if kind == "residual":
            return t + ops.tanh(ops.conv(t, args[0], padding="same", **conv))
        if kind == "inception":
            return ops.concatenate([t, ops.conv(t, args[0], **conv)], -1 if last else 1)
        if kind == "drop":
            state = args[0].value
            args[0].assign(state + np.array([0, 1]))
            return ops.where(ops.random_uniform(state, t.shape, t.dtype) < 0.75, t / 0.75, 0.0)
        return activate(t, args[0])

    def function(images, targets):
        t = images
        for step in plan:
            t = layer(t, *step)
        if head == "average":
            t = ops.mean(t, tuple(range(1, rank + 1)) if last else tuple(range(2, rank + 2)))
        logits = ops.dense(ops.reshape(t, (t.shape[0], -1)), dense, dense_bias)
        loss = ops.mean(ops.sparse_softmax_cross_entropy(logits, targets))
        grads = gradients(loss, [w.read() for w in weights])
        for w, g in zip(weights, grads, strict=True):
            w.assign_sub(g * 0.1)
        return [ops.check_finite(loss), logits, grads]
    return Case(function, [x, labels], weights + updated, [step[0] for step in plan] + [head, data_format,
                                                                                        rank])


def activate(t, name):
    return t if name == "none" else getattr(ops, name)(t)
