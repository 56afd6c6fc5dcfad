"""Numbers, shapes, weights and configurations compared with Keras 3."""

import inspect
import json
import os

import numpy as np
import pytest

from pyconv import activations, constraints, initializers, layers, regularizers
from pyconv.graph import flatten

from layer_cases import CASES, OURS_ALONE, OURS_ALONE_CASES, arrays, classes, make

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras")

pytestmark = pytest.mark.peers

# Keras has no integer or pairwise padding, and no data format of Cropping1D.
SHARED = [case for case in CASES if case not in OURS_ALONE_CASES]


@pytest.fixture
def rng():
    return np.random.default_rng(2)


def theirs_like(layer):
    return getattr(keras.layers, type(layer).__name__).from_config(json.loads(json.dumps(layer.get_config())))


@pytest.mark.parametrize("case", SHARED)
def test_numbers_from_our_configuration(case, rng):
    """Keras makes its layer from our configuration, takes our weights, and gives our numbers."""
    x, ours = arrays(case, rng, dtype="float32"), make(case)
    if case == "flatten_scalar":
        x = np.ones((3,), "float32")
    y = ours(x)
    theirs = theirs_like(ours)
    theirs.build([a.shape for a in x] if isinstance(x, list) else x.shape)
    theirs.set_weights(ours.get_weights())
    if not case.startswith("random"):      # these change images in any call there; tests/layers/test_images.py has them
        np.testing.assert_allclose(y, keras.ops.convert_to_numpy(theirs(x)), rtol=1e-4, atol=1e-5)
    shape = [tuple(a.shape) for a in x] if isinstance(x, list) else x.shape
    # Of EinsumDense Keras knows no sizes that were not given.
    assert all(a == b or a is None for a, b in zip(theirs.compute_output_shape(shape),
                                                   ours.compute_output_shape(shape), strict=True))


@pytest.mark.parametrize("case", SHARED)
def test_their_configuration_makes_our_layer(case):
    ours = make(case)
    config = theirs_like(ours).get_config()
    again = type(ours).from_config(json.loads(json.dumps(config)))
    assert json.loads(json.dumps(again.get_config())) == json.loads(json.dumps(ours.get_config()))


@pytest.mark.parametrize("case", SHARED)
def test_configurations_have_the_same_entries(case):
    def plain(value):
        if isinstance(value, dict) and value.get("class_name") == "__numpy__":
            return value["config"]["value"]
        if isinstance(value, dict) and value.get("class_name") == "DTypePolicy":
            return value["config"]["name"]
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()
                    if k not in ("module", "registered_name", "build_config", "input_axes", "output_axes")}
        return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value
    ours = make(case)
    expected = plain(json.loads(json.dumps(theirs_like(ours).get_config())))
    found = plain(json.loads(json.dumps(ours.get_config())))
    missing = {k for k in expected if k not in found and expected[k] is not None}
    assert not missing
    for key in found:
        if key in expected:
            if key in ("padding", "cropping"):            # the same widths in another notation
                assert flatten(expected[key]) == flatten(found[key])
            else:
                assert found[key] == expected[key], key


@pytest.mark.parametrize("cls", sorted(classes() - OURS_ALONE, key=lambda cls: cls.__name__),
                         ids=lambda cls: cls.__name__)
def test_arguments_have_keras_names_order_and_defaults(cls):
    def arguments(init):
        return [p for p in inspect.signature(init).parameters.values()
                if p.kind == p.POSITIONAL_OR_KEYWORD and p.name != "self"]
    theirs = arguments(getattr(keras.layers, cls.__name__).__init__)
    theirs = [p for p in theirs if not p.name.startswith(("lora", "quantization", "gptq"))]
    ours = arguments(cls.__init__)
    if cls is layers.Cropping1D:
        assert ours.pop().name == "data_format"
    assert [p.name for p in ours] == [p.name for p in theirs]
    for a, b in zip(ours, theirs, strict=True):
        one = set(flatten(b.default)) if isinstance(b.default, tuple) else None
        assert a.default == b.default or a.default is b.default or one == {a.default}, a.name


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("size,strides,dilation", [(2, 1, 1), (3, 2, 1), (3, 3, 1), (2, 1, 2), (3, 1, 2),
                                                   (4, 2, 1)])
def test_convolution_and_pooling_geometry(rank, padding, size, strides, dilation, rng):
    """Odd and even sizes meet odd and even kernels, strides and dilations."""
    x = rng.normal(size=(2, *(8, 7, 6)[:rank], 2)).astype("float32")
    arguments = {"strides": strides, "padding": padding}
    for ours, theirs in (
            (getattr(layers, f"Conv{rank}D")(3, size, dilation_rate=dilation, **arguments),
             getattr(keras.layers, f"Conv{rank}D")(3, size, dilation_rate=dilation, **arguments)),
            (getattr(layers, f"MaxPooling{rank}D")(size, **arguments),
             getattr(keras.layers, f"MaxPooling{rank}D")(size, **arguments))):
        y = ours(x)
        theirs.build(x.shape)
        theirs.set_weights(ours.get_weights())
        np.testing.assert_allclose(y, keras.ops.convert_to_numpy(theirs(x)), rtol=1e-4, atol=1e-5)


def test_max_pooling_of_negative_numbers_ignores_padding(rng):
    x = -1 - rng.random((1, 5, 5, 1)).astype("float32")
    theirs = keras.layers.MaxPooling2D(3, padding="same")(x)
    np.testing.assert_allclose(layers.MaxPooling2D(3, padding="same")(x), keras.ops.convert_to_numpy(theirs))


# Keras's sparsemax gives rows of zeros for some inputs (3.15), where the numbers should have the sum 1.
@pytest.mark.parametrize("name", [n for n in activations.__all__
                                  if n not in ("get", "serialize", "deserialize", "threshold", "sparsemax")])
def test_activations(name, rng):
    x = np.concatenate([rng.normal(size=(4, 6)) * 3, [[0.0, 1.0, -1.0, 0.5, -0.5, 6.0],
                                                      [30, -30, 90, -90, 3, -3]]])
    x = x.astype("float32")
    expected = keras.ops.convert_to_numpy(getattr(keras.activations, name)(keras.ops.convert_to_tensor(x)))
    np.testing.assert_allclose(getattr(activations, name)(x), expected, rtol=2e-5, atol=2e-6)


def test_activations_with_arguments(rng):
    x = rng.normal(size=(4, 6)).astype("float32") * 3
    tensor = keras.ops.convert_to_tensor(x)
    for name, arguments in (("relu", {"negative_slope": 0.1, "max_value": 2.0, "threshold": 0.5}),
                            ("elu", {"alpha": 2.0}),
                            ("relu", {"max_value": 1.0}), ("gelu", {"approximate": True}),
                            ("celu", {"alpha": 2.0}),
                            ("softmax", {"axis": 0}), ("leaky_relu", {"negative_slope": 0.5}),
                            ("threshold", {"threshold": 1.0, "default_value": 5.0}),
                            ("squareplus", {"b": 2})):
        expected = keras.ops.convert_to_numpy(getattr(keras.activations, name)(tensor, **arguments))
        np.testing.assert_allclose(getattr(activations, name)(x, **arguments), expected, rtol=2e-5, atol=2e-6)


INITIALIZERS = ("GlorotUniform", "GlorotNormal", "HeUniform", "HeNormal", "LecunUniform", "LecunNormal",
                "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling", "Orthogonal")


@pytest.mark.parametrize("name", INITIALIZERS)
@pytest.mark.parametrize("shape", [(3, 3, 40, 30), (300, 50), (40000,)])
def test_initializers_have_the_same_distribution(name, shape):
    if name == "Orthogonal" and len(shape) < 2:
        return
    ours = getattr(initializers, name)(seed=1)(shape)
    theirs = keras.ops.convert_to_numpy(getattr(keras.initializers, name)(seed=1)(shape))
    quantiles = np.linspace(0.02, 0.98, 13)
    scale = theirs.std()
    np.testing.assert_allclose(np.quantile(ours, quantiles) / scale, np.quantile(theirs, quantiles) / scale,
                               atol=0.13)
    if name not in ("RandomNormal", "Orthogonal"):        # these have no bound
        np.testing.assert_allclose(np.abs(ours).max() / scale, np.abs(theirs).max() / scale, rtol=0.2)
    config = getattr(keras.initializers, name)(seed=1).get_config()
    assert {k: v for k, v in config.items() if k not in ("input_axes", "output_axes")} == \
        getattr(initializers, name)(seed=1).get_config()


def test_names_of_initializers():
    from keras.src.initializers import ALL_OBJECTS_DICT
    for name in ALL_OBJECTS_DICT:
        if not name.lower().startswith(("stft", "initializer")) and isinstance(ALL_OBJECTS_DICT[name], type):
            expected = ALL_OBJECTS_DICT[name].__name__.removesuffix("Initializer")
            assert type(initializers.get(name)).__name__ == expected


def test_regularizers_and_constraints(rng):
    w = rng.normal(size=(3, 2, 4)).astype("float32")
    tensor = keras.ops.convert_to_tensor(w)
    for name, arguments in (("L1", {}), ("L2", {"l2": 0.1}), ("L1L2", {"l1": 0.1, "l2": 0.2})):
        ours = getattr(regularizers, name)(**arguments)
        theirs = getattr(keras.regularizers, name)(**arguments)
        np.testing.assert_allclose(ours(w), keras.ops.convert_to_numpy(theirs(tensor)), rtol=1e-5)
        assert ours.get_config() == pytest.approx(theirs.get_config())
    for name, arguments in (("MaxNorm", {"max_value": 0.5}), ("NonNeg", {}), ("UnitNorm", {"axis": [0, 1]}),
                            ("MinMaxNorm", {"min_value": 0.5, "max_value": 0.8, "rate": 0.7, "axis": 1})):
        ours, theirs = getattr(constraints, name)(**arguments), getattr(keras.constraints, name)(**arguments)
        np.testing.assert_allclose(ours(w), keras.ops.convert_to_numpy(theirs(tensor)), rtol=1e-5)
        assert ours.get_config() == theirs.get_config()
