"""Images of another size: interpolation as a matrix along each axis."""

from __future__ import annotations

import math

import numpy as np

from ..graph import is_float
from .base import apply, in_type, operation, precisely, spec_of
from .convolution import is_channels_last
from .indexing import take
from .linear import matmul
from .shape import getitem, pad, reshape, transpose

__all__ = ["resize", "depth_to_space", "space_to_depth"]

INTERPOLATIONS = ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5")


def apply_along(x, matrix, axis):
    """A constant matrix (new size, size) applied along one axis of x, which stays where it is."""
    shape = spec_of(x).shape
    matrix, dtype = np.asarray(matrix), spec_of(x).dtype
    before, after = math.prod(shape[:axis]), math.prod(shape[axis + 1:])
    if after == 1:
        y = matmul(reshape(x, (before, shape[axis])), in_type(np.ascontiguousarray(matrix.T), dtype))
    else:
        y = matmul(in_type(matrix, dtype), reshape(x, (before, shape[axis], after)))
    return reshape(y, (*shape[:axis], matrix.shape[0], *shape[axis + 1:]))


def _triangle(x):
    return np.maximum(0, 1 - x)


def _cubic(x):
    near, far = ((1.5 * x - 2.5) * x) * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x >= 2, 0, np.where(x >= 1, far, near))


def _lanczos(radius):
    def weight(x):
        y = radius * np.sin(np.pi * x) * np.sin(np.pi * x / radius)
        y = np.where(x > 1e-3, y / np.where(x == 0, 1, np.pi**2 * x**2), 1)
        return np.where(x > radius, 0, y)
    return weight


def interpolation_matrix(size, new_size, interpolation="bilinear", antialias=False):
    """The matrix (new_size, size) that resizes an axis. Pixels are areas: their centres lie at i + 1/2.

    "bilinear": between the two neighbours. "bicubic": Keys's cubic with a = -1/2. "lanczos3", "lanczos5": windowed
    sinc. With `antialias`, the kernels are as wide as the pixels of a smaller result. Beyond the first and last
    centre the weights that are left are scaled to a sum of 1.
    """
    scale = size / new_size
    kernel = {"bilinear": _triangle, "bicubic": _cubic, "lanczos3": _lanczos(3.0),
              "lanczos5": _lanczos(5.0)}[interpolation]
    at = (np.arange(new_size) + 0.5) * scale - 0.5
    distance = np.abs(at[:, None] - np.arange(size)) / (max(scale, 1.0) if antialias else 1.0)
    weights = kernel(distance)
    return weights / weights.sum(1, keepdims=True)


def fitting(height, width, new_height, new_width, outside=False):
    """The largest window inside of (height, width), or the smallest around it, with the shape of the new size.

    Returns its (top, left, height, width); the first two are how far it reaches out if it is around.
    """
    tall, wide = int(width * new_height / new_width), int(height * new_width / new_height)
    if outside:
        tall, wide = max(height, tall), max(width, wide)
        return (tall - height) // 2, (wide - width) // 2, tall, wide
    tall, wide = max(min(height, tall), 1), max(min(width, wide), 1)
    return (height - tall) // 2, (width - wide) // 2, tall, wide


@operation
@precisely
def resize(images, size, interpolation="bilinear", antialias=False, crop_to_aspect_ratio=False,
           pad_to_aspect_ratio=False, fill_mode="constant", fill_value=0.0, data_format=None):
    """Images of another size.

    Parameters
    ----------
    images: (batch, height, width, channels) or (height, width, channels); channels before height with
        data_format="channels_first". Integers become floats, except with "nearest".
    size: (height, width)
    interpolation: str
        "bilinear", "nearest", "bicubic", "lanczos3" or "lanczos5".
    antialias: bool
        Smooth before shrinking.
    crop_to_aspect_ratio, pad_to_aspect_ratio: bool
        Keep the shape of what is seen: cut a window out of the middle, or put a border of `fill_value` on two sides.
        At most one of them. fill_mode must be "constant".
    """
    shape = spec_of(images).shape
    if len(shape) not in (3, 4):
        raise ValueError(f"resize: images need 3 or 4 axes, got shape {shape}.")
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"resize: interpolation={interpolation!r} is not known; expected one of "
                         f"{', '.join(map(repr, INTERPOLATIONS))}.")
    if fill_mode != "constant":
        raise ValueError(f"resize: fill_mode={fill_mode!r} is not known; expected 'constant'.")
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError("resize: crop_to_aspect_ratio and pad_to_aspect_ratio cannot both be True.")
    if interpolation != "nearest" and not is_float(spec_of(images).dtype):
        from ..config import floatx
        images = apply("cast", images, dtype=floatx())
    first = len(shape) - (3 if is_channels_last(data_format) else 2)
    sizes = shape[first:first + 2]
    if len(size) != 2 or min(size) < 1 or 0 in sizes:
        raise ValueError(f"resize: images of shape {shape} cannot be given the size {tuple(size)}.")
    if crop_to_aspect_ratio or pad_to_aspect_ratio:
        top, left, tall, wide = fitting(*sizes, *size, outside=pad_to_aspect_ratio)
        index, pads = [slice(None)] * len(shape), [(0, 0)] * len(shape)
        if pad_to_aspect_ratio:
            # As in Keras, equal borders on both sides: an odd pixel is left out.
            pads[first:first + 2] = (top, top), (left, left)
            images = pad(images, pads, constant_values=fill_value)
        else:
            index[first:first + 2] = slice(top, top + tall), slice(left, left + wide)
            images = getitem(images, tuple(index))
        sizes = spec_of(images).shape[first:first + 2]
    for axis, (n, m) in enumerate(zip(sizes, size, strict=True), first):
        if n == m:
            continue
        if interpolation == "nearest":
            images = take(images, np.floor((np.arange(m) + 0.5) * n / m).astype("int32"), axis)
        else:
            images = apply_along(images, interpolation_matrix(n, m, interpolation, antialias), axis)
    return images


def _blocks(name, x, block_size, data_format):
    shape = spec_of(x).shape
    if len(shape) != 4:
        raise ValueError(f"{name}: images need 4 axes, got shape {shape}.")
    if isinstance(block_size, bool) or not isinstance(block_size, (int, np.integer)) or block_size < 1:
        raise ValueError(f"{name}: block_size={block_size!r} must be an int of at least 1.")
    return shape, int(block_size), is_channels_last(data_format)


@operation
def depth_to_space(x, block_size, data_format=None):
    """Blocks of channels become blocks of pixels: (batch, h, w, b * b * c) to (batch, h * b, w * b, c).

    Channel ``(i * b + j) * c + k`` of a pixel becomes channel k of the pixel in row i and column j of its block.
    With data_format="channels_first" the channels stand after the batch (and are taken in the same order).
    Source: Shi et al., *Real-time single image and video super-resolution* (sub-pixel convolution), 2016.
    """
    shape, b, last = _blocks("depth_to_space", x, block_size, data_format)
    (n, h, w, c) = shape if last else (shape[0], *shape[2:], shape[1])
    if c % (b * b):
        raise ValueError(f"depth_to_space: the {c} channels of shape {shape} are no multiple of block_size ** 2 = "
                         f"{b * b}.")
    c //= b * b
    if last:
        return reshape(transpose(reshape(x, (n, h, w, b, b, c)), (0, 1, 3, 2, 4, 5)), (n, h * b, w * b, c))
    return reshape(transpose(reshape(x, (n, b, b, c, h, w)), (0, 3, 4, 1, 5, 2)), (n, c, h * b, w * b))


@operation
def space_to_depth(x, block_size, data_format=None):
    """Blocks of pixels become blocks of channels: (batch, h * b, w * b, c) to (batch, h, w, b * b * c).

    The inverse of `depth_to_space`.
    """
    shape, b, last = _blocks("space_to_depth", x, block_size, data_format)
    (n, h, w, c) = shape if last else (shape[0], *shape[2:], shape[1])
    if h % b or w % b:
        raise ValueError(f"space_to_depth: height and width of shape {shape} are no multiples of block_size={b}.")
    h, w = h // b, w // b
    if last:
        return reshape(transpose(reshape(x, (n, h, b, w, b, c)), (0, 1, 3, 2, 4, 5)), (n, h, w, b * b * c))
    return reshape(transpose(reshape(x, (n, c, h, b, w, b)), (0, 3, 5, 1, 2, 4)), (n, b * b * c, h, w))

