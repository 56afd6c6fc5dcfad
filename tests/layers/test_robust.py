"""Random arguments and inputs at every layer: success, or a ValueError or TypeError that names the layer."""

import inspect

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import pyconv
from pyconv import layers
from pyconv.graph import flatten

from layer_cases import CASES, arrays, classes, make

CLASSES = sorted({*classes(), layers.InputLayer}, key=lambda cls: cls.__name__)

numbers = st.one_of(st.integers(-3, 6), st.sampled_from([0, -1, 2**40, 0.5, -0.5, 1.5, float("nan"),
                                                         float("inf"), 1e30]))
words = st.sampled_from(["valid", "same", "causal", "channels_first", "channels_last", "relu", "softmax",
                         "zeros", "l2",
                         "he_normal", "non_neg", "max_norm", "", "nonsense", "float16", "float64"])
simple = st.one_of(st.none(), st.booleans(), numbers, words, st.just(object()), st.just(np.zeros(2)),
                   st.just(1j),
                   st.just({"class_name": "L2", "config": {}}), st.just({}), st.just(b"bytes"),
                   st.just(lambda x: x))
values = st.one_of(simple, st.lists(simple, max_size=4), st.lists(simple, max_size=3).map(tuple),
                   st.lists(st.lists(numbers, max_size=3), max_size=3))
SMALL = 2000       # the largest weight, in elements, that a drawn layer may make

shapes = st.lists(st.integers(0, 4), max_size=5).map(tuple)
dtypes = st.sampled_from(["float32", "float64", "float16", "uint8", "int64", "bool", "complex64", "object",
                          "U3", "M8[s]", ">f4"])


@st.composite
def things(draw):
    """What a layer may be called on."""
    kind = draw(st.sampled_from(["array", "array", "array", "list", "functional", "simple"]))
    if kind == "simple":
        return draw(values)
    if kind == "list":
        return [draw(array()) for _ in range(draw(st.integers(0, 3)))]
    if kind == "functional":
        shape = draw(st.lists(st.one_of(st.none(), st.integers(0, 4)), max_size=4))
        return pyconv.Input(shape, dtype=draw(st.sampled_from(["float32", "float64", "uint8"])))
    return draw(array())


@st.composite
def array(draw):
    shape, dtype = draw(shapes), draw(dtypes)
    x = np.full(shape, draw(st.sampled_from([0.0, 1.0, -1.0, np.nan, np.inf])))
    with np.errstate(invalid="ignore"):
        x = x.astype(dtype) if dtype != "M8[s]" else np.zeros(shape, dtype)
    return x[::2] if x.ndim and draw(st.booleans()) else x


def accept(cls, function):
    """Call; success and good errors are fine. Returns the result, or None."""
    try:
        return function()
    except (ValueError, TypeError) as error:
        named = cls.__name__ in str(error) or issubclass(cls, layers.Wrapper) and "Layer 'inner'" in str(error)
        assert named, f"the message does not name the layer: {error}"
        return None


def too_large(layer):
    """Whether a weight or a border of this layer would be large only because a large number was drawn."""
    found = [n for name in ("filters", "units", "kernel_size", "batch_shape", "target_shape", "padding",
                            "cropping", "pool_size", "strides", "dilation_rate", "input_dim", "output_dim", "n",
                            "size", "num_heads", "key_dim", "value_dim", "output_shape", "block_size",
                            "frame_length", "fft_length", "num_mel_bins", "sequence_stride", "max_tokens",
                            "output_sequence_length")
             for n in np.ravel(np.array(getattr(layer, name, 0), dtype=object)) if isinstance(n, int)]
    return any(n > SMALL for n in found)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
@given(data=st.data())
def test_random_constructor_arguments(cls, data):
    names = [n for n in inspect.signature(cls.__init__).parameters if n not in ("self", "kwargs", "name")]
    common = ["trainable", "dtype", "activity_regularizer", "name", "nonsense"]
    chosen = data.draw(st.lists(st.sampled_from([*names, *names, *common]), unique=True, max_size=4))
    required = [p.name for p in inspect.signature(cls.__init__).parameters.values()
                if p.default is p.empty and p.kind == p.POSITIONAL_OR_KEYWORD and p.name != "self"]
    if data.draw(st.integers(0, 9)):           # most of the time nothing is missing
        chosen = list(dict.fromkeys([*required, *chosen]))
    arguments = {name: data.draw(values, label=name) for name in chosen}
    layer = accept(cls, lambda: cls(**arguments))
    if layer is None:
        return
    accept(cls, lambda: cls.from_config(layer.get_config()))
    if not too_large(layer):
        x = data.draw(things(), label="input")
        accept(cls, lambda: layer(x))


@pytest.mark.parametrize("case", list(CASES))
@given(x=things())
def test_random_inputs(case, x):
    layer = make(case)
    accept(type(layer), lambda: layer(x))
    assert not np.any([np.isnan(w).any() for w in layer.get_weights()])


@pytest.mark.parametrize("case", list(CASES))
@given(x=things())
def test_random_inputs_after_good_ones(case, x):
    layer = make(case)
    good = arrays(case, np.random.default_rng(0))
    expected = layer(good)
    accept(type(layer), lambda: layer(x))
    np.testing.assert_array_equal(layer(good), expected)


@pytest.mark.parametrize("case", list(CASES))
@given(shape=st.one_of(shapes, st.lists(shapes, max_size=3), values))
def test_random_build_shapes(case, shape):
    assume(not any(isinstance(n, int) and n > SMALL for n in flatten(shape)))
    layer = make(case)
    accept(type(layer), lambda: layer.build(shape))
    if not layer.built:
        assert not layer.weights


@pytest.mark.parametrize("case", ["dense", "conv2d", "conv1d", "conv3d"])
@pytest.mark.parametrize("weights", [[], [1], [np.zeros(3)] * 2, "ab", None, [None, None],
                                     [np.zeros((2, 2)), object()]],
                         ids=["empty", "number", "too many", "string", "None", "Nones", "object"])
def test_wrong_weights(case, weights):
    layer = make(case)
    layer(arrays(case, np.random.default_rng(0)))
    before = layer.get_weights()
    with pytest.raises((ValueError, TypeError), match=type(layer).__name__):
        layer.set_weights(weights)
    for a, b in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
