"""Axes and elements in another order or number: swapaxes, tile, roll, diagonals. Made of the ops of `shape`."""

from __future__ import annotations

import builtins
import math

import numpy as np

from .base import canonical_axes, canonical_axis, in_type, match, operation, spec_of
from .indexing import take
from .shape import broadcast_to, concatenate, expand_dims, flip, getitem, reshape, split, transpose

__all__ = ["swapaxes", "moveaxis", "tile", "repeat", "roll", "ravel", "hstack", "vstack", "append", "unstack",
           "array_split", "fliplr", "flipud", "rot90", "diagonal", "diag", "trace", "meshgrid", "slice_update", "diff"]


@operation
def swapaxes(x, axis1, axis2):
    """`x` with two axes exchanged."""
    axes = list(range(len(spec_of(x).shape)))
    a, b = canonical_axis(axis1, len(axes), "axis1"), canonical_axis(axis2, len(axes), "axis2")
    axes[a], axes[b] = b, a
    return transpose(x, axes)


@operation
def moveaxis(x, source, destination):
    """`x` with some axes moved to other positions, the rest in their order. source, destination: int or tuple."""
    rank = len(spec_of(x).shape)
    pairs = [v if isinstance(v, (tuple, list)) else (v,) for v in (source, destination)]
    old, new = ([canonical_axis(a, rank, name) for a in axes]
                for axes, name in zip(pairs, ("source", "destination"), strict=True))
    if len(old) != len(new) or len(set(old)) != len(old) or len(set(new)) != len(new):
        raise ValueError(f"moveaxis: source={source} and destination={destination} must name equally many different "
                         f"axes.")
    order = [a for a in range(rank) if a not in old]
    for to, a in sorted(zip(new, old, strict=True)):
        order.insert(to, a)
    return transpose(x, order)


@operation
def tile(x, repeats):
    """`x` so many times along each axis, one after the other. repeats: an int, or one per axis."""
    shape = spec_of(x).shape
    repeats = tuple(int(n) for n in (repeats if isinstance(repeats, (tuple, list)) else (repeats,)))
    if any(n < 0 for n in repeats):
        raise ValueError(f"tile: repeats={repeats} must be at least 0.")
    rank = max(len(shape), len(repeats))
    shape = (1,) * (rank - len(shape)) + tuple(shape)
    repeats = (1,) * (rank - len(repeats)) + repeats
    wide = broadcast_to(reshape(x, [m for n in shape for m in (1, n)]),
                        [m for pair in zip(repeats, shape, strict=True) for m in pair])
    return reshape(wide, [n * k for n, k in zip(shape, repeats, strict=True)])


@operation
def repeat(x, repeats, axis=None):
    """Each element `repeats` times in a row along `axis` (of the flattened tensor if None).

    repeats: an int, or a list of ints, one for each element of the axis.
    """
    if axis is None:
        x, axis = ravel(x), 0
    shape = spec_of(x).shape
    axis = canonical_axis(axis, len(shape))
    if not isinstance(repeats, (int, np.integer)):
        counts = np.asarray(repeats)
        if counts.ndim != 1 or len(counts) not in (1, shape[axis]) or counts.dtype.kind not in "iu" \
                or counts.min(initial=0) < 0:
            raise ValueError(f"repeat: repeats={repeats!r} must be an int or {shape[axis]} ints of at least 0.")
        return take(x, np.repeat(np.arange(shape[axis], dtype="int32"), counts), axis)
    if repeats < 0:
        raise ValueError(f"repeat: repeats={repeats} must be at least 0.")
    wide = broadcast_to(expand_dims(x, axis + 1), (*shape[:axis + 1], repeats, *shape[axis + 1:]))
    return reshape(wide, (*shape[:axis], shape[axis] * repeats, *shape[axis + 1:]))


@operation
def roll(x, shift, axis=None):
    """`x` moved by `shift` along `axis` (flattened if None); what leaves at one end comes in at the other."""
    shape = spec_of(x).shape
    if axis is None:
        return reshape(roll(ravel(x), int(np.sum(shift)), 0), shape)
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    shifts = np.broadcast_to(np.asarray(shift), (len(axes),))
    for a, s in zip(axes, shifts, strict=True):
        a = canonical_axis(a, len(shape))
        if shape[a] and int(s) % shape[a]:
            x = concatenate(split(x, [shape[a] - int(s) % shape[a]], a)[::-1], a)
    return x


@operation
def ravel(x):
    """`x` with all axes joined into one, in C order."""
    return reshape(x, (math.prod(spec_of(x).shape),))


@operation
def hstack(xs):
    """The tensors joined along axis 1, or along axis 0 if they have one axis."""
    xs = [x if spec_of(x).shape else reshape(x, (1,)) for x in xs]
    return concatenate(xs, 0 if len(spec_of(xs[0]).shape) == 1 else 1)


@operation
def vstack(xs):
    """The tensors joined along axis 0; those with one axis are rows."""
    return concatenate([x if len(spec_of(x).shape) > 1 else reshape(x, (1, -1)) for x in xs], 0)


@operation
def append(x1, x2, axis=None):
    """`x2` behind `x1` along `axis` (both flattened if None)."""
    return concatenate([ravel(x1), ravel(x2)], 0) if axis is None else concatenate([x1, x2], axis)


@operation
def unstack(x, num=None, axis=0):
    """The parts of `x` along an axis, without that axis, as a list. num: their number, if it is to be checked."""
    shape = spec_of(x).shape
    axis = canonical_axis(axis, len(shape))
    if num not in (None, shape[axis]):
        raise ValueError(f"unstack: axis {axis} has {shape[axis]} elements, not num={num}.")
    return [getitem(x, (np.s_[:],) * axis + (i,)) for i in range(shape[axis])]


@operation
def array_split(x, indices_or_sections, axis=0):
    """As `split`, but the sections may differ in length by one: the first ones are longer."""
    if not isinstance(indices_or_sections, (int, np.integer)):
        return split(x, indices_or_sections, axis)
    shape, n = spec_of(x).shape, int(indices_or_sections)
    if n < 1:
        raise ValueError(f"array_split: indices_or_sections={n} must be at least 1.")
    length = shape[canonical_axis(axis, len(shape))]
    sizes = [length // n + (i < length % n) for i in range(n)]
    return split(x, [builtins.sum(sizes[:i]) for i in range(1, n)], axis)


@operation
def fliplr(x):
    """`x` reversed along axis 1."""
    return flip(x, 1)


@operation
def flipud(x):
    """`x` reversed along axis 0."""
    return flip(x, 0)


@operation
def rot90(array, k=1, axes=(0, 1)):
    """`array` turned by `k` quarters from the first of two axes towards the second."""
    rank = len(spec_of(array).shape)
    a, b = (canonical_axis(axis, rank, "axes") for axis in axes)
    if a == b:
        raise ValueError(f"rot90: axes={axes} must be two different axes.")
    if k % 4 == 2:
        return flip(array, (a, b))
    if k % 4:
        array = swapaxes(flip(array, b if k % 4 == 1 else a), a, b)
    return array


@operation
def diagonal(x, offset=0, axis1=0, axis2=1):
    """The elements with equal places (their difference `offset`) on two axes, along a new last axis."""
    x = moveaxis(x, (axis1, axis2), (-2, -1))
    *others, n, m = spec_of(x).shape
    count = builtins.max(0, min(n, m - offset) if offset >= 0 else min(n + offset, m))
    start = offset if offset >= 0 else -offset * m
    return take(reshape(x, (*others, n * m)), start + np.arange(count, dtype="int32") * (m + 1), len(others))


@operation
def diag(x, k=0):
    """The k-th diagonal of a matrix; of a vector the matrix that has it as its k-th diagonal."""
    shape = spec_of(x).shape
    if len(shape) == 2:
        return diagonal(x, k)
    if len(shape) != 1:
        raise ValueError(f"diag needs a vector or a matrix, got shape {shape}.")
    n = shape[0] + builtins.abs(k)
    place = np.full((n, n), shape[0], "int32")
    index = np.arange(shape[0])
    place[index - min(k, 0), index + builtins.max(k, 0)] = index
    zero = in_type(np.zeros(1), spec_of(x).dtype)
    return take(concatenate([x, zero], 0), place, 0)


@operation
def trace(x, offset=0, axis1=0, axis2=1):
    """The sum of the diagonal."""
    from .reductions import sum
    return sum(diagonal(x, offset, axis1, axis2), -1)


@operation
def meshgrid(*x, indexing="xy"):
    """The coordinates of a grid from those of its axes, one tensor for each: vectors of lengths n, m, ...

    indexing: "xy" gives shape (m, n, ...), "ij" (n, m, ...).
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid: indexing={indexing!r} must be 'xy' or 'ij'.")
    x = [ravel(v) for v in x]
    order = list(range(len(x)))
    if indexing == "xy" and len(x) > 1:
        order[:2] = [1, 0]
    shape = [spec_of(x[i]).shape[0] for i in order]
    return [broadcast_to(reshape(v, [-1 if j == i else 1 for j in order]), shape) for i, v in enumerate(x)]


@operation
def slice_update(inputs, start_indices, updates):
    """`inputs` with the part that begins at `start_indices` and has the shape of `updates` replaced by them."""
    from .elementwise import where
    from .shape import pad
    shape, part = spec_of(inputs).shape, spec_of(updates).shape
    starts = [int(i) for i in start_indices]
    if len(starts) != len(shape) or len(part) != len(shape) \
            or any(not 0 <= a <= a + m <= n for a, m, n in zip(starts, part, shape, strict=True)):
        raise ValueError(f"slice_update: {part} elements from {tuple(starts)} on do not lie inside shape {shape}.")
    inputs, updates = match(inputs, updates)
    widths = [(a, n - a - m) for a, m, n in zip(starts, part, shape, strict=True)]
    return where(np.pad(np.ones(part, bool), widths), pad(updates, widths), inputs)


@operation
def diff(a, n=1, axis=-1):
    """The differences of neighbours along `axis`, `n` times over."""
    if n < 0:
        raise ValueError(f"diff: n={n} must be at least 0.")
    axis = canonical_axes(axis, len(spec_of(a).shape))[0]
    for _ in range(n):
        lead = (np.s_[:],) * axis
        a = getitem(a, (*lead, np.s_[1:])) - getitem(a, (*lead, np.s_[:-1]))
    return a
