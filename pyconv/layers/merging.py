"""Layers that make one tensor of several."""

from __future__ import annotations

import functools

from .. import ops
from ..ops.elementwise import broadcast_shapes
from ..utils.configurable import describe
from .input_spec import is_data, is_shape, show
from .layer import Layer

__all__ = ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot", "add", "subtract",
           "multiply", "average", "maximum", "minimum", "concatenate", "dot"]


class Merge(Layer):
    """Base of the layers below: called on a list of tensors whose shapes broadcast.

    A tensor with fewer axes gets axes of length 1 after the batch.
    """

    least, most = 1, None

    def _check_inputs(self, inputs):
        several = isinstance(inputs, (list, tuple)) and all(map(is_data, inputs))
        if not several or len(inputs) < self.least or len(inputs) > (self.most or len(inputs)):
            count = f"{self.least} tensors" if self.most else f"at least {self.least} tensor"
            got = f"{len(inputs)}" if several else describe(inputs)
            error = ValueError(f"{self._title()} is called on a list of {count}, got {got}.")
            error.pyconv_located = True
            raise error

    def build(self, input_shape):
        if not isinstance(input_shape, (list, tuple)) or is_shape(input_shape):
            raise ValueError(f"{self._title()} is built for a list of shapes, got {show(input_shape)}.")
        self.compute_output_shape(input_shape)

    def call(self, inputs):
        rank = max(len(x.shape) for x in inputs)
        wide = [ops.reshape(x, (*x.shape[:1], *[1] * (rank - len(x.shape)), *x.shape[1:])) for x in inputs]
        return self.merge(wide)

    def merge(self, inputs):
        raise NotImplementedError

    def compute_output_shape(self, input_shape):
        """The shape that all inputs' shapes broadcast to; None where a size is open."""
        shapes = [tuple(s) for s in input_shape]
        rank = max(map(len, shapes))
        shapes = [(*s[:1], *[1] * (rank - len(s)), *s[1:]) for s in shapes]
        out = []
        for axis, sizes in enumerate(zip(*shapes, strict=True)):
            known = [n for n in sizes if n is not None]
            try:
                (n,) = broadcast_shapes("", *[(n,) for n in known]) if known else (None,)
            except ValueError:
                raise ValueError(f"{self._title()}: the shapes {show(list(input_shape))} do not fit "
                                 f"together: along each axis the sizes must be equal or 1.") from None
            out.append(None if len(known) < len(sizes) and (axis == 0 or n == 1) else n)
        return tuple(out)


class Add(Merge):
    """The sum of a list of tensors."""

    def merge(self, inputs):
        return functools.reduce(ops.add, inputs)


class Subtract(Merge):
    """The first tensor minus the second; exactly two."""

    least = most = 2

    def merge(self, inputs):
        return ops.subtract(*inputs)


class Multiply(Merge):
    """The elementwise product of a list of tensors."""

    def merge(self, inputs):
        return functools.reduce(ops.multiply, inputs)


class Average(Merge):
    """The elementwise mean of a list of tensors."""

    def merge(self, inputs):
        return functools.reduce(ops.add, inputs) * (1.0 / len(inputs))


class Maximum(Merge):
    """The elementwise largest of a list of tensors; at a tie the gradient goes to the earlier one."""

    def merge(self, inputs):
        return functools.reduce(ops.maximum, inputs)


class Minimum(Merge):
    """The elementwise smallest of a list of tensors; at a tie the gradient goes to the earlier one."""

    def merge(self, inputs):
        return functools.reduce(ops.minimum, inputs)


class Concatenate(Merge):
    """A list of tensors joined along `axis` (default the last); all other sizes must be equal."""

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        if isinstance(axis, bool) or not isinstance(axis, int):
            raise TypeError(f"{self._title()}: axis must be an int, got {describe(axis)}.")
        self.axis = axis

    def call(self, inputs):
        return ops.concatenate(list(inputs), self.axis)

    def compute_output_shape(self, input_shape):
        shapes = [tuple(s) for s in input_shape]
        rank = len(shapes[0])
        if not -rank <= self.axis < rank:
            raise ValueError(f"{self._title()}: axis={self.axis} does not exist in inputs of shapes "
                             f"{show(shapes)}.")
        axis, out = self.axis % rank, []
        if any(len(s) != rank for s in shapes):
            raise ValueError(f"{self._title()}: the inputs must have equally many axes, got shapes "
                             f"{show(shapes)}.")
        for i, sizes in enumerate(zip(*shapes, strict=True)):
            known = {n for n in sizes if n is not None}
            if i == axis:
                out.append(None if None in sizes else sum(sizes))
            elif len(known) > 1:
                raise ValueError(f"{self._title()}: the inputs' shapes {show(shapes)} must agree on every "
                                 f"axis but axis={self.axis}.")
            else:
                out.append(known.pop() if known and (i or None not in sizes) else None)
        return tuple(out)


class Dot(Merge):
    """The sums of products of two tensors along one axis of each, for each sample.

    For inputs (batch, ..., n, ...) the result has the batch, the other axes of the first, then those of the second:
    (batch, i, n) and (batch, n, j) with axes=(2, 1) give (batch, i, j). Two vectors (batch, n) give (batch, 1).

    Parameters
    ----------
    axes: int or tuple of two ints
        The axis to sum over, of both or of each; not the batch, 0.
    normalize: bool
        Whether both are first divided by their lengths along that axis (the cosine); default False.
    name, dtype: see `Layer`.

    Raises
    ------
    ValueError, TypeError
        For other axes, and inputs whose sizes along them differ.
    """

    least = most = 2

    def __init__(self, axes, normalize=False, **kwargs):
        super().__init__(**kwargs)
        pair = axes if isinstance(axes, (tuple, list)) else (axes, axes)
        if len(pair) != 2 or any(isinstance(a, bool) or not isinstance(a, int) for a in pair):
            raise TypeError(f"{self._title()}: axes must be an int or a tuple of two ints, got {describe(axes)}.")
        if 0 in pair:
            raise ValueError(f"{self._title()}: axes={axes} must not have 0, the batch.")
        self.axes, self.normalize = axes, normalize

    def _pair(self, shapes):
        pair = self.axes if isinstance(self.axes, (tuple, list)) else (self.axes, self.axes)
        out = []
        for axis, shape in zip(pair, shapes, strict=True):
            if not -len(shape) < axis < len(shape) or len(shape) < 2:
                raise ValueError(f"{self._title()}: axes={self.axes} do not exist in inputs of shapes "
                                 f"{show(list(shapes))}, or are the batch.")
            out.append(axis % len(shape))
        a, b = (shape[axis] for shape, axis in zip(shapes, out, strict=True))
        if a is not None and b is not None and a != b:
            raise ValueError(f"{self._title()}: the inputs' sizes along axes={self.axes} differ: the shapes are "
                             f"{show(list(shapes))}.")
        return out

    def call(self, inputs):
        x, y = inputs
        a, b = self._pair([x.shape, y.shape])
        if self.normalize:
            x, y = (t * ops.rsqrt(ops.maximum(ops.sum(t * t, axis, keepdims=True), 1e-12))
                    for t, axis in ((x, a), (y, b)))
        # Letters: A the batch, Z what is summed over, others free.
        first = ["A", *"BCDEFG"[:len(x.shape) - 1]]
        second = ["A", *"HIJKLM"[:len(y.shape) - 1]]
        first[a] = second[b] = "Z"
        free = "".join(c for c in first + second[1:] if c != "Z")
        result = ops.einsum(f"{''.join(first)},{''.join(second)}->{free}", x, y)
        return ops.reshape(result, (result.shape[0], 1)) if len(result.shape) == 1 else result

    def compute_output_shape(self, input_shape):
        x, y = (tuple(s) for s in input_shape)
        a, b = self._pair([x, y])
        shape = (x[0], *(n for i, n in enumerate(x) if i not in (0, a)),
                 *(n for i, n in enumerate(y) if i not in (0, b)))
        return shape if len(shape) > 1 else (*shape, 1)


def _function(cls):
    def function(inputs, **kwargs):
        return cls(**kwargs)(inputs)
    function.__name__ = function.__qualname__ = cls.__name__.lower()
    function.__doc__ = f"``{cls.__name__}(**kwargs)(inputs)``: {cls.__doc__}"
    return function


add, subtract, multiply, average = map(_function, (Add, Subtract, Multiply, Average))
maximum, minimum = map(_function, (Maximum, Minimum))


def concatenate(inputs, axis=-1, **kwargs):
    """``Concatenate(axis, **kwargs)(inputs)``: a list of tensors joined along `axis`."""
    return Concatenate(axis, **kwargs)(inputs)


def dot(inputs, axes=-1, **kwargs):
    """``Dot(axes, **kwargs)(inputs)``: sums of products of two tensors along an axis of each."""
    return Dot(axes, **kwargs)(inputs)
