"""Each public function of pyconv.ops against plain NumPy: on arrays, traced, and in the functional API."""

import math

import numpy as np
import pytest

from pyconv import backends, ops
from pyconv.graph import FunctionalTensor, flatten, trace

RNG = np.random.default_rng(7)


def uniform(*shape, low=-2.0, high=2.0, dtype="float64"):
    return RNG.uniform(low, high, shape).astype(dtype)


X, Y = uniform(4, 3), uniform(4, 3)
POSITIVE = uniform(4, 3, low=0.1, high=3.0)
TIES = np.array([[1.0, 3.0, 3.0], [0.0, -1.0, -1.0], [2.0, 2.0, 2.0], [-0.5, 7.0, 0.0]])
WHOLE = np.array([[0, 1, 2], [3, 0, 1], [2, 2, 5], [1, 0, 0]], "int32")
MASK = X > 0
CUBE = uniform(4, 3, 5)
LOGITS, LABELS = uniform(4, 5, low=-9, high=9), np.array([0, 4, 2, 2])
TARGETS = (lambda p: p / p.sum(-1, keepdims=True))(uniform(4, 5, low=0.1))
SPECIAL = np.array([1.0, np.nan, np.inf, -np.inf, 0.0])
SEQUENCE, IMAGES = uniform(2, 6, 3), uniform(2, 8, 3, 8)
STATE = np.array([11, 5], "int64")


def softmax(x):
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def logsumexp(x, axis=-1):
    return np.log(np.exp(x).sum(axis))


def conv1d(x, k):
    """Written as its definition, for kernels of shape (size, channels, filters) without padding."""
    size = k.shape[0]
    out = np.zeros((len(x), x.shape[1] - size + 1, k.shape[2]))
    for i in range(out.shape[1]):
        out[:, i] = np.einsum("nkc,kcf->nf", x[:, i:i + size], k)
    return out


def conv_transpose1d(x, k, stride=2):
    """Each input element adds its copy of the kernel (size, filters, channels) to the output."""
    size = k.shape[0]
    out = np.zeros((len(x), (x.shape[1] - 1) * stride + size, k.shape[1]))
    for i in range(x.shape[1]):
        out[:, i * stride:i * stride + size] += np.einsum("nc,kfc->nkf", x[:, i], k)
    return out


def depthwise1d(x, k):
    return np.concatenate([conv1d(x[..., i:i + 1], k[:, i:i + 1]) for i in range(x.shape[-1])], -1)


def depth_to_space(x):
    """Pixel by pixel, in blocks of 2 x 2."""
    n, h, w, c = x.shape
    y = np.zeros((n, 2 * h, 2 * w, c // 4))
    for i in range(2 * h):
        for j in range(2 * w):
            first = (i % 2 * 2 + j % 2) * (c // 4)
            y[:, i, j] = x[:, i // 2, j // 2, first:first + c // 4]
    return y


def uniform_words(count):
    """From the reference kernel, which test_random.py compares with published words."""
    return backends.get("reference").execute("random_uniform", [STATE],
                                             {"shape": (count,), "dtype": "float32"})


def normal_words(count):
    return backends.get("reference").execute("random_normal", [STATE],
                                             {"shape": (count,), "dtype": "float32"})


def slice_updated(x, y):
    x = x.copy()
    x[:, 1:, 2:3] = y
    return x


def sparsemax(x):
    """Row by row, by trying how many of the largest stay."""
    out = np.zeros_like(x)
    for row, to in zip(x, out, strict=True):
        down = np.sort(row)[::-1]
        count = max(k for k in range(1, len(row) + 1) if 1 + k * down[k - 1] > down[:k].sum())
        to[:] = np.maximum(row - (down[:count].sum() - 1) / count, 0)
    return out


def attention(q, k, v):
    """One query and head after the other; query i sees the first i + 1 values."""
    out = np.zeros(q.shape)
    for n, t, h in np.ndindex(q.shape[:3]):
        weights = softmax(k[n, :t + 1, h] @ q[n, t, h] / math.sqrt(q.shape[-1]))
        out[n, t, h] = weights @ v[n, :t + 1, h]
    return out


# name -> (call on ops, arrays, expectation from NumPy on the same arrays)
CASES = {
    "negative": (ops.negative, [X], np.negative),
    "exp": (ops.exp, [X], np.exp),
    "expm1": (ops.expm1, [X], np.expm1),
    "log": (ops.log, [POSITIVE], np.log),
    "log1p": (ops.log1p, [POSITIVE], np.log1p),
    "sqrt": (ops.sqrt, [POSITIVE], np.sqrt),
    "square": (ops.square, [X], np.square),
    "absolute": (ops.absolute, [X], np.absolute),
    "abs": (ops.abs, [X], np.absolute),
    "sign": (ops.sign, [TIES], np.sign),
    "floor": (ops.floor, [X], np.floor),
    "tanh": (ops.tanh, [X], np.tanh),
    "sigmoid": (ops.sigmoid, [X], lambda x: 1 / (1 + np.exp(-x))),
    "erf": (ops.erf, [X], np.vectorize(math.erf)),
    "relu": (ops.relu, [X], lambda x: np.maximum(x, 0)),
    "logical_not": (ops.logical_not, [MASK], np.logical_not),
    "isfinite": (ops.isfinite, [np.array([1.0, np.nan, np.inf, -np.inf])], np.isfinite),
    "add": (ops.add, [X, Y[:, :1]], np.add),
    "subtract": (ops.subtract, [X, Y[0]], np.subtract),
    "multiply": (ops.multiply, [X, Y], np.multiply),
    "divide": (ops.divide, [X, POSITIVE], np.divide),
    "maximum": (ops.maximum, [X, Y], np.maximum),
    "minimum": (ops.minimum, [X, Y], np.minimum),
    "power": (ops.power, [POSITIVE, X], np.power),
    "equal": (ops.equal, [TIES, TIES[:, :1]], np.equal),
    "not_equal": (ops.not_equal, [TIES, TIES[:, :1]], np.not_equal),
    "less": (ops.less, [TIES, TIES[:, :1]], np.less),
    "less_equal": (ops.less_equal, [TIES, TIES[:, :1]], np.less_equal),
    "greater": (ops.greater, [TIES, TIES[:, :1]], np.greater),
    "greater_equal": (ops.greater_equal, [TIES, TIES[:, :1]], np.greater_equal),
    "logical_and": (ops.logical_and, [MASK, ~MASK[::-1]], np.logical_and),
    "logical_or": (ops.logical_or, [MASK, ~MASK[::-1]], np.logical_or),
    "where": (ops.where, [MASK, X, Y], np.where),
    "cast": (lambda x: ops.cast(x, "int32"), [3 * X], lambda x: np.trunc(x).astype("int32")),
    "check_finite": (ops.check_finite, [X], lambda x: x),
    "clip": (lambda x: ops.clip(x, -1, 0.5), [X], lambda x: np.clip(x, -1, 0.5)),
    "softplus": (ops.softplus, [X], lambda x: np.log(1 + np.exp(x))),
    "rsqrt": (ops.rsqrt, [POSITIVE], lambda x: 1 / np.sqrt(x)),
    "sum": (lambda x: ops.sum(x, (0, -1)), [CUBE], lambda x: x.sum((0, 2))),
    "mean": (lambda x: ops.mean(x, 1, keepdims=True), [CUBE], lambda x: x.mean(1, keepdims=True)),
    "max": (lambda x: ops.max(x, 1), [CUBE], lambda x: x.max(1)),
    "min": (lambda x: ops.min(x), [CUBE], lambda x: x.min()),
    "argmax": (lambda x: ops.argmax(x, -1), [TIES], lambda x: np.array([1, 0, 0, 1], "int32")),
    "argmin": (lambda x: ops.argmin(x, axis=0), [TIES], lambda x: np.array([3, 1, 1], "int32")),
    "variance": (lambda x: ops.variance(x, (1, 2)), [CUBE], lambda x: x.var((1, 2))),
    "logsumexp": (lambda x: ops.logsumexp(x, (1, 2)), [CUBE], lambda x: logsumexp(x, (1, 2))),
    "stop_gradient": (ops.stop_gradient, [X], lambda x: x),
    "reshape": (lambda x: ops.reshape(x, (-1, 15)), [CUBE], lambda x: x.reshape(4, 15)),
    "transpose": (lambda x: ops.transpose(x, (2, 0, -2)), [CUBE], lambda x: x.transpose(2, 0, 1)),
    "broadcast_to": (lambda x: ops.broadcast_to(x, (5, 4, 3)), [X], lambda x: np.broadcast_to(x, (5, 4, 3))),
    "pad": (lambda x: ops.pad(x, [(1, 0), (2, 3)], constant_values=1.5), [X],
            lambda x: np.pad(x, [(1, 0), (2, 3)], constant_values=1.5)),
    "slice": (lambda x: ops.slice(x, (1, 0), (2, 3)), [X], lambda x: x[1:3, 0:3]),
    "concatenate": (lambda *xs: ops.concatenate(xs, -1), [X, Y[:, :1]], lambda *xs: np.concatenate(xs, -1)),
    "stack": (lambda *xs: ops.stack(xs, -1), [X, Y], lambda *xs: np.stack(xs, -1)),
    "expand_dims": (lambda x: ops.expand_dims(x, (0, -1)), [X], lambda x: x[None, ..., None]),
    "squeeze": (lambda x: ops.squeeze(x, -1), [X[..., :1]], lambda x: x[..., 0]),
    "flip": (lambda x: ops.flip(x, 1), [CUBE], lambda x: x[:, ::-1]),
    "getitem": (lambda x: ops.getitem(x, np.s_[1:, None, ..., -1]), [CUBE], lambda x: x[1:, None, ..., -1]),
    "split": (lambda x: ops.split(x, [1, 3], axis=2), [CUBE], lambda x: np.split(x, [1, 3], axis=2)),
    "shape": (lambda x: ops.broadcast_to(x[0, 0], ops.shape(x)), [X], lambda x: np.full((4, 3), x[0, 0])),
    "matmul": (ops.matmul, [CUBE, uniform(5, 2)], np.matmul),
    "dense": (ops.dense, [CUBE, uniform(5, 2), uniform(2)], lambda x, w, b: x @ w + b),
    "softmax": (ops.softmax, [LOGITS], softmax),
    "log_softmax": (ops.log_softmax, [LOGITS], lambda x: np.log(softmax(x))),
    "one_hot": (lambda x: ops.one_hot(x, 4, dtype="float64"), [WHOLE], lambda x: np.eye(6)[x][..., :4]),
    "sparse_softmax_cross_entropy": (ops.sparse_softmax_cross_entropy, [LOGITS, LABELS],
                                     lambda x, y: -np.log(softmax(x))[np.arange(4), y]),
    "softmax_cross_entropy": (ops.softmax_cross_entropy, [LOGITS, TARGETS],
                              lambda x, t: -(t * np.log(softmax(x))).sum(-1)),
    "sigmoid_cross_entropy": (ops.sigmoid_cross_entropy, [X, MASK],
                              lambda x, t: -np.log(np.where(t, 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(x))))),
    "conv": (ops.conv, [SEQUENCE, uniform(3, 3, 4)], conv1d),
    "depthwise_conv": (ops.depthwise_conv, [SEQUENCE, uniform(3, 3, 2)], depthwise1d),
    "conv_transpose": (lambda x, k: ops.conv_transpose(x, k, strides=2), [SEQUENCE, uniform(3, 4, 3)],
                       conv_transpose1d),
    "max_pool": (lambda x: ops.max_pool(x, 2), [SEQUENCE], lambda x: x.reshape(2, 3, 2, 3).max(2)),
    "avg_pool": (lambda x: ops.avg_pool(x, 2), [SEQUENCE], lambda x: x.reshape(2, 3, 2, 3).mean(2)),
    "sum_pool": (lambda x: ops.sum_pool(x, 3), [SEQUENCE], lambda x: x.reshape(2, 2, 3, 3).sum(2)),
    "adaptive_avg_pool": (lambda x: ops.adaptive_avg_pool(x, 4), [SEQUENCE],
                          lambda x: np.stack([x[:, 0:2].mean(1), x[:, 1:3].mean(1), x[:, 3:5].mean(1),
                                              x[:, 4:6].mean(1)], 1)),
    "adaptive_max_pool": (lambda x: ops.adaptive_max_pool(x, 4), [SEQUENCE],
                          lambda x: np.stack([x[:, 0:2].max(1), x[:, 1:3].max(1), x[:, 3:5].max(1),
                                              x[:, 4:6].max(1)], 1)),
    "upsample": (lambda x: ops.upsample(x, 3), [SEQUENCE], lambda x: np.repeat(x, 3, 1)),
    "resize": (lambda x: ops.resize(x, (4, 3)), [IMAGES], lambda x: (x[:, ::2] + x[:, 1::2]) / 2),
    "depth_to_space": (lambda x: ops.depth_to_space(x, 2), [IMAGES],
                       depth_to_space),
    "space_to_depth": (lambda x: ops.space_to_depth(x, 1), [IMAGES], lambda x: x),
    "take": (lambda x, i: ops.take(x, i, -1), [CUBE, WHOLE % 5], lambda x, i: x[..., i]),
    "einsum": (lambda x, y: ops.einsum("...ij,jk->...ki", x, y), [CUBE, uniform(5, 2)],
               lambda x, y: np.einsum("...ij,jk->...ki", x, y)),
    "sin": (ops.sin, [X], np.sin),
    "cos": (ops.cos, [X], np.cos),
    "tan": (ops.tan, [X / 2], np.tan),
    "sinh": (ops.sinh, [X], np.sinh),
    "cosh": (ops.cosh, [X], np.cosh),
    "arcsin": (ops.arcsin, [X / 2], np.arcsin),
    "arccos": (ops.arccos, [X / 2], np.arccos),
    "arctan": (ops.arctan, [X], np.arctan),
    "arctan2": (ops.arctan2, [X, Y], np.arctan2),
    "hypot": (ops.hypot, [X, Y], np.hypot),
    "deg2rad": (ops.deg2rad, [X], np.deg2rad),
    "rad2deg": (ops.rad2deg, [X], np.rad2deg),
    "round": (lambda x: ops.round(x, 1), [X], lambda x: np.round(x, 1)),
    "ceil": (ops.ceil, [X], np.ceil),
    "trunc": (ops.trunc, [X], np.trunc),
    "reciprocal": (ops.reciprocal, [POSITIVE], np.reciprocal),
    "log2": (ops.log2, [POSITIVE], np.log2),
    "log10": (ops.log10, [POSITIVE], np.log10),
    "exp2": (ops.exp2, [X], np.exp2),
    "erfc": (ops.erfc, [X], np.vectorize(math.erfc)),
    "logaddexp": (ops.logaddexp, [400 * X, 400 * Y], np.logaddexp),
    "mod": (ops.mod, [WHOLE - 2, 2 * WHOLE.T[0, :3] - 3], lambda a, b: np.mod(a, b).astype("int32")),
    "floor_divide": (ops.floor_divide, [X, POSITIVE], np.floor_divide),
    "true_divide": (ops.true_divide, [X, POSITIVE], np.true_divide),
    "isnan": (ops.isnan, [SPECIAL], np.isnan),
    "isinf": (ops.isinf, [SPECIAL], np.isinf),
    "isclose": (lambda a, b: ops.isclose(a, b, equal_nan=True), [SPECIAL, SPECIAL + [1e-7, 0, 0, 0, 1e-4]],
                lambda a, b: np.isclose(a, b, equal_nan=True)),
    "logical_xor": (ops.logical_xor, [MASK, ~MASK[::-1]], np.logical_xor),
    "nan_to_num": (ops.nan_to_num, [SPECIAL], np.nan_to_num),
    "select": (lambda c, x, y: ops.select([c, x > -1], [x, y], 3.0), [MASK, X, Y],
               lambda c, x, y: np.select([c, x > -1], [x, y], 3.0)),
    "any": (lambda x: ops.any(x, 1), [WHOLE == 1], lambda x: x.any(1)),
    "all": (lambda x: ops.all(x, 1), [WHOLE > 0], lambda x: x.all(1)),
    "amax": (lambda x: ops.amax(x, 1), [CUBE], lambda x: x.max(1)),
    "amin": (lambda x: ops.amin(x, 1), [CUBE], lambda x: x.min(1)),
    "ptp": (lambda x: ops.ptp(x, (1, 2)), [CUBE], lambda x: np.ptp(x, (1, 2))),
    "prod": (lambda x: ops.prod(x, (1, 2)), [CUBE], lambda x: x.prod((1, 2))),
    "std": (lambda x: ops.std(x, 1), [CUBE], lambda x: x.std(1)),
    "var": (lambda x: ops.var(x, 1, keepdims=True), [CUBE], lambda x: x.var(1, keepdims=True)),
    "moments": (lambda x: ops.moments(x, (1, 2)), [CUBE], lambda x: (x.mean((1, 2)), x.var((1, 2)))),
    "average": (lambda x: ops.average(x, 1, [1.0, 2.0, 3.0]), [CUBE], lambda x: np.average(x, 1, [1, 2, 3])),
    "count_nonzero": (lambda x: ops.count_nonzero(x, 1), [WHOLE], lambda x: np.count_nonzero(x, 1).astype("int32")),
    "norm": (lambda x: ops.norm(x, 3, 1), [CUBE], lambda x: np.linalg.norm(x, 3, 1)),
    "normalize": (ops.normalize, [X], lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True)),
    "cumsum": (lambda x: ops.cumsum(x, 2), [CUBE], lambda x: x.cumsum(2)),
    "cumprod": (lambda x: ops.cumprod(x, 1), [WHOLE], lambda x: x.cumprod(1).astype("int32")),
    "dot": (ops.dot, [CUBE, uniform(2, 5, 3)], np.dot),
    "vdot": (lambda x, y: ops.vdot(x[0], y), [X, Y[0]], lambda x, y: np.vdot(x[0], y)),
    "inner": (ops.inner, [CUBE, uniform(2, 5)], np.inner),
    "outer": (ops.outer, [X[:, 0], Y], np.outer),
    "tensordot": (lambda x, y: ops.tensordot(x, y, ([2, 1], [0, 2])), [CUBE, uniform(5, 2, 3)],
                  lambda x, y: np.tensordot(x, y, ([2, 1], [0, 2]))),
    "swapaxes": (lambda x: ops.swapaxes(x, 0, -1), [CUBE], lambda x: np.swapaxes(x, 0, -1)),
    "moveaxis": (lambda x: ops.moveaxis(x, (0, 2), (1, 0)), [CUBE], lambda x: np.moveaxis(x, (0, 2), (1, 0))),
    "tile": (lambda x: ops.tile(x, (2, 1, 2, 3)), [CUBE], lambda x: np.tile(x, (2, 1, 2, 3))),
    "repeat": (lambda x: ops.repeat(x, [2, 0, 3], 1), [CUBE], lambda x: np.repeat(x, [2, 0, 3], 1)),
    "roll": (lambda x: ops.roll(x, (1, -7), (1, 2)), [CUBE], lambda x: np.roll(x, (1, -7), (1, 2))),
    "ravel": (ops.ravel, [CUBE], np.ravel),
    "hstack": (lambda *xs: ops.hstack(xs), [X, Y], lambda *xs: np.hstack(xs)),
    "vstack": (lambda *xs: ops.vstack(xs), [X, Y], lambda *xs: np.vstack(xs)),
    "append": (ops.append, [X, Y[0]], np.append),
    "unstack": (lambda x: ops.unstack(x, axis=1), [CUBE], lambda x: [x[:, i] for i in range(3)]),
    "array_split": (lambda x: ops.array_split(x, 3, 2), [CUBE], lambda x: np.array_split(x, 3, 2)),
    "fliplr": (ops.fliplr, [CUBE], np.fliplr),
    "flipud": (ops.flipud, [CUBE], np.flipud),
    "rot90": (lambda x: ops.rot90(x, 3, (1, 2)), [CUBE], lambda x: np.rot90(x, 3, (1, 2))),
    "diagonal": (lambda x: ops.diagonal(x, -1, 1, 2), [CUBE], lambda x: np.diagonal(x, -1, 1, 2)),
    "diag": (lambda x: ops.diag(x, -2), [X[:, 0]], lambda x: np.diag(x, -2)),
    "trace": (lambda x: ops.trace(x, 1, 1, 2), [CUBE], lambda x: np.trace(x, 1, 1, 2)),
    "meshgrid": (ops.meshgrid, [X[:, 0], Y[0]], lambda *xs: list(np.meshgrid(*xs))),
    "slice_update": (lambda x, y: ops.slice_update(x, (0, 1, 2), y), [CUBE, Y[:, :2, None]], slice_updated),
    "diff": (lambda x: ops.diff(x, 2), [CUBE], lambda x: np.diff(x, 2)),
    "tril": (lambda x: ops.tril(x, 1), [CUBE], lambda x: np.tril(x, 1)),
    "triu": (lambda x: ops.triu(x, -1), [CUBE], lambda x: np.triu(x, -1)),
    "zeros_like": (ops.zeros_like, [WHOLE], np.zeros_like),
    "ones_like": (lambda x: ops.ones_like(x, "bool"), [X], lambda x: np.ones_like(x, bool)),
    "full_like": (lambda x: ops.full_like(x, 1.5), [X], lambda x: np.full_like(x, 1.5)),
    "convert_to_tensor": (ops.convert_to_tensor, [X], lambda x: x),
    "arange": (lambda x: x + ops.arange(0, 1.5, 0.5, "float64"), [X], lambda x: x + [0, 0.5, 1]),
    "linspace": (lambda x: x * ops.linspace(0, 1, 3, dtype="float64"), [X], lambda x: x * [0, 0.5, 1]),
    "zeros": (lambda x: x + ops.zeros((3,), "float64"), [X], lambda x: x),
    "ones": (lambda x: x + ops.ones(3, "float64"), [X], lambda x: x + 1),
    "full": (lambda x: x + ops.full((4, 1), 2), [WHOLE], lambda x: x + 2),
    "eye": (lambda x: x @ ops.eye(3, 2, -1, "float64"), [X], lambda x: x[:, 1:]),
    "identity": (lambda x: x @ ops.identity(3, "float64"), [X], lambda x: x),
    "tri": (lambda x: x @ ops.tri(3, dtype="float64"), [X], lambda x: x[:, ::-1].cumsum(1)[:, ::-1]),
    "convert_to_numpy": (lambda x: x + ops.convert_to_numpy([[1.0, 2, 3]]), [X], lambda x: x + [1, 2, 3]),
    "is_tensor": (lambda x: x * ops.is_tensor(x), [X], lambda x: x),
    "ndim": (lambda x: x * ops.ndim(x), [X], lambda x: 2 * x),
    "size": (lambda x: x[:, 0] * ops.size(x[0]), [X], lambda x: 3 * x[:, 0]),
    "argsort": (ops.argsort, [TIES], lambda x: x.argsort(-1, kind="stable").astype("int32")),
    "sort": (lambda x: ops.sort(x, 1), [CUBE], lambda x: np.sort(x, 1)),
    "top_k": (lambda x: ops.top_k(x, 2), [TIES],
              lambda x: (-np.sort(-x)[:, :2], np.argsort(-x, kind="stable")[:, :2].astype("int32"))),
    "in_top_k": (lambda x, t: ops.in_top_k(t, x, 2), [LOGITS, LABELS],
                 lambda x, t: (x > x[np.arange(4), t][:, None]).sum(1) < 2),
    "take_along_axis": (lambda x, i: ops.take_along_axis(x, i, 2), [CUBE, WHOLE[:, :, None] - 3],
                        lambda x, i: np.take_along_axis(x, i, 2)),
    "quantile": (lambda x: ops.quantile(x, 0.3, 2), [CUBE], lambda x: np.quantile(x, 0.3, 2)),
    "median": (lambda x: ops.median(x, 2, keepdims=True), [CUBE], lambda x: np.median(x, 2, keepdims=True)),
    "relu6": (ops.relu6, [5 * X], lambda x: np.clip(x, 0, 6)),
    "leaky_relu": (ops.leaky_relu, [X], lambda x: np.where(x > 0, x, 0.2 * x)),
    "elu": (ops.elu, [X], lambda x: np.where(x > 0, x, np.expm1(x))),
    "selu": (ops.selu, [X], lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))),
    "celu": (lambda x: ops.celu(x, 2.0), [X], lambda x: np.where(x > 0, x, 2 * np.expm1(x / 2))),
    "gelu": (lambda x: ops.gelu(x, False), [X], lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2),
    "silu": (ops.silu, [X], lambda x: x / (1 + np.exp(-x))),
    "swish": (ops.swish, [X], lambda x: x / (1 + np.exp(-x))),
    "hard_sigmoid": (ops.hard_sigmoid, [3 * X], lambda x: np.clip(x / 6 + 0.5, 0, 1)),
    "hard_silu": (ops.hard_silu, [3 * X], lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
    "hard_swish": (ops.hard_swish, [3 * X], lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
    "hard_tanh": (ops.hard_tanh, [X], lambda x: np.clip(x, -1, 1)),
    "log_sigmoid": (ops.log_sigmoid, [X], lambda x: -np.log(1 + np.exp(-x))),
    "tanh_shrink": (ops.tanh_shrink, [X], lambda x: x - np.tanh(x)),
    "soft_shrink": (ops.soft_shrink, [X], lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0)),
    "hard_shrink": (ops.hard_shrink, [X], lambda x: x * (np.abs(x) > 0.5)),
    "softsign": (ops.softsign, [X], lambda x: x / (1 + np.abs(x))),
    "squareplus": (ops.squareplus, [X], lambda x: (x + np.sqrt(x * x + 4)) / 2),
    "threshold": (lambda x: ops.threshold(x, 0.5, -1.0), [X], lambda x: np.where(x > 0.5, x, -1)),
    "glu": (lambda x: ops.glu(x, 0), [X], lambda x: x[:2] / (1 + np.exp(-x[2:]))),
    "sparse_plus": (ops.sparse_plus, [X], lambda x: np.where(x <= -1, 0, np.where(x < 1, (x + 1) ** 2 / 4, x))),
    "sparse_sigmoid": (ops.sparse_sigmoid, [X], lambda x: np.clip((x + 1) / 2, 0, 1)),
    "sparsemax": (ops.sparsemax, [LOGITS / 6], sparsemax),
    "multi_hot": (lambda x: ops.multi_hot(x, 6, dtype="float64"), [WHOLE], lambda x: np.eye(6)[x].max(1)),
    "binary_crossentropy": (lambda t, p: ops.binary_crossentropy(t, p), [MASK, softmax(Y)],
                            lambda t, p: -np.log(np.where(t, p, 1 - p))),
    "categorical_crossentropy": (ops.categorical_crossentropy, [TARGETS, 3 * softmax(LOGITS / 3)],
                                 lambda t, p: -(t * np.log(p / 3)).sum(-1)),
    "sparse_categorical_crossentropy": (
        lambda t, x: ops.sparse_categorical_crossentropy(t, x, from_logits=True, axis=1), [LABELS, LOGITS],
        lambda t, x: -np.log(softmax(x))[np.arange(4), t]),
    "batch_normalization": (lambda x: ops.batch_normalization(x, Y[0], POSITIVE[0], 1, Y[1], Y[2]), [CUBE],
                            lambda x: (x - Y[0][:, None]) / np.sqrt(POSITIVE[0] + 1e-3)[:, None] * Y[2][:, None]
                            + Y[1][:, None]),
    "layer_normalization": (lambda x: ops.layer_normalization(x, Y[0], Y[1], 1), [CUBE],
                            lambda x: (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-7)
                            * Y[0][:, None] + Y[1][:, None]),
    "rms_normalization": (lambda x: ops.rms_normalization(x, axis=(1, 2)), [CUBE],
                          lambda x: x / np.sqrt((x * x).mean((1, 2), keepdims=True) + 1e-7)),
    "dot_product_attention": (lambda *x: ops.dot_product_attention(*x, is_causal=True),
                              [uniform(2, 3, 4, 5), uniform(2, 6, 4, 5), uniform(2, 6, 4, 5)], attention),
    "average_pool": (lambda x: ops.average_pool(x, 2), [SEQUENCE], lambda x: x.reshape(2, 3, 2, 3).mean(2)),
    "adaptive_average_pool": (lambda x: ops.adaptive_average_pool(x, 3), [SEQUENCE],
                              lambda x: x.reshape(2, 3, 2, 3).mean(2)),
    "separable_conv": (ops.separable_conv, [SEQUENCE, uniform(3, 3, 2), uniform(1, 6, 4)],
                       lambda x, d, p: depthwise1d(x, d) @ p[0]),
    "random_uniform": (lambda s: ops.random_uniform(s, (3, 2)), [STATE],
                       lambda s: uniform_words(6).reshape(3, 2)),
    "random_normal": (lambda s: ops.random_normal(s, (5,)), [STATE], lambda s: normal_words(5)),
}


def check(found, expected):
    found, expected = flatten([found]), flatten([expected])
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == np.shape(b)
        assert a.dtype == np.asarray(b).dtype
        if a.dtype.kind == "f":
            np.testing.assert_allclose(a, b, rtol=1e-11 if a.dtype == np.float64 else 2e-6, atol=1e-12)
        else:
            np.testing.assert_array_equal(a, b)


def test_every_public_function_is_listed():
    assert set(CASES) == set(ops.__all__)


ALIASES = {"abs": "absolute", "swish": "silu", "hard_swish": "hard_silu"}


@pytest.mark.parametrize("name", sorted(ops.__all__))
def test_public_function_is_documented(name):
    assert getattr(ops, name).__name__ == ALIASES.get(name, name)
    assert getattr(ops, name).__doc__, f"pyconv.ops.{name} has no docstring"


@pytest.mark.parametrize("name", sorted(CASES))
def test_on_arrays(name, backend):
    function, arrays, expectation = CASES[name]
    check(function(*arrays), expectation(*arrays))


@pytest.mark.parametrize("name", sorted(CASES))
def test_traced(name, backend):
    function, arrays, expectation = CASES[name]
    graph, _ = trace(function, [(a.shape, a.dtype.name) for a in arrays])
    check(backend.compile(graph)([np.array(a) for a in arrays]), expectation(*arrays))


# Functions whose call does not depend on the number of samples, first argument symbolic with an open batch
# axis.
OPEN = sorted(set(CASES) - {"split", "random_uniform", "random_normal", "isfinite", "shape", "broadcast_to",
                            "slice", "take", "array_split", "full", "meshgrid", "moments", "top_k", "unstack", "vdot"})


@pytest.mark.parametrize("name", OPEN)
def test_on_functional_tensors(name, backend):
    """With an open batch axis the call is recorded; made again on tensors, it gives the same values."""
    function, arrays, expectation = CASES[name]
    inputs = [FunctionalTensor((None if i == 0 or name not in ONE_BATCH else a.shape[0], *a.shape[1:]),
                               a.dtype)
              for i, a in enumerate(arrays)]
    result = function(*inputs)
    expected = expectation(*arrays)
    assert result.dtype == np.asarray(expected).dtype.name
    assert tuple(n if n is not None else e for n, e in zip(result.shape, np.shape(expected), strict=True)) \
        == np.shape(expected)

    def again(*tensors):
        return evaluate(result, dict(zip(map(id, inputs), tensors, strict=True)))
    graph, _ = trace(again, [(a.shape, a.dtype.name) for a in arrays])
    check(backend.compile(graph)([np.array(a) for a in arrays]), [expected])


# Only the first array has a batch axis.
ONE_BATCH = ("mod", "separable_conv", "tensordot", "einsum", "conv", "conv_transpose", "depthwise_conv", "matmul",
             "dense", "subtract")


def evaluate(tensor, values):
    """The recorded calls below a functional tensor, made again."""
    if id(tensor) not in values:
        for below in tensor.call.inputs:
            evaluate(below, values)
        for t, value in zip(flatten(tensor.call.results), flatten(tensor.call(values)), strict=True):
            values[id(t)] = value
    return values[id(tensor)]


def test_shape_needs_no_backend():
    assert ops.shape(X) == (4, 3)
    assert ops.shape([[1, 2]]) == (1, 2)
    assert ops.shape(FunctionalTensor((None, 3), "float32")) == (None, 3)
