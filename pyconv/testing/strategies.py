"""Hypothesis strategies: arrays, shapes, batches of images, layers, and valid arguments for every op.

`arrays`, `shapes`, `image_batches` and `layer_configs` are for tests of one's own code. `arguments(name)` is the
strategy for one op of the registry; it asks the op's own `draw` method, which builds on a `Kit`. Shapes, attributes and
memory layouts are drawn by hypothesis, so that failures shrink; values come from a NumPy generator whose seed is drawn,
so that drawing is fast. Batches go from 0 to 40: kernels that compute 4, 8 or 16 samples at a time meet full blocks,
tails, and both together.
"""

from __future__ import annotations

import numpy as np

from ..graph import REGISTRY, canonical, is_float
from ..graph.dtypes import ALL, FLOATS, INTEGERS
from .configs import LayerConfig, layer_configs
from .optional import strategies as st

__all__ = ["Kit", "LayerConfig", "arguments", "arrays", "image_batches", "layer_configs", "layouts", "shapes"]

LAYOUTS = ("C", "F", "strided", "reversed", "readonly", "swapped")


def layouts(array, layout) -> np.ndarray:
    """The same values in another memory layout.

    "C" and "F": C and Fortran order. "strided": every second element of a larger array along each axis.
    "reversed": negative strides. "readonly": not writable. "swapped": the other byte order.
    """
    if layout == "F":
        return np.array(array, order="F")
    if layout == "strided":
        wide = np.zeros([2 * n for n in array.shape], array.dtype)
        view = wide[(slice(None, None, 2),) * array.ndim + (Ellipsis,)]    # with ... a view also without axes
        view[...] = array
        return view
    if layout == "reversed":
        back = (slice(None, None, -1),) * array.ndim
        return np.ascontiguousarray(array[back])[back] if array.ndim else array.copy()
    if layout == "swapped":
        return array.astype(array.dtype.newbyteorder())
    array = np.array(array, order="C")
    array.flags.writeable = layout != "readonly"
    return array


class Kit:
    """What the `draw` methods of ops draw with.

    Parameters
    ----------
    dtypes: tuple of str
        The element types that arrays may have. Gradient checks ask for float64 only.
    smooth: bool
        Only values that are all different, from the inside of the op's domain: where ops with kinks (max,
        relu) have a derivative almost surely.
    layouts: tuple of str
        The memory layouts that arrays may have, see `layouts`.
    """

    ALL_DTYPES, FLOATS, INTEGERS = ALL, FLOATS, INTEGERS
    NUMBERS = tuple(d for d in ALL if d != "bool")
    # Types in which sums are taken; pyconv.ops.sum casts the others first.
    SUMMABLE = FLOATS + ("int32", "uint32", "int64")

    def __init__(self, dtypes=ALL, smooth=False, layouts=LAYOUTS):
        self.allowed, self.smooth, self.layouts = dtypes, smooth, layouts

    # ------------------------------------------------------------------------------------- types, sizes

    def dtypes(self, among=ALL):
        """A strategy for element types: those of `among` that are allowed. float32 is the most frequent."""
        found = [d for d in among if d in self.allowed]
        return st.sampled_from([d for d in found if d == "float32"] * 2 + found)

    @staticmethod
    def choice(draw, among):
        return draw(st.sampled_from(among))

    @staticmethod
    def permutations(rank):
        return st.permutations(range(rank))

    @staticmethod
    def batch(draw, most=40, least=0):
        """A number of samples: often next to a multiple of a vector's length, sometimes 0."""
        near = [n for n in (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 0) if least <= n <= most]
        return draw(st.one_of(st.sampled_from(near), st.integers(least, most)))

    def shape(self, draw, least_rank=0, most_rank=4, empty=True):
        """A shape of at most about 2,000 elements."""
        rank = draw(st.integers(least_rank, most_rank))
        if rank == 0:
            return ()
        room = {1: 40, 2: 40, 3: 7, 4: 5, 5: 4}[rank]
        inner = draw(st.lists(st.one_of(st.sampled_from([1, 2, 3]), st.integers(1, room)), min_size=rank - 1,
                              max_size=rank - 1))
        return (self.batch(draw, least=0 if empty else 1), *inner)

    # -------------------------------------------------------------------------------------------- values

    def values(self, draw, shape, dtype, low=-3.0, high=3.0, integral=False):
        """An array of `shape` with values from `low` to `high` in one of the memory layouts.

        Floats are continuous or, to have ties and exact zeros, whole numbers (always with `integral`).
        """
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        if dtype == "bool":
            array = rng.integers(0, 2, shape).astype(bool)
        elif is_float(dtype):
            whole = integral or not self.smooth and draw(st.sampled_from([False, False, True]))
            first, last = np.ceil(low), np.floor(high)
            if whole and not (self.smooth and not integral) and first <= last:
                array = rng.integers(int(first), int(last) + 1, shape).astype(dtype)
            else:
                array = rng.uniform(low, high, shape).astype(dtype)
        else:
            first = max(int(np.ceil(low)), int(np.iinfo(dtype).min))
            array = rng.integers(first, int(np.floor(high)) + 1, shape).astype(dtype)
        return layouts(array, draw(st.sampled_from(self.layouts)))

    def array(self, draw, least_rank=0, most_rank=4, dtypes=ALL, **values):
        """An array of any shape and type."""
        return self.values(draw, self.shape(draw, least_rank, most_rank), draw(self.dtypes(dtypes)), **values)

    # --------------------------------------------------------------------------------------- elementwise

    def broadcastable(self, draw, count, low, high, floats_only=False, integral=False, dtypes=ALL):
        """`count` arrays of one type whose shapes broadcast against each other."""
        dtype = draw(self.dtypes([d for d in dtypes if is_float(d) or not floats_only]))
        shape = self.shape(draw)
        shapes = [shape]
        for _ in range(count - 1):
            spread = draw(st.lists(st.sampled_from([False, False, True]), min_size=len(shape),
                                   max_size=len(shape)))
            dropped = draw(st.one_of(st.just(0), st.integers(0, len(shape))))
            shapes.append(tuple(1 if s else n for n, s in zip(shape, spread, strict=True))[dropped:])
        if count > 1:
            shapes = draw(st.permutations(shapes))
        return [self.values(draw, s, dtype, low, high, integral) for s in shapes]

    # ---------------------------------------------------------------------------------------- reductions

    def reduction(self, draw, nonempty=False, single=False, dtypes=ALL):
        """``[x], {"axes", "keepdims"}``. nonempty: the axes hold elements. single: exactly one axis."""
        shape = self.shape(draw, least_rank=1 if single else 0)
        axes = draw(st.lists(st.integers(0, len(shape) - 1), min_size=1 if single else 0,
                             max_size=1 if single else len(shape), unique=True)) if shape else []
        if nonempty:
            shape = tuple(max(n, 1) if i in axes else n for i, n in enumerate(shape))
        x = self.values(draw, shape, draw(self.dtypes(dtypes)))
        return [x], {"axes": tuple(sorted(axes)), "keepdims": draw(st.booleans())}

    # --------------------------------------------------------------------------------------------- shape

    def reshape(self, draw):
        x = self.array(draw)
        sizes = list(x.shape)
        for _ in range(draw(st.integers(0, 3))):
            if len(sizes) > 1 and draw(st.booleans()):      # join two neighbours
                i = draw(st.integers(0, len(sizes) - 2))
                sizes[i:i + 2] = [sizes[i] * sizes[i + 1]]
            elif sizes and draw(st.booleans()):             # take one apart
                i = draw(st.integers(0, len(sizes) - 1))
                parts = [k for k in range(1, sizes[i] + 1) if sizes[i] % k == 0] or [1]
                k = draw(st.sampled_from(parts))
                sizes[i:i + 1] = [k, sizes[i] // k]
            else:
                sizes.insert(draw(st.integers(0, len(sizes))), 1)
        return [x], {"shape": tuple(sizes)}

    def broadcast_to(self, draw):
        shape = self.shape(draw)
        thin = tuple(1 if draw(st.booleans()) else n for n in shape)[draw(st.integers(0, len(shape))):]
        return [self.values(draw, thin, draw(self.dtypes()))], {"shape": shape}

    def pad(self, draw):
        x = self.array(draw)
        pads = tuple((draw(st.integers(0, 3)), draw(st.integers(0, 3))) for _ in x.shape)
        return [x], {"pads": pads, "value": float(draw(st.sampled_from([0, 0, 1, 2])))}

    def _ranges(self, draw, shape):
        starts = tuple(draw(st.integers(0, n)) for n in shape)
        stops = tuple(draw(st.integers(a, n)) for a, n in zip(starts, shape, strict=True))
        steps = tuple(draw(st.integers(1, 3)) for _ in shape)
        return {"starts": starts, "stops": stops, "steps": steps}

    def slice(self, draw):
        x = self.array(draw)
        return [x], self._ranges(draw, x.shape)

    def slice_gradient(self, draw):
        shape = self.shape(draw)
        attrs = self._ranges(draw, shape)
        part = tuple(len(range(*r)) for r in zip(attrs["starts"], attrs["stops"], attrs["steps"],
                                                 strict=True))
        return [self.values(draw, part, draw(self.dtypes()))], {"shape": shape, **attrs}

    def concatenate(self, draw):
        shape, dtype = self.shape(draw, least_rank=1), draw(self.dtypes())
        axis = draw(st.integers(0, len(shape) - 1))
        lengths = draw(st.lists(st.integers(0, 9), min_size=1, max_size=4))
        return [self.values(draw, shape[:axis] + (n,) + shape[axis + 1:],
                            dtype) for n in lengths], {"axis": axis}

    # -------------------------------------------------------------------------------------------- linear

    def matmul(self, draw):
        size = st.one_of(st.sampled_from([0, 1, 2, 4, 8, 16, 17]), st.integers(1, 40))
        m, k, n = draw(size), draw(size), draw(size)
        dtype, ta, tb = draw(self.dtypes(FLOATS)), draw(st.booleans()), draw(st.booleans())
        lead = draw(st.one_of(st.just(()), st.lists(st.integers(0, 4), max_size=2).map(tuple)))

        def leading():
            return tuple(1 if draw(st.booleans()) else v for v in lead)[draw(st.integers(0, len(lead))):]
        a = self.values(draw, leading() + ((k, m) if ta else (m, k)), dtype)
        b = self.values(draw, leading() + ((n, k) if tb else (k, n)), dtype)
        return [a, b], {"transpose_a": ta, "transpose_b": tb}

    # ------------------------------------------------------------------------------- convolution, pooling

    def convolution(self, draw):
        """``x, kernel, y, attrs``: an input, a kernel, and an array with the shape of the output."""
        return self._usual_convolution(draw) if draw(st.booleans()) else self._any_convolution(draw)

    def _usual_convolution(self, draw):
        """Convolutions as networks have them, for which backends have fast paths."""
        k = draw(st.sampled_from([1, 3, 5, 3]))
        stride = draw(st.sampled_from([1, 1, 2]))
        grouping = draw(st.sampled_from(["none", "none", "depthwise", "groups"]))
        depth = {"none": draw(st.sampled_from([1, 3, 4, 6, 8, 16])), "depthwise": 1, "groups": 4}[grouping]
        groups = {"none": 1, "depthwise": draw(st.sampled_from([3, 8, 16])), "groups": 2}[grouping]
        each = draw(st.sampled_from([1, 2])) if grouping == "depthwise" else draw(st.sampled_from([1, 4, 5, 6,
                                                                                                   8, 16]))
        sizes = [draw(st.integers(k, 12)) for _ in range(2)]
        return self._convolution(draw, self.batch(draw, 33), sizes, [k, k], (stride,) * 2,
                                 (draw(st.sampled_from([(0, 0), (k // 2, k // 2),
                                                        (k - 1, 0)])),) * 2, (1, 1), groups,
                                 depth, each)

    def _any_convolution(self, draw):
        rank = draw(st.integers(1, 3))
        window, strides, dilation, padding, sizes = [], [], [], [], []
        for _ in range(rank):
            k, d = draw(st.integers(1, 7 if rank == 1 else 4)), draw(st.integers(1, 3))
            reach = d * (k - 1) + 1
            p, q = draw(st.integers(0, min(reach, 4))), draw(st.integers(0, min(reach, 4)))
            window.append(k), dilation.append(d), padding.append((p,
                                                                  q)), strides.append(draw(st.integers(1, 3)))
            least = max(1, reach - p - q)
            sizes.append(draw(st.integers(least, least + (20 if rank == 1 else 5))))
        return self._convolution(draw, self.batch(draw, (40, 20, 9)[rank - 1]), sizes, window, tuple(strides),
                                 tuple(padding), tuple(dilation), draw(st.integers(1, 3)),
                                 draw(st.integers(1, 5)),
                                 draw(st.integers(1, 5)))

    def _convolution(self, draw, batch, sizes, window, strides, padding, dilation, groups, depth, each):
        last, dtype = draw(st.booleans()), draw(self.dtypes(FLOATS))
        outputs = self._outputs(sizes, window, strides, padding, dilation)
        x = self.values(draw, self._image(batch, sizes, groups * depth, last), dtype)
        kernel = self.values(draw, (*window, depth, groups * each), dtype)
        y = self.values(draw, self._image(batch, outputs, groups * each, last), dtype)
        return x, kernel, y, {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups,
                              "channels_last": last}

    @staticmethod
    def _image(batch, sizes, channels, last):
        return (batch, *sizes, channels) if last else (batch, channels, *sizes)

    @staticmethod
    def _outputs(sizes, window, strides, padding, dilation):
        return [len(range(0, n + p + q - d * (k - 1), s))
                for n, k, s, (p, q), d in zip(sizes, window, strides, padding, dilation, strict=True)]

    def pooling(self, draw):
        """``x, y, attrs``: an input and an array shaped like the output. Each window holds an element."""
        usual = draw(st.booleans())
        rank = 2 if usual else draw(st.integers(1, 3))
        window, strides, dilation, padding, sizes = [], [], [], [], []
        for _ in range(rank):
            if usual:
                k = draw(st.sampled_from([2, 2, 3]))
                s, d, p, q = draw(st.sampled_from([2, k])), 1, 0, 0
                n = draw(st.integers(k, 12))
            else:
                k, d, s = draw(st.integers(1, 4)), draw(st.integers(1, 2)), draw(st.integers(1, 3))
                reach = d * (k - 1) + 1
                p, q = draw(st.integers(0, reach // 2)), draw(st.integers(0, reach // 2))
                # As long as the window reaches, each window holds an element, also if it is dilated.
                n = draw(st.integers(reach, reach + 5))
            window.append(k), strides.append(s), dilation.append(d), padding.append((p, q)), sizes.append(n)
        last, dtype = draw(st.booleans()), draw(self.dtypes(FLOATS))
        batch, channels = self.batch(draw, (40, 33, 9)[rank - 1]), draw(st.sampled_from([1, 2, 3, 5, 16, 17]))
        attrs = {"window": tuple(window), "strides": tuple(strides), "padding": tuple(padding),
                 "dilation": tuple(dilation), "channels_last": last}
        outputs = self._outputs(sizes, window, strides, padding, dilation)
        return (self.values(draw, self._image(batch, sizes, channels, last), dtype),
                self.values(draw, self._image(batch, outputs, channels, last), dtype), attrs)

    # ----------------------------------------------------------------------------------------- the others

    def take(self, draw, floats=False):
        """``x, indices, taken, axis``: an array, indices along an axis, and an array shaped like the result."""
        shape = self.shape(draw, least_rank=1, most_rank=3, empty=False)
        dtype = draw(self.dtypes(FLOATS if floats else ALL))
        axis = draw(st.integers(0, len(shape) - 1))
        lead = self.shape(draw, most_rank=2)
        indices = self.values(draw, lead, draw(st.sampled_from(("int32", "int64", "uint8", "int16"))), 0,
                              shape[axis] - 1)
        taken = shape[:axis] + lead + shape[axis + 1:]
        return self.values(draw, shape, dtype), indices, self.values(draw, taken, dtype), axis

    def sampling(self, draw, interpolations=("bilinear", "nearest")):
        """``images, y, x, out, attrs``: images, places in and around them, and an array shaped like the result."""
        size = st.one_of(st.integers(1, 3), st.integers(1, 9))
        height, width, rows, columns = (draw(size) for _ in range(4))
        batch, channels, last = self.batch(draw, 9), draw(st.sampled_from([1, 2, 3, 5])), draw(st.booleans())
        dtype = draw(self.dtypes(FLOATS))

        def image(*sizes):
            return self.values(draw, self._image(batch, sizes, channels, last), dtype)
        y, x = (self.values(draw, (batch, rows, columns), dtype, -2.0 * n, 3.0 * n) for n in (height, width))
        attrs = {"interpolation": draw(st.sampled_from(interpolations)), "channels_last": last,
                 "fill_mode": draw(st.sampled_from(("constant", "nearest", "wrap", "mirror", "reflect"))),
                 "fill_value": draw(st.sampled_from([0.0, 1.5]))}
        return image(height, width), y, x, image(rows, columns), attrs

    def cross_entropy(self, draw):
        """``logits, labels, grad``"""
        lead, classes = self.shape(draw, most_rank=3), draw(st.one_of(st.just(10), st.integers(2, 20)))
        dtype = draw(self.dtypes(FLOATS))
        high = draw(st.sampled_from([5.0, 50.0])) if not self.smooth else 3.0
        return (self.values(draw, lead + (classes,), dtype, -high, high),
                self.values(draw, lead, draw(st.sampled_from(INTEGERS)), 0, classes - 1),
                self.values(draw, lead, dtype))

    def random_state(self, draw):
        """``[state], {"shape", "dtype"}``"""
        word = st.one_of(st.integers(0, 5), st.integers(-2**63, 2**63 - 1))
        state = np.array([draw(word), draw(word)], "int64")
        return [state], {"shape": self.shape(draw), "dtype": draw(self.dtypes(FLOATS))}


@st.composite
def arguments(draw, name, **options):
    """Valid ``(arrays, attrs)`` for op `name`; options are those of `Kit`."""
    arrays, attrs = REGISTRY[name].draw(draw, Kit(**options))
    return list(arrays), attrs


# ---- for tests of one's own code

def shapes(least_rank=0, most_rank=4, least_size=1, most_size=7):
    """Tuples of ints. Sizes are from `least_size` to `most_size`; with 0 some are empty."""
    return st.lists(st.integers(least_size, most_size), min_size=least_rank, max_size=most_rank).map(tuple)


@st.composite
def arrays(draw, shape=None, dtype="float64", low=None, high=None, layouts=("C",)):
    """NumPy arrays whose shapes shrink and whose numbers follow from a seed that is drawn.

    Parameters
    ----------
    shape: tuple or strategy, optional
        Sizes may be None: from 1 to 7. Default `shapes()`.
    dtype: str or strategy
    low, high: float or int, optional
        The range of the numbers, `high` included for integers; default -2 to 2 for floats, 0 to 3 for integers. Bools
        have none.
    layouts: tuple of str
        Memory layouts to choose among, see `layouts`: "C", "F", "strided", "reversed", "readonly", "swapped".
    """
    shape = shapes() if shape is None else shape
    shape = draw(shape) if isinstance(shape, st.SearchStrategy) else tuple(shape)
    shape = tuple(draw(st.integers(1, 7)) if n is None else n for n in shape)
    dtype = canonical(draw(dtype) if isinstance(dtype, st.SearchStrategy) else dtype)
    smallest, largest = (-2.0, 2.0) if is_float(dtype) else (0, 3)
    return Kit(smooth=True, layouts=tuple(layouts)).values(draw, shape, dtype, smallest if low is None else low,
                                                           largest if high is None else high)


@st.composite
def image_batches(draw, rank=2, channels=(1, 3), batch=(1, 5), size=(1, 9), data_format="channels_last",
                  dtype="float32"):
    """Batches of images (rank 2), signals (1) or volumes (3): (batch, sizes, channels), or channels first.

    Parameters
    ----------
    channels, batch, size: (low, high) or int
        Ranges, both ends included; each spatial axis has a size of its own.
    data_format: str
        "channels_last" or "channels_first".
    dtype: str
        Floats are from 0 to 1; "uint8" from 0 to 255.
    """
    def pick(bounds):
        return bounds if isinstance(bounds, int) else draw(st.integers(*bounds))
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(f"image_batches: data_format={data_format!r} must be 'channels_last' or 'channels_first'.")
    count, sizes, depth = pick(batch), [pick(size) for _ in range(rank)], pick(channels)
    shape = (count, *sizes, depth) if data_format == "channels_last" else (count, depth, *sizes)
    return draw(arrays(shape, dtype, 0, 1 if is_float(canonical(dtype)) else 255))
