"""The metrics: known values, Keras's values over several batches, names and errors."""

import os

import numpy as np
import pytest

from pyconv import metrics, ops
from pyconv.metrics import Mean, MeanMetricWrapper, Metric, Sum
from pyconv.ops.function import Function

os.environ.setdefault("KERAS_BACKEND", "torch")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")    # in Keras

rng = np.random.default_rng(7)
SCORES = rng.normal(size=(3, 8, 6)).astype("float32")       # three batches of 8
LABELS = rng.integers(0, 6, (3, 8))
ONE_HOT = np.eye(6, dtype="float32")[LABELS]
PROBABILITIES = (np.exp(SCORES) / np.exp(SCORES).sum(-1, keepdims=True)).astype("float32")
YES = rng.integers(0, 2, (3, 8, 6)).astype("float32")
WEIGHTS = rng.uniform(0, 2, (3, 8)).astype("float32")


def test_mean_and_sum(backend):
    mean, total = Mean(), Sum()
    assert float(mean.result()) == 0
    for values, weights in (([1.0, 3.0], None), ([5.0, 7.0], [1.0, 0.0])):
        mean.update_state(values, weights), total.update_state(values, weights)
    assert float(mean.result()) == 3 and float(total.result()) == 9
    mean.reset_state()
    assert float(mean.result()) == 0
    assert float(mean(4.0)) == 4


def test_updates_belong_to_the_program(backend):
    mean = Mean()

    def step(x):
        mean.update_state(x)
        return mean.result()
    function = Function(step)
    assert float(function(np.array([1.0, 2.0], "float32"))) == 1.5
    assert float(function(np.array([6.0, 7.0], "float32"))) == 4
    assert len(function.programs) == 1 and float(mean.count.numpy()) == 4


CASES = [
    ("SparseCategoricalAccuracy", {}, LABELS, SCORES), ("SparseCategoricalAccuracy", {}, LABELS[..., None],
                                                        SCORES),
    ("CategoricalAccuracy", {}, ONE_HOT, SCORES), ("BinaryAccuracy", {}, YES, PROBABILITIES),
    ("BinaryAccuracy", {"threshold": 0.1}, YES, PROBABILITIES), ("Accuracy", {}, YES, YES[::-1]),
    ("TopKCategoricalAccuracy", {"k": 2}, ONE_HOT, SCORES),
    ("SparseTopKCategoricalAccuracy", {"k": 3}, LABELS, SCORES),
    ("MeanSquaredError", {}, YES, SCORES), ("MeanAbsoluteError", {}, YES, SCORES),
    ("BinaryCrossentropy", {}, YES, PROBABILITIES), ("BinaryCrossentropy", {"from_logits": True}, YES,
                                                     SCORES),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, ONE_HOT, PROBABILITIES),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, LABELS, SCORES)]


@pytest.mark.peers
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("name", "arguments", "y", "pred"), CASES)
def test_values_equal_those_of_keras(name, arguments, y, pred, weighted):
    keras = pytest.importorskip("keras")
    own, theirs = getattr(metrics, name)(**arguments), getattr(keras.metrics, name)(**arguments)
    compiled = getattr(metrics, name)(**arguments)
    assert own.name == theirs.name
    function = Function(lambda *batch: (compiled.update_state(*batch), compiled.result())[1])
    for batch in range(3):
        args = (y[batch], pred[batch], *([WEIGHTS[batch]] if weighted else []))
        own.update_state(*args), theirs.update_state(*args)
        np.testing.assert_allclose(own.result(), float(theirs.result()), rtol=2e-5)
        np.testing.assert_allclose(function(*args), float(theirs.result()), rtol=2e-5)


def test_top_k_counts_ties_and_knows_no_class_out_of_range(backend):
    scores = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [3.0, 2.0, 1.0]], "float32")
    np.testing.assert_array_equal(metrics.sparse_top_k_categorical_accuracy([0, 1, 1], scores, k=1),
                                  [1, 1, 0])
    np.testing.assert_array_equal(metrics.sparse_top_k_categorical_accuracy([-1, 3, 2], scores, k=3),
                                  [0, 0, 1])


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "int8"])
def test_labels_of_any_type(dtype):
    value = metrics.sparse_categorical_accuracy(LABELS[0].astype(dtype), SCORES[0])
    np.testing.assert_array_equal(value, (SCORES[0].argmax(-1) == LABELS[0]).astype("float32"))


def test_a_function_becomes_a_metric():
    def worst(y_true, y_pred):
        return ops.max(ops.absolute(y_true - y_pred), -1)
    metric = MeanMetricWrapper(worst)
    assert metric.name == "worst"
    np.testing.assert_allclose(metric(YES[0], SCORES[0]), np.abs(YES[0] - SCORES[0]).max(-1).mean(),
                               rtol=1e-5)


def test_a_metric_of_ones_own():
    class Largest(Metric):
        def __init__(self, name="largest"):
            super().__init__(name=name)
            self.value = self.add_variable((), -1.0, name="value")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.value.assign(ops.maximum(self.value.value, ops.max(y_pred)))

        def result(self):
            return self.value.value
    metric = Largest()
    metric.update_state(None, SCORES[0])
    assert float(metric.result()) == SCORES[0].max()
    metric.reset_state()
    assert float(metric.result()) == -1


def test_get():
    assert isinstance(metrics.get("mse"), metrics.MeanSquaredError)
    assert isinstance(metrics.get("sparse_top_k_categorical_accuracy"), metrics.SparseTopKCategoricalAccuracy)
    assert isinstance(metrics.get("BinaryAccuracy"), metrics.BinaryAccuracy)
    with pytest.raises(ValueError, match="Did you mean 'accuracy'"):
        metrics.get("acuracy")
    with pytest.raises(TypeError, match=r"give an instance: Mean\(\)"):
        metrics.get(Mean)
    config = metrics.serialize(metrics.BinaryAccuracy(threshold=0.25))
    assert metrics.get(config).get_config() == config["config"]


@pytest.mark.parametrize(("call", "message"), [
    (lambda: metrics.categorical_accuracy(LABELS[0], SCORES[0]), "use 'sparse_categorical_accuracy'"),
    (lambda: metrics.sparse_categorical_accuracy(ONE_HOT[0], SCORES[0]), "without 'sparse_'"),
    (lambda: metrics.binary_accuracy(YES[0, :, :2], SCORES[0]), r"\(8, 2\) do not fit"),
    (lambda: metrics.sparse_top_k_categorical_accuracy(LABELS[0], SCORES[0], k=0),
     "k=0 must be an int of at least 1")])
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
