"""Layers that prepare inputs."""

from __future__ import annotations

import numpy as np

from .. import ops
from ..utils.configurable import describe
from .input_spec import InputSpec
from .layer import Layer

__all__ = ["Rescaling"]


class Rescaling(Layer):
    """``inputs * scale + offset``, in the layer's float type; integers such as uint8 images are converted.

    Rescaling(1 / 255) brings bytes to the range from 0 to 1, Rescaling(1 / 127.5, offset=-1) to -1 to 1.
    Input and output have the same shape.

    Parameters
    ----------
    scale: float, or one per channel (anything that spreads to the input's shape)
    offset: the same; default 0.
    """

    def __init__(self, scale, offset=0.0, **kwargs):
        super().__init__(**kwargs)
        self.input_spec = InputSpec()
        self.scale, self.offset = self._numbers("scale", scale), self._numbers("offset", offset)

    def _numbers(self, argument, value):
        if isinstance(value, dict):                           # an array as Keras writes it in a configuration
            value = np.array(value.get("config", {}).get("value"))
        try:
            array = np.asarray(value)
        except ValueError:
            array = np.asarray(None)
        if array.dtype.kind not in "iuf" or not array.size:
            raise TypeError(f"{self._title()}: {argument} must be a number or an array of numbers, got "
                            f"{describe(value)}.")
        if not np.isfinite(array).all():
            raise ValueError(f"{self._title()}: {argument} must be finite, got {describe(value)}.")
        return value

    def call(self, inputs):
        x = ops.cast(inputs, self.compute_dtype)
        y = x * np.asarray(self.scale, self.compute_dtype) + np.asarray(self.offset, self.compute_dtype)
        if y.shape != inputs.shape:
            raise ValueError(f"a scale of shape {np.shape(self.scale)} and an offset of shape "
                             f"{np.shape(self.offset)} do not spread to the input's shape; expected one "
                             "number, or one per channel.")
        return y

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)
