"""Ops that move elements and compute nothing: reshape, transpose, pad, slice, concatenate, broadcast."""

from __future__ import annotations

import builtins
import math

import numpy as np

from ..graph import Op, Spec
from .base import apply, canonical_axes, canonical_axis, match, operation, spec_of

__all__ = ["reshape", "transpose", "broadcast_to", "pad", "slice", "concatenate", "stack", "expand_dims", "squeeze",
           "flip", "getitem", "split", "shape"]


class Reshape(Op):
    name = "reshape"

    def infer(self, x, *, shape):
        if math.prod(shape) != math.prod(x.shape):
            raise ValueError(f"reshape: {math.prod(x.shape)} elements of shape {x.shape} do not fill shape {shape}.")
        return Spec(tuple(shape), x.dtype)

    def gradient(self, node, grad):
        return (apply("reshape", grad, shape=node.inputs[0].shape),)

    def draw(self, draw, kit):
        return kit.reshape(draw)


class Transpose(Op):
    name = "transpose"

    def infer(self, x, *, axes):
        return Spec(tuple(x.shape[a] for a in axes), x.dtype)

    def gradient(self, node, grad):
        axes = node.attrs["axes"]
        return (apply("transpose", grad, axes=tuple(axes.index(i) for i in range(len(axes)))),)

    def draw(self, draw, kit):
        x = kit.array(draw)
        return [x], {"axes": tuple(draw(kit.permutations(x.ndim)))}


class BroadcastTo(Op):
    name = "broadcast_to"

    def infer(self, x, *, shape):
        lead = len(shape) - len(x.shape)
        if lead < 0 or any(n not in (1, m) for n, m in zip(x.shape, shape[lead:], strict=True)):
            raise ValueError(f"broadcast_to: shape {x.shape} does not spread to {shape}.")
        return Spec(tuple(shape), x.dtype)

    def gradient(self, node, grad):
        from .reductions import sum_to_shape
        return (sum_to_shape(grad, node.inputs[0].shape),)

    def draw(self, draw, kit):
        return kit.broadcast_to(draw)


class Pad(Op):
    """Constant padding; `pads` is a pair (before, after) per axis."""

    name = "pad"

    def infer(self, x, *, pads, value):
        return Spec(tuple(n + a + b for n, (a, b) in zip(x.shape, pads, strict=True)), x.dtype)

    def gradient(self, node, grad):
        starts = tuple(a for a, _ in node.attrs["pads"])
        stops = tuple(a + n for a, n in zip(starts, node.inputs[0].shape, strict=True))
        return (apply("slice", grad, starts=starts, stops=stops, steps=(1,) * len(starts)),)

    def draw(self, draw, kit):
        return kit.pad(draw)


class Slice(Op):
    """``x[starts:stops:steps]`` per axis: 0 <= start <= stop <= size, and steps > 0."""

    name = "slice"

    def infer(self, x, *, starts, stops, steps):
        return Spec(tuple(-(-(b - a) // s) for a, b, s in zip(starts, stops, steps, strict=True)), x.dtype)

    def gradient(self, node, grad):
        return (apply("slice_gradient", grad, shape=node.inputs[0].shape, **node.attrs),)

    def draw(self, draw, kit):
        return kit.slice(draw)


class SliceGradient(Op):
    """Zeros of shape `shape`, with x put where ``[starts:stops:steps]`` points."""

    name = "slice_gradient"

    def infer(self, x, *, shape, starts, stops, steps):
        return Spec(tuple(shape), x.dtype)

    def gradient(self, node, grad):
        attrs = {k: v for k, v in node.attrs.items() if k != "shape"}
        return (apply("slice", grad, **attrs),)

    def draw(self, draw, kit):
        return kit.slice_gradient(draw)


class Concatenate(Op):
    name = "concatenate"

    def infer(self, *specs, axis):
        first = specs[0]
        for spec in specs[1:]:
            if spec.dtype != first.dtype:
                raise TypeError(f"concatenate: the element types {first.dtype} and {spec.dtype} differ.")
            if len(spec.shape) != len(first.shape) or any(
                    a != b for i, (a, b) in enumerate(zip(spec.shape, first.shape, strict=True)) if i != axis):
                raise ValueError(f"concatenate: shapes {first.shape} and {spec.shape} must agree on every axis but "
                                 f"axis={axis}.")
        total = builtins.sum(s.shape[axis] for s in specs)
        return Spec(first.shape[:axis] + (total,) + first.shape[axis + 1:], first.dtype)

    def gradient(self, node, grad):
        axis, start, out = node.attrs["axis"], 0, []
        rank = len(grad.shape)
        for x in node.inputs:
            starts = tuple(start if i == axis else 0 for i in range(rank))
            stops = tuple(start + x.shape[axis] if i == axis else n for i, n in enumerate(grad.shape))
            out.append(apply("slice", grad, starts=starts, stops=stops, steps=(1,) * rank))
            start += x.shape[axis]
        return tuple(out)

    def draw(self, draw, kit):
        return kit.concatenate(draw)


class Flip(Op):
    name = "flip"

    def infer(self, x, *, axes):
        return x

    def gradient(self, node, grad):
        return (apply("flip", grad, **node.attrs),)

    def draw(self, draw, kit):
        arrays, attrs = kit.reduction(draw)
        return arrays, {"axes": attrs["axes"]}


@operation
def reshape(x, newshape):
    """`x` with another shape; one size may be -1 (found from the others)."""
    shape_in = spec_of(x).shape
    newshape = tuple(int(n) for n in (newshape if isinstance(newshape, (tuple, list)) else (newshape,)))
    if newshape.count(-1) > 1 or any(n < -1 for n in newshape):
        raise ValueError(f"reshape: newshape={newshape} may have one -1 and otherwise sizes of 0 or more.")
    if -1 in newshape:
        known = math.prod(n for n in newshape if n != -1)
        total = math.prod(shape_in)
        if known == 0 or total % known:
            raise ValueError(f"reshape: {total} elements of shape {shape_in} do not divide into newshape={newshape}.")
        newshape = tuple(total // known if n == -1 else n for n in newshape)
    return apply("reshape", x, shape=newshape)


@operation
def transpose(x, axes=None):
    """`x` with its axes reordered; reversed if `axes` is None."""
    rank = len(spec_of(x).shape)
    axes = tuple(range(rank))[::-1] if axes is None else tuple(canonical_axis(a, rank, "axes") for a in axes)
    if sorted(axes) != list(range(rank)):
        raise ValueError(f"transpose: axes={axes} is no permutation of the {rank} axes.")
    return apply("transpose", x, axes=axes)


@operation
def broadcast_to(x, shape):
    """`x` repeated along axes of length 1 (and new leading axes) until it has `shape`."""
    return apply("broadcast_to", x, shape=tuple(int(n) for n in shape))


@operation
def pad(x, pad_width, mode="constant", constant_values=0):
    """`x` with a border. pad_width: an int, or a pair (before, after) per axis.

    mode, for an axis a b c d: "constant" (constant_values), "reflect" (c b | a b c d | c b), "symmetric"
    (b a | a b c d | d c), "edge" (a a | a b c d | d d) or "wrap" (c d | a b c d | a b), as in NumPy. "reflect" takes
    at most n - 1 elements from an axis of n, "symmetric" and "wrap" at most n.
    """
    sizes = spec_of(x).shape
    rank = len(sizes)
    if mode not in ("constant", *_BORDERS):
        raise ValueError(f"pad: mode={mode!r} is not known; expected one of 'constant', "
                         f"{', '.join(map(repr, _BORDERS))}.")
    if isinstance(pad_width, (int, np.integer)):
        pad_width = [(pad_width, pad_width)] * rank
    pads = tuple((int(a), int(b)) for a, b in pad_width)
    if len(pads) != rank:
        raise ValueError(f"pad: pad_width has {len(pads)} pairs for a tensor with {rank} axes.")
    if any(n < 0 for pair in pads for n in pair):
        raise ValueError(f"pad: pad_width={pads} has a negative width; use slicing to cut.")
    if mode == "constant":
        return apply("pad", x, pads=pads, value=float(constant_values))
    for axis, widths in enumerate(pads):
        if any(widths):
            x = _bordered(x, axis, *widths, mode)
    return x


# mode -> how many of the n elements of an axis a border can show
_BORDERS = {"reflect": lambda n: n - 1, "symmetric": lambda n: n, "wrap": lambda n: n,
            "edge": lambda n: None if n else 0}


def _bordered(x, axis, before, after, mode):
    """x with a border along one axis, made of its own elements."""
    n, most = spec_of(x).shape[axis], _BORDERS[mode](spec_of(x).shape[axis])
    if most is not None and max(before, after) > most:
        raise ValueError(f"pad: mode={mode!r} can add at most {most} elements to axis {axis} of {n}, got "
                         f"{(before, after)}.")
    index = [np.s_[:]] * len(spec_of(x).shape)

    def part(first, last):
        return getitem(x, tuple(index[:axis] + [np.s_[first:last]]))

    def first_or_last(at, width):
        one = part(at, at + 1)
        return broadcast_to(one, tuple(width if i == axis else m for i, m in enumerate(spec_of(one).shape)))
    skip = 1 if mode == "reflect" else 0
    parts = [x]
    if before:
        parts.insert(0, first_or_last(0, before) if mode == "edge" else part(n - before, n) if mode == "wrap"
                     else flip(part(skip, skip + before), axis))
    if after:
        parts.append(first_or_last(n - 1, after) if mode == "edge" else part(0, after) if mode == "wrap"
                     else flip(part(n - skip - after, n - skip), axis))
    return concatenate(parts, axis)


@operation
def slice(x, start_indices, shape):
    """The part of `x` that begins at `start_indices` and has `shape`."""
    sizes = spec_of(x).shape
    starts = tuple(int(i) for i in start_indices)
    stops = tuple(a + int(n) for a, n in zip(starts, shape, strict=True))
    if any(not 0 <= a <= b <= n for a, b, n in zip(starts, stops, sizes, strict=True)):
        raise ValueError(f"slice: {starts} to {stops} does not lie inside shape {sizes}.")
    return apply("slice", x, starts=starts, stops=stops, steps=(1,) * len(starts))


@operation
def concatenate(xs, axis=0):
    """The tensors joined along an existing axis."""
    if not xs:
        raise ValueError("concatenate: nothing to join; give at least one tensor.")
    xs = match(*xs)
    return apply("concatenate", *xs, axis=canonical_axis(axis, len(spec_of(xs[0]).shape)))


@operation
def expand_dims(x, axis):
    """`x` with new axes of length 1 at the positions `axis` of the result."""
    shape_in = spec_of(x).shape
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    rank = len(shape_in) + len(axes)
    axes = canonical_axes(axes, rank)
    sizes = iter(shape_in)
    return apply("reshape", x, shape=tuple(1 if i in axes else next(sizes) for i in range(rank)))


@operation
def squeeze(x, axis=None):
    """`x` without its axes of length 1, or without those named."""
    shape_in = spec_of(x).shape
    axes = tuple(i for i, n in enumerate(shape_in) if n == 1) if axis is None else canonical_axes(axis, len(shape_in))
    if any(shape_in[i] != 1 for i in axes):
        raise ValueError(f"squeeze: axis={axis} has a length other than 1 in shape {shape_in}.")
    return apply("reshape", x, shape=tuple(n for i, n in enumerate(shape_in) if i not in axes))


@operation
def stack(xs, axis=0):
    """The tensors joined along a new axis."""
    return concatenate([expand_dims(x, axis) for x in xs], axis)


@operation
def flip(x, axis=None):
    """`x` reversed along axes (all if None)."""
    return apply("flip", x, axes=canonical_axes(axis, len(spec_of(x).shape)))


@operation
def split(x, indices_or_sections, axis=0):
    """The parts of `x` between the given indices, or so many equal parts, as a list."""
    sizes = spec_of(x).shape
    axis = canonical_axis(axis, len(sizes))
    if isinstance(indices_or_sections, (int, np.integer)):
        n = int(indices_or_sections)
        if n <= 0 or sizes[axis] % n:
            raise ValueError(f"split: axis {axis} of length {sizes[axis]} does not divide into {n} equal parts.")
        cuts = [sizes[axis] // n * i for i in range(1, n)]
    else:
        cuts = [int(i) for i in indices_or_sections]
    edges = [0, *cuts, sizes[axis]]
    index = [np.s_[:]] * len(sizes)
    return [getitem(x, tuple(index[:axis] + [np.s_[a:b]])) for a, b in zip(edges[:-1], edges[1:], strict=True)]


@operation
def getitem(x, key):
    """``x[key]`` for ints, slices, ``...`` and None; arrays as indices are not supported."""
    sizes = spec_of(x).shape
    keys = list(key) if isinstance(key, tuple) else [key]
    used = len([k for k in keys if k is not None and k is not Ellipsis])
    if used > len(sizes):
        raise IndexError(f"{used} indices for a tensor with {len(sizes)} axes.")
    fill = [np.s_[:]] * (len(sizes) - used)
    at = next((i for i, k in enumerate(keys) if k is Ellipsis), None)
    keys = keys[:at] + fill + keys[at + 1:] if at is not None else keys + fill
    starts, stops, steps, flips, shape_out, axis = [], [], [], [], [], 0
    for k in keys:
        if k is None:
            shape_out.append(1)
            continue
        n = sizes[axis]
        if isinstance(k, (int, np.integer)) and not isinstance(k, bool):
            if not -n <= k < n:
                raise IndexError(f"index {k} is out of range for axis {axis} of length {n}.")
            k = int(k) % n
            starts.append(k), stops.append(k + 1), steps.append(1)
        elif isinstance(k, builtins.slice):
            a, b, s = k.indices(n)
            count = len(range(a, b, s))
            if s < 0:
                flips.append(axis)
                a, b, s = a + (count - 1) * s, a + 1, -s
            starts.append(a if count else 0), stops.append(a + (count - 1) * s + 1 if count else 0), steps.append(s)
            shape_out.append(count)
        else:
            raise TypeError(f"a tensor is indexed by ints, slices, ... and None, not by {type(k).__name__}.")
        axis += 1
    if any((a, b, s) != (0, n, 1) for a, b, s, n in zip(starts, stops, steps, sizes, strict=True)):
        x = apply("slice", x, starts=tuple(starts), stops=tuple(stops), steps=tuple(steps))
    if flips:
        x = apply("flip", x, axes=tuple(flips))
    return apply("reshape", x, shape=tuple(shape_out)) if spec_of(x).shape != tuple(shape_out) else x


def shape(x) -> tuple:
    """The shape of a tensor or array, as a tuple of ints (None where open)."""
    return tuple(x.shape) if hasattr(x, "shape") else np.shape(x)
