"""Max pooling over windows."""

from __future__ import annotations

from ..graph import Op, Spec, is_float
from .base import apply, operation, spec_of
from .convolution import is_channels_last, join_shape, output_sizes, per_axis, resolve_padding, split_shape

__all__ = ["max_pool"]


class MaxPool(Op):
    """The largest element of each window; padding never wins. attrs: window, strides, dilation, padding pairs.

    At a tie the gradient goes to the first maximum of the window, in order of its axes. NaN wins every comparison.
    """

    name = "max_pool"

    def infer(self, x, *, window, strides, padding, dilation, channels_last):
        if not is_float(x.dtype):
            raise TypeError(f"max_pool needs float32 or float64, got {x.dtype}.")
        batch, sizes, channels = split_shape(x.shape, channels_last)
        spatial = output_sizes(sizes, window, strides, padding, dilation)
        if any(n < 1 for n in spatial):
            raise ValueError(f"max_pool: the window {window} is larger than the input's {sizes} with padding "
                             f"{padding}. Use padding='same', a smaller window, or a larger input.")
        for i, (n, k, s, (p, _), d) in enumerate(zip(sizes, window, strides, padding, dilation, strict=True)):
            # A window that starts at o meets o, o + d, ..., o + d * (k - 1).
            if any(not any(0 <= o + d * t < n for t in range(k)) for o in range(-p, spatial[i] * s - p, s)):
                raise ValueError(f"max_pool: with padding {padding} some windows of size {window} (strides {strides}, "
                                 f"dilation {dilation}) would hold no element of the input's {sizes}.")
        return Spec(join_shape(batch, spatial, channels, channels_last), x.dtype)

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


@operation
def max_pool(inputs, pool_size, strides=None, padding="valid", data_format=None, dilation_rate=1):
    """The largest element of each window, per channel.

    inputs: (batch, *spatial, channels), or (batch, channels, *spatial) with data_format="channels_first".
    pool_size: int or tuple. strides: default `pool_size`.
    padding: "valid", "same", an int, or an int or pair per spatial axis; padding is never the maximum.
    At a tie the gradient goes to the first maximum of the window.
    """
    channels_last = is_channels_last(data_format)
    shape = spec_of(inputs).shape
    rank = len(shape) - 2
    if rank < 1:
        raise ValueError(f"max_pool: inputs need a batch, spatial and channel axes, got shape {shape}.")
    window = per_axis(pool_size, rank, "pool_size")
    strides = window if strides is None else per_axis(strides, rank, "strides")
    dilation = per_axis(dilation_rate, rank, "dilation_rate")
    padding = resolve_padding(padding, split_shape(shape, channels_last)[1], window, strides, dilation)
    return apply("max_pool", inputs, window=window, strides=strides, padding=padding, dilation=dilation,
                 channels_last=channels_last)
