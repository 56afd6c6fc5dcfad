"""Images moved, turned, stretched and flipped at random, each sample in its own way."""

from __future__ import annotations

import math

import numpy as np

from ... import ops
from ...ops.image import affine_transform, perspective_transform
from ...ops.sampling import SAMPLING
from .. import checks
from .base import ImageLayer, bounds

__all__ = ["RandomFlip", "RandomTranslation", "RandomRotation", "RandomZoom", "RandomShear", "RandomPerspective"]

FILL_MODES = ("reflect", "wrap", "constant", "nearest")


class RandomFlip(ImageLayer):
    """In training, flips each image with probability 1/2; the identity otherwise.

    Input and output have the same shape, see `ImageLayer`.

    Parameters
    ----------
    mode: str
        "horizontal" (left and right), "vertical" (top and bottom), or "horizontal_and_vertical": both at once, as in
        Keras. For independent decisions put two layers behind each other.
    seed: int, optional
        Default: decided by `pyconv.utils.set_random_seed`.
    data_format: str, optional
        "channels_last" or "channels_first"; default `pyconv.config.image_data_format()`.

    Raises
    ------
    ValueError, TypeError
        For other values; inputs that have neither 3 nor 4 axes.
    """

    def __init__(self, mode="horizontal_and_vertical", seed=None, data_format=None, **kwargs):
        super().__init__(data_format, **kwargs)
        self.mode = checks.choice(self, "mode", mode, ("horizontal", "vertical", "horizontal_and_vertical"))
        self._seeded(seed)

    def get_random_transformation(self, data, training=True, seed=None):
        return {"flips": self._uniform((data["images"].shape[0], 1, 1, 1)) < 0.5}

    def transform_images(self, images, transformation, training=True):
        rows, columns, _ = self._axes
        axes = {"horizontal": columns, "vertical": rows}.get(self.mode, (rows, columns))
        return ops.where(transformation["flips"], ops.flip(images, axes), images)

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        return self.transform_images(segmentation_masks, transformation)


class _Sampled(ImageLayer):
    """Base of the layers below: pixels are read at other places."""

    def _prepare(self, fill_mode, interpolation, seed, fill_value):
        self.fill_mode = checks.choice(self, "fill_mode", fill_mode, FILL_MODES)
        self.interpolation = checks.choice(self, "interpolation", interpolation, SAMPLING)
        self.fill_value = checks.number(self, "fill_value", fill_value)
        self._seeded(seed)

    def _read(self, images, transformation, interpolation):
        return affine_transform(images, transformation["transform"], interpolation, self.fill_mode, self.fill_value,
                                self.data_format)

    def transform_images(self, images, transformation, training=True):
        return self._read(images, transformation, self.interpolation)

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        return self._with_floats(segmentation_masks, lambda masks: self._read(masks, transformation, "nearest"))

    def _matrix(self, batch, *numbers):
        """The transforms (batch, 8) with these numbers or tensors (batch, 1); those left out are 0."""
        dtype = self.variable_dtype
        columns = [ops.broadcast_to(np.asarray(n, dtype), (batch, 1)) if isinstance(n, (int, float)) else n
                   for n in (*numbers, *[0] * (8 - len(numbers)))]
        return ops.concatenate(columns, 1)


_SHARED = """    fill_mode: str
        What shows up from outside of an image, for a row a b c d: "reflect" (b a | a b c d | d c), "wrap"
        (c d | a b c d | a b), "constant" (`fill_value`) or "nearest" (a a | a b c d | d d).
    interpolation: str
        "bilinear" or "nearest". Masks are read with "nearest".
    seed: int, optional
        Default: decided by `pyconv.utils.set_random_seed`.
    fill_value: float
    data_format: str, optional
        "channels_last" or "channels_first"; default `pyconv.config.image_data_format()`.

    Raises
    ------
    ValueError, TypeError
        For other values; inputs that have neither 3 nor 4 axes.
    """


class RandomTranslation(_Sampled):
    """In training, moves each image by a random part of its size; the identity otherwise.

    Input and output have the same shape, see `ImageLayer`.

    Parameters
    ----------
    height_factor: float or pair
        By which part of the height, from -1 to 1; positive is down. A number f stands for (-f, f).
    width_factor: float or pair
        By which part of the width; positive is to the right.
"""

    def __init__(self, height_factor, width_factor, fill_mode="reflect", interpolation="bilinear", seed=None,
                 fill_value=0.0, data_format=None, **kwargs):
        super().__init__(data_format, **kwargs)
        self.height_factor, self.width_factor = height_factor, width_factor
        self._height = bounds(self, "height_factor", height_factor, -1, 1)
        self._width = bounds(self, "width_factor", width_factor, -1, 1)
        self._prepare(fill_mode, interpolation, seed, fill_value)

    def get_random_transformation(self, data, training=True, seed=None):
        batch, height, width, _ = self._sizes(data["images"])
        dy = self._uniform((batch, 1), *self._height) * float(height)
        dx = self._uniform((batch, 1), *self._width) * float(width)
        return {"transform": self._matrix(batch, 1, 0, -dx, 0, 1, -dy)}


class RandomRotation(_Sampled):
    """In training, turns each image around its middle by a random angle; the identity otherwise.

    Input and output have the same shape, see `ImageLayer`.

    Parameters
    ----------
    factor: float or pair
        The angle in full turns, from -1 to 1; positive is counter-clockwise. A number f stands for (-f, f).
"""

    def __init__(self, factor, fill_mode="reflect", interpolation="bilinear", seed=None, fill_value=0.0,
                 data_format=None, **kwargs):
        super().__init__(data_format, **kwargs)
        self.factor = bounds(self, "factor", factor, -1, 1)
        self._prepare(fill_mode, interpolation, seed, fill_value)

    def get_random_transformation(self, data, training=True, seed=None):
        batch, height, width, _ = self._sizes(data["images"])
        angle = self._uniform((batch, 1), *self.factor) * (2 * math.pi)
        cos, sin = ops.cos(angle), ops.sin(angle)
        x, y = (width - 1) / 2, (height - 1) / 2
        return {"transform": self._matrix(batch, cos, -sin, x - x * cos + y * sin, sin, cos, y - x * sin - y * cos)}


class RandomZoom(_Sampled):
    """In training, enlarges or shrinks each image around its middle; the identity otherwise.

    Input and output have the same shape, see `ImageLayer`.

    Parameters
    ----------
    height_factor: float or pair
        Above -1, up to 1: 0.2 shows 20 % more than the image's height (it shrinks), -0.2 shows 20 % less. A number f
        stands for (-f, f).
    width_factor: float or pair, optional
        The same for the width. Default: as is drawn for the height, so that nothing is distorted.
"""

    def __init__(self, height_factor, width_factor=None, fill_mode="reflect", interpolation="bilinear", seed=None,
                 fill_value=0.0, data_format=None, **kwargs):
        super().__init__(data_format, **kwargs)
        self.height_factor, self.width_factor = height_factor, width_factor
        self._height = self._zoom("height_factor", height_factor)
        self._width = None if width_factor is None else self._zoom("width_factor", width_factor)
        self._prepare(fill_mode, interpolation, seed, fill_value)

    def _zoom(self, argument, value):
        pair = bounds(self, argument, value, -1, 1)
        if pair[0] == -1 and (isinstance(value, (tuple, list)) or value == -1):
            checks.fail(self, argument, value, "above -1")
        return pair

    def get_random_transformation(self, data, training=True, seed=None):
        batch, height, width, _ = self._sizes(data["images"])
        tall = self._uniform((batch, 1), *self._height) + 1.0
        wide = tall if self._width is None else self._uniform((batch, 1), *self._width) + 1.0
        x, y = (width - 1) / 2, (height - 1) / 2
        return {"transform": self._matrix(batch, wide, 0, x - x * wide, 0, tall, y - y * tall)}


class RandomShear(_Sampled):
    """In training, slants each image at random; the identity otherwise.

    Input and output have the same shape, see `ImageLayer`. The upper left pixel stays where it is.

    Parameters
    ----------
    x_factor: float or pair
        How far a row is moved to the side against the one above it, from 0 to 1 pixels; a random sign is the same for
        both factors. A number f stands for (-f, f).
    y_factor: float or pair
        The same for columns, up or down.
"""

    def __init__(self, x_factor=0.0, y_factor=0.0, interpolation="bilinear", fill_mode="reflect", fill_value=0.0,
                 data_format=None, seed=None, **kwargs):
        super().__init__(data_format, **kwargs)
        self.x_factor, self.y_factor = x_factor, y_factor
        self._x, self._y = self._shear("x_factor", x_factor), self._shear("y_factor", y_factor)
        self._prepare(fill_mode, interpolation, seed, fill_value)

    def _shear(self, argument, value):
        if isinstance(value, (tuple, list)):           # -f to f is what a single number becomes in a configuration
            same = len(value) == 2 and value[0] == -value[1]
            return bounds(self, argument, value, -1 if same else 0, 1)
        bounds(self, argument, value, 0, 1)
        return bounds(self, argument, value, -1, 1)

    def get_random_transformation(self, data, training=True, seed=None):
        batch = data["images"].shape[0]
        sign = ops.where(self._uniform((batch, 1)) > 0.5, -1.0, 1.0)
        slant_y, slant_x = self._uniform((batch, 1), *self._y), self._uniform((batch, 1), *self._x)
        return {"transform": self._matrix(batch, 1, slant_x * sign, 0, slant_y * sign, 1)}


class RandomPerspective(_Sampled):
    """In training, shows images from a random point of view; the identity otherwise.

    Input and output have the same shape, see `ImageLayer`. Outside of an image lies `fill_value`.

    Parameters
    ----------
    factor: float or pair
        How likely an image is changed, from 0 to 1: a number between the two is drawn for each image first, a single
        number f stands for (0, f).
    scale: float
        How far the corners may move, from 0 to 1: by at most half of this part of their coordinates.
    interpolation: str
        "bilinear" or "nearest". Masks are read with "nearest".
    fill_value: float
    seed: int, optional
        Default: decided by `pyconv.utils.set_random_seed`.
    data_format: str, optional
        "channels_last" or "channels_first"; default `pyconv.config.image_data_format()`.

    Raises
    ------
    ValueError, TypeError
        For other values; inputs that have neither 3 nor 4 axes.
    """

    def __init__(self, factor=1.0, scale=1.0, interpolation="bilinear", fill_value=0.0, seed=None, data_format=None,
                 **kwargs):
        super().__init__(data_format, **kwargs)
        self.factor = bounds(self, "factor", factor, 0, 1)
        self.scale = checks.number(self, "scale", scale, 0)
        if scale > 1:
            checks.fail(self, "scale", scale, "from 0 to 1")
        self._prepare("constant", interpolation, seed, fill_value)

    def get_random_transformation(self, data, training=True, seed=None):
        batch, height, width, _ = self._sizes(data["images"])
        chosen = self._uniform((batch,)) < self._uniform((batch,), *self.factor)
        corners = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], self.variable_dtype)
        moved = corners + corners * self._uniform((batch, 4, 2), -0.5 * self.scale, 0.5 * self.scale)
        return {"apply_perspective": chosen, "start_points": ops.broadcast_to(corners, (batch, 4, 2)),
                "end_points": moved}

    def _read(self, images, transformation, interpolation):
        if 1 in self._sizes(images)[1:3]:            # a line has no perspective
            return images
        moved = perspective_transform(images, transformation["start_points"], transformation["end_points"],
                                      interpolation, self.fill_value, self.data_format)
        return ops.where(ops.reshape(transformation["apply_perspective"], (-1, 1, 1, 1)), moved, images)

    def get_config(self):
        config = super().get_config()
        config.pop("fill_mode", None)
        return config


for _cls in (RandomTranslation, RandomRotation, RandomZoom, RandomShear):
    _cls.__doc__ = (_cls.__doc__ or "") + _SHARED       # none with python -OO
