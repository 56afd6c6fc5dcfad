"""The losses: known values, Keras's values, and the errors that teach."""

import json
import os

import numpy as np
import pytest

from pyconv import losses, ops
from pyconv.graph import Variable, gradients
from pyconv.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)
from pyconv.ops.function import Function

os.environ.setdefault("KERAS_BACKEND", "torch")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")    # in Keras

rng = np.random.default_rng(5)
LOGITS = rng.normal(size=(6, 4)).astype("float32") * 2
P = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
LABELS = rng.integers(0, 4, 6)
ONE_HOT = np.eye(4, dtype="float32")[LABELS]
YES = rng.integers(0, 2, (6, 4)).astype("float32")
WEIGHTS = rng.uniform(0, 2, 6).astype("float32")
UNIT = LOGITS / np.linalg.norm(LOGITS, axis=-1, keepdims=True)


def test_known_values(backend):
    assert float(MeanSquaredError()([[0.0, 1.0]], [[1.0, 1.0]])) == 0.5
    assert float(MeanAbsoluteError()([[0.0, 3.0]], [[1.0, 1.0]])) == 1.5
    np.testing.assert_allclose(losses.sparse_categorical_crossentropy([1], [[0.25, 0.5, 0.25]]), [np.log(2)],
                               1e-5)
    np.testing.assert_allclose(losses.categorical_crossentropy([[0, 1, 0]], [[0.25, 0.5, 0.25]]), [np.log(2)],
                               1e-5)
    np.testing.assert_allclose(losses.binary_crossentropy([[1.0]], [[0.25]]), [np.log(4)], 1e-5)
    np.testing.assert_allclose(losses.binary_crossentropy([[1.0]], [[-200.0]], from_logits=True), [200.0],
                               1e-6)


CASES = [
    ("MeanSquaredError", {}, YES, LOGITS), ("MeanAbsoluteError", {}, YES, LOGITS),
    ("BinaryCrossentropy", {}, YES, P), ("BinaryCrossentropy", {"from_logits": True}, YES, LOGITS),
    ("BinaryCrossentropy", {"label_smoothing": 0.2}, YES, P),
    ("CategoricalCrossentropy", {}, ONE_HOT, P), ("CategoricalCrossentropy", {}, ONE_HOT, P * 3),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, ONE_HOT, LOGITS),
    ("CategoricalCrossentropy", {"from_logits": True, "axis": 1}, np.stack([ONE_HOT] * 3, 2),
     np.stack([LOGITS] * 3, 2)),
    ("SparseCategoricalCrossentropy", {}, LABELS, P), ("SparseCategoricalCrossentropy", {}, LABELS, P * 0.2),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, LABELS, LOGITS),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, LABELS[:, None], LOGITS),
    ("SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": 1}, LABELS, LOGITS),
    ("MeanAbsolutePercentageError", {}, np.roll(LOGITS, 1, 0), LOGITS),
    ("MeanSquaredLogarithmicError", {}, YES * 3, LOGITS),
    ("Huber", {}, YES, LOGITS), ("Huber", {"delta": 0.3}, YES, LOGITS), ("LogCosh", {}, YES, LOGITS * 3),
    ("KLDivergence", {}, np.roll(P, 1, 0), P), ("KLDivergence", {}, ONE_HOT, P), ("Poisson", {}, YES * 4,
                                                                                  P * 3),
    ("Hinge", {}, YES, LOGITS), ("Hinge", {}, YES * 2 - 1, LOGITS), ("SquaredHinge", {}, YES, LOGITS),
    ("CategoricalHinge", {}, ONE_HOT, LOGITS), ("CosineSimilarity", {}, YES + 0.5, LOGITS),
    ("CosineSimilarity", {"axis": 1}, np.stack([YES + 0.5] * 3, 2), np.stack([LOGITS] * 3, 2)),
    ("BinaryFocalCrossentropy", {}, YES, P), ("BinaryFocalCrossentropy", {"from_logits": True}, YES, LOGITS),
    ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "alpha": 0.7, "gamma": 1.5,
                                 "label_smoothing": 0.1}, YES, P),
    ("CategoricalFocalCrossentropy", {}, ONE_HOT, P),
    ("CategoricalFocalCrossentropy", {"alpha": 0.6, "gamma": 3.0, "label_smoothing": 0.2}, ONE_HOT, P),
    ("CategoricalFocalCrossentropy", {"from_logits": True, "axis": 1}, np.stack([ONE_HOT] * 3, 2),
     np.stack([LOGITS] * 3, 2)),
    ("CategoricalGeneralizedCrossEntropy", {"q": 0.3}, LABELS, P),
    ("Dice", {"axis": -1}, YES, P), ("Tversky", {"axis": -1, "alpha": 0.3, "beta": 0.8}, YES, P),
    ("Circle", {}, LABELS, UNIT), ("Circle", {"gamma": 5.0, "margin": 0.25}, LABELS, UNIT)]


REDUCTIONS = ("sum_over_batch_size", "sum", "mean_with_sample_weight", "none", "mean", None)


def compare(keras, name, arguments, y, pred, weight, reduction):
    expected = getattr(keras.losses, name)(reduction=reduction, **arguments)(y, pred, weight)
    own = getattr(losses, name)(reduction=reduction, **arguments)(y, pred, weight)
    np.testing.assert_allclose(own, expected, rtol=2e-5, atol=1e-6, err_msg=str(reduction))


@pytest.mark.peers
@pytest.mark.parametrize(("name", "arguments", "y", "pred"), CASES)
def test_values_equal_those_of_keras(name, arguments, y, pred):
    """Of each sample, weighted; the mean of all comes with the gradients."""
    keras = pytest.importorskip("keras")
    weight = np.stack([WEIGHTS] * 3, 1) if pred.ndim == 3 else WEIGHTS
    compare(keras, name, arguments, y, pred, weight, "none")


@pytest.mark.peers
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("case", [0, 4, 13, 35])        # with a mask, and with one value for all samples, too
def test_reductions_equal_those_of_keras(case, reduction):
    keras = pytest.importorskip("keras")
    for weight in (None, WEIGHTS, WEIGHTS[:, None]):
        compare(keras, *CASES[case], weight, reduction)


@pytest.mark.peers
@pytest.mark.parametrize(("name", "arguments", "y", "pred"), CASES)
def test_gradients_equal_those_of_keras(name, arguments, y, pred):
    """Of the weighted mean, in a compiled step."""
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "jax":
        pytest.skip("the gradients are compared with those of Keras on JAX")
    import jax
    weight = np.stack([WEIGHTS] * 3, 1) if pred.ndim == 3 else WEIGHTS
    theirs = getattr(keras.losses, name)(**arguments)
    expected, slope = jax.value_and_grad(jax.jit(lambda p: theirs(y, p, weight)))(pred)
    own, variable = getattr(losses, name)(**arguments), Variable(pred)

    def run(labels):
        value = own(labels, variable.read(), weight)
        return value, gradients(value, [variable.read()])[0]
    value, gradient = Function(run)(y)
    np.testing.assert_allclose(value, expected, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(gradient, slope, rtol=2e-4, atol=2e-6)


def test_the_classes_may_lie_along_another_axis(backend):
    """Keras on JAX takes the last axis only."""
    value = losses.sparse_categorical_crossentropy(np.stack([LABELS] * 3, 1), np.stack([LOGITS] * 3, 2), True,
                                                   axis=1)
    expected = losses.sparse_categorical_crossentropy(LABELS, LOGITS, from_logits=True)
    np.testing.assert_allclose(value, np.stack([expected] * 3, 1), rtol=1e-6)


@pytest.mark.peers
@pytest.mark.parametrize(("labels", "pred"), [((6,), (6, 1)), ((6, 1), (6,)), ((6, 2, 1), (6, 2))])
def test_a_last_axis_of_1_is_matched_as_in_keras(labels, pred):
    keras = pytest.importorskip("keras")
    y, p = rng.normal(size=labels).astype("float32"), rng.normal(size=pred).astype("float32")
    own = MeanSquaredError(reduction="none")(y, p)
    theirs = keras.losses.MeanSquaredError(reduction="none")(y, p)
    np.testing.assert_allclose(own, keras.ops.convert_to_numpy(theirs), rtol=1e-5)


def test_sure_and_wrong_probabilities_stay_finite(backend):
    sure = np.array([[0.0, 1.0], [1.0, 0.0]], "float32")
    for value in (losses.sparse_categorical_crossentropy([0, 0], sure),
                  losses.categorical_crossentropy([[1, 0], [1, 0]], sure),
                  losses.binary_crossentropy([[1, 0], [1, 0]], sure)):
        np.testing.assert_allclose(value, [-np.log(1e-7), 0], rtol=1e-2, atol=1e-5)


def test_whole_float_labels_will_do(backend):
    a = losses.sparse_categorical_crossentropy(LABELS.astype("float32"), LOGITS, from_logits=True)
    np.testing.assert_array_equal(a, losses.sparse_categorical_crossentropy(LABELS, LOGITS, from_logits=True))
    with pytest.raises(ValueError, match="must be whole numbers"):
        losses.sparse_categorical_crossentropy(LABELS + 0.5, LOGITS, from_logits=True)
    with pytest.raises(ValueError, match="must be whole numbers"):
        losses.sparse_categorical_crossentropy(np.full(6, np.nan, "float32"), LOGITS, from_logits=True)


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("bad", [4, -1])
def test_labels_out_of_range(backend, from_logits, bad):
    with pytest.raises(ValueError, match="label"):
        losses.sparse_categorical_crossentropy(np.array([0, 1, bad, 0, 0, 0]), P, from_logits=from_logits)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: SparseCategoricalCrossentropy()(ONE_HOT, P), r"look one-hot: use 'categorical_crossentropy'"),
    (lambda: SparseCategoricalCrossentropy()(LABELS[:5], P), r"labels of shape \(6,\), got labels of shape "
                                                             r"\(5,\)"),
    (lambda: SparseCategoricalCrossentropy()(LABELS, P[:, :1]), "use 'binary_crossentropy'"),
    (lambda: SparseCategoricalCrossentropy()(LABELS[:, None], P[:, :1]), "use 'binary_crossentropy'"),
    (lambda: CategoricalCrossentropy()(LABELS, P), r"\(6, 4\), got labels of shape "
                                                   r"\(6,\).*'sparse_categorical_cr"),
    (lambda: BinaryCrossentropy()(LABELS, P), r"labels of shape \(6,\).*'sparse_categorical_crossentropy'"),
    (lambda: MeanSquaredError()(YES[:, :2], P), r"\(6, 2\) do not fit predictions of shape \(6, 4\)"),
    (lambda: MeanSquaredError()(YES, P, WEIGHTS[:4]), r"sample_weight of shape \(4,\)"),
    (lambda: MeanSquaredError("average"), "reduction='average' is not known"),
    (lambda: CategoricalCrossentropy(label_smoothing=2), "label_smoothing=2 must be a number from 0 to 1"),
    (lambda: losses.categorical_crossentropy(YES, P, axis=True), "axis=True must be an int")])
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_get():
    assert losses.get("mse") is losses.mean_squared_error
    assert losses.get("sparse_categorical_crossentropy") is losses.sparse_categorical_crossentropy
    assert isinstance(losses.get("MeanSquaredError"), MeanSquaredError)
    assert losses.get(None) is None
    with pytest.raises(ValueError, match="Did you mean 'sparse_categorical_crossentropy'"):
        losses.get("sparse_categorical_crosentropy")
    with pytest.raises(TypeError, match=r"give an instance: MeanSquaredError\(\)"):
        losses.get(MeanSquaredError)
    for loss in (CategoricalCrossentropy(from_logits=True, label_smoothing=0.5), MeanSquaredError(),
                 SparseCategoricalCrossentropy(ignore_class=3)):
        again = losses.get(losses.serialize(loss))
        assert type(again) is type(loss) and again.get_config() == loss.get_config()


@pytest.mark.peers
def test_configurations_equal_those_of_keras():
    keras = pytest.importorskip("keras")
    for name in losses.CLASSES:
        own, theirs = getattr(losses, name)().get_config(), getattr(keras.losses, name)().get_config()
        assert {k: theirs[k] for k in own if k in theirs} == {k: v for k,
                                                              v in own.items() if k in theirs}, name


def test_a_loss_of_ones_own():
    class Cubic(losses.Loss):
        def call(self, y_true, y_pred):
            return ops.mean(ops.absolute(y_true - y_pred) ** 3.0, -1)
    np.testing.assert_allclose(Cubic()(YES, P), np.mean(np.abs(YES - P) ** 3), rtol=1e-5)
    assert Cubic().name == "cubic"


Q = np.roll(P, 1, 0).astype("float32")
FORMULAS = {
    "mean_absolute_percentage_error": (Q, P, lambda y, p: 100 * np.mean(abs(y - p) / abs(y), -1)),
    "mean_squared_logarithmic_error": (Q, P, lambda y, p: np.mean((np.log(y + 1) - np.log(p + 1)) ** 2, -1)),
    "huber": (YES, LOGITS, lambda y, p: np.mean(np.where(abs(y - p) < 1, (y - p) ** 2 / 2, abs(y - p) - 0.5),
                                                -1)),
    "log_cosh": (YES, LOGITS, lambda y, p: np.mean(np.log(np.cosh(y - p)), -1)),
    "kl_divergence": (Q, P, lambda y, p: np.sum(y * np.log(y / p), -1)),
    "poisson": (YES, P, lambda y, p: np.mean(p - y * np.log(p), -1)),
    "hinge": (YES, LOGITS, lambda y, p: np.mean(np.maximum(1 - (2 * y - 1) * p, 0), -1)),
    "squared_hinge": (YES, LOGITS, lambda y, p: np.mean(np.maximum(1 - (2 * y - 1) * p, 0) ** 2, -1)),
    "categorical_hinge": (ONE_HOT, LOGITS, lambda y, p: np.maximum(
        np.max((1 - y) * p, -1) - np.sum(y * p, -1) + 1, 0)),
    "cosine_similarity": (Q, LOGITS, lambda y, p: -np.sum(y * p, -1) / np.linalg.norm(y, axis=-1)
                          / np.linalg.norm(p, axis=-1)),
    "binary_focal_crossentropy": (YES, P, lambda y, p: np.mean(
        -np.where(y == 1, (1 - p) ** 2 * np.log(p), p ** 2 * np.log(1 - p)), -1)),
    "categorical_focal_crossentropy": (ONE_HOT, P, lambda y, p: -np.sum(0.25 * (1 - p) ** 2 * y * np.log(p),
                                                                        -1)),
    "dice": (YES, P, lambda y, p: 1 - 2 * np.sum(y * p) / (np.sum(y) + np.sum(p))),
    "tversky": (YES, P, lambda y, p: 1 - np.sum(y * p) / (np.sum(y * p) + np.sum(y * (1 - p)) / 2
                                                         + np.sum((1 - y) * p) / 2))}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FORMULAS)
def test_losses_are_their_formula(name, dtype, backend):
    y, p, formula = FORMULAS[name]
    value = getattr(losses, name)(y.astype(dtype), p.astype(dtype))
    assert value.dtype == dtype
    np.testing.assert_allclose(value, formula(y.astype("float64"), p.astype("float64")), rtol=2e-4, atol=1e-5)


def test_large_errors_do_not_overflow(backend):
    np.testing.assert_allclose(losses.log_cosh([[0.0, 0.0]], [[1000.0, -1000.0]]), [1000 - np.log(2)],
                               rtol=1e-6)
    assert np.isfinite(losses.circle(LABELS, UNIT * 30)).all()
    np.testing.assert_allclose(losses.cosine_similarity([[0.0, 0.0]], [[1.0, 2.0]]), [0])


@pytest.mark.parametrize(("call", "message"), [
    (lambda: losses.Huber(delta=0), "delta=0 must be above 0"),
    (lambda: losses.CategoricalGeneralizedCrossEntropy(q=1), "q=1 must be above 0 and below 1"),
    (lambda: losses.dice(YES, P[:, :2]),
     r"dice: labels of shape \(6, 4\) do not fit predictions of shape \(6, 2\)"),
    (lambda: losses.hinge(YES[:3], P), "hinge: labels of shape"),
    (lambda: losses.cosine_similarity(YES, P, axis=2), "axis=2 must be an int")])
def test_errors_of_further_losses(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("name", sorted(losses.CLASSES))
def test_every_configuration_makes_the_loss_again(name):
    own = getattr(losses, name)(reduction="sum", dtype="float64")
    config = json.loads(json.dumps(losses.serialize(own)))
    again = losses.get(config)
    assert type(again) is type(own) and again.get_config() == own.get_config() and again.dtype == "float64"
