"""The metrics: known values, Keras's values over several batches, names and errors."""

import inspect
import json
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
    ("SparseTopKCategoricalAccuracy", {"k": 2, "from_sorted_ids": True}, LABELS,
     np.ascontiguousarray(SCORES.argsort(-1)[..., ::-1])),
    ("MeanSquaredError", {}, YES, SCORES), ("MeanAbsoluteError", {}, YES, SCORES),
    ("BinaryCrossentropy", {}, YES, PROBABILITIES), ("BinaryCrossentropy", {"from_logits": True}, YES,
                                                     SCORES),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, ONE_HOT, PROBABILITIES),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, LABELS, SCORES),
    ("MeanAbsolutePercentageError", {}, YES, SCORES), ("MeanSquaredLogarithmicError", {}, YES, PROBABILITIES),
    ("RootMeanSquaredError", {}, YES, SCORES), ("LogCoshError", {}, YES, SCORES),
    ("CosineSimilarity", {}, YES + 0.25, SCORES),
    ("PearsonCorrelation", {}, SCORES[::-1] + PROBABILITIES, SCORES),
    ("KLDivergence", {}, PROBABILITIES[::-1], PROBABILITIES), ("Poisson", {}, YES * 3, PROBABILITIES),
    ("Hinge", {}, YES, SCORES), ("SquaredHinge", {}, YES * 2 - 1, SCORES), ("CategoricalHinge", {}, ONE_HOT,
                                                                            SCORES),
    ("R2Score", {}, YES, SCORES), ("R2Score", {"class_aggregation": None}, YES, SCORES),
    ("R2Score", {"class_aggregation": "variance_weighted_average", "num_regressors": 3}, YES, SCORES),
    ("TruePositives", {}, YES, PROBABILITIES), ("FalsePositives", {"thresholds": 0.2}, YES, PROBABILITIES),
    ("TrueNegatives", {"thresholds": [0.1, 0.3, 0.7]}, YES, PROBABILITIES),
    ("FalseNegatives", {"thresholds": [0.0, 0.5, 1.0]}, YES, PROBABILITIES),
    ("Precision", {}, YES, PROBABILITIES), ("Precision", {"thresholds": [0.1, 0.2]}, YES, PROBABILITIES),
    ("Precision", {"top_k": 2}, YES, PROBABILITIES), ("Precision", {"class_id": 1, "thresholds": 0.2}, YES,
                                                      PROBABILITIES),
    ("Recall", {"thresholds": 0.15}, YES, PROBABILITIES), ("Recall", {"top_k": 3, "class_id": 2}, YES,
                                                           PROBABILITIES),
    ("Recall", {"thresholds": 0.15}, np.ascontiguousarray(YES[..., 0]),
     np.ascontiguousarray(PROBABILITIES[..., :1])),
    ("F1Score", {}, ONE_HOT, PROBABILITIES), ("F1Score", {"average": "micro", "threshold": 0.2}, YES,
                                              PROBABILITIES),
    ("FBetaScore", {"average": "macro", "beta": 2.0}, ONE_HOT, PROBABILITIES),
    ("FBetaScore", {"average": "weighted", "beta": 0.5, "threshold": 0.25}, YES, PROBABILITIES),
    ("AUC", {}, YES, PROBABILITIES), ("AUC", {"num_thresholds": 20, "curve": "PR"}, YES, PROBABILITIES),
    ("AUC", {"curve": "PRGAIN", "summation_method": "majoring"}, YES, PROBABILITIES),
    ("AUC", {"curve": "PR", "summation_method": "minoring", "thresholds": [0.1, 0.15, 0.6]}, YES,
     PROBABILITIES),
    ("AUC", {"multi_label": True}, YES, PROBABILITIES),
    ("AUC", {"multi_label": True, "num_labels": 6, "curve": "PR", "label_weights": [1.0, 2, 3, 4, 5, 0]}, YES,
     PROBABILITIES),
    ("AUC", {"label_weights": [1.0, 2, 3, 4, 5, 0]}, YES, PROBABILITIES), ("AUC", {"from_logits": True}, YES,
                                                                           SCORES),
    ("SensitivityAtSpecificity", {"specificity": 0.6}, YES, PROBABILITIES),
    ("SpecificityAtSensitivity", {"sensitivity": 0.7, "num_thresholds": 30}, YES, PROBABILITIES),
    ("PrecisionAtRecall", {"recall": 0.4}, YES, PROBABILITIES),
    ("RecallAtPrecision", {"precision": 0.55, "class_id": 2}, YES, PROBABILITIES)]
UNWEIGHTED = [
    ("CosineSimilarity", {"axis": 0}, YES + 0.25, SCORES),
    ("ConcordanceCorrelation", {"axis": 0}, SCORES, SCORES),
    ("IoU", {"num_classes": 6, "target_class_ids": [0, 3]}, LABELS, SCORES.argmax(-1)),
    ("IoU", {"num_classes": 6, "target_class_ids": [5], "sparse_y_pred": False}, LABELS, SCORES),
    ("MeanIoU", {"num_classes": 6}, LABELS, np.roll(LABELS, 1, 1)),
    ("MeanIoU", {"num_classes": 4}, LABELS, np.roll(LABELS, 1, 1)),
    ("MeanIoU", {"num_classes": 6, "ignore_class": 2}, LABELS, np.roll(LABELS, 1, 1)),
    ("BinaryIoU", {}, YES, PROBABILITIES), ("BinaryIoU", {"target_class_ids": [1], "threshold": 0.2}, YES,
                                            PROBABILITIES),
    ("OneHotIoU", {"num_classes": 6, "target_class_ids": [1, 2]}, ONE_HOT, PROBABILITIES),
    ("OneHotMeanIoU", {"num_classes": 6}, ONE_HOT, PROBABILITIES)]


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype:UserWarning")    # Keras's IoU on JAX
@pytest.mark.parametrize(("name", "arguments", "y", "pred", "weighted"), [
    *[(*case, weighted) for case in CASES for weighted in (False, True)], *[(*case,
                                                                             False) for case in UNWEIGHTED]])
def test_values_equal_those_of_keras(name, arguments, y, pred, weighted):
    keras = pytest.importorskip("keras")
    own, theirs = getattr(metrics, name)(**arguments), getattr(keras.metrics, name)(**arguments)
    compiled = getattr(metrics, name)(**arguments)
    assert theirs.name in (own.name, f"{own.name}_{theirs.name.rsplit('_', 1)[-1]}")
    assert set(own.get_config()) >= set(theirs.get_config())    # Keras forgets some axes
    parameters = [list(inspect.signature(type(m)).parameters) for m in (own, theirs)]
    assert parameters[0] == parameters[1]
    again = metrics.get(json.loads(json.dumps(metrics.serialize(own))))
    assert type(again) is type(own) and again.get_config() == own.get_config()
    function = Function(lambda *batch: (compiled.update_state(*batch), compiled.result())[1])
    for batch in range(3):
        args = (y[batch], pred[batch], *([WEIGHTS[batch]] if weighted else []))
        own.update_state(*args), theirs.update_state(*args)
        expected = keras.ops.convert_to_numpy(theirs.result())
        np.testing.assert_allclose(own.result(), expected, rtol=3e-5, atol=1e-5)
        np.testing.assert_allclose(function(*args), expected, rtol=3e-5, atol=1e-5)


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


@pytest.mark.parametrize(("call", "message"), [
    (lambda: metrics.Precision(thresholds=2), "thresholds=2 must be numbers from 0 to 1"),
    (lambda: metrics.Recall(top_k=0), "top_k=0 must be an int of at least 1"),
    (lambda: metrics.Recall(class_id=9)(YES[0], PROBABILITIES[0]), "class_id=9 needs predictions"),
    (lambda: metrics.Precision()(YES[0], PROBABILITIES[0][:, :2]), r"precision: labels of shape \(8, 6\)"),
    (lambda: metrics.AUC(curve="ROCK"), "curve='ROCK' is not known; expected 'ROC', 'PR' or 'PRGAIN'"),
    (lambda: metrics.AUC(summation_method="middle"), "summation_method='middle' is not known"),
    (lambda: metrics.AUC(num_thresholds=1), "num_thresholds=1 must be an int of at least 2"),
    (lambda: metrics.AUC(num_labels=3), "goes with multi_label=True only"),
    (lambda: metrics.AUC(multi_label=True).result(), "AUC has seen no data yet"),
    (lambda: metrics.F1Score(average="mean"), "average='mean' is not known"),
    (lambda: metrics.FBetaScore(beta=0), "beta=0 must be a number above 0"),
    (lambda: metrics.F1Score(threshold=0), "threshold=0 must be above 0"),
    (lambda: metrics.F1Score()(YES[0, :, 0], PROBABILITIES[0, :, 0]), r"one shape \(samples, classes\)"),
    (lambda: metrics.F1Score().result(), "has seen no data yet"),
    (lambda: metrics.IoU(3, [3]), r"target_class_ids=\[3\] must name classes from 0 to 2"),
    (lambda: metrics.MeanIoU(3)([1, 2], [1]), "2 labels do not fit 1 predictions"),
    (lambda: metrics.R2Score(num_regressors=-1), "num_regressors=-1 must be an int of at least 0"),
    (lambda: metrics.R2Score(class_aggregation="sum"), "class_aggregation='sum' is not known"),
    (lambda: metrics.R2Score()(YES[0, :, 0], YES[0, :, 0]), r"shape \(samples, outputs\)"),
    (lambda: metrics.PrecisionAtRecall(1.5), "recall=1.5 must be a number from 0 to 1"),
    (lambda: metrics.RootMeanSquaredError()(YES[0], YES[0, :, :2]),
     "root_mean_squared_error: labels of shape")])
def test_errors_of_further_metrics(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_known_values_of_counts(backend):
    labels, scores = np.array([1, 1, 0, 0, 1]), np.array([0.9, 0.4, 0.8, 0.1, 0.7], "float32")
    assert float(metrics.TruePositives()(labels, scores)) == 2
    assert float(metrics.FalsePositives()(labels, scores)) == 1
    np.testing.assert_allclose(metrics.Precision()(labels, scores), 2 / 3, rtol=1e-6)
    np.testing.assert_allclose(metrics.Recall(thresholds=[0.0, 0.5, 0.95])(labels, scores), [1, 2 / 3, 0],
                               rtol=1e-6)
    # Of the six pairs of a yes and a no, the yes has the higher score in four.
    np.testing.assert_allclose(metrics.AUC(num_thresholds=2000)(labels, scores), 4 / 6, rtol=1e-5)
    np.testing.assert_allclose(metrics.BinaryIoU([1])(labels, scores), 2 / 4, rtol=1e-5)
    assert float(metrics.Precision()(labels, np.zeros(5))) == 0


def test_labels_of_the_f1_score():
    labels, scores = np.array([1, 0, 1, 1]), np.array([[0.9], [0.8], [0.4], [0.7]])
    found = metrics.F1Score(threshold=0.5)(labels, scores)                  # two hits, one wrong, one missed
    np.testing.assert_allclose(found, [2 / 3], rtol=1e-5)
    np.testing.assert_array_equal(found, metrics.F1Score(threshold=0.5)(labels[:, None], scores))
    with pytest.raises(ValueError, match="class numbers one-hot"):
        metrics.F1Score()(labels, np.ones((4, 3)))


def test_state_is_forgotten():
    for metric in (metrics.AUC(), metrics.F1Score("macro"), metrics.MeanIoU(6), metrics.R2Score()):
        y = LABELS[0] if isinstance(metric, metrics.IoU) else YES[0]
        pred = SCORES[0].argmax(-1) if isinstance(metric, metrics.IoU) else PROBABILITIES[0]
        first = float(metric(y, pred))
        metric.update_state(np.roll(y, 1, 0), pred)
        metric.reset_state()
        assert float(metric(y, pred)) == first


def test_metrics_in_double_precision():
    auc = metrics.AUC(dtype="float64")
    auc.update_state(YES[0], PROBABILITIES[0])
    assert auc.result().dtype == "float64" and auc.variables[0].dtype == "float64"


REQUIRED = {"IoU": (3, [0]), "MeanIoU": (3,), "OneHotIoU": (3, [0]), "OneHotMeanIoU": (3,),
            "PrecisionAtRecall": (0.5,), "RecallAtPrecision": (0.5,), "SensitivityAtSpecificity": (0.5,),
            "SpecificityAtSensitivity": (0.5,)}


@pytest.mark.parametrize("name", sorted(metrics.CLASSES))
def test_every_configuration_makes_the_metric_again(name):
    own = getattr(metrics, name)(*REQUIRED.get(name, ()), name="mine", dtype="float64")
    config = json.loads(json.dumps(metrics.serialize(own)))
    again = metrics.deserialize(config)
    assert type(again) is type(own) and again.get_config() == own.get_config()
    assert again.name == "mine" and all(v.dtype == "float64" for v in again.variables)


def test_a_metric_of_ones_own_by_its_configuration():
    class Mine(Mean):
        pass
    config = metrics.serialize(Mine(name="a"))
    assert type(metrics.deserialize(config, {"Mine": Mine})) is Mine
    with pytest.raises(ValueError, match="'Mine' is not known"):
        metrics.deserialize(config)
