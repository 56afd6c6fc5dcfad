"""Softmax, cross-entropies, one-hot."""

from __future__ import annotations

import numpy as np

from ..graph import Op, Spec, is_float, limits
from .base import apply, canonical_axis, match, operation, precisely, spec_of
from .elementwise import absolute, cast, clip, equal, exp, log, log1p, maximum, rsqrt, where
from .linear import matmul
from .reductions import logsumexp, max, mean, stop_gradient, sum, variance
from .shape import expand_dims, reshape, transpose

__all__ = ["softmax", "log_softmax", "one_hot", "multi_hot", "sparse_softmax_cross_entropy", "softmax_cross_entropy",
           "sigmoid_cross_entropy", "binary_crossentropy", "categorical_crossentropy",
           "sparse_categorical_crossentropy", "batch_normalization", "layer_normalization", "rms_normalization",
           "dot_product_attention"]


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
@precisely
def softmax(x, axis=-1):
    """``exp(x) / sum(exp(x))`` along `axis`, without overflow."""
    (x,) = match(x)
    e = exp(x - stop_gradient(max(x, axis, keepdims=True)))
    return e / sum(e, axis, keepdims=True)


@operation
@precisely
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


@operation
def multi_hot(inputs, num_classes, axis=-1, dtype=None):
    """1 for each class that occurs along the last axis of `inputs` (the only one of a vector), 0 for the others.

    inputs: (..., n), integers. The axis of the classes becomes `axis` of the result.
    """
    hot = one_hot(inputs, num_classes, axis, dtype)
    # The axis that is done with lies before the classes, unless they were put elsewhere.
    rank = len(spec_of(hot).shape)
    return max(hot, rank - 2 if canonical_axis(axis, rank) == rank - 1 else rank - 1)


@operation
def binary_crossentropy(target, output, from_logits=False):
    """``-(t * log(p) + (1 - t) * log(1 - p))`` for each element; p is `output`, or with `from_logits` its sigmoid.

    Probabilities count as at least `pyconv.config.epsilon()` away from 0 and 1.
    """
    if from_logits:
        return sigmoid_cross_entropy(output, target)
    from ..config import epsilon
    target, output = match(target, output)
    p = clip(output, epsilon(), 1.0 - epsilon())
    return -(target * log(p) + (1.0 - target) * log(1.0 - p))


@operation
def categorical_crossentropy(target, output, from_logits=False, axis=-1):
    """``-sum(target * log(p))`` along `axis`; p is `output` divided by its sum, or with `from_logits` its softmax."""
    target, output = match(target, output)
    if from_logits:
        return -sum(target * log_softmax(output, axis), axis)
    from ..config import epsilon
    p = output / sum(output, axis, keepdims=True)
    return -sum(target * log(clip(p, epsilon(), 1.0 - epsilon())), axis)


@operation
def sparse_categorical_crossentropy(target, output, from_logits=False, axis=-1):
    """As `categorical_crossentropy`, for class numbers instead of distributions.

    target: the shape of `output` without `axis` (or with length 1 there), integers from 0 to classes - 1.
    """
    shape = spec_of(output).shape
    axis = canonical_axis(axis, len(shape))
    rest = shape[:axis] + shape[axis + 1:]
    if spec_of(target).shape == shape[:axis] + (1,) + shape[axis + 1:]:
        target = reshape(target, rest)
    if not from_logits:
        from ..config import epsilon
        p = output / sum(output, axis, keepdims=True)
        output = log(clip(p, epsilon(), 1.0 - epsilon()))
        return -sum(where(cast(one_hot(target, shape[axis], axis), "bool"), output, 0.0), axis)
    if axis != len(shape) - 1:
        output = transpose(output, [i for i in range(len(shape)) if i != axis] + [axis])
    return sparse_softmax_cross_entropy(output, target)


@operation
@precisely
def batch_normalization(x, mean, variance, axis, offset=None, scale=None, epsilon=1e-3):
    """``(x - mean) / sqrt(variance + epsilon) * scale + offset``, each of them with one number per place on `axis`."""
    rank = len(spec_of(x).shape)
    at = canonical_axis(axis, rank)

    def along(v):
        return reshape(v, [-1 if i == at else 1 for i in range(rank)])
    factor = rsqrt(variance + epsilon)
    factor = factor if scale is None else factor * scale
    shift = -(mean * factor) if offset is None else offset - mean * factor
    return x * along(factor) + along(shift)


def _weight(weight, x, axes):
    return reshape(weight, [n if i in axes else 1 for i, n in enumerate(spec_of(x).shape)])


@operation
@precisely
def layer_normalization(x, gamma=None, beta=None, axis=-1, epsilon=None):
    """``(x - mean) / sqrt(variance + epsilon) * gamma + beta`` over one axis or several; epsilon: default 1e-7."""
    from ..config import epsilon as default
    axes = tuple(sorted(canonical_axis(a, len(spec_of(x).shape))
                        for a in (axis if isinstance(axis, (tuple, list)) else (axis,))))
    factor = rsqrt(variance(x, axes, keepdims=True) + (default() if epsilon is None else epsilon))
    y = (x - mean(x, axes, keepdims=True)) * (factor if gamma is None else factor * _weight(gamma, x, axes))
    return y if beta is None else y + _weight(beta, x, axes)


@operation
@precisely
def rms_normalization(x, scale=None, axis=-1, epsilon=None):
    """``x / sqrt(mean(x ** 2) + epsilon) * scale`` over one axis or several; epsilon: default 1e-7."""
    from ..config import epsilon as default
    axes = tuple(sorted(canonical_axis(a, len(spec_of(x).shape))
                        for a in (axis if isinstance(axis, (tuple, list)) else (axis,))))
    factor = rsqrt(mean(x * x, axes, keepdims=True) + (default() if epsilon is None else epsilon))
    return x * (factor if scale is None else factor * _weight(scale, x, axes))


@operation
def dot_product_attention(query, key, value, bias=None, mask=None, scale=None, is_causal=False):
    """For each query the mean of the values, weighted by ``softmax(scale * query . key + bias)``.

    query: (batch, t, heads, n). key, value: (batch, s, heads, n), or with fewer heads, each of which serves equally
    many of the query's. bias: adds to the scores (batch, heads, t, s). mask: True where a query may look.
    scale: default ``1 / sqrt(n)``. is_causal: query i looks at the values up to i.
    Returns (batch, t, heads, n). Source: Vaswani et al., *Attention is all you need*, 2017.
    """
    query, key, value = match(query, key, value)
    shapes = [spec_of(x).shape for x in (query, key, value)]
    (_, t, heads, n), (_, s, groups, _) = shapes[0] if len(shapes[0]) == 4 else (None,) * 4, \
        shapes[1] if len(shapes[1]) == 4 else (None,) * 4
    if t is None or s is None or shapes[1][:3] != shapes[2][:3] or shapes[1][3] != n or heads % groups:
        raise ValueError(f"dot_product_attention: query (batch, t, heads, n), key and value (batch, s, heads, n) do "
                         f"not fit: the shapes are {', '.join(map(str, shapes))}.")
    if groups != heads:
        from .arranging import repeat
        key, value = repeat(key, heads // groups, 2), repeat(value, heads // groups, 2)
    query, key, value = (transpose(x, (0, 2, 1, 3)) for x in (query * (n ** -0.5 if scale is None else scale), key,
                                                              value))
    scores = matmul(query, transpose(key, (0, 1, 3, 2)))
    if bias is not None:
        scores = scores + bias
    if is_causal:
        allowed = np.tri(t, s, dtype=bool)
        mask = allowed if mask is None else cast(mask, "bool") & allowed
    return transpose(matmul(softmax(masked(scores, mask)), value), (0, 2, 1, 3))


def masked(scores, mask):
    """Scores with the lowest finite number where the mask is False, so that a softmax gives 0 there."""
    if mask is None:
        return scores
    return where(cast(mask, "bool"), scores, -limits(spec_of(scores).dtype).max)
