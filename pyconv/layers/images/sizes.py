"""Images of another size: Resizing, CenterCrop, RandomCrop."""

from __future__ import annotations

import numpy as np

from ... import ops
from ...graph import is_float
from ...ops.image import to_integers
from ...ops.images import INTERPOLATIONS
from .. import checks
from .base import ImageLayer

__all__ = ["Resizing", "CenterCrop", "RandomCrop"]


class _Sized(ImageLayer):
    """Base of the layers below: images of a given height and width."""

    _resizes = True

    def _sized(self, height, width):
        self.height, self.width = checks.integer(self, "height", height), checks.integer(self, "width", width)

    def _new_shape(self, shape):
        first = len(shape) - (3 if self.data_format == "channels_last" else 2)
        return (*shape[:first], self.height, self.width, *shape[first + 2:])

    def _fitted(self, images, interpolation="bilinear"):
        """The largest window in the middle with the shape of the result, resized to it."""
        return ops.resize(images, (self.height, self.width), interpolation, crop_to_aspect_ratio=True,
                          data_format=self.data_format)

    def _window(self, images, top, left):
        index = [slice(None)] * 4
        index[self._axes[0]], index[self._axes[1]] = slice(top, top + self.height), slice(left, left + self.width)
        return ops.getitem(images, tuple(index))


class Resizing(_Sized):
    """Images of another size: (batch, h, w, channels) to (batch, height, width, channels), in training and inference.

    Integers are rounded and stay integers of their type; floats become floats of the layer's type.

    Parameters
    ----------
    height, width: int
    interpolation: str
        "bilinear", "nearest", "bicubic", "lanczos3" or "lanczos5". Masks are resized with "nearest".
    crop_to_aspect_ratio: bool
        Cut a window with the shape of the result out of the middle first, so that nothing is distorted.
    pad_to_aspect_ratio: bool
        Put a border of `fill_value` on two sides first instead.
    fill_mode: str
        "constant".
    antialias: bool
        Smooth before shrinking.
    data_format: str, optional
        "channels_last" or "channels_first"; default `pyconv.config.image_data_format()`.

    Raises
    ------
    ValueError, TypeError
        For other values; inputs that have neither 3 nor 4 axes.
    """

    def __init__(self, height, width, interpolation="bilinear", crop_to_aspect_ratio=False, pad_to_aspect_ratio=False,
                 fill_mode="constant", fill_value=0.0, antialias=False, data_format=None, **kwargs):
        super().__init__(data_format, **kwargs)
        self._sized(height, width)
        self.interpolation = checks.choice(self, "interpolation", interpolation, INTERPOLATIONS)
        self.crop_to_aspect_ratio = checks.boolean(self, "crop_to_aspect_ratio", crop_to_aspect_ratio)
        self.pad_to_aspect_ratio = checks.boolean(self, "pad_to_aspect_ratio", pad_to_aspect_ratio)
        if crop_to_aspect_ratio and pad_to_aspect_ratio:
            raise ValueError(f"{self._title()}: crop_to_aspect_ratio and pad_to_aspect_ratio cannot both be True.")
        self.fill_mode = checks.choice(self, "fill_mode", fill_mode, ("constant",))
        self.fill_value = checks.number(self, "fill_value", fill_value)
        self.antialias = checks.boolean(self, "antialias", antialias)

    def _resize(self, images, interpolation):
        return ops.resize(images, (self.height, self.width), interpolation, self.antialias, self.crop_to_aspect_ratio,
                          self.pad_to_aspect_ratio, self.fill_mode, self.fill_value, self.data_format)

    def transform_images(self, images, transformation=None, training=True):
        return self._resize(images, self.interpolation)

    def transform_segmentation_masks(self, segmentation_masks, transformation=None, training=True):
        return self._resize(segmentation_masks, "nearest")

    def _result(self, images, dtype):
        return images if is_float(dtype) else to_integers(images, dtype)


class CenterCrop(_Sized):
    """The middle of images: (batch, h, w, channels) to (batch, height, width, channels), in training and inference.

    An image that is smaller than the result is enlarged: the largest window of the result's shape, with bilinear
    interpolation.

    Parameters
    ----------
    height, width: int
    data_format: str, optional
        "channels_last" or "channels_first"; default `pyconv.config.image_data_format()`.

    Raises
    ------
    ValueError, TypeError
        For other values; inputs that have neither 3 nor 4 axes.
    """

    def __init__(self, height, width, data_format=None, **kwargs):
        super().__init__(data_format, **kwargs)
        self._sized(height, width)

    def _crop(self, images, interpolation):
        _, height, width, _ = self._sizes(images)
        if height < self.height or width < self.width:
            return self._fitted(images, interpolation)
        return self._window(images, (height - self.height) // 2, (width - self.width) // 2)

    def transform_images(self, images, transformation=None, training=True):
        return self._crop(images, "bilinear")

    def transform_segmentation_masks(self, segmentation_masks, transformation=None, training=True):
        return self._crop(segmentation_masks, "nearest")


class RandomCrop(_Sized):
    """A window of the given size: in training from a random place, the same for all images of a batch, as in Keras.

    Otherwise, and where an image is smaller than the window, the largest window in the middle that has its shape,
    resized with bilinear interpolation. (batch, h, w, channels) to (batch, height, width, channels).

    Parameters
    ----------
    height, width: int
    seed: int, optional
        Default: decided by `pyconv.utils.set_random_seed`.
    data_format: str, optional
        "channels_last" or "channels_first"; default `pyconv.config.image_data_format()`.
    name: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        For other values; inputs that have neither 3 nor 4 axes.
    """

    def __init__(self, height, width, seed=None, data_format=None, name=None, **kwargs):
        super().__init__(data_format, name=name, **kwargs)
        self._sized(height, width)
        self._seeded(seed)

    def get_random_transformation(self, data, training=True, seed=None):
        """(first row, first column), int32 scalars; None for the window in the middle."""
        _, height, width, _ = self._sizes(data["images"])
        if not training or height < self.height or width < self.width:
            return None
        room = np.array([height - self.height + 1, width - self.width + 1], self.variable_dtype)
        corner = ops.cast(ops.floor(self._uniform((2,)) * room), "int32")
        return corner[0], corner[1]

    def _crop(self, images, transformation, interpolation):
        if transformation is None:
            return self._fitted(images, interpolation)
        for first, count, axis in zip(transformation, (self.height, self.width), self._axes, strict=False):
            images = ops.take(images, first + np.arange(count, dtype="int32"), axis)
        return images

    def transform_images(self, images, transformation, training=True):
        return self._crop(images, transformation, "bilinear")

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        return self._crop(segmentation_masks, transformation, "nearest")
