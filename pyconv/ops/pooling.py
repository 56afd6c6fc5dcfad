"""Pooling over windows: the maximum, the mean, the sum; pooling to a given size; nearest upsampling."""

from __future__ import annotations

import numpy as np

from ..graph import REGISTRY, Op, Spec, is_float
from .base import apply, operation, spec_of
from .convolution import is_channels_last, join_shape, output_sizes, per_axis, resolve_padding, split_shape

__all__ = ["max_pool", "avg_pool", "average_pool", "sum_pool", "adaptive_max_pool", "adaptive_avg_pool",
           "adaptive_average_pool", "upsample"]

MOST_RUNS = 8          # of equal windows along an axis, each of which is a pooling of its own


def pooled(name, x, window, strides, padding, dilation, channels_last, every=True):
    """The spec of what pooling gives. With `every`, each window must hold an element of the input."""
    if not is_float(x.dtype):
        raise TypeError(f"{name} needs float32 or float64, got {x.dtype}.")
    batch, sizes, channels = split_shape(x.shape, channels_last)
    spatial = output_sizes(sizes, window, strides, padding, dilation)
    if any(n < 1 for n in spatial):
        raise ValueError(f"{name}: the window {window} is larger than the input's {sizes} with padding "
                         f"{padding}. Use padding='same', a smaller window, or a larger input.")
    axes = zip(sizes, window, strides, padding, dilation, strict=True)
    for i, (n, k, s, (p, _), d) in enumerate(axes if every else ()):
        # A window that starts at o meets o, o + d, ..., o + d * (k - 1).
        if any(not any(0 <= o + d * t < n for t in range(k)) for o in range(-p, spatial[i] * s - p, s)):
            raise ValueError(f"{name}: with padding {padding} some windows of size {window} (strides "
                             f"{strides}, dilation {dilation}) would hold no element of the input's {sizes}.")
    return Spec(join_shape(batch, spatial, channels, channels_last), x.dtype)


class MaxPool(Op):
    """The largest element of each window; padding never wins. attrs: window, strides, dilation, padding pairs.

    At a tie the gradient goes to the first maximum of the window, in order of its axes. NaN wins every comparison.
    """

    name = "max_pool"

    def infer(self, x, *, window, strides, padding, dilation, channels_last):
        return pooled("max_pool", x, window, strides, padding, dilation, channels_last)

    def gradient(self, node, grad):
        return (apply("max_pool_gradient", node.inputs[0], grad, **node.attrs),)

    def draw(self, draw, kit):
        x, _, attrs = kit.pooling(draw)
        return [x], attrs


class MaxPoolGradient(Op):
    """The gradient of `max_pool` for its input x, given that of its output."""

    name = "max_pool_gradient"

    def infer(self, x, grad, **attrs):
        return x

    def draw(self, draw, kit):
        x, y, attrs = kit.pooling(draw)
        return [x, y], attrs


class AvgPool(Op):
    """The sum of each window, divided by a number. attrs: as `max_pool`, and `divisor`.

    divisor: "elements", those of the input that the window holds; "window", its size, padding included; "one".
    """

    name = "avg_pool"

    def infer(self, x, *, window, strides, padding, dilation, channels_last, divisor):
        if divisor not in ("elements", "window", "one"):
            raise ValueError(f"avg_pool: divisor={divisor!r} must be 'elements', 'window' or 'one'.")
        return pooled("avg_pool", x, window, strides, padding, dilation, channels_last, divisor == "elements")

    def gradient(self, node, grad):
        return (apply("avg_pool_gradient", grad, shape=node.inputs[0].shape, **node.attrs),)

    def draw(self, draw, kit):
        x, _, attrs = kit.pooling(draw)
        return [x], {**attrs, "divisor": kit.choice(draw, ("elements", "window", "one"))}


class AvgPoolGradient(Op):
    """The gradient of `avg_pool` for its input of shape `shape`, given that of its output."""

    name = "avg_pool_gradient"

    def infer(self, grad, *, shape, **attrs):
        expected = REGISTRY["avg_pool"].infer(Spec(tuple(shape), grad.dtype), **attrs)
        if expected != grad:
            raise ValueError(f"avg_pool_gradient: the gradient is {grad}; expected {expected}.")
        return Spec(tuple(shape), grad.dtype)

    def gradient(self, node, grad):
        return (apply("avg_pool", grad, **{k: v for k, v in node.attrs.items() if k != "shape"}),)

    def draw(self, draw, kit):
        x, y, attrs = kit.pooling(draw)
        return [y], {**attrs, "shape": x.shape, "divisor": kit.choice(draw, ("elements", "window", "one"))}


@operation
def max_pool(inputs, pool_size, strides=None, padding="valid", data_format=None, dilation_rate=1):
    """The largest element of each window, per channel.

    inputs: (batch, *spatial, channels), or (batch, channels, *spatial) with data_format="channels_first".
    pool_size: int or tuple. strides: default `pool_size`.
    padding: "valid", "same", an int, or an int or pair per spatial axis; padding is never the maximum.
    At a tie the gradient goes to the first maximum of the window.
    """
    return apply("max_pool", inputs, **_attributes("max_pool", inputs, pool_size, strides, padding, data_format,
                                                   dilation_rate))


def _attributes(name, inputs, pool_size, strides, padding, data_format, dilation_rate):
    channels_last = is_channels_last(data_format)
    shape = spec_of(inputs).shape
    rank = len(shape) - 2
    if rank < 1:
        raise ValueError(f"{name}: inputs need a batch, spatial and channel axes, got shape {shape}.")
    window = per_axis(pool_size, rank, "pool_size")
    strides = window if strides is None else per_axis(strides, rank, "strides")
    dilation = per_axis(dilation_rate, rank, "dilation_rate")
    padding = resolve_padding(padding, split_shape(shape, channels_last)[1], window, strides, dilation)
    return {"window": window, "strides": strides, "padding": padding, "dilation": dilation,
            "channels_last": channels_last}


@operation
def avg_pool(inputs, pool_size, strides=None, padding="valid", data_format=None, dilation_rate=1,
             count_include_pad=False):
    """The mean of each window, per channel.

    inputs: (batch, *spatial, channels), or (batch, channels, *spatial) with data_format="channels_first".
    pool_size: int or tuple. strides: default `pool_size`.
    padding: "valid", "same", an int, or an int or pair per spatial axis.
    count_include_pad: whether the padding counts as zeros; by default the mean is that of the elements alone.
    """
    attrs = _attributes("avg_pool", inputs, pool_size, strides, padding, data_format, dilation_rate)
    # Without padding both divisors are the same number, and the window's is known ahead.
    plain = count_include_pad or not any(n for pair in attrs["padding"] for n in pair)
    return apply("avg_pool", inputs, divisor="window" if plain else "elements", **attrs)


@operation
def average_pool(inputs, pool_size, strides=None, padding="valid", data_format=None):
    """`avg_pool` under Keras's name: the mean of the elements of each window, per channel."""
    return avg_pool(inputs, pool_size, strides, padding, data_format)


@operation
def sum_pool(inputs, pool_size, strides=None, padding="valid", data_format=None, dilation_rate=1):
    """The sum of each window, per channel; padding counts as zeros. The arguments are those of `avg_pool`."""
    attrs = _attributes("sum_pool", inputs, pool_size, strides, padding, data_format, dilation_rate)
    return apply("avg_pool", inputs, divisor="one", **attrs)


@operation
def upsample(inputs, size, data_format=None):
    """Each element repeated `size` times (an int, or one per spatial axis) along the spatial axes.

    inputs: (batch, *spatial, channels), or (batch, channels, *spatial) with data_format="channels_first".
    """
    channels_last = is_channels_last(data_format)
    shape = spec_of(inputs).shape
    rank = len(shape) - 2
    if rank < 1:
        raise ValueError(f"upsample: inputs need a batch, spatial and channel axes, got shape {shape}.")
    size = per_axis(size, rank, "size")
    batch, sizes, channels = split_shape(shape, channels_last)
    wide = join_shape(batch, tuple(n * s for n, s in zip(sizes, size, strict=True)), channels, channels_last)
    # Each element of the wide image takes part in one sum of the pooling whose gradient this is.
    return apply("avg_pool_gradient", inputs, shape=wide, window=size, strides=size, padding=((0, 0),) * rank,
                 dilation=(1,) * rank, channels_last=channels_last, divisor="one")


def adaptive_windows(n, out) -> tuple:
    """The windows [start, stop) that cover n elements for `out` results: floor(i n / out) to ceil((i + 1) n / out)."""
    return tuple((i * n // out, -(-(i + 1) * n // out)) for i in range(out))


def _runs(windows) -> list:
    """The windows in runs of equally long ones, equally far apart: [start, stop, window, stride] of each run."""
    runs, before = [], 0
    for a, b in windows:
        if runs and b - a == runs[-1][2] and a > before and runs[-1][3] in (0, a - before):
            runs[-1][1], runs[-1][3] = b, a - before
        else:
            runs.append([a, b, b - a, 0])
        before = a
    return runs


def _adaptive(name, inputs, output_size, data_format):
    channels_last = is_channels_last(data_format)
    shape = spec_of(inputs).shape
    rank = len(shape) - 2
    if rank < 1:
        raise ValueError(f"{name}: inputs need a batch, spatial and channel axes, got shape {shape}.")
    sizes = split_shape(shape, channels_last)[1]
    if min(sizes) < 1:
        raise ValueError(f"{name} over no elements: the input has shape {shape}.")
    first = 1 if channels_last else 2
    return sizes, per_axis(output_size, rank, "output_size"), first


@operation
def adaptive_avg_pool(inputs, output_size, data_format=None):
    """The means of windows that divide each spatial axis into `output_size` parts, as in PyTorch and Keras.

    inputs: (batch, *spatial, channels), or (batch, channels, *spatial) with data_format="channels_first".
    output_size: int, or one per spatial axis. Result i of an axis of n elements is the mean of those from
    ``floor(i * n / output_size)`` up to, not including, ``ceil((i + 1) * n / output_size)``.
    """
    sizes, outputs, first = _adaptive("adaptive_avg_pool", inputs, output_size, data_format)
    if all(n % m == 0 for n, m in zip(sizes, outputs, strict=True)):
        return avg_pool(inputs, tuple(n // m for n, m in zip(sizes, outputs, strict=True)), data_format=data_format)
    from .images import apply_along
    for i, (n, m) in enumerate(zip(sizes, outputs, strict=True)):
        matrix = np.zeros((m, n))
        for row, (a, b) in zip(matrix, adaptive_windows(n, m), strict=True):
            row[a:b] = 1 / (b - a)
        inputs = apply_along(inputs, matrix, first + i)
    return inputs


@operation
def adaptive_average_pool(inputs, output_size, data_format=None):
    """`adaptive_avg_pool` under Keras's name."""
    return adaptive_avg_pool(inputs, output_size, data_format)


@operation
def adaptive_max_pool(inputs, output_size, data_format=None):
    """The largest elements of windows that divide each spatial axis into `output_size` parts.

    The arguments and windows are those of `adaptive_avg_pool`. Of equal maxima the first has the gradient, as in
    `max_pool`; where parts are not equally long, the first along the last axis, or if these are of many kinds all.
    """
    sizes, outputs, first = _adaptive("adaptive_max_pool", inputs, output_size, data_format)
    if all(n % m == 0 for n, m in zip(sizes, outputs, strict=True)):
        return max_pool(inputs, tuple(n // m for n, m in zip(sizes, outputs, strict=True)), data_format=data_format)
    for i, (n, m) in enumerate(zip(sizes, outputs, strict=True)):
        windows = adaptive_windows(n, m)
        runs = _runs(windows)
        if len(runs) <= MOST_RUNS:
            inputs = _in_runs(inputs, runs, i, first, data_format)
        else:
            inputs = _gathered(inputs, windows, first + i)
    return inputs


def _in_runs(inputs, runs, i, first, data_format):
    """The maxima of windows along spatial axis i; first: the axis of the first of these."""
    from .shape import concatenate, slice
    parts, shape = [], spec_of(inputs).shape

    def along(number):
        return tuple(number if k == i else 1 for k in range(len(shape) - 2))
    for start, stop, window, stride in runs:
        part = inputs
        if stop - start < shape[first + i]:
            part = slice(inputs, [start if k == first + i else 0 for k in range(len(shape))],
                         [stop - start if k == first + i else n for k, n in enumerate(shape)])
        parts.append(max_pool(part, along(window), along(stride or 1), data_format=data_format))
    return concatenate(parts, first + i) if len(parts) > 1 else parts[0]


def _gathered(inputs, windows, axis):
    """The same for windows of many kinds: shorter ones repeat their last element, which changes no maximum."""
    from .indexing import take
    from .reductions import max
    from .shape import reshape
    wide, shape = int(np.max([b - a for a, b in windows])), spec_of(inputs).shape
    index = np.array([[min(a + j, b - 1) for j in range(wide)] for a, b in windows], "int32")
    rows = take(inputs, index.ravel(), axis)
    return max(reshape(rows, (*shape[:axis], len(windows), wide, *shape[axis + 1:])), axis + 1)
