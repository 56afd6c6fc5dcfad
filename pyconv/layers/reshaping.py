"""Layers that move elements and compute nothing: Flatten, Reshape, Permute, RepeatVector, zero padding, cropping."""

from __future__ import annotations

import math

import numpy as np

from .. import ops
from ..utils.configurable import describe
from . import checks
from .input_spec import InputSpec, show
from .layer import Layer

__all__ = ["Flatten", "Reshape", "Permute", "RepeatVector", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D",
           "Cropping1D", "Cropping2D", "Cropping3D"]


class Flatten(Layer):
    """All axes but the batch joined into one: (batch, ...) to (batch, n).

    data_format: with "channels_first" the channels, axis 1, are moved to the end first, so that the weights
    of a Dense layer behind it do not depend on the data format. Default `pyconv.config.image_data_format()`.
    """

    def __init__(self, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.data_format = checks.data_format(self, data_format)
        self.input_spec = InputSpec(min_ndim=1)

    def call(self, inputs):
        rank = len(inputs.shape)
        if self.data_format == "channels_first" and rank > 2:
            inputs = ops.transpose(inputs, (0, *range(2, rank), 1))
        return ops.reshape(inputs, (inputs.shape[0], math.prod(inputs.shape[1:])))

    def compute_output_shape(self, input_shape):
        sizes = input_shape[1:]
        return (input_shape[0], None if None in sizes else math.prod(sizes))


class Reshape(Layer):
    """Each sample with another shape: (batch, ...) to (batch, *target_shape).

    target_shape: a tuple of ints; one may be -1 and is then found from the others.
    """

    def __init__(self, target_shape, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(target_shape, (tuple, list)):
            raise TypeError(f"{self._title()}: target_shape must be a tuple of ints, got "
                            f"{describe(target_shape)}.")
        for n in target_shape:
            if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
                raise TypeError(f"{self._title()}: target_shape must be made of ints, got "
                                f"{describe(target_shape)}.")
        self.target_shape = tuple(int(n) for n in target_shape)
        if self.target_shape.count(-1) > 1 or any(n < -1 for n in self.target_shape):
            raise ValueError(f"{self._title()}: target_shape={describe(target_shape)} may have one -1 and "
                             f"otherwise sizes of 0 or more.")
        self.input_spec = InputSpec(min_ndim=1)

    def build(self, input_shape):
        self.compute_output_shape(input_shape)

    def call(self, inputs):
        shape = self.compute_output_shape(inputs.shape)
        return ops.reshape(inputs, shape)

    def compute_output_shape(self, input_shape):
        batch, *sizes = input_shape
        known = math.prod(n for n in self.target_shape if n != -1)
        if None in sizes:
            return (batch, *(None if n == -1 else n for n in self.target_shape))
        total = math.prod(sizes)
        rest = total // known if -1 in self.target_shape and known else 1
        if known * rest != total or (-1 in self.target_shape and not known):
            raise ValueError(f"{self._title()}: a sample of shape {show(tuple(sizes))} has {total} "
                             f"elements, which do not fill target_shape={show(self.target_shape)}.")
        return (batch, *(rest if n == -1 else n for n in self.target_shape))


class Permute(Layer):
    """The axes of each sample in another order.

    dims: a tuple with the numbers 1 to n, n being the number of axes without the batch; (2, 1) swaps two.
    """

    def __init__(self, dims, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(dims, (tuple, list)) or any(isinstance(d, bool) or not isinstance(d, int)
                                                      for d in dims):
            raise TypeError(f"{self._title()}: dims must be a tuple of ints, got {describe(dims)}.")
        if sorted(dims) != list(range(1, len(dims) + 1)):
            raise ValueError(f"{self._title()}: dims must be a permutation of "
                             f"{tuple(range(1, len(dims) + 1))}, got {describe(dims)}; the batch, axis 0, "
                             "stays where it is.")
        self.dims = tuple(dims)
        self.input_spec = InputSpec(ndim=len(dims) + 1)

    def call(self, inputs):
        return ops.transpose(inputs, (0, *self.dims))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *(input_shape[d] for d in self.dims))


class RepeatVector(Layer):
    """Each sample `n` times in a row: (batch, features) to (batch, n, features). n: an int of at least 1."""

    def __init__(self, n, **kwargs):
        super().__init__(**kwargs)
        self.n = checks.integer(self, "n", n)
        self.input_spec = InputSpec(ndim=2)

    def call(self, inputs):
        batch, size = inputs.shape
        return ops.broadcast_to(ops.reshape(inputs, (batch, 1, size)), (batch, self.n, size))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.n, input_shape[1])


class _Border(Layer):
    """What zero padding and cropping share: a pair (before, after) for each of `rank` spatial axes."""

    rank = None
    sign = 1

    def _prepare(self, argument, widths, data_format):
        self._pairs = checks.pairs(self, argument, widths, self.rank)
        self.data_format = checks.data_format(self, data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)
        return self._pairs[0] if self.rank == 1 else self._pairs

    def _widths(self):
        if self.data_format == "channels_last":
            return ((0, 0), *self._pairs, (0, 0))
        return ((0, 0), (0, 0), *self._pairs)

    def build(self, input_shape):
        self.compute_output_shape(input_shape)

    def compute_output_shape(self, input_shape):
        if len(input_shape) != self.rank + 2:
            raise ValueError(f"{self._title()} expects an input with {self.rank + 2} axes, got "
                             f"{len(input_shape)}: the input has shape {show(input_shape)}.")
        shape = tuple(None if n is None else n + self.sign * (a + b)
                      for n, (a, b) in zip(input_shape, self._widths(), strict=True))
        if any(m is not None and m <= 0 < n for m, n in zip(shape, input_shape, strict=True)
               if n is not None):
            raise ValueError(f"{self._title()}: cropping {self._pairs} leaves nothing of an input of shape "
                             f"{show(input_shape)}.")
        return shape


class _ZeroPadding(_Border):
    def __init__(self, padding=1, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.padding = self._prepare("padding", padding, data_format)

    def call(self, inputs):
        return ops.pad(inputs, self._widths())


class _Cropping(_Border):
    sign = -1

    def __init__(self, cropping=0, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.cropping = self._prepare("cropping", cropping, data_format)

    def call(self, inputs):
        index = tuple(slice(a, n - b) for n, (a, b) in zip(inputs.shape, self._widths(), strict=True))
        return ops.getitem(inputs, index)


class ZeroPadding1D(_ZeroPadding):
    rank = 1


class ZeroPadding2D(_ZeroPadding):
    rank = 2


class ZeroPadding3D(_ZeroPadding):
    rank = 3


class Cropping1D(_Cropping):
    rank = 1

    def __init__(self, cropping=(1, 1), data_format=None, **kwargs):
        super().__init__(cropping, data_format, **kwargs)


class Cropping2D(_Cropping):
    rank = 2


class Cropping3D(_Cropping):
    rank = 3

    def __init__(self, cropping=((1, 1), (1, 1), (1, 1)), data_format=None, **kwargs):
        super().__init__(cropping, data_format, **kwargs)


_DOC = """{what} of each spatial axis.

    Input: (batch, {sizes}, channels), or channels first; channels stay as they are.

    Parameters
    ----------
    {argument}: int or tuple
        An int for all sides{one}. Default {default}.
    data_format: str
        "channels_last" or "channels_first"; default `pyconv.config.image_data_format()`.

    Raises
    ------
    ValueError, TypeError
        For widths that are no ints of 0 or more, and inputs that do not have {axes} axes.
    """

for _cls, _default in ((ZeroPadding1D, 1), (ZeroPadding2D, 1), (ZeroPadding3D, 1), (Cropping1D, "(1, 1)"),
                       (Cropping2D, 0), (Cropping3D, 1)):
    _zeros = issubclass(_cls, _ZeroPadding)
    _cls.__doc__ = _DOC.format(
        what="Zeros before and after the elements" if _zeros else "The first and last elements cut off",
        sizes=("steps", "height, width", "depth, height, width")[_cls.rank - 1], axes=_cls.rank + 2,
        argument="padding" if _zeros else "cropping", default=_default,
        one=", or a pair (before, after)" if _cls.rank == 1 else ", or an int or a pair (before, after) for "
                                                                 "each axis")
