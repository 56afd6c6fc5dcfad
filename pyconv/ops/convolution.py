"""Convolution in any number of dimensions, with stride, padding, dilation and groups, and its two gradients.

As in Keras and PyTorch this is cross-correlation: the kernel is not flipped. With explicit `padding` (p, q) per
axis, an axis of n elements gives ``(n + p + q - dilation * (k - 1) - 1) // stride + 1``.

The three ops are one bilinear form read in three directions, so each one's gradients are the other two (Dumoulin
and Visin, *A guide to convolution arithmetic for deep learning*, 2016).
"""

from __future__ import annotations

import numpy as np

from ..graph import Op, Spec, is_float
from .base import apply, match, operation, spec_of

__all__ = ["conv", "conv_transpose", "depthwise_conv", "separable_conv", "resolve_padding", "per_axis"]


def split_shape(shape, channels_last):
    """(batch, spatial sizes, channels)"""
    return (shape[0], shape[1:-1], shape[-1]) if channels_last else (shape[0], shape[2:], shape[1])


def join_shape(batch, spatial, channels, channels_last):
    return (batch, *spatial, channels) if channels_last else (batch, channels, *spatial)


def output_sizes(sizes, kernel, strides, padding, dilation):
    return tuple((n + p + q - d * (k - 1) - 1) // s + 1
                 for n, k, s, (p, q), d in zip(sizes, kernel, strides, padding, dilation, strict=True))


class _Convolution(Op):
    """attrs: strides, dilation (tuples), padding (pairs), groups (int), channels_last (bool).

    x: (batch, *spatial, channels) or (batch, channels, *spatial). kernel: (*sizes, channels / groups, filters).
    """

    def forward(self, x, kernel, *, strides, padding, dilation, groups, channels_last):
        batch, sizes, channels = split_shape(x.shape, channels_last)
        if len(kernel.shape) != len(x.shape):
            raise ValueError(f"conv: an input with {len(x.shape)} axes {x.shape} needs a kernel of as many axes "
                             f"(*sizes, channels, filters), got {kernel.shape}.")
        if x.dtype != kernel.dtype or not is_float(x.dtype):
            raise TypeError(f"conv: input and kernel must both be float32 or both float64, got {x.dtype} and "
                            f"{kernel.dtype}.")
        *window, depth, filters = kernel.shape
        if channels != depth * groups:
            raise ValueError(f"conv: the input {x.shape} has {channels} channels, but the kernel {kernel.shape} with "
                             f"groups={groups} expects {depth * groups}.")
        if filters % groups:
            raise ValueError(f"conv: {filters} filters do not divide into groups={groups}.")
        spatial = output_sizes(sizes, window, strides, padding, dilation)
        if any(n < 1 for n in spatial):
            wide = tuple(d * (k - 1) + 1 for d, k in zip(dilation, window, strict=True))
            padded = tuple(n + p + q for n, (p, q) in zip(sizes, padding, strict=True))
            raise ValueError(f"conv: the kernel reaches over {wide}, more than the input's {padded} with padding. "
                             f"Use padding='same', a smaller kernel or dilation, or a larger input.")
        return Spec(join_shape(batch, spatial, filters, channels_last), x.dtype)


class Conv(_Convolution):
    name = "conv"

    def infer(self, x, kernel, **attrs):
        return self.forward(x, kernel, **attrs)

    def gradient(self, node, grad):
        x, kernel = node.inputs
        return (apply("conv_input_gradient", grad, kernel, shape=x.shape, **node.attrs),
                apply("conv_kernel_gradient", x, grad, shape=kernel.shape, **node.attrs))

    def draw(self, draw, kit):
        x, kernel, _, attrs = kit.convolution(draw)
        return [x, kernel], attrs


class ConvInputGradient(_Convolution):
    """The gradient of `conv` for its input of shape `shape`, from that of its output; a transposed convolution."""

    name = "conv_input_gradient"

    def infer(self, grad, kernel, *, shape, **attrs):
        expected = self.forward(Spec(shape, grad.dtype), kernel, **attrs)
        if expected.shape != grad.shape:
            raise ValueError(f"conv_input_gradient: a gradient of shape {grad.shape} does not belong to an input of "
                             f"shape {shape}; expected {expected.shape}.")
        return Spec(tuple(shape), grad.dtype)

    def gradient(self, node, grad):
        dy, kernel = node.inputs
        attrs = {k: v for k, v in node.attrs.items() if k != "shape"}
        return (apply("conv", grad, kernel, **attrs),
                apply("conv_kernel_gradient", grad, dy, shape=kernel.shape, **attrs))

    def draw(self, draw, kit):
        x, kernel, y, attrs = kit.convolution(draw)
        return [y, kernel], {"shape": x.shape, **attrs}


class ConvKernelGradient(_Convolution):
    """The gradient of `conv` for its kernel of shape `shape`, from its input and the gradient of its output."""

    name = "conv_kernel_gradient"

    def infer(self, x, grad, *, shape, **attrs):
        expected = self.forward(x, Spec(shape, x.dtype), **attrs)
        if expected != grad:
            raise ValueError(f"conv_kernel_gradient: the gradient is {grad}; expected {expected}.")
        return Spec(tuple(shape), x.dtype)

    def gradient(self, node, grad):
        x, dy = node.inputs
        attrs = {k: v for k, v in node.attrs.items() if k != "shape"}
        return (apply("conv_input_gradient", dy, grad, shape=x.shape, **attrs),
                apply("conv", x, grad, **attrs))

    def draw(self, draw, kit):
        x, kernel, y, attrs = kit.convolution(draw)
        return [x, y], {"shape": kernel.shape, **attrs}


def per_axis(value, rank, what, least=1) -> tuple:
    """An int, or one per spatial axis, as a tuple of `rank` ints of at least `least`."""
    values = (value,) * rank if isinstance(value, (int, np.integer)) else value
    try:
        values = tuple(values)
    except TypeError:
        raise TypeError(f"{what}={value!r} must be an int or a tuple of {rank} ints") from None
    if len(values) != rank:
        raise ValueError(f"{what}={value!r} must be an int or a tuple of {rank} ints, one per spatial axis")
    for v in values:
        if not isinstance(v, (int, np.integer)) or isinstance(v, bool):
            raise TypeError(f"{what}={value!r} must be made of ints, got {v!r}")
        if v < least:
            raise ValueError(f"{what}={value!r} must be at least {least}, got {int(v)}")
    return tuple(int(v) for v in values)


def resolve_padding(padding, sizes, window, strides, dilation) -> tuple:
    """Padding as a pair (before, after) per spatial axis.

    "valid": none. "same": ceil(n / stride) outputs, the odd element of padding after, as in Keras. "causal" (one
    axis): all before. Otherwise an int, one int per axis, or one pair per axis.
    """
    rank = len(sizes)
    if isinstance(padding, str):
        if padding == "valid":
            return ((0, 0),) * rank
        if padding == "same":
            pairs = []
            for n, k, s, d in zip(sizes, window, strides, dilation, strict=True):
                total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
                pairs.append((total // 2, total - total // 2))
            return tuple(pairs)
        if padding == "causal" and rank == 1:
            return ((dilation[0] * (window[0] - 1), 0),)
        raise ValueError(f"padding={padding!r} is not known; expected 'valid', 'same', "
                         f"{chr(39) + 'causal' + chr(39) + ', ' if rank == 1 else ''}an int, or one int or pair per "
                         f"spatial axis.")
    if isinstance(padding, (int, np.integer)):
        padding = (padding,) * rank
    try:
        pairs = tuple((p, p) if isinstance(p, (int, np.integer)) else tuple(p) for p in padding)
        if len(pairs) != rank or any(len(p) != 2 for p in pairs):
            raise TypeError
        pairs = tuple((int(a), int(b)) for a, b in pairs)
    except (TypeError, ValueError):
        raise ValueError(f"padding={padding!r} must be 'valid', 'same', an int, or one int or pair (before, after) "
                         f"for each of the {rank} spatial axes.") from None
    if any(n < 0 for pair in pairs for n in pair):
        raise ValueError(f"padding={padding!r} must not be negative.")
    return pairs


def is_channels_last(data_format) -> bool:
    from ..config import image_data_format
    data_format = image_data_format() if data_format is None else data_format
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(f"data_format={data_format!r} must be 'channels_last' or 'channels_first'.")
    return data_format == "channels_last"


@operation
def conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1, groups=1):
    """Convolution over 1, 2 or 3 spatial axes (as many as the kernel has).

    inputs: (batch, *spatial, channels), or (batch, channels, *spatial) with data_format="channels_first".
    kernel: (*sizes, channels / groups, filters).
    padding: "valid", "same", "causal" (1D), an int, or an int or pair per spatial axis.
    Returns (batch, *new_spatial, filters) in the same data format.

    Raises ValueError where shapes do not fit, and TypeError for element types other than floats.
    """
    inputs, kernel = match(inputs, kernel)
    shape, window = spec_of(inputs).shape, spec_of(kernel).shape[:-2]
    rank = len(shape) - 2
    if rank < 1 or len(window) != rank:
        raise ValueError(f"conv: inputs of shape {shape} need at least 3 axes and a kernel with as many, got a kernel "
                         f"of shape {spec_of(kernel).shape}.")
    channels_last = is_channels_last(data_format)
    strides, dilation = per_axis(strides, rank, "strides"), per_axis(dilation_rate, rank, "dilation_rate")
    padding = resolve_padding(padding, split_shape(shape, channels_last)[1], window, strides, dilation)
    (groups,) = per_axis(groups, 1, "groups")
    return apply("conv", inputs, kernel, strides=strides, padding=padding, dilation=dilation, groups=groups,
                 channels_last=channels_last)


@operation
def depthwise_conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    """Each channel convolved with filters of its own. kernel: (*sizes, channels, depth_multiplier)."""
    *window, channels, multiplier = spec_of(kernel).shape
    from .shape import reshape
    kernel = reshape(kernel, (*window, 1, channels * multiplier))
    return conv(inputs, kernel, strides, padding, data_format, dilation_rate, groups=channels)


@operation
def separable_conv(inputs, depthwise_kernel, pointwise_kernel, strides=1, padding="valid", data_format=None,
                   dilation_rate=1):
    """A depthwise convolution, then one of size 1 that mixes its channels.

    depthwise_kernel: (*sizes, channels, depth_multiplier). pointwise_kernel: (*ones, channels * depth_multiplier,
    filters).
    """
    between = depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return conv(between, pointwise_kernel, 1, "valid", data_format)


def transposed_geometry(n, k, stride, dilation, padding, extra=None):
    """What a transposed convolution gives for an axis of n elements: its size, and the pair of padding cut off."""
    reach = dilation * (k - 1) + 1
    if padding == "same":
        size = n * stride if extra is None else (n - 1) * stride + reach - 2 * (reach // 2) + extra
        total = max((n - 1) * stride + reach - size, 0)
        before = total // 2
    elif padding == "valid":
        size = n * stride + max(reach - stride, 0) if extra is None else (n - 1) * stride + reach + extra
        total = before = 0
    else:
        raise ValueError(f"padding={padding!r} is not known here; expected 'valid' or 'same'.")
    return size, (before, total - before)


@operation
def conv_transpose(inputs, kernel, strides=1, padding="valid", output_padding=None, data_format=None,
                   dilation_rate=1):
    """The transposed convolution: the gradient of a convolution for its input, used forwards.

    inputs: (batch, *spatial, channels). kernel: (*sizes, filters, channels), as in Keras. Each axis of n elements
    gives, for "same", ``n * stride``, for "valid" ``n * stride + max(d * (k - 1) + 1 - stride, 0)``, and with
    `output_padding` ``(n - 1) * stride + d * (k - 1) + 1 - 2 * pad + output_padding``.
    """
    inputs, kernel = match(inputs, kernel)
    channels_last = is_channels_last(data_format)
    shape, (*window, filters, depth) = spec_of(inputs).shape, spec_of(kernel).shape
    rank = len(shape) - 2
    if rank < 1 or len(window) != rank:
        raise ValueError(f"conv_transpose: inputs of shape {shape} need at least 3 axes and a kernel with as many, got "
                         f"a kernel of shape {spec_of(kernel).shape}.")
    batch, sizes, channels = split_shape(shape, channels_last)
    if channels != depth:
        raise ValueError(f"conv_transpose: the input {shape} has {channels} channels, but the kernel "
                         f"{spec_of(kernel).shape} (*sizes, filters, channels) expects {depth}.")
    strides, dilation = per_axis(strides, rank, "strides"), per_axis(dilation_rate, rank, "dilation_rate")
    extra = None if output_padding is None else per_axis(output_padding, rank, "output_padding", least=0)
    if extra is not None and any(e >= s for e, s in zip(extra, strides, strict=True)):
        raise ValueError(f"conv_transpose: output_padding={output_padding} must be smaller than strides={strides}.")
    found = [transposed_geometry(n, k, s, d, padding, None if extra is None else extra[i])
             for i, (n, k, s, d) in enumerate(zip(sizes, window, strides, dilation, strict=True))]
    out, pads = [size for size, _ in found], [pair for _, pair in found]
    # The forward convolution of the result must give exactly `sizes`; what is left over is cropped by the rule.
    return apply("conv_input_gradient", inputs, kernel, shape=join_shape(batch, out, filters, channels_last),
                 strides=strides, padding=tuple(pads), dilation=dilation, groups=1, channels_last=channels_last)
