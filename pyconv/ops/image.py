"""Functions on images, under Keras's names: `pyconv.ops.image`.

Images are (batch, height, width, channels) or a single one (height, width, channels); with
data_format="channels_first" (batch, channels, height, width) or (channels, height, width).
"""

from __future__ import annotations

import numpy as np

from ..graph import is_float, limits
from .base import match, operation, precisely, spec_of
from .convolution import depthwise_conv, is_channels_last
from .elementwise import absolute, cast, clip, divide, exp, floor, maximum, minimum, round, where
from .images import resize
from .reductions import sum as total
from .sampling import FILL_MODES, SAMPLING, choose, sample_images
from .shape import concatenate, expand_dims, getitem, pad, reshape, split, squeeze

__all__ = ["affine_transform", "crop_images", "gaussian_blur", "hsv_to_rgb", "map_coordinates", "pad_images",
           "perspective_transform", "resize", "rgb_to_grayscale", "rgb_to_hsv", "sample_images"]


def _image_axes(name, images, data_format):
    """(shape, axes of height and width, axis of the channels) of one image or a batch of images."""
    shape = spec_of(images).shape
    if len(shape) not in (3, 4):
        raise ValueError(f"{name}: images need 3 or 4 axes, got shape {shape}.")
    first = len(shape) - 3
    if is_channels_last(data_format):
        return shape, (first, first + 1), first + 2
    return shape, (first + 1, first + 2), first


def _as_float(images):
    """The images as floats, and a function that brings the result back to their type."""
    dtype = spec_of(images).dtype
    if is_float(dtype):
        return images, lambda y: y
    from ..config import floatx
    return cast(images, floatx()), lambda y: to_integers(y, dtype)


def to_integers(x, dtype):
    """Floats rounded to whole numbers, halves to even ones, within the range of an integer type."""
    if dtype == "bool":
        return x >= 0.5
    limits = np.iinfo(dtype)
    inside = clip(x, float(limits.min), float(limits.max) if limits.max < 2**24 else limits.max * (1 - 2.0**-24))
    return cast(round(inside), dtype)


@operation
@precisely
def affine_transform(images, transform, interpolation="bilinear", fill_mode="constant", fill_value=0, data_format=None):
    """Each pixel of the result is read from another place of the image.

    Parameters
    ----------
    images: one image or a batch; the result has the same shape
    transform: (8,) or (batch, 8)
        Numbers a0, a1, a2, b0, b1, b2, c0, c1: the pixel in column x and row y of the result is read in column
        ``(a0 * x + a1 * y + a2) / k`` and row ``(b0 * x + b1 * y + b2) / k``, where ``k = c0 * x + c1 * y + 1``.
    interpolation: str
        "bilinear" or "nearest".
    fill_mode: str
        What lies outside of an image, for a row a b c d: "constant" (`fill_value`), "nearest" (a a | a b c d | d d),
        "wrap" (c d | a b c d | a b), "mirror" (c b | a b c d | c b) or "reflect" (b a | a b c d | d c).

    There are gradients for the images and (with "bilinear") for `transform`.
    """
    choose("affine_transform", "interpolation", interpolation, SAMPLING)
    choose("affine_transform", "fill_mode", fill_mode, FILL_MODES)
    shape, (rows, columns), _ = _image_axes("affine_transform", images, data_format)
    images, back = _as_float(images)
    given = spec_of(transform).shape
    single = len(shape) == 3
    if given != (8,) and given not in ((n, 8) for n in (1, 1 if single else shape[0])):
        raise ValueError(f"affine_transform: transform must have shape (8,) or (batch, 8), got {given} for images of "
                         f"shape {shape}.")
    if single:
        images = expand_dims(images, 0)
    t = reshape(cast(transform, spec_of(images).dtype), (-1 if len(given) == 2 else 1, 8, 1, 1))
    y, x = places(t, spec_of(images).shape[0], shape[rows], shape[columns])
    out = sample_images(images, y, x, interpolation, fill_mode, fill_value, data_format)
    return back(squeeze(out, 0) if single else out)


def places(t, batch, height, width):
    """Where each pixel of (height, width) is read, for transforms of shape (batch or 1, 8, 1, 1): rows, columns."""
    dtype = spec_of(t).dtype
    y, x = np.arange(height, dtype=dtype)[:, None], np.arange(width, dtype=dtype)
    a0, a1, a2, b0, b1, b2, c0, c1 = (getitem(t, (slice(None), i)) for i in range(8))
    k = c0 * x + c1 * y + 1.0
    wide = np.zeros((batch, 1, 1), dtype)            # one transform may be for all images
    return (b0 * x + b1 * y + b2) / k + wide, (a0 * x + a1 * y + a2) / k + wide


@operation
@precisely
def perspective_transform(images, start_points, end_points, interpolation="bilinear", fill_value=0, data_format=None):
    """Images drawn anew such that four points of each come to lie on four others.

    start_points, end_points: (4, 2) or (batch, 4, 2), points (x, y) in pixels: what an image shows at a start point,
    the result shows at the end point. interpolation, fill_value: as in `affine_transform`.
    """
    transform = homography(start_points, end_points)
    return affine_transform(images, transform, interpolation, "constant", fill_value, data_format)


def homography(start_points, end_points):
    """The 8 numbers of a transform that takes each end point (x, y) to its start point; shapes (..., 4, 2)."""
    start, end = match(start_points, end_points)
    shapes = spec_of(start).shape, spec_of(end).shape
    if shapes[0] != shapes[1] or len(shapes[0]) not in (2, 3) or shapes[0][-2:] != (4, 2):
        raise ValueError(f"perspective_transform: start_points and end_points must both have shape (4, 2) or "
                         f"(batch, 4, 2), got {shapes[0]} and {shapes[1]}.")
    if not is_float(spec_of(start).dtype):
        from ..config import floatx
        start, end = cast(start, floatx()), cast(end, floatx())
    # Through the unit square: the product of one transform and the inverse of the other, divided by its last number.
    to, fro = _from_square(start), _adjugate(_from_square(end))
    product = [[sum(to[i][k] * fro[k][j] for k in range(3)) for j in range(3)] for i in range(3)]
    flat = [entry / product[2][2] for row in product for entry in row][:8]
    return concatenate([expand_dims(entry, -1) for entry in flat], -1)


def _from_square(points):
    """The 3 x 3 transform of the unit square's corners (0, 0), (1, 0), (0, 1), (1, 1) to four points.

    Source: Heckbert, *Fundamentals of texture mapping and image warping*, 1989, section 2.2.3.
    """
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = (
        [getitem(points, (Ellipsis, i, j)) for j in range(2)] for i in range(4))
    dx1, dx2, sx = x1 - x3, x2 - x3, x0 - x1 + x3 - x2
    dy1, dy2, sy = y1 - y3, y2 - y3, y0 - y1 + y3 - y2
    area = dx1 * dy2 - dx2 * dy1
    g, h = (sx * dy2 - dx2 * sy) / area, (dx1 * sy - sx * dy1) / area
    return [[x1 - x0 + g * x1, x2 - x0 + h * x2, x0], [y1 - y0 + g * y1, y2 - y0 + h * y2, y0], [g, h, g * 0.0 + 1.0]]


def _adjugate(m):
    """The inverse of a 3 x 3 matrix but for a factor."""
    (a, b, c), (d, e, f), (g, h, i) = m
    return [[e * i - f * h, c * h - b * i, b * f - c * e],
            [f * g - d * i, a * i - c * g, c * d - a * f],
            [d * h - e * g, b * g - a * h, a * e - b * d]]


@operation
@precisely
def map_coordinates(inputs, coordinates, order, fill_mode="constant", fill_value=0.0):
    """`inputs` (height, width) read at `coordinates` (2, ...): rows and columns, in pixels. The result has shape (...).

    order: 0 (the nearest pixel) or 1 (bilinear). fill_mode, fill_value: as in `affine_transform`.
    """
    shape, given = spec_of(inputs).shape, spec_of(coordinates).shape
    if len(shape) != 2 or len(given) < 2 or given[0] != 2:
        raise ValueError(f"map_coordinates: inputs must have 2 axes and coordinates shape (2, ...), got shapes {shape} "
                         f"and {given}.")
    if order not in (0, 1):
        raise ValueError(f"map_coordinates: order={order!r} must be 0 or 1.")
    inputs, back = _as_float(inputs)
    at = reshape(cast(coordinates, spec_of(inputs).dtype), (2, 1, 1, -1))
    out = sample_images(reshape(inputs, (1, *shape, 1)), getitem(at, 0), getitem(at, 1), SAMPLING[order], fill_mode,
                        fill_value, "channels_last")
    return back(reshape(out, given[1:]))


def _border(name, sizes, before, after, target, axis):
    """Two of (before, after, target size) give the third, which is returned with the others."""
    if [before, after, target].count(None) != 1:
        raise ValueError(f"{name}: along the {axis} exactly two of the three numbers must be given.")
    sign = 1 if name == "pad_images" else -1
    before = sign * (target - sizes) - after if before is None else before
    after = sign * (target - sizes) - before if after is None else after
    if before < 0 or after < 0 or sizes + sign * (before + after) < 1:
        raise ValueError(f"{name}: {before} and {after} pixels do not fit to the {axis} of {sizes}.")
    return int(before), int(after)


@operation
def pad_images(images, top_padding=None, left_padding=None, bottom_padding=None, right_padding=None, target_height=None,
               target_width=None, data_format=None):
    """Images with a border of zeros; per axis two of the three numbers are given: before, after, the new size."""
    shape, (rows, columns), _ = _image_axes("pad_images", images, data_format)
    pads = [(0, 0)] * len(shape)
    pads[rows] = _border("pad_images", shape[rows], top_padding, bottom_padding, target_height, "height")
    pads[columns] = _border("pad_images", shape[columns], left_padding, right_padding, target_width, "width")
    return pad(images, pads)


@operation
def crop_images(images, top_cropping=None, left_cropping=None, bottom_cropping=None, right_cropping=None,
                target_height=None, target_width=None, data_format=None):
    """A part of images; per axis two of the three numbers are given: cut before, cut after, the new size."""
    shape, (rows, columns), _ = _image_axes("crop_images", images, data_format)
    index = [slice(None)] * len(shape)
    for axis, name, before, after, target in ((rows, "height", top_cropping, bottom_cropping, target_height),
                                              (columns, "width", left_cropping, right_cropping, target_width)):
        before, after = _border("crop_images", shape[axis], before, after, target, name)
        index[axis] = slice(before, shape[axis] - after)
    return getitem(images, tuple(index))


def _colors(name, images, data_format):
    shape, _, axis = _image_axes(name, images, data_format)
    if shape[axis] != 3:
        raise ValueError(f"{name}: images need 3 channels, got shape {shape}.")
    if not is_float(spec_of(images).dtype):
        raise ValueError(f"{name}: images must be floats, got {spec_of(images).dtype}.")
    return split(images, 3, axis), axis


@operation
@precisely
def rgb_to_grayscale(images, data_format=None):
    """One channel, ``0.2989 R + 0.587 G + 0.114 B`` (ITU-R BT.601); images with one channel are kept."""
    shape, _, axis = _image_axes("rgb_to_grayscale", images, data_format)
    if shape[axis] not in (1, 3):
        raise ValueError(f"rgb_to_grayscale: images need 1 or 3 channels, got shape {shape}.")
    if shape[axis] == 1:
        return images
    dtype = spec_of(images).dtype
    from ..config import floatx
    r, g, b = split(cast(images, dtype if is_float(dtype) else floatx()), 3, axis)
    return cast(0.2989 * r + 0.587 * g + 0.114 * b, dtype)


@operation
@precisely
def rgb_to_hsv(images, data_format=None):
    """Red, green and blue as hue (from 0 to 1), saturation and value. Numbers below the type's epsilon count as 0."""
    images = where(absolute(images) < limits(spec_of(images).dtype).eps, 0.0, images) \
        if is_float(spec_of(images).dtype) else images
    (r, g, b), axis = _colors("rgb_to_hsv", images, data_format)
    value = maximum(maximum(r, g), b)
    span = value - minimum(minimum(r, g), b)
    saturation = where(value > 0, span / where(value > 0, value, 1.0), 0.0)
    part = 1.0 / (6.0 * where(span > 0, span, 1.0))
    hue = where(value <= r, part * (g - b), where(value <= g, part * (b - r) + 2 / 6, part * (r - g) + 4 / 6))
    hue = where(span > 0, hue, 0.0)
    return concatenate([hue + where(hue < 0, 1.0, 0.0), saturation, value], axis)


@operation
@precisely
def hsv_to_rgb(images, data_format=None):
    """Hue (from 0 to 1), saturation and value as red, green and blue."""
    (hue, saturation, value), axis = _colors("hsv_to_rgb", images, data_format)
    sixth = (hue - floor(hue)) * 6.0
    red = clip(absolute(sixth - 3.0) - 1.0, 0.0, 1.0)
    green = clip(2.0 - absolute(sixth - 2.0), 0.0, 1.0)
    blue = clip(2.0 - absolute(sixth - 4.0), 0.0, 1.0)
    return concatenate([value * ((1.0 - saturation) + saturation * part) for part in (red, green, blue)], axis)


@operation
@precisely
def gaussian_blur(images, kernel_size=(3, 3), sigma=(1.0, 1.0), data_format=None):
    """Images convolved with a normal density, cut off at `kernel_size` and scaled to a sum of 1; zeros lie outside.

    kernel_size, sigma: for columns and rows, in this order; sigma in pixels, also a tensor with two elements.
    """
    shape, _, axis = _image_axes("gaussian_blur", images, data_format)
    images, back = _as_float(images)
    dtype, single = spec_of(images).dtype, len(shape) == 3
    if single:
        images = expand_dims(images, 0)
    kernel = None
    sigma = [getitem(sigma, i) for i in range(2)] if hasattr(sigma, "shape") else sigma
    for i, (size, width) in enumerate(zip(kernel_size, sigma, strict=True)):
        distance = np.arange(size, dtype=dtype) - (size - 1) / 2
        weights = exp((-0.5 * distance**2).astype(dtype) / (cast(width, dtype) * cast(width, dtype)))
        weights = reshape(divide(weights, total(weights)), (1, -1, 1, 1) if i == 0 else (-1, 1, 1, 1))
        kernel = weights if kernel is None else kernel * weights
    kernel = kernel * np.ones((1, 1, shape[axis], 1), dtype)
    out = depthwise_conv(images, kernel, padding="same", data_format=data_format)
    return back(squeeze(out, 0) if single else out)
