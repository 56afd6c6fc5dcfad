"""What every layer must do, each checked for all cases of `cases.py`."""

import json

import numpy as np
import pytest

import pyconv
from pyconv import layers
from pyconv.graph import map_structure
from pyconv.testing import check_layer

from layer_cases import CASES, ELSEWHERE, INTEGERS, arrays, classes, make

ALL = pytest.mark.parametrize("case", list(CASES))


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def inputs_like(x):
    return map_structure(lambda a: pyconv.Input(a.shape[1:], dtype=a.dtype), x)


def test_every_layer_has_a_case():
    assert classes() == {cls for cls, _, _ in CASES.values()} | ELSEWHERE


# What is not meant to hold. Renormalization's gradient takes as constants what depends on the input; these image layers
# take `training` as their siblings do that are random, and Lambda for functions that have it.
NOT_MEANT = {"batch_norm": ["samples_in_training"], "batch_norm_renorm": ["gradients"],
             **dict.fromkeys(("resizing", "center_crop", "auto_contrast", "lambda"), ["training_flag"])}


@ALL
def test_keeps_the_properties_of_layers(case):
    """Shapes, types, gradients, samples, modes, files, backends, seeds ...: see `check_layer`."""
    skip = {name for start, names in NOT_MEANT.items() if case.startswith(start) for name in names}
    only = ["gradients", "dtype"] if case == "spectral_norm" else None      # its many iterations take their time
    # Wrong inputs are test_robust.py's; random images have tests of their own.
    whole = {"input_dtype": "int32", "values": (0, INTEGERS[case] - 1)} if case in INTEGERS else {}
    check_layer(*CASES[case], **whole, only=only, skip=[*skip, "errors"],
                max_examples=1 if case.startswith(("random", "spectral_norm")) else 2)


def test_spectral_normalization_keeps_the_properties_of_layers():
    """It writes the kernel that it divided, as Keras's does; its gradient takes the singular vectors as constants."""
    check_layer(layers.SpectralNormalization, {"layer": layers.Conv1D(3, 2), "power_iterations": 2}, (4, 2),
                skip=["training", "gradients"], max_examples=2)


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


# no axis can be left open
FIXED = ("prelu", "einsum_dense_leading", "einsum_dense_trailing", "dense_all", "softmax_axes", "flatten_scalar",
         "reshape", "permute", "batch_norm_image", "layer_norm_axes", "layer_norm_inner", "normalization_adapted",
         "group_norm_first", "rms_norm_axes", "dot", "dot_axes", "dot_mixed")


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
