"""Layers that prepare inputs."""

from __future__ import annotations

import numpy as np

from .. import ops
from ..config import epsilon
from ..utils.configurable import describe
from ..utils.foreign import to_hosts
from . import checks
from .input_spec import InputSpec, is_shape, show
from .layer import Layer

__all__ = ["Rescaling", "Normalization"]


class Rescaling(Layer):
    """``inputs * scale + offset``, in the layer's float type; integers such as uint8 images are converted.

    Rescaling(1 / 255) brings bytes to the range from 0 to 1, Rescaling(1 / 127.5, offset=-1) to -1 to 1.
    Input and output have the same shape.

    Parameters
    ----------
    scale: float, or one per channel (anything that spreads to the input's shape)
    offset: the same; default 0.
    """

    _precise = True

    def __init__(self, scale, offset=0.0, **kwargs):
        super().__init__(**kwargs)
        self.input_spec = InputSpec()
        self.scale, self.offset = self._numbers("scale", scale), self._numbers("offset", offset)

    def _numbers(self, argument, value):
        if isinstance(value, dict):                           # an array as Keras writes it in a configuration
            value = np.array(value.get("config", {}).get("value"))
        try:
            array = np.asarray(to_hosts(value))
        except ValueError:
            array = np.asarray(None)
        if array.dtype.kind not in "iuf" or not array.size:
            raise TypeError(f"{self._title()}: {argument} must be a number or an array of numbers, got "
                            f"{describe(value)}.")
        if not np.isfinite(array).all():
            raise ValueError(f"{self._title()}: {argument} must be finite, got {describe(value)}.")
        return value

    def call(self, inputs):
        x = ops.cast(inputs, self.variable_dtype)
        y = x * np.asarray(self.scale, self.variable_dtype) + np.asarray(self.offset, self.variable_dtype)
        if y.shape != inputs.shape:
            raise ValueError(f"a scale of shape {np.shape(self.scale)} and an offset of shape "
                             f"{np.shape(self.offset)} do not spread to the input's shape; expected one "
                             "number, or one per channel.")
        return y

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)


class Normalization(Layer):
    """``(inputs - mean) / max(sqrt(variance), epsilon)``, with a mean and a variance that are known before training.

    They are given, or found by `adapt` and then saved as weights that are not trained. Input and output have the same
    shape; integers such as uint8 images are converted.

    Parameters
    ----------
    axis: int, tuple or None
        The axes that keep numbers of their own, -1 being the features or channels; not the batch. None: one mean and
        one variance for everything.
    mean, variance: float or array_like, optional
        Both or none; arrays of equal shapes that fit to the sizes along `axis`, counted from the last.
    invert: bool
        The opposite: ``mean + inputs * max(sqrt(variance), epsilon)``.

    Raises
    ------
    ValueError, TypeError
        For other values, and for inputs that do not fit.
    """

    _precise = True

    def __init__(self, axis=-1, mean=None, variance=None, invert=False, **kwargs):
        super().__init__(**kwargs)
        given = () if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
        if not all(isinstance(a, (int, np.integer)) and not isinstance(a, bool) for a in given):
            raise TypeError(f"{self._title()}: axis must be an int, a tuple of ints or None, got {describe(axis)}.")
        self.axis = tuple(int(a) for a in given)
        self.invert = checks.boolean(self, "invert", invert)
        if (mean is None) != (variance is None):
            raise ValueError(f"{self._title()}: mean and variance must both be given or both be left out, got "
                             f"mean={describe(mean)} and variance={describe(variance)}.")
        self.mean, self.variance = self._numbers("mean", mean), self._numbers("variance", variance)
        if self.mean is not None:
            if np.shape(self.mean) != np.shape(self.variance):
                raise ValueError(f"{self._title()}: mean and variance must have equal shapes, got "
                                 f"{show(np.shape(self.mean))} and {show(np.shape(self.variance))}.")
            if np.ndim(self.mean) > len(self.axis):
                raise ValueError(f"{self._title()}: mean has {np.ndim(self.mean)} axes, more than axis={self.axis}.")
            if np.min(self.variance) < 0:
                raise ValueError(f"{self._title()}: variance must be at least 0, got {describe(variance)}.")
        self.input_spec = InputSpec()

    def _numbers(self, argument, value):
        if value is None:
            return None
        try:
            array = np.asarray(to_hosts(value))
        except ValueError:
            array = np.asarray(None)
        if array.dtype.kind not in "iuf" or not array.size:
            raise TypeError(f"{self._title()}: {argument} must be a number or an array of numbers, got "
                            f"{describe(value)}.")
        if not np.isfinite(array).all():
            raise ValueError(f"{self._title()}: {argument} must be finite, got {describe(value)}.")
        return array.tolist()

    def build(self, input_shape):
        if not is_shape(input_shape):
            raise ValueError(f"expects one shape, got {describe(input_shape)}.")
        rank = len(input_shape)
        if any(not -rank <= a < rank for a in self.axis):
            raise ValueError(f"axis={self.axis} does not exist in inputs with {rank} axes.")
        self._kept = tuple(sorted({a % rank for a in self.axis}))
        sizes = tuple(input_shape[a] for a in self._kept)
        if None in sizes:
            raise ValueError(f"the sizes along axis={self.axis} must be known, got shape {show(input_shape)}.")
        # The sizes along the kept axes, and 1 along the others.
        self._spread = tuple(n if a in self._kept else 1 for a, n in enumerate(input_shape))
        self.input_spec = InputSpec(ndim=rank, axes=dict(zip(self._kept, sizes, strict=True)))
        if self.mean is not None:
            try:
                np.broadcast_to(self.mean, sizes)
            except ValueError:
                raise ValueError(f"mean and variance of shape {show(np.shape(self.mean))} do not fit to the sizes "
                                 f"{show(sizes)} along axis={self.axis}.") from None
            return
        self.adapt_mean = self.add_weight(sizes, "zeros", trainable=False, name="mean")
        self.adapt_variance = self.add_weight(sizes, "ones", trainable=False, name="variance")
        self.count = self.add_weight((), "zeros", trainable=False, name="count")      # unused, as in Keras's files

    def adapt(self, data):
        """Take mean and variance from `data`: an array, or an iterable of batches, such as a list of arrays, a
        generator or a `pyconv.utils.PyDataset`. Of a batch that is a tuple the first part counts. What was known before
        is forgotten.

        Raises ValueError if there is no sample, or if mean and variance were given; TypeError for other data.
        """
        if self.mean is not None:
            raise ValueError(f"{self._title()}: adapt() cannot be used where mean and variance were given.")
        if hasattr(data, "shape") or hasattr(data, "__array__"):
            batches = [data]
        elif hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, (list, tuple)):
            batches = (data[i] for i in range(len(data)))            # a PyDataset
        elif hasattr(data, "__iter__") and not isinstance(data, (str, bytes, dict)):
            batches = data
        else:
            raise TypeError(f"{self._title()}: adapt() takes an array or an iterable of batches, got {describe(data)}.")
        count, mean, squares = 0, 0.0, 0.0
        for batch in batches:
            batch = np.asarray(to_hosts(batch[0] if isinstance(batch, (tuple, list)) else batch))
            if batch.dtype.kind not in "biuf":
                raise TypeError(f"{self._title()}: adapt() takes numbers, got {batch.dtype}.")
            self.build((None, *batch.shape[1:]))
            self._check_inputs(batch)
            gone = tuple(a for a in range(batch.ndim) if a not in self._kept)
            number = int(np.prod([batch.shape[a] for a in gone]))
            if not number:
                continue
            # The squares of the distances from the mean are added up: those of the parts, and of their means.
            own = batch.mean(gone, dtype="float64")
            spread = np.square(batch - np.expand_dims(own, gone)).sum(gone)
            step = own - mean
            squares = squares + spread + step * step * (count * number / (count + number))
            mean, count = mean + step * (number / (count + number)), count + number
        if not count:
            raise ValueError(f"{self._title()}: adapt() got no samples.")
        self.adapt_mean.assign(mean)
        self.adapt_variance.assign(squares / count)

    def call(self, inputs):
        x = ops.cast(inputs, self.variable_dtype)
        if self.mean is not None:
            sizes = tuple(self._spread[a] for a in self._kept)
            mean, variance = (np.broadcast_to(np.asarray(v, self.variable_dtype), sizes).reshape(self._spread)
                              for v in (self.mean, self.variance))
            scale = np.maximum(np.sqrt(variance), np.asarray(epsilon(), self.variable_dtype))
        else:
            mean, variance = (ops.reshape(v.value, self._spread) for v in (self.adapt_mean, self.adapt_variance))
            scale = ops.maximum(ops.sqrt(variance), epsilon())
        if self.invert:
            return mean + x * scale
        return (x - mean) / scale

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)
