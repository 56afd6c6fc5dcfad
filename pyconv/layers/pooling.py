"""Pooling layers. One base class for any number of spatial axes; those below only fix the number."""

from __future__ import annotations

from .. import ops
from ..ops.convolution import join_shape, output_sizes, resolve_padding, split_shape
from . import checks
from .input_spec import InputSpec, show
from .layer import Layer

__all__ = ["MaxPooling1D", "MaxPooling2D", "MaxPooling3D", "MaxPool1D", "MaxPool2D", "MaxPool3D"]


class BasePooling(Layer):
    """The largest element of each window, per channel: see the classes below."""

    rank = None

    def __init__(self, pool_size=2, strides=None, padding="valid", data_format=None, name=None, **kwargs):
        super().__init__(name=name, **kwargs)
        rank = self.rank
        self.pool_size = checks.spatial(self, "pool_size", pool_size, rank)
        self.strides = self.pool_size if strides is None else checks.spatial(self, "strides", strides, rank)
        self.padding = checks.padding_argument(self, padding, rank)
        if not isinstance(self.padding, str):
            for i, pair in enumerate(checks.pairs(self, "padding", self.padding, rank)):
                if max(pair) >= self.pool_size[i]:
                    raise ValueError(f"{self._title()}: padding={self.padding} must be smaller than "
                                     f"pool_size={self.pool_size}, so that no window lies outside of the "
                                     "input.")
        self.data_format = checks.data_format(self, data_format)
        self.input_spec = InputSpec(ndim=rank + 2)

    def build(self, input_shape):
        self.compute_output_shape(input_shape)

    def call(self, inputs):
        return ops.max_pool(inputs, self.pool_size, self.strides, self.padding, self.data_format)

    def compute_output_shape(self, input_shape):
        """(batch, *new_spatial, channels), or (batch, channels, *new_spatial) if channels come first."""
        if len(input_shape) != self.rank + 2:
            raise ValueError(f"{self._title()} expects an input with {self.rank + 2} axes, got "
                             f"{len(input_shape)}: the input has shape {show(input_shape)}.")
        channels_last = self.data_format == "channels_last"
        batch, sizes, channels = split_shape(tuple(input_shape), channels_last)
        spatial = []
        for i, n in enumerate(sizes):
            if n is None:
                spatial.append(None)
                continue
            one = isinstance(self.padding, tuple)
            pads = resolve_padding(self.padding[i:i + 1] if one else self.padding, (n,),
                                   self.pool_size[i:i + 1], self.strides[i:i + 1], (1,))
            (size,) = output_sizes((n,), self.pool_size[i:i + 1], self.strides[i:i + 1], pads, (1,))
            if size < 1:
                raise ValueError(f"{self._title()}: pool_size={self.pool_size} is larger than the input of "
                                 f"shape {show(input_shape)} along spatial axis {i}. Use padding='same', a "
                                 f"smaller window, or a larger input.")
            spatial.append(size)
        return join_shape(batch, tuple(spatial), channels, channels_last)


_DOC = """The largest element of each window, per channel.

    Input: (batch, {sizes}, channels); with data_format="channels_first" the channels stand after the batch.
    Output: the same axes; one of n elements, padded by (p, q), gives ``(n + p + q - pool) // stride + 1``,
    which is ceil(n / stride) for "same". Padding is never the largest. At a tie the gradient goes to the
    first of the window.

    Parameters
    ----------
    pool_size: int or tuple of {rank} ints
        Default 2.
    strides: int or tuple of {rank} ints, optional
        Default `pool_size`.
    padding: str, int or tuple
        "valid" (default), "same", an int, or an int or pair (before, after) for each spatial axis.
    data_format: str
        "channels_last" or "channels_first"; default `pyconv.config.image_data_format()`.
    name, dtype, trainable: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        At construction for arguments that do not fit; when it is built, for inputs with a wrong number of
        axes or smaller than the window.
    """


class MaxPooling1D(BasePooling):
    rank = 1


class MaxPooling2D(BasePooling):
    rank = 2


class MaxPooling3D(BasePooling):
    rank = 3


MaxPooling1D.__doc__ = _DOC.format(sizes="steps", rank=1)
MaxPooling2D.__doc__ = _DOC.format(sizes="height, width", rank=2)
MaxPooling3D.__doc__ = _DOC.format(sizes="depth, height, width", rank=3)

MaxPool1D, MaxPool2D, MaxPool3D = MaxPooling1D, MaxPooling2D, MaxPooling3D
