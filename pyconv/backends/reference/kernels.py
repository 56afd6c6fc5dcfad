"""The reference kernels: each op of the registry in plain NumPy, written to be read.

A kernel takes the op's arrays and its attributes, and returns a new array (or one of its inputs, unchanged).
It computes in the type of its inputs. Windows are looped over by their positions, never by output elements,
so that a small network remains bearable. Nothing here is shared with another backend, nor with the ops' own
rules.
"""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np

__all__ = ["KERNELS"]

KERNELS: dict = {}


def kernel(name):
    """Register a function under `name`, run without NumPy's warnings: overflow and 1 / 0 give inf or NaN."""
    def register(function):
        @functools.wraps(function)
        def quiet(*arrays, **attrs):
            with np.errstate(all="ignore"):
                return function(*arrays, **attrs)
        KERNELS[name] = quiet
        return function
    return register


# ---------------------------------------------------------------------------------------------- elementwise

for _name, _function in {
        "negative": np.negative, "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p,
        "sqrt": np.sqrt, "square": np.square, "absolute": np.absolute, "sign": np.sign, "floor": np.floor,
        "tanh": np.tanh, "sin": np.sin, "cos": np.cos, "arctan2": np.arctan2, "round": np.round,
        "logical_not": np.logical_not, "isfinite": np.isfinite, "add": np.add,
        "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide, "maximum": np.maximum,
        "minimum": np.minimum, "power": np.power, "equal": np.equal, "not_equal": np.not_equal,
        "less": np.less,
        "less_equal": np.less_equal, "greater": np.greater, "greater_equal": np.greater_equal,
        "logical_and": np.logical_and, "logical_or": np.logical_or, "where": np.where}.items():
    # A wrapper of its own: functools.wraps does not take ufuncs in every version of NumPy.
    kernel(_name)(lambda *arrays, _function=_function: _function(*arrays))


@kernel("sigmoid")
def sigmoid(x):
    # exp never sees a positive number, so it cannot overflow.
    e = np.exp(-np.absolute(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e)).astype(x.dtype)


@kernel("erf")
def erf(x):
    return np.array([math.erf(v) for v in x.ravel()], x.dtype).reshape(x.shape)


@kernel("relu")
def relu(x):
    return np.maximum(x, np.zeros((), x.dtype))


@kernel("round_float16")
def round_float16(x):
    return rounded(x, 11, -13)


@kernel("round_bfloat16")
def round_bfloat16(x):
    return rounded(x, 8, -125)


def rounded(x, digits, least):
    """The nearest numbers with so many binary digits; below 2**(least - 1) with fewer, of the same last place.

    Exponents are those of `frexp`: x = mantissa * 2**exponent, the mantissa from 1/2 to 1. The largest exponent of
    both formats is 3 - least.
    """
    wide = x.astype("float64")
    _, exponent = np.frexp(wide)
    place = np.ldexp(1.0, np.maximum(exponent, least) - digits)
    y = np.rint(wide / place) * place
    y = np.where(np.absolute(y) >= 2.0 ** (3 - least), np.copysign(np.inf, y), y)
    return np.where(np.isfinite(wide), y, wide).astype(x.dtype)


@kernel("cast")
def cast(x, *, dtype):
    return x.astype(dtype)


@kernel("stop_gradient")
def stop_gradient(x):
    return x


@kernel("check_finite")
def check_finite(x, *, message):
    if not np.isfinite(x).all():
        raise ValueError(message)
    return x


# ----------------------------------------------------------------------------------------------- reductions

@kernel("sum")
def sum_(x, *, axes, keepdims):
    return np.sum(x, axis=axes, keepdims=keepdims, dtype=x.dtype)


@kernel("max")
def max_(x, *, axes, keepdims):
    return np.max(x, axis=axes, keepdims=keepdims)


@kernel("min")
def min_(x, *, axes, keepdims):
    return np.min(x, axis=axes, keepdims=keepdims)


@kernel("variance")
def variance(x, *, axes, keepdims):
    return np.var(x, axis=axes, keepdims=keepdims)


@kernel("argmax")
def argmax(x, *, axis):
    return np.argmax(x, axis=axis).astype("int32")


@kernel("argmin")
def argmin(x, *, axis):
    return np.argmin(x, axis=axis).astype("int32")


# ---------------------------------------------------------------------------------------------------- shape

@kernel("reshape")
def reshape(x, *, shape):
    return np.reshape(x, shape)


@kernel("transpose")
def transpose(x, *, axes):
    return np.transpose(x, axes)


@kernel("broadcast_to")
def broadcast_to(x, *, shape):
    return np.broadcast_to(x, shape).copy()


@kernel("pad")
def pad(x, *, pads, value):
    out = np.full([a + n + b for n, (a, b) in zip(x.shape, pads, strict=True)], value, x.dtype)
    out[tuple(slice(a, a + n) for n, (a, _) in zip(x.shape, pads, strict=True))] = x
    return out


@kernel("slice")
def slice_(x, *, starts, stops, steps):
    return x[tuple(map(slice, starts, stops, steps))].copy()


@kernel("slice_gradient")
def slice_gradient(x, *, shape, starts, stops, steps):
    out = np.zeros(shape, x.dtype)
    out[tuple(map(slice, starts, stops, steps))] = x
    return out


@kernel("concatenate")
def concatenate(*xs, axis):
    return np.concatenate(xs, axis)


@kernel("flip")
def flip(x, *, axes):
    return np.flip(x, axes)


# --------------------------------------------------------------------------------------------------- linear

@kernel("matmul")
def matmul(a, b, *, transpose_a, transpose_b):
    a = np.swapaxes(a, -1, -2) if transpose_a else a
    b = np.swapaxes(b, -1, -2) if transpose_b else b
    return np.matmul(a, b)


# ---------------------------------------------------------------------------------------------- convolution
#
# Inside, the channels are last. A tap is one position in the kernel's window: all the input elements that it
# meets form a strided slice of the padded input, and it multiplies each of them by one matrix (channels,
# filters).

def to_last(x, channels_last):
    return x if channels_last else np.moveaxis(x, 1, -1)


def from_last(x, channels_last):
    return x if channels_last else np.moveaxis(x, -1, 1)


def pad_spatial(x, padding):
    return np.pad(x, [(0, 0), *padding, (0, 0)])


def taps(window):
    return itertools.product(*map(range, window))


def met_by(tap, outputs, strides, dilation):
    """The index of the padded input's elements that a tap meets while the window moves over all outputs."""
    return (slice(None), *(slice(t * d, t * d + (n - 1) * s + 1, s)
                           for t, n, s, d in zip(tap, outputs, strides, dilation, strict=True)))


def group(g, size):
    return slice(g * size, (g + 1) * size)


@kernel("conv")
def conv(x, weight, *, strides, padding, dilation, groups, channels_last):
    x = pad_spatial(to_last(x, channels_last), padding)
    *window, depth, filters = weight.shape
    each = filters // groups
    outputs = [(n - d * (k - 1) - 1) // s + 1
               for n, k, s, d in zip(x.shape[1:-1], window, strides, dilation, strict=True)]
    y = np.zeros((x.shape[0], *outputs, filters), x.dtype)
    for tap in taps(window):
        met = x[met_by(tap, outputs, strides, dilation)]
        for g in range(groups):
            y[..., group(g, each)] += met[..., group(g, depth)] @ weight[tap][:, group(g, each)]
    return from_last(y, channels_last)


@kernel("conv_input_gradient")
def conv_input_gradient(grad, weight, *, shape, strides, padding, dilation, groups, channels_last):
    grad = to_last(grad, channels_last)
    *window, depth, filters = weight.shape
    each = filters // groups
    batch, *sizes, channels = shape if channels_last else (shape[0], *shape[2:], shape[1])
    padded = np.zeros((batch, *(n + p + q for n, (p, q) in zip(sizes, padding, strict=True)), channels),
                      grad.dtype)
    for tap in taps(window):
        met = padded[met_by(tap, grad.shape[1:-1], strides,
                            dilation)]    # a view: adding to it adds to `padded`
        for g in range(groups):
            met[..., group(g, depth)] += grad[..., group(g, each)] @ weight[tap][:, group(g, each)].T
    inner = padded[(slice(None), *(slice(p, p + n) for n, (p, _) in zip(sizes, padding, strict=True)))]
    return from_last(inner, channels_last)


@kernel("conv_kernel_gradient")
def conv_kernel_gradient(x, grad, *, shape, strides, padding, dilation, groups, channels_last):
    x, grad = pad_spatial(to_last(x, channels_last), padding), to_last(grad, channels_last)
    *window, depth, filters = shape
    each = filters // groups
    out = np.zeros(shape, x.dtype)
    for tap in taps(window):
        met = x[met_by(tap, grad.shape[1:-1], strides, dilation)]
        for g in range(groups):
            rows = met[..., group(g, depth)].reshape(-1, depth)
            out[tap][:, group(g, each)] = rows.T @ grad[..., group(g, each)].reshape(-1, each)
    return out


# -------------------------------------------------------------------------------------------------- pooling

def windows_maximum(x, window, strides, padding, dilation):
    """The maximum of each window of x (channels last), and where it was found.

    Returns the maxima, and for each spatial axis their positions in x. A later element replaces an earlier
    one only if it is larger, or if it is the first NaN. Elements of the padding are never looked at.
    """
    sizes = x.shape[1:-1]
    outputs = [(n + p + q - d * (k - 1) - 1) // s + 1
               for n, k, s, (p, q), d in zip(sizes, window, strides, padding, dilation, strict=True)]
    best = np.zeros((x.shape[0], *outputs, x.shape[-1]), x.dtype)
    found = np.zeros(best.shape, bool)
    where = [np.zeros(best.shape, int) for _ in sizes]
    for tap in taps(window):
        index = [np.arange(o) * s - p + t * d
                 for o, s, (p, _), t, d in zip(outputs, strides, padding, tap, dilation, strict=True)]
        # One index per spatial axis, shaped to broadcast against (batch, *outputs, channels).
        grid = [g[None, ..., None] for g in np.meshgrid(*index, indexing="ij")]
        inside = np.ones((1, *outputs, 1), bool)
        for g, n in zip(grid, sizes, strict=True):
            inside = inside & (g >= 0) & (g < n)
        value = x[(slice(None), *(np.clip(g[0, ..., 0], 0, n - 1) for g, n in zip(grid, sizes, strict=True)))]
        wins = inside & (~found | (value > best) | (np.isnan(value) & ~np.isnan(best)))
        best = np.where(wins, value, best)
        where = [np.where(wins, g, w) for g, w in zip(grid, where, strict=True)]
        found = found | wins
    return best, where


@kernel("max_pool")
def max_pool(x, *, window, strides, padding, dilation, channels_last):
    best, _ = windows_maximum(to_last(x, channels_last), window, strides, padding, dilation)
    return from_last(best, channels_last)


@kernel("max_pool_gradient")
def max_pool_gradient(x, grad, *, window, strides, padding, dilation, channels_last):
    x, grad = to_last(x, channels_last), to_last(grad, channels_last)
    _, where = windows_maximum(x, window, strides, padding, dilation)
    out = np.zeros(x.shape, x.dtype)
    batch, channel = np.arange(x.shape[0]), np.arange(x.shape[-1])
    batch = batch.reshape(-1, *[1] * (x.ndim - 1))
    np.add.at(out, (batch, *where, channel), grad)      # add.at adds up elements that win in several windows
    return from_last(out, channels_last)


def window_divisors(sizes, outputs, window, strides, padding, dilation, divisor, dtype):
    """What the sum of each window is divided by, shaped (1, *outputs, 1)."""
    counts = np.ones((), dtype)
    for n, o, k, s, (p, _), d in zip(sizes, outputs, window, strides, padding, dilation, strict=True):
        held = [sum(0 <= i * s - p + t * d < n for t in range(k)) for i in range(o)]
        counts = counts[..., None] * np.array(held if divisor == "elements" else [k] * o, dtype)
    return counts[None, ..., None] if divisor != "one" else np.ones((1,) * (len(sizes) + 2), dtype)


@kernel("avg_pool")
def avg_pool(x, *, window, strides, padding, dilation, channels_last, divisor):
    x = to_last(x, channels_last)
    sizes, padded = x.shape[1:-1], pad_spatial(x, padding)
    outputs = [(n - d * (k - 1) - 1) // s + 1
               for n, k, s, d in zip(padded.shape[1:-1], window, strides, dilation, strict=True)]
    total = np.zeros((x.shape[0], *outputs, x.shape[-1]), x.dtype)
    for tap in taps(window):
        total += padded[met_by(tap, outputs, strides, dilation)]
    divisors = window_divisors(sizes, outputs, window, strides, padding, dilation, divisor, x.dtype)
    return from_last(total / divisors, channels_last)


@kernel("avg_pool_gradient")
def avg_pool_gradient(grad, *, shape, window, strides, padding, dilation, channels_last, divisor):
    grad = to_last(grad, channels_last)
    batch, *sizes, channels = shape if channels_last else (shape[0], *shape[2:], shape[1])
    outputs = grad.shape[1:-1]
    each = grad / window_divisors(sizes, outputs, window, strides, padding, dilation, divisor, grad.dtype)
    padded = pad_spatial(np.zeros((batch, *sizes, channels), grad.dtype), padding)
    for tap in taps(window):
        padded[met_by(tap, outputs, strides, dilation)] += each
    inner = padded[(slice(None), *(slice(p, p + n) for n, (p, _) in zip(sizes, padding, strict=True)))]
    return from_last(inner, channels_last)


# ------------------------------------------------------------------------------------------------- indexing

def checked_indices(indices, size):
    for index in indices.ravel():
        if not 0 <= index < size:
            raise ValueError(f"An index is {index}, but along an axis of {size} elements indices must be from 0 "
                             f"to {size - 1}.")
    return indices.astype("int64")


@kernel("take")
def take(x, indices, *, axis):
    return np.take(x, checked_indices(indices, x.shape[axis]), axis)


@kernel("take_gradient")
def take_gradient(grad, indices, *, shape, axis):
    indices = checked_indices(indices, shape[axis])
    grad = grad.reshape(*shape[:axis], indices.size, *shape[axis + 1:])
    out = np.zeros(shape, grad.dtype)
    to, source = np.moveaxis(out, axis, 0), np.moveaxis(grad, axis, 0)      # views
    for place, part in zip(indices.ravel(), source, strict=True):
        to[place] += part
    return out


@kernel("argsort")
def argsort(x):
    return np.argsort(x, axis=-1, kind="stable").astype("int32")


# ------------------------------------------------------------------------------------------------------- nn

def checked_labels(labels, classes):
    labels = labels.ravel().astype("int64")
    for label in labels:
        if not 0 <= label < classes:
            raise ValueError(f"A label is {label}, but with {classes} classes labels must be from 0 to "
                             f"{classes - 1}. Check the labels, or give the last layer more units.")
    return labels


def log_softmax(logits):
    shifted = logits - np.max(logits, axis=-1, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))


@kernel("sparse_softmax_cross_entropy")
def sparse_softmax_cross_entropy(logits, labels):
    classes = logits.shape[-1]
    flat = checked_labels(labels, classes)
    loss = -log_softmax(logits.reshape(len(flat), classes))[np.arange(len(flat)), flat]
    return loss.reshape(labels.shape)


@kernel("sparse_softmax_cross_entropy_gradient")
def sparse_softmax_cross_entropy_gradient(logits, labels, grad):
    classes = logits.shape[-1]
    flat = checked_labels(labels, classes)
    out = np.exp(log_softmax(logits.reshape(len(flat), classes)))
    out[np.arange(len(flat)), flat] -= 1
    return (out * grad.reshape(-1, 1)).reshape(logits.shape)


# --------------------------------------------------------------------------------------------------- random

def philox4x32(counter, key):
    """Philox4x32-10. counter: four arrays of 32-bit words. key: two words. Returns four arrays of words."""
    low = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    c = [np.asarray(word, np.uint64) for word in counter]
    k = [int(word) for word in key]
    for _ in range(10):
        first, second = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(second >> half) ^ c[1] ^ np.uint64(k[0]), second & low,
             (first >> half) ^ c[3] ^ np.uint64(k[1]), first & low]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


def random_words(state, count):
    """The words of `count` elements, rounded up to whole blocks: shape (blocks, 4)."""
    key, counter = (int(v) % 2**64 for v in state)
    blocks = np.arange(-(-count // 4), dtype=np.uint64)
    fixed = [np.full(blocks.shape, word, np.uint64) for word in (counter % 2**32, counter >> 32, 0)]
    return np.stack(philox4x32([blocks, *fixed], (key % 2**32, key >> 32)), axis=-1)


@kernel("random_uniform")
def random_uniform(state, *, shape, dtype):
    count = math.prod(shape)
    words = random_words(state, count).ravel()[:count]
    return ((words >> np.uint64(8)).astype("float64") * 2.0**-24).astype(dtype).reshape(shape)


@kernel("random_normal")
def random_normal(state, *, shape, dtype):
    count = math.prod(shape)
    words = random_words(state, count).astype("float64").reshape(-1, 2)
    radius = np.sqrt(-2 * np.log((words[:, 0] + 0.5) * 2.0**-32))
    angle = 2 * np.pi * words[:, 1] * 2.0**-32
    values = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return values.ravel()[:count].astype(dtype).reshape(shape)
