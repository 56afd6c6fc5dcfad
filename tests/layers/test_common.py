"""What every layer must do, each checked for all cases of `cases.py`."""

import json

import numpy as np
import pytest

import pyconv
from pyconv import layers
from pyconv.graph import flatten, map_structure
from pyconv.testing import check_gradients

from layer_cases import CASES, arrays, classes, make

ALL = pytest.mark.parametrize("case", list(CASES))


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def inputs_like(x):
    return map_structure(lambda a: pyconv.Input(a.shape[1:], dtype=a.dtype), x)


def shapes_of(x):
    return map_structure(lambda a: (None, *a.shape[1:]), x) if isinstance(x, list) else (None, *x.shape[1:])


def test_every_layer_has_a_case():
    assert classes() == {cls for cls, _, _ in CASES.values()}


@ALL
def test_shape_inference_equals_the_shape_of_the_result(case, rng, backend):
    x, layer = arrays(case, rng), make(case)
    expected = layer.compute_output_shape(shapes_of(x))
    y = layer(x)
    assert expected[0] is None and y.shape == (3, *expected[1:])
    functional = make(case)(inputs_like(x))
    assert functional.shape == expected and functional.dtype == y.dtype.name


@ALL
def test_configuration_round_trip(case, rng):
    x, layer = arrays(case, rng), make(case, dtype="float64", trainable=False)
    config = json.loads(json.dumps(layer.get_config()))
    again = type(layer).from_config(config)
    assert json.loads(json.dumps(again.get_config())) == config
    assert json.loads(json.dumps(layers.deserialize(layers.serialize(layer)).get_config())) == config
    y = layer(x)
    again(x)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(x), y)
    assert (again.name, again.dtype, again.trainable) == (layer.name, "float64", False)


@ALL
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_result_has_the_layers_type(case, rng, dtype):
    layer = make(case, dtype=dtype)
    for given in ("float32", "float64"):
        assert layer(arrays(case, rng, dtype=given)).dtype == dtype
    assert {v.dtype for v in layer.weights} <= {dtype}


@ALL
def test_samples_do_not_influence_each_other(case, rng):
    x, layer = arrays(case, rng, batch=5), make(case, dtype="float64")
    whole = layer(x)
    for rows in (slice(0, 2), slice(4, 5)):
        np.testing.assert_allclose(layer(map_structure(lambda a, rows=rows: a[rows], x)), whole[rows],
                                   rtol=1e-12)


@ALL
def test_an_empty_batch(case, rng):
    layer = make(case)
    assert layer(arrays(case, rng, batch=0)).shape == (0, *layer(arrays(case, rng, batch=2)).shape[1:])


# Their gradient takes as constants what depends on the input.
NOT_EXACT = ("batch_norm_renorm",)


@pytest.mark.parametrize("case", [case for case in CASES if case not in NOT_EXACT])
def test_gradients(case, rng):
    x, layer = arrays(case, rng), make(case, dtype="float64")
    leaves = flatten(x)
    layer(x)

    def call(*tensors):
        return layer(list(tensors) if isinstance(x, list) else tensors[0])
    check_gradients(call, leaves, layer.trainable_variables, training=True)


@ALL
def test_a_functional_model_gives_what_the_layer_gives(case, rng):
    x, layer = arrays(case, rng), make(case, dtype="float64")
    inputs = inputs_like(x)
    model = pyconv.Model(inputs, layer(inputs))
    np.testing.assert_array_equal(model(x), layer(x))
    again = pyconv.Model.from_config(json.loads(json.dumps(model.get_config())))
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again(x), layer(x))


# no axis can be left open
FIXED = ("dense_all", "softmax_axes", "flatten_scalar", "reshape", "permute", "batch_norm_image", "layer_norm_axes",
         "layer_norm_inner", "normalization_adapted", "group_norm_first", "rms_norm_axes", "dot", "dot_axes",
         "dot_mixed")


@pytest.mark.parametrize("case", [case for case in CASES if case not in FIXED])
def test_open_sizes(case, rng):
    """Where all sizes but the channels are open, shapes are found as far as they follow."""
    x, layer = arrays(case, rng), make(case)
    last = getattr(layer, "data_format", None) != "channels_first"

    def opened(a):
        shape = [None] * (a.ndim - 1)
        shape[-1 if last else 0] = a.shape[-1 if last else 1]
        return pyconv.Input(shape, dtype=a.dtype)
    if case.startswith("concatenate"):
        inputs = [pyconv.Input((None, a.shape[-1])) for a in x]
    else:
        inputs = map_structure(opened, x)
    outputs = layer(inputs)
    model, y = pyconv.Model(inputs, outputs), layer(x)
    assert len(outputs.shape) == y.ndim
    assert all(n is None or n == m for n, m in zip(outputs.shape, y.shape, strict=True))
    assert model(x).shape == y.shape


@ALL
def test_arrays_in_any_memory_layout(case, rng):
    x, layer = arrays(case, rng), make(case, dtype="float64")
    y = layer(x)
    odd = map_structure(lambda a: np.asfortranarray(a), x)
    np.testing.assert_array_equal(layer(odd), y)
    swapped = map_structure(lambda a: a.astype(a.dtype.newbyteorder()), x)
    np.testing.assert_array_equal(layer(swapped), y)
    for a in flatten(x):
        a.flags.writeable = False
    np.testing.assert_array_equal(layer(x), y)


@ALL
def test_an_unknown_argument_is_named_with_the_nearest_one(case):
    cls, arguments, _ = CASES[case]
    with pytest.raises(ValueError, match=f"{cls.__name__}.*'nmae'.*Did you mean 'name'"):
        cls(**arguments, nmae="x")


@ALL
def test_trains_in_a_model(case, rng):
    """A step of gradient descent lowers the loss, or changes nothing where there are no weights."""
    pyconv.utils.set_random_seed(1)        # moving averages of three steps need not suit just any weights
    x, layer = arrays(case, rng, dtype="float32"), make(case)
    inputs = inputs_like(x)
    model = pyconv.Model(inputs, layers.Dense(1)(layers.Flatten()(layer(inputs))))
    model.compile(pyconv.optimizers.SGD(0.001), "mse")
    y = rng.normal(size=(3, 1)).astype("float32")
    losses = model.fit(x, y, epochs=3, verbose=0, shuffle=False).history["loss"]
    if not any(word in case for word in ("dropout", "noise", "random")):
        assert losses[2] < losses[1] < losses[0]
