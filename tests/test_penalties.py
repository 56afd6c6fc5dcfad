"""Regularizers and constraints: formulas, Keras's numbers, configurations, errors."""

import json
import os

import numpy as np
import pytest

from pyconv import constraints, initializers, regularizers
from pyconv.graph import Variable, gradients
from pyconv.ops.function import Function

os.environ.setdefault("KERAS_BACKEND", "torch")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")    # in Keras

rng = np.random.default_rng(2)
W = rng.normal(size=(4, 3)).astype("float32")
KERNEL = rng.normal(size=(3, 3, 2, 4)).astype("float32") * 2

REGULARIZERS = [("L1", {}), ("L1", {"l1": 0.3}), ("L2", {"l2": 0.2}), ("L1L2", {"l1": 0.1, "l2": 0.5}),
                ("OrthogonalRegularizer", {}), ("OrthogonalRegularizer", {"factor": 0.7, "mode": "columns"})]
CONSTRAINTS = [("MaxNorm", {}), ("MaxNorm", {"max_value": 1.5, "axis": [0, 1, 2]}), ("NonNeg", {}),
               ("UnitNorm", {}), ("UnitNorm", {"axis": 1}),
               ("MinMaxNorm", {"min_value": 1.0, "max_value": 2.0, "rate": 0.5, "axis": 0})]


@pytest.mark.peers
@pytest.mark.parametrize(("name", "arguments"), REGULARIZERS)
def test_regularizers_equal_those_of_keras(name, arguments, backend):
    keras = pytest.importorskip("keras")
    own, variable = getattr(regularizers, name)(**arguments), Variable(W)
    expected = float(getattr(keras.regularizers, name)(**arguments)(keras.ops.convert_to_tensor(W)))
    np.testing.assert_allclose(float(own(W)), expected, rtol=1e-5)
    penalty, slope = Function(lambda: (own(variable.read()), gradients(own(variable.read()),
                                                                       [variable.read()])[0]))()
    np.testing.assert_allclose(penalty, expected, rtol=1e-5)
    direction = rng.normal(size=W.shape)
    ends = [float(own(W.astype("float64") + sign * 1e-6 * direction)) for sign in (1, -1)]
    np.testing.assert_allclose((slope * direction).sum(), (ends[0] - ends[1]) / 2e-6, rtol=1e-3, atol=1e-5)


@pytest.mark.peers
@pytest.mark.parametrize("weight", [W, KERNEL], ids=["matrix", "kernel"])
@pytest.mark.parametrize(("name", "arguments"), CONSTRAINTS)
def test_constraints_equal_those_of_keras(name, arguments, weight, backend):
    keras = pytest.importorskip("keras")
    if isinstance(arguments.get("axis"), list) and weight.ndim < 4:
        arguments = {**arguments, "axis": [0]}
    expected = getattr(keras.constraints, name)(**arguments)(keras.ops.convert_to_tensor(weight))
    np.testing.assert_allclose(getattr(constraints, name)(**arguments)(weight),
                               keras.ops.convert_to_numpy(expected), rtol=1e-5, atol=1e-6)


def test_orthogonal_rows_cost_nothing():
    assert float(regularizers.OrthogonalRegularizer()(np.eye(3, 5, dtype="float32"))) == 0
    same = np.ones((3, 2), "float32")
    np.testing.assert_allclose(float(regularizers.OrthogonalRegularizer(0.5)(same)), 0.5, rtol=1e-6)
    assert float(regularizers.OrthogonalRegularizer()(np.zeros((3, 2), "float32"))) == 0


@pytest.mark.parametrize(("module", "name", "arguments"), [
    *[(regularizers, *case) for case in REGULARIZERS], *[(constraints, *case) for case in CONSTRAINTS]])
def test_configurations(module, name, arguments):
    own = getattr(module, name)(**arguments)
    config = json.loads(json.dumps(module.serialize(own)))
    again = module.get(config)
    assert type(again) is type(own) and again.get_config() == own.get_config()
    assert {**own.get_config(), **arguments} == own.get_config()


@pytest.mark.parametrize(("make", "message"), [
    (lambda: regularizers.OrthogonalRegularizer(mode="row"), "mode='row' is not known"),
    (lambda: regularizers.OrthogonalRegularizer(-1), "factor must be finite and at least 0"),
    (lambda: regularizers.OrthogonalRegularizer()(KERNEL),
     r"needs 2 axes and at least 2 rows, got shape \(3, 3"),
    (lambda: regularizers.OrthogonalRegularizer(mode="columns")(W[:, :1]), "at least 2 columns"),
    (lambda: constraints.MaxNorm(-1), "max_value must be finite and at least 0")])
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_kerass_longer_names():
    assert initializers.OrthogonalInitializer is initializers.Orthogonal
    assert initializers.IdentityInitializer is initializers.Identity
    assert isinstance(regularizers.get("orthogonal_regularizer"), regularizers.OrthogonalRegularizer)
