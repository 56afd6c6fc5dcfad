"""Softmax, cross-entropies, one-hot."""

from __future__ import annotations

import numpy as np

from ..graph import Op, Spec, is_float
from .base import apply, canonical_axis, match, operation, spec_of
from .elementwise import absolute, cast, equal, exp, log1p, maximum
from .reductions import logsumexp, max, stop_gradient, sum
from .shape import expand_dims

__all__ = ["softmax", "log_softmax", "one_hot", "sparse_softmax_cross_entropy", "softmax_cross_entropy",
           "sigmoid_cross_entropy"]


class SparseSoftmaxCrossEntropy(Op):
    """``logsumexp(logits) - logits[label]`` over the last axis. logits: (..., classes). labels: (...) of integers.

    A label outside of 0 to classes - 1 stops the run with a ValueError before any variable is changed.
    """

    name = "sparse_softmax_cross_entropy"

    def infer(self, logits, labels):
        if not is_float(logits.dtype) or is_float(labels.dtype):
            raise TypeError(f"sparse_softmax_cross_entropy needs float logits and integer labels, got {logits.dtype} "
                            f"and {labels.dtype}.")
        if not logits.shape or logits.shape[:-1] != labels.shape:
            raise ValueError(f"sparse_softmax_cross_entropy: logits of shape {logits.shape} need labels of shape "
                             f"{logits.shape[:-1]}, got {labels.shape}.")
        return Spec(labels.shape, logits.dtype)

    def gradient(self, node, grad):
        logits, labels = node.inputs
        return apply("sparse_softmax_cross_entropy_gradient", logits, labels, grad), None

    def draw(self, draw, kit):
        logits, labels, _ = kit.cross_entropy(draw)
        return [logits, labels], {}


class SparseSoftmaxCrossEntropyGradient(Op):
    """``(softmax(logits) - one_hot(labels)) * grad``, the gradient for the logits."""

    name = "sparse_softmax_cross_entropy_gradient"

    def infer(self, logits, labels, grad):
        return logits

    def gradient(self, node, upstream):
        logits, labels, grad = node.inputs
        p = softmax(logits)
        scaled = upstream * expand_dims(grad, -1)
        dlogits = p * (scaled - sum(scaled * p, -1, keepdims=True))
        return dlogits, None, sum(upstream * (p - one_hot(labels, logits.shape[-1], dtype=p.dtype)), -1)

    def draw(self, draw, kit):
        return list(kit.cross_entropy(draw)), {}


@operation
def softmax(x, axis=-1):
    """``exp(x) / sum(exp(x))`` along `axis`, without overflow."""
    (x,) = match(x)
    e = exp(x - stop_gradient(max(x, axis, keepdims=True)))
    return e / sum(e, axis, keepdims=True)


@operation
def log_softmax(x, axis=-1):
    """``x - logsumexp(x)`` along `axis`."""
    (x,) = match(x)
    return x - logsumexp(x, axis, keepdims=True)


@operation
def one_hot(x, num_classes, axis=-1, dtype=None):
    """1 where the position along the new axis equals the integer, 0 elsewhere; all 0 where it is out of range."""
    from ..config import floatx
    spec = spec_of(x)
    if is_float(spec.dtype):
        raise TypeError(f"one_hot needs integers, got {spec.dtype}.")
    rank = len(spec.shape) + 1
    axis = canonical_axis(axis, rank)
    classes = np.arange(num_classes, dtype="int32").reshape([num_classes if i == axis else 1 for i in range(rank)])
    return cast(equal(expand_dims(cast(x, "int32"), axis), classes), dtype or floatx())


@operation
def sparse_softmax_cross_entropy(logits, labels):
    """The cross-entropy of integer labels: ``logsumexp(logits) - logits[label]`` over the last axis.

    logits: (..., classes). labels: (...), integers from 0 to classes - 1; others raise ValueError.
    """
    return apply("sparse_softmax_cross_entropy", logits, labels)


@operation
def softmax_cross_entropy(logits, targets):
    """The cross-entropy of distributions: ``-sum(targets * log_softmax(logits))`` over the last axis."""
    logits, targets = match(logits, targets)
    return -sum(targets * log_softmax(logits), -1)


@operation
def sigmoid_cross_entropy(logits, targets):
    """Elementwise binary cross-entropy of logits, without overflow."""
    logits, targets = match(logits, targets)
    return maximum(logits, 0.0) - logits * targets + log1p(exp(-absolute(logits)))
