"""Models with several outputs: the names and numbers of losses, weights and metrics in the logs are Keras's."""

import numpy as np
import pytest

import pyconv

rng = np.random.default_rng(0)
A, B = rng.normal(size=(24, 4)).astype("float32"), rng.normal(size=(24, 3)).astype("float32")
KIND, SIZE = rng.integers(0, 3, 24), rng.normal(size=(24, 1)).astype("float32")
WEIGHT = rng.uniform(0.5, 2, 24).astype("float32")


def two_outputs(library, form):
    """Inputs a and b; outputs kind (3 logits) and size, as a dictionary or a list."""
    layers = library.layers
    a, b = library.Input((4,), name="a"), library.Input((3,), name="b")
    shared = layers.Dense(5, activation="tanh", kernel_regularizer="l2", name="shared")
    x = layers.Concatenate(name="both")([shared(a), b])
    kind, size = layers.Dense(3, name="kind")(x), layers.Dense(1, name="size")(x)
    outputs = {"kind": kind, "size": size} if form == "dictionary" else [kind, size]
    return library.Model({"a": a, "b": b} if form == "dictionary" else [a, b], outputs)


def crossentropy(library):
    return library.losses.SparseCategoricalCrossentropy(from_logits=True)


CASES = {
    "weights": lambda lib: {"loss": {"kind": crossentropy(lib), "size": "mse"},
                            "loss_weights": {"kind": 0.5, "size": 2.0}},
    "metrics": lambda lib: {"loss": {"kind": crossentropy(lib), "size": "mse"},
                            "metrics": {"kind": ["accuracy"], "size": ["mae", "mse"]}},
    "weighted metrics": lambda lib: {"loss": {"kind": crossentropy(lib), "size": "mae"},
                                     "weighted_metrics": {"size": ["mae"]}, "metrics": {"kind": ["accuracy"]}},
    "one metric of two": lambda lib: {"loss": {"kind": crossentropy(lib), "size": "mse"},
                                      "metrics": {"size": lib.metrics.RootMeanSquaredError(name="root")}}}


def results(library, case, form, weights=None, weighted=False):
    model = two_outputs(library, form)
    if weights is not None:
        model.set_weights(weights)
    start = model.get_weights()
    arguments = CASES[case](library)
    if form == "list":
        arguments = {name: [value.get(key) for key in ("kind", "size")] for name, value in arguments.items()}
    model.compile("sgd", **arguments)
    x = {"a": A, "b": B} if form == "dictionary" else [A, B]
    y = {"kind": KIND, "size": SIZE} if form == "dictionary" else [KIND, SIZE]
    more = {"sample_weight": {"kind": WEIGHT, "size": WEIGHT[::-1].copy()} if form == "dictionary"
            else [WEIGHT, WEIGHT[::-1].copy()]} if weighted else {}
    logs = {k: float(v) for k, v in model.train_on_batch(x, y, return_dict=True, **more).items()}
    history = model.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0, validation_data=(x, y), **more).history
    return start, logs, history


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("case,form,weighted", [
    ("weights", "list", True), ("metrics", "dictionary", False), ("weighted metrics", "dictionary", True),
    ("one metric of two", "list", False)])
def test_logs_equal_those_of_keras(case, form, weighted):
    keras = pytest.importorskip("keras")
    start, logs, history = results(keras, case, form, weighted=weighted)
    _, own_logs, own_history = results(pyconv, case, form, start, weighted)
    assert own_logs == pytest.approx(logs, rel=2e-4)
    assert set(own_history) == set(history)
    for name in history:
        np.testing.assert_allclose(own_history[name], history[name], rtol=2e-4, err_msg=name)
