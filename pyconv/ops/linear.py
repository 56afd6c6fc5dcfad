"""Matrix products."""

from __future__ import annotations

from ..graph import Op, Spec, is_float
from .base import apply, match, operation, spec_of
from .elementwise import add, broadcast_shapes
from .reductions import sum_to_shape

__all__ = ["matmul", "dense"]


class Matmul(Op):
    """``a @ b`` over the last two axes, each matrix transposed on request; the axes before them broadcast."""

    name = "matmul"

    def infer(self, a, b, *, transpose_a, transpose_b):
        if len(a.shape) < 2 or len(b.shape) < 2:
            raise ValueError(f"matmul: both tensors need at least 2 axes, got shapes {a.shape} and {b.shape}.")
        if a.dtype != b.dtype or not is_float(a.dtype):
            raise TypeError(f"matmul: both tensors must be float32 or both float64, got {a.dtype} and {b.dtype}.")
        (m, k), (k2, n) = _sizes(a.shape, transpose_a), _sizes(b.shape, transpose_b)
        if k != k2:
            raise ValueError(f"matmul: the inner sizes {k} and {k2} of shapes {a.shape} and {b.shape} differ.")
        return Spec(broadcast_shapes("matmul", a.shape[:-2], b.shape[:-2]) + (m, n), a.dtype)

    def gradient(self, node, grad):
        a, b = node.inputs
        ta, tb = node.attrs["transpose_a"], node.attrs["transpose_b"]
        ga = _product(b, grad, tb, True) if ta else _product(grad, b, False, not tb)
        gb = _product(grad, a, True, ta) if tb else _product(a, grad, not ta, False)
        return sum_to_shape(ga, a.shape), sum_to_shape(gb, b.shape)

    def draw(self, draw, kit):
        return kit.matmul(draw)


def _sizes(shape, transposed):
    return shape[:-3:-1] if transposed else shape[-2:]


def _product(a, b, ta, tb):
    return apply("matmul", a, b, transpose_a=ta, transpose_b=tb)


@operation
def matmul(x1, x2):
    """The matrix product over the last two axes; a vector counts as a row (left) or column (right)."""
    x1, x2 = match(x1, x2)
    a, b = spec_of(x1).shape, spec_of(x2).shape
    if not a or not b:
        raise ValueError(f"matmul: a scalar has no matrix product; got shapes {a} and {b}.")
    if len(a) == 1:
        x1 = apply("reshape", x1, shape=(1,) + a)
    if len(b) == 1:
        x2 = apply("reshape", x2, shape=b + (1,))
    y = _product(x1, x2, False, False)
    shape = spec_of(y).shape
    if len(a) == 1:
        shape = shape[:-2] + shape[-1:]
    if len(b) == 1:
        shape = shape[:-1]
    return apply("reshape", y, shape=shape) if shape != spec_of(y).shape else y


@operation
def dense(x, kernel, bias=None):
    """``x @ kernel + bias`` over the last axis of `x`. kernel: (in, out). bias: (out,)."""
    y = matmul(x, kernel)
    return y if bias is None else add(y, bias)
