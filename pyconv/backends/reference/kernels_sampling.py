"""The reference kernels of images read between their pixels."""

from __future__ import annotations

import numpy as np

from .kernels import kernel


def _fixed(i, n, fill_mode):
    """Which of n pixels stands at the place i, and whether there is one."""
    if fill_mode == "constant":
        return np.clip(i, 0, n - 1), (i >= 0) & (i < n)
    if fill_mode == "nearest":
        i = np.clip(i, 0, n - 1)
    elif fill_mode == "wrap":
        i = i % n
    elif fill_mode == "reflect":
        i = i % (2 * n)
        i = np.where(i < n, i, 2 * n - 1 - i)
    else:
        i = i % max(1, 2 * n - 2)
        i = np.where(i < n, i, 2 * n - 2 - i)
    return i, np.ones(i.shape, bool)


def _taps(y, x, sizes, interpolation, fill_mode):
    """For each pixel that a place reads: (row, column, is it inside, weight, derivatives of the weight for y and x)."""
    def limited(v):
        return np.where(v > -2.0**30, np.minimum(v, 2.0**30), -2.0**30).astype(v.dtype)

    def axis(v, n):
        v = limited(v)
        if interpolation == "nearest":
            low = np.floor(v)
            i = low.astype("int64") + (v - low >= 0.5)
            return [(*_fixed(i, n, fill_mode), np.ones_like(v), np.zeros_like(v))]
        i = np.floor(v).astype("int64")
        f = v - np.floor(v)
        return [(*_fixed(i, n, fill_mode), 1 - f, -np.ones_like(f)),
                (*_fixed(i + 1, n, fill_mode), f, np.ones_like(f))]
    return [(i, j, a & b, u * v, du * v, u * dv)
            for i, a, u, du in axis(y, sizes[0]) for j, b, v, dv in axis(x, sizes[1])]


def _last(images, channels_last):
    return images if channels_last else np.moveaxis(images, 1, -1)


@kernel("sample_images")
def sample_images(images, y, x, *, interpolation, fill_mode, fill_value, channels_last):
    pixels = _last(images, channels_last)
    batch = np.arange(len(pixels))[:, None, None]
    out = np.zeros((*y.shape, pixels.shape[-1]), images.dtype)
    for i, j, inside, weight, _, _ in _taps(y, x, pixels.shape[1:3], interpolation, fill_mode):
        value = np.where(inside[..., None], pixels[batch, i, j], np.array(fill_value, images.dtype))
        out += weight[..., None] * value
    return out if channels_last else np.moveaxis(out, -1, 1).copy()


@kernel("sample_images_gradient")
def sample_images_gradient(grad, y, x, *, shape, interpolation, fill_mode, channels_last):
    out = np.zeros(shape, grad.dtype)
    pixels, grad = _last(out, channels_last), _last(grad, channels_last)
    batch = np.broadcast_to(np.arange(len(pixels))[:, None, None], y.shape)
    for i, j, inside, weight, _, _ in _taps(y, x, pixels.shape[1:3], interpolation, fill_mode):
        np.add.at(pixels, (batch[inside], i[inside], j[inside]), (weight[..., None] * grad)[inside])
    return out


@kernel("sample_places_gradient")
def sample_places_gradient(images, y, x, grad, *, interpolation, fill_mode, fill_value, channels_last):
    pixels, grad = _last(images, channels_last), _last(grad, channels_last)
    batch = np.arange(len(pixels))[:, None, None]
    to_y, to_x = np.zeros_like(y), np.zeros_like(x)
    for i, j, inside, _, dy, dx in _taps(y, x, pixels.shape[1:3], interpolation, fill_mode):
        value = np.where(inside[..., None], pixels[batch, i, j], np.array(fill_value, images.dtype))
        product = (value * grad).sum(-1)
        to_y += dy * product
        to_x += dx * product
    return to_y, to_x
