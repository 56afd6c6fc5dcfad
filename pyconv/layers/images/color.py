"""Colors changed at random, each sample in its own way."""

from __future__ import annotations

import numpy as np

from ... import ops
from ...config import epsilon
from ...ops.image import gaussian_blur, hsv_to_rgb, rgb_to_grayscale, rgb_to_hsv
from ...utils.configurable import describe
from .. import checks
from .base import ImageLayer, bounds, value_range_argument

__all__ = ["RandomBrightness", "RandomContrast", "RandomSaturation", "RandomHue", "RandomColorDegeneration",
           "RandomColorJitter", "RandomGrayscale", "RandomInvert", "RandomPosterization", "RandomSharpness",
           "RandomGaussianBlur", "Solarization", "AutoContrast"]


class _Color(ImageLayer):
    """Base of the layers below: pixels change their values, but not their places."""

    least, most = 0, 1          # between which a factor must lie

    def _prepare(self, factor, value_range, seed):
        self.factor = bounds(self, "factor", factor, self.least, self.most)
        if value_range is not None:
            self.value_range = value_range_argument(self, value_range)
        self._seeded(seed)

    def get_random_transformation(self, data, training=True, seed=None):
        return {"factor": self._uniform((data["images"].shape[0], 1, 1, 1), *self.factor)}

    def _limited(self, images):
        return ops.clip(images, *map(float, self.value_range))

    def _ranged(self, images, function, low, high):
        """`function` of the images, brought from value_range to the range from `low` to `high` and back."""
        first, last = self.value_range
        if (first, last) == (low, high):
            return function(images)
        if first == last:
            return images
        scale = (high - low) / (last - first)
        return (function((images - first) * scale + low) - low) * (1 / scale) + first


_SEED = """seed: int, optional
        Default: decided by `pyconv.utils.set_random_seed`.
    data_format: str, optional
        "channels_last" or "channels_first"; default `pyconv.config.image_data_format()`.

    Raises
    ------
    ValueError, TypeError
        For other values; inputs that have neither 3 nor 4 axes.
    """
_RANGE = """value_range: pair
        The smallest and the largest value of a pixel; results are cut off there.
    """ + _SEED
_HEAD = """

    In training only; otherwise the identity. Input and output have the same shape, see `ImageLayer`.

    Parameters
    ----------
    """


class RandomBrightness(_Color):
    __doc__ = "Adds a random part of the value range to each image." + _HEAD + """factor: float or pair
        Which part, from -1 to 1. A number f stands for (-f, f).
    """ + _RANGE
    least = -1

    def __init__(self, factor, value_range=(0, 255), seed=None, **kwargs):
        super().__init__(**kwargs)
        self._prepare(factor, value_range, seed)

    def transform_images(self, images, transformation, training=True):
        low, high = self.value_range
        return self._limited(images + transformation["factor"] * float(high - low))


class RandomContrast(_Color):
    __doc__ = "Moves the values of each image towards or away from the mean of their channel." + _HEAD + \
        """factor: float or pair
        Distances from the mean are multiplied by a random number from ``1 - lower`` to ``1 + upper``, where lower and
        upper are from 0 to 1. As in Keras a number f stands for (0, f), which never lowers the contrast.
    """ + _RANGE

    def __init__(self, factor, value_range=(0, 255), seed=None, **kwargs):
        super().__init__(**kwargs)
        self._prepare(factor, value_range, seed)

    def get_random_transformation(self, data, training=True, seed=None):
        return {"contrast_factor": self._uniform((data["images"].shape[0], 1, 1, 1), 1 - self.factor[0],
                                                 1 + self.factor[1])}

    def transform_images(self, images, transformation, training=True):
        mean = ops.mean(images, self._axes[:2], keepdims=True)
        return self._limited((images - mean) * transformation["contrast_factor"] + mean)


class RandomSaturation(_Color):
    __doc__ = "Makes the colors of each image paler or stronger." + _HEAD + """factor: float or pair
        From 0 to 1; the saturation is multiplied by ``factor / (1 - factor)`` and stays below 1: 0 gives gray, 1/2
        changes nothing, 1 gives full colors. A number f stands for (0, f).
    value_range: pair
        There for Keras's sake: saturation does not depend on the range.
    """ + _SEED

    def __init__(self, factor, value_range=(0, 255), data_format=None, seed=None, **kwargs):
        super().__init__(data_format, **kwargs)
        self._prepare(factor, value_range, seed)

    def get_random_transformation(self, data, training=True, seed=None):
        factor = super().get_random_transformation(data)["factor"]
        return {"factor": factor / (1.0 - factor + epsilon())}

    def transform_images(self, images, transformation, training=True):
        axis = self._axes[2]
        hue, saturation, value = ops.split(rgb_to_hsv(images, self.data_format), 3, axis)
        saturation = ops.minimum(saturation * transformation["factor"], 1.0)
        return hsv_to_rgb(ops.concatenate([hue, saturation, value], axis), self.data_format)


class RandomHue(_Color):
    __doc__ = "Turns the colors of each image around the color circle." + _HEAD + """factor: float or pair
        By which part of half a turn, from 0 to 1, in a random direction. A number f stands for (0, f).
    """ + _RANGE

    def __init__(self, factor, value_range=(0, 255), data_format=None, seed=None, **kwargs):
        super().__init__(data_format, **kwargs)
        self._prepare(factor, value_range, seed)

    def get_random_transformation(self, data, training=True, seed=None):
        sign = ops.where(self._uniform((data["images"].shape[0], 1, 1, 1)) > 0.5, -0.5, 0.5)
        return {"factor": super().get_random_transformation(data)["factor"] * sign}

    def transform_images(self, images, transformation, training=True):
        axis = self._axes[2]

        def turned(images):
            hue, *rest = ops.split(rgb_to_hsv(images, self.data_format), 3, axis)
            images = hsv_to_rgb(ops.concatenate([hue + transformation["factor"], *rest], axis), self.data_format)
            return ops.clip(images, 0.0, 1.0)
        return self._ranged(images, turned, 0, 1)


class RandomColorDegeneration(_Color):
    __doc__ = "Blends each image with its grayscale version." + _HEAD + """factor: float or pair
        The weight of the grayscale version, from -1 to 1; below 0 colors become stronger. A number f stands for
        (-f, f), as in Keras.
    """ + _RANGE
    least = -1

    def __init__(self, factor, value_range=(0, 255), data_format=None, seed=None, **kwargs):
        super().__init__(data_format, **kwargs)
        self._prepare(factor, value_range, seed)

    def transform_images(self, images, transformation, training=True):
        gray = rgb_to_grayscale(images, self.data_format)
        return self._limited(images + transformation["factor"] * (gray - images))


class RandomColorJitter(_Color):
    __doc__ = "Changes brightness, contrast, saturation and hue of each image, in this order." + _HEAD + \
        """value_range: pair
        The smallest and the largest value of a pixel.
    brightness_factor, contrast_factor, saturation_factor, hue_factor: float or pair, optional
        As in `RandomBrightness`, `RandomContrast`, `RandomSaturation` and `RandomHue`. None: unchanged.
    """ + _SEED

    def __init__(self, value_range=(0, 255), brightness_factor=None, contrast_factor=None, saturation_factor=None,
                 hue_factor=None, seed=None, data_format=None, **kwargs):
        super().__init__(data_format, **kwargs)
        self.value_range, self.seed = value_range_argument(self, value_range), checks.seed_argument(self, seed)
        self.brightness_factor, self.contrast_factor = brightness_factor, contrast_factor
        self.saturation_factor, self.hue_factor = saturation_factor, hue_factor
        self._steps = []
        for i, cls in enumerate((RandomBrightness, RandomContrast, RandomSaturation, RandomHue)):
            argument = f"{cls.__name__.removeprefix('Random').lower()}_factor"
            value = getattr(self, argument)
            if value is not None:
                bounds(self, argument, value, cls.least, cls.most)
                # Each step has numbers of its own.
                step_seed = None if self.seed is None else (self.seed + i * 2**60) % 2**63
                self._steps.append(cls(value, value_range=self.value_range, seed=step_seed, dtype=self.dtype,
                                       data_format=self.data_format, name=f"{self.name}_{argument}"))

    def get_random_transformation(self, data, training=True, seed=None):
        return [step.get_random_transformation(data) for step in self._steps]

    def transform_images(self, images, transformation, training=True):
        for step, drawn in zip(self._steps, transformation, strict=True):
            images = step.transform_images(images, drawn)
        return images


class RandomGrayscale(_Color):
    __doc__ = "Takes the color out of some images, which keep their three channels." + _HEAD + """factor: float
        The probability for each image, from 0 to 1.
    """ + _SEED

    def __init__(self, factor=0.5, data_format=None, seed=None, **kwargs):
        super().__init__(data_format, **kwargs)
        self.factor = checks.number(self, "factor", factor, 0)
        if factor > 1:
            checks.fail(self, "factor", factor, "from 0 to 1")
        self._seeded(seed)

    def get_random_transformation(self, data, training=True, seed=None):
        return self._uniform((data["images"].shape[0], 1, 1, 1)) < self.factor

    def transform_images(self, images, transformation, training=True):
        return ops.where(transformation, rgb_to_grayscale(images, self.data_format), images)


class RandomInvert(_Color):
    __doc__ = "Replaces the values x of some images by ``value_range[1] - x``." + _HEAD + """factor: float or pair
        How likely an image is changed, from 0 to 1: a number between the two is drawn for each image first, a single
        number f stands for (0, f).
    """ + _RANGE.replace("; results are cut off there", "")

    def __init__(self, factor=1.0, value_range=(0, 255), seed=None, data_format=None, **kwargs):
        super().__init__(data_format, **kwargs)
        self._prepare(factor, value_range, seed)

    def get_random_transformation(self, data, training=True, seed=None):
        likely = super().get_random_transformation(data)["factor"]
        return {"apply_inversion": self._uniform(tuple(likely.shape)) < likely}

    def transform_images(self, images, transformation, training=True):
        return ops.where(transformation["apply_inversion"], float(self.value_range[1]) - images, images)


class RandomPosterization(_Color):
    __doc__ = "Keeps only the first bits of each value, as a byte between the ends of the value range." + _HEAD + \
        """factor: float or pair
        How many bits, from 1 to 8: a whole number from lower to below upper, or the one that both are. A number f
        stands for (1, f).
    """ + _RANGE.replace("; results are cut off there", "")
    least, most = 1, 8

    def __init__(self, factor, value_range=(0, 255), data_format=None, seed=None, **kwargs):
        super().__init__(data_format, **kwargs)
        self._prepare(factor, value_range, seed)

    def get_random_transformation(self, data, training=True, seed=None):
        low, high = self.factor
        shape = (data["images"].shape[0], 1, 1, 1)
        bits = ops.floor(self._uniform(shape, int(low), int(high)) if low != high else self._uniform(shape, low, low))
        step, power = None, 2.0 ** (8 - np.arange(1, 9))
        for n in range(8):
            step = float(power[n]) if step is None else ops.where(bits > n + 0.5, float(power[n]), step)
        return {"step": step}

    def transform_images(self, images, transformation, training=True):
        def coarser(images):
            step = transformation["step"]
            return ops.floor(ops.floor(images) / step) * step
        return self._ranged(images, coarser, 0, 255)


class RandomSharpness(_Color):
    __doc__ = "Blurs or sharpens each image." + _HEAD + """factor: float or pair
        From 0 to 1: 0 gives the blurred image, 1/2 the image itself, 1 an image as much sharper. A number f stands for
        (0, f).
    """ + _RANGE

    def __init__(self, factor, value_range=(0, 255), data_format=None, seed=None, **kwargs):
        super().__init__(data_format, **kwargs)
        self._prepare(factor, value_range, seed)

    def transform_images(self, images, transformation, training=True):
        kernel = np.full((3, 3, 1, 1), 1 / 13, self.variable_dtype)
        kernel[1, 1] = 5 / 13
        kernel = np.tile(kernel, (1, 1, self._sizes(images)[3], 1))
        smooth = ops.depthwise_conv(images, kernel, padding="same", data_format=self.data_format)
        return self._limited(images + (1.0 - transformation["factor"] * 2.0) * (smooth - images))


class RandomGaussianBlur(_Color):
    __doc__ = "Blurs some images with a normal density." + _HEAD + """factor: float or pair
        How likely an image is changed, from 0 to 1: a number between the two is drawn for each image first, a single
        number f stands for (0, f).
    kernel_size: odd int or pair
        The size of the window, for columns and rows.
    sigma: float or pair
        The standard deviation in pixels, from 0 to 1; for columns and rows a number between the two is drawn, the same
        for all images of a batch. A number f stands for (0, f).
    """ + _RANGE

    def __init__(self, factor=1.0, kernel_size=3, sigma=1.0, value_range=(0, 255), data_format=None, seed=None,
                 **kwargs):
        super().__init__(data_format, **kwargs)
        self._prepare(factor, value_range, seed)
        self.kernel_size = checks.spatial(self, "kernel_size", kernel_size, 2)
        if any(n % 2 == 0 for n in self.kernel_size):
            raise ValueError(f"{self._title()}: kernel_size must be odd, got {describe(kernel_size)}.")
        self.sigma = bounds(self, "sigma", sigma, 0, 1)

    def get_random_transformation(self, data, training=True, seed=None):
        likely = super().get_random_transformation(data)["factor"]
        return {"should_apply_blur": self._uniform(tuple(likely.shape)) < likely,
                "blur_factor": self._uniform((2,), *self.sigma) + 1e-6}

    def transform_images(self, images, transformation, training=True):
        blurred = gaussian_blur(images, self.kernel_size, transformation["blur_factor"], self.data_format)
        return self._limited(ops.where(transformation["should_apply_blur"], blurred, images))


class Solarization(_Color):
    __doc__ = "Inverts all values from a random threshold on." + _HEAD + """addition_factor: float or pair
        A random number from ``lower`` to ``255 * upper`` is added first (both from 0 to 1; values are taken as bytes
        between the ends of the value range). A number f stands for (0, f).
    threshold_factor: float or pair
        The threshold, in the same way.
    """ + _RANGE

    def __init__(self, addition_factor=0.0, threshold_factor=0.0, value_range=(0, 255), seed=None, **kwargs):
        super().__init__(**kwargs)
        self.addition_factor = bounds(self, "addition_factor", addition_factor, 0, 1)
        self.threshold_factor = bounds(self, "threshold_factor", threshold_factor, 0, 1)
        self.value_range = value_range_argument(self, value_range)
        self._seeded(seed)

    def get_random_transformation(self, data, training=True, seed=None):
        shape = (data["images"].shape[0], 1, 1, 1)
        return {name: self._uniform(shape, low, 255 * high)
                for name, (low, high) in (("additions", self.addition_factor), ("thresholds", self.threshold_factor))}

    def transform_images(self, images, transformation, training=True):
        def inverted(images):
            images = ops.clip(images + transformation["additions"], 0.0, 255.0)
            return ops.where(images < transformation["thresholds"], images, 255.0 - images)
        return self._ranged(images, inverted, 0, 255)


class AutoContrast(_Color):
    """Stretches each channel of each image to the whole value range, in training and inference.

    A channel whose values are all equal is left as it is. Input and output have the same shape, see `ImageLayer`.

    Parameters
    ----------
    value_range: pair
        The smallest and the largest value of a pixel.
    data_format: str, optional
        "channels_last" or "channels_first"; default `pyconv.config.image_data_format()`.

    Raises
    ------
    ValueError, TypeError
        For other values; inputs that have neither 3 nor 4 axes.
    """

    _resizes = True

    def __init__(self, value_range=(0, 255), **kwargs):
        super().__init__(**kwargs)
        self.value_range = value_range_argument(self, value_range)

    def get_random_transformation(self, data, training=True, seed=None):
        return None

    def transform_images(self, images, transformation=None, training=True):
        low, high = (f(images, self._axes[:2], keepdims=True) for f in (ops.min, ops.max))
        span = high - low
        first, last = map(float, self.value_range)
        stretched = (images - low) * ((last - first) / ops.where(span > 0, span, 1.0)) + first
        return ops.where(span > 0, self._limited(stretched), images)
