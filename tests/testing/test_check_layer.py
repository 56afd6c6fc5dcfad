"""`check_layer` finds planted bugs, names them rightly, and finds nothing in layers that are right."""

import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyconv
from pyconv import config, layers, ops
from pyconv.testing import LAYER_PROPERTIES, PropertyError, check_layer, strategies
from pyconv.testing.configs import BUILDERS

from planted import PLANTED
from right import RIGHT, Scaling

NAMES = {p.name for p in LAYER_PROPERTIES}


@pytest.mark.parametrize("bug", list(PLANTED))
def test_planted_bugs_are_found(bug):
    cls, arguments, shape, options, name = PLANTED[bug]
    start = time.thread_time()
    with pytest.raises(PropertyError) as caught:
        check_layer(cls, arguments, shape, **options)
    assert time.thread_time() - start < 5
    assert name in caught.value.failures
    text = str(caught.value)
    assert text.startswith(f"{bug} does not keep ") and f"\n[{name}] " in text
    assert f"Smallest case found: {bug}(" in caught.value.failures[name]


def test_every_property_is_seen_to_fail():
    found = {name for *_, name in PLANTED.values()}
    assert found >= NAMES - {"backends"}        # for that one see below


def test_a_backend_that_computes_something_else_is_found(monkeypatch):
    from pyconv.backends.reference import KERNELS
    right = KERNELS["tanh"]
    monkeypatch.setitem(KERNELS, "tanh", lambda x: right(x) * (1 + 1e-6))
    with pytest.raises(PropertyError) as caught:
        check_layer(layers.Activation, {"activation": "tanh"}, (3,), backends=["cpu", "reference"])
    assert list(caught.value.failures) == ["backends"]


@pytest.mark.parametrize("factor", [1.001, 0.0])
def test_a_registered_op_with_a_wrong_gradient_is_found(monkeypatch, factor):
    from pyconv.graph import REGISTRY
    monkeypatch.setattr(REGISTRY["tanh"], "chain", lambda x, y, g: g * factor * (1 - y * y), raising=False)
    with pytest.raises(PropertyError) as caught:
        check_layer(layers.Dense, {"units": 2, "activation": "tanh"}, (3,))
    assert list(caught.value.failures) == ["gradients"]


@pytest.mark.parametrize("name", list(RIGHT))
def test_nothing_is_found_in_right_layers(name):
    made, arguments, shape, options = RIGHT[name]
    found = check_layer(made, arguments, shape, **{"max_examples": 2, **options})
    assert found.keys() <= NAMES
    assert all(v == "holds" or v.startswith("does not apply: ") for v in found.values())


def test_what_does_not_apply_is_told():
    found = check_layer(layers.Dropout, {"rate": 0.5}, (8,))
    assert found["samples_in_training"] == "does not apply: the layer is random in training"
    assert found["training_flag"] == found["seed"] == "holds"
    found = check_layer(Scaling, input_shape=(3,), only=["seed", "data_format", "training_flag"])
    assert set(found.values()) == {f"does not apply: the constructor takes no argument `{a}`"
                                   for a in ("seed", "data_format")} | {
        "does not apply: call() takes no argument `training`"}


class Shrinks(pyconv.Layer):
    """Wrong from 4 elements and a factor of 3 on."""

    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs):
        return inputs if inputs.shape[-1] < 4 or self.factor < 3 else inputs * ops.stop_gradient(inputs)


def test_failures_shrink_and_are_the_same_each_time():
    texts = []
    for _ in range(2):
        with pytest.raises(PropertyError) as caught:
            check_layer(Shrinks, {"factor": st.integers(1, 9)}, (None,), only="gradients", max_examples=30)
        texts.append(str(caught.value))
    assert texts[0] == texts[1]
    assert "Smallest case found: Shrinks(factor=3) on inputs of shape (1, 4), numbers from seed 0." in texts[0]
    assert "only='gradients'" in texts[0] and "skip=['gradients']" in texts[0]


def test_if_the_call_fails_nothing_else_is_checked():
    with pytest.raises(PropertyError, match="reaches over more than(.|\n)*other properties were not checked") as caught:
        check_layer(layers.Conv1D, {"filters": 2, "kernel_size": 3}, (None, 1))
    assert list(caught.value.failures) == ["call"]
    check_layer(layers.Conv1D, {"filters": 2, "kernel_size": 3}, (None, 1), sizes=(3, 6), only=["call", "shape"])


def test_a_layer_that_is_nowhere_smooth():
    class Steps(pyconv.Layer):
        def call(self, inputs):
            return ops.floor(inputs * 1e7)
    with pytest.raises(PropertyError, match=r"none of \d+ cases could be compared with finite differences"):
        check_layer(Steps, input_shape=(3,), only="gradients")


def test_everything_is_left_as_it_was():
    pyconv.utils.set_random_seed(5)
    np.random.seed(3)
    drawn = pyconv.random.host_generator().bit_generator.state["state"]["counter"].copy()
    before = dict(config._state), pyconv.config.backend(), np.random.get_state()[1].tolist()
    check_layer(Scaling, input_shape=(None, 2))
    assert before == (dict(config._state), pyconv.config.backend(), np.random.get_state()[1].tolist())
    np.testing.assert_array_equal(pyconv.random.host_generator().bit_generator.state["state"]["counter"], drawn)


def test_a_layer_itself_may_be_given():
    check_layer(layers.Dense(2, "tanh"), input_shape=(3,), only=["call", "config", "gradients"])
    check_layer(layers.TimeDistributed(layers.Dense(2)), input_shape=(2, 3), only=["call", "config", "saving"])
    x = pyconv.Input((3,))
    with pytest.raises(TypeError, match="give a function that makes such a model"):
        check_layer(pyconv.Model(x, layers.Dense(1)(x)), input_shape=(3,))

    def model():
        x = pyconv.Input((3,), dtype=config.floatx())
        return pyconv.Model(x, layers.Dense(1)(layers.Dense(2, activation="tanh")(x)))
    check_layer(model, input_shape=(3,), only=["call", "samples", "gradients", "inference"])


@pytest.mark.parametrize("arguments, error, expected", [
    (dict(layer=Scaling), TypeError, r"input_shape is missing.*Scaling.*\(28, 28, 1\)"),
    (dict(layer=3, input_shape=(3,)), TypeError, "a class of layers, a layer, a function.*got 3"),
    (dict(layer=Scaling, input_shape=(3,), only="gradient"), ValueError, "'gradient'.*mean 'gradients'.*Known: call"),
    (dict(layer=Scaling, input_shape=(3,), skip=["sampels"]), ValueError, "skip='sampels'.*mean 'samples'"),
    (dict(layer=Scaling, input_shape="3"), TypeError, "input_shape must be a tuple"),
    (dict(layer=Scaling, arguments=[1], input_shape=(3,)), TypeError, "arguments must be a dictionary"),
    (dict(layer=layers.Dense(2), arguments={}, input_shape=(3,)), TypeError, "arguments are for a class"),
    (dict(layer=strategies.layer_configs("Dense"), input_shape=(3,)), TypeError, "has their arguments and shapes"),
    (dict(layer=layers.Add, input_shape=[(3,), (3,)], values=[(0, 1)]), ValueError, "1 entries for 2 inputs"),
    (dict(layer=lambda: 3, input_shape=(3,), only="call"), PropertyError, "makes a int, not a layer"),
], ids=["no shape", "number", "only", "skip", "shape", "arguments", "instance", "strategy", "values", "no layer"])
def test_wrong_use(arguments, error, expected):
    with pytest.raises(error, match=expected):
        check_layer(**arguments)


@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_layer_configs_are_valid(name):
    check_layer(strategies.layer_configs(name), only=["call", "shape"], max_examples=5)


def test_layer_configs_of_several_layers():
    check_layer(strategies.layer_configs("Conv2D", layers.Dense), only=["call", "samples"])
    with pytest.raises(ValueError, match="'Conv2d' is not known.*mean 'Conv2D'"):
        strategies.layer_configs("Conv2d")


@settings(max_examples=30)
@given(st.data())
def test_arrays_are_what_was_asked_for(data):
    shape = data.draw(strategies.shapes(1, 3, least_size=0))
    assert 1 <= len(shape) <= 3 and all(0 <= n <= 7 for n in shape)
    a = data.draw(strategies.arrays((None, 2), "float32", low=0, high=1, layouts=("strided",)))
    assert 1 <= a.shape[0] <= 7 and a.shape[1] == 2 and a.dtype == "float32" and a.min() >= 0 and a.max() <= 1
    assert not a.flags.c_contiguous
    assert data.draw(strategies.arrays(dtype="int32", low=2, high=2)).max(initial=2) == 2
    x = data.draw(strategies.image_batches(rank=3, channels=2, batch=(0, 2), data_format="channels_first",
                                           dtype="uint8"))
    assert x.ndim == 5 and x.shape[1] == 2 and x.shape[0] <= 2 and x.dtype == "uint8"


def test_without_hypothesis_importing_works_and_using_tells_what_to_install():
    code = """
import sys
sys.modules["hypothesis"] = None
from pyconv import testing
import numpy as np
testing.check_gradients(lambda x: x * x, [np.ones(3)])
for use in (lambda: testing.check_layer, lambda: testing.check_op, lambda: testing.strategies):
    try:
        use()
    except ImportError as error:
        assert "pip install 'pyconv-nn[testing]'" in str(error), error
    else:
        raise AssertionError("no error")
"""
    subprocess.run([sys.executable, "-c", code], check=True)
