"""Layers that give images more pixels: by repetition, interpolation, or from channels; and the way back to channels."""

from __future__ import annotations

from .. import ops
from ..ops.images import INTERPOLATIONS
from . import checks
from .input_spec import InputSpec, is_shape, show
from .layer import Layer

__all__ = ["UpSampling1D", "UpSampling2D", "UpSampling3D", "DepthToSpace", "SpaceToDepth"]


class _UpSampling(Layer):
    """Each element repeated along the spatial axes; see the classes below."""

    rank = None

    def _prepare(self, size, data_format):
        self.size = checks.spatial(self, "size", size, self.rank)
        self.data_format = checks.data_format(self, data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def call(self, inputs):
        return ops.upsample(inputs, self.size, self.data_format)

    def compute_output_shape(self, input_shape):
        first = 1 if self.data_format == "channels_last" else 2
        return tuple(n if n is None or not 0 <= i - first < self.rank else n * self.size[i - first]
                     for i, n in enumerate(input_shape))


class UpSampling1D(_UpSampling):
    """Each step `size` times in a row: (batch, steps, channels) to (batch, steps * size, channels).

    size: an int of at least 1; default 2.
    """

    rank = 1

    def __init__(self, size=2, **kwargs):
        super().__init__(**kwargs)
        self._prepare(size, "channels_last")
        self.size = self.size[0]

    def call(self, inputs):
        return ops.upsample(inputs, self.size, "channels_last")

    def compute_output_shape(self, input_shape):
        batch, steps, channels = input_shape
        return (batch, None if steps is None else steps * self.size, channels)


class UpSampling2D(_UpSampling):
    """Images `size` times as large: (batch, height, width, channels), or channels first.

    Parameters
    ----------
    size: int or pair of ints
        Default 2.
    data_format: str
        "channels_last" or "channels_first"; default `pyconv.config.image_data_format()`.
    interpolation: str
        "nearest" (default: each pixel is repeated), "bilinear", "bicubic", "lanczos3" or "lanczos5".
    name, dtype: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit, and inputs that do not have 4 axes.
    """

    rank = 2

    def __init__(self, size=(2, 2), data_format=None, interpolation="nearest", **kwargs):
        super().__init__(**kwargs)
        self._prepare(size, data_format)
        self.interpolation = checks.choice(self, "interpolation",
                                           interpolation.lower() if isinstance(interpolation, str) else interpolation,
                                           INTERPOLATIONS)

    def call(self, inputs):
        if self.interpolation == "nearest":
            return super().call(inputs)
        first = 1 if self.data_format == "channels_last" else 2
        size = tuple(n * k for n, k in zip(inputs.shape[first:first + 2], self.size, strict=True))
        return ops.resize(inputs, size, self.interpolation, data_format=self.data_format)


class UpSampling3D(_UpSampling):
    """Each element repeated `size` times along depth, height and width: (batch, depth, height, width, channels).

    size: an int or three; default 2. data_format: "channels_last" or "channels_first"; default
    `pyconv.config.image_data_format()`.
    """

    rank = 3

    def __init__(self, size=(2, 2, 2), data_format=None, **kwargs):
        super().__init__(**kwargs)
        self._prepare(size, data_format)


class _Blocks(Layer):
    def __init__(self, block_size, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.block_size = checks.integer(self, "block_size", block_size)
        self.data_format = checks.data_format(self, data_format)
        self.input_spec = InputSpec(ndim=4)

    def build(self, input_shape):
        self.compute_output_shape(input_shape)

    def _split(self, shape):
        if not is_shape(shape) or len(shape) != 4:
            raise ValueError(f"{self._title()} needs an input with 4 axes, got shape {show(shape)}.")
        return shape if self.data_format == "channels_last" else (shape[0], *shape[2:], shape[1])

    def _joined(self, batch, height, width, channels):
        return (batch, height, width, channels) if self.data_format == "channels_last" \
            else (batch, channels, height, width)


class DepthToSpace(_Blocks):
    """Blocks of channels become blocks of pixels: (batch, h, w, b * b * c) to (batch, h * b, w * b, c).

    Behind a convolution this is the sub-pixel convolution (Shi et al., *Real-time single image and video
    super-resolution*, 2016), PyTorch's PixelShuffle up to the order of the channels.

    block_size: b, an int of at least 1. data_format: "channels_last" or "channels_first"; default
    `pyconv.config.image_data_format()`. ValueError for channels that are no multiple of b * b.
    """

    def call(self, inputs):
        return ops.depth_to_space(inputs, self.block_size, self.data_format)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = self._split(input_shape)
        b = self.block_size
        if channels is not None and channels % (b * b):
            raise ValueError(f"{self._title()}: the {channels} channels of an input of shape {show(input_shape)} are "
                             f"no multiple of block_size ** 2 = {b * b}.")
        return self._joined(batch, *(None if n is None else n * b for n in (height, width)),
                            None if channels is None else channels // (b * b))


class SpaceToDepth(_Blocks):
    """Blocks of pixels become blocks of channels: (batch, h * b, w * b, c) to (batch, h, w, b * b * c).

    The inverse of `DepthToSpace`, with the same arguments. ValueError for sides that are no multiples of b.
    """

    def call(self, inputs):
        return ops.space_to_depth(inputs, self.block_size, self.data_format)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = self._split(input_shape)
        b = self.block_size
        if any(n is not None and n % b for n in (height, width)):
            raise ValueError(f"{self._title()}: height and width of an input of shape {show(input_shape)} are no "
                             f"multiples of block_size={b}.")
        return self._joined(batch, *(None if n is None else n // b for n in (height, width)),
                            None if channels is None else channels * b * b)
