"""fit, evaluate, predict and the single batches."""

import functools
import os
import signal
import threading
import time

import numpy as np
import pytest

import pyconv
from pyconv import layers, losses, metrics, ops, optimizers
from pyconv.callbacks import Callback, LambdaCallback
from pyconv.utils import set_random_seed

os.environ.setdefault("KERAS_BACKEND", "torch")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")    # in Keras

rng = np.random.default_rng(11)
X = rng.normal(size=(90, 6)).astype("float32")
Y = (X @ rng.normal(size=(6, 3))).argmax(-1)
LOGITS = losses.SparseCategoricalCrossentropy(from_logits=True)


def make(optimizer="sgd", loss=LOGITS, units=3, seed=1, **compile_arguments):
    set_random_seed(seed)
    model = pyconv.Sequential([pyconv.Input((6,)), layers.Dense(8, activation="relu"), layers.Dense(units)])
    model.compile(optimizer, loss, **compile_arguments)
    return model


def same_weights(a, b):
    return all(np.array_equal(v, w) for v, w in zip(a.get_weights(), b.get_weights(), strict=True))


# ---- learning

@pytest.mark.parametrize("optimizer", [lambda: optimizers.SGD(0.5), lambda: optimizers.SGD(0.1, 0.9),
                                       lambda: optimizers.SGD(0.1, 0.9, nesterov=True),
                                       lambda: optimizers.Adam(0.05),
                                       lambda: optimizers.Adam(0.05, amsgrad=True)])
def test_fit_learns_with_each_optimizer(optimizer, backend):
    model = make(optimizer(), metrics=["accuracy"])
    history = model.fit(X, Y, epochs=20, batch_size=16, verbose=0)
    assert history.history["loss"][-1] < 0.35 < history.history["loss"][0]
    assert history.history["accuracy"][-1] > 0.85
    np.testing.assert_array_equal(model.predict(X).argmax(-1) == Y,
                                  metrics.sparse_categorical_accuracy(Y, model.predict(X)) > 0.5)


FITTED = {"epochs": 3, "batch_size": 16, "shuffle": False, "verbose": 0, "validation_split": 0.2}
WEIGHTS = rng.uniform(0, 2, 90).astype("float32")


def everything(model, weighted):
    """What fit, evaluate and single steps give, and the weights in between."""
    history = model.fit(X, Y, **FITTED, **({"sample_weight": WEIGHTS} if weighted else {})).history
    weights = model.get_weights()
    logs = [model.evaluate(X, Y, verbose=0, return_dict=True)]
    logs += [model.train_on_batch(X[start:start + 30], Y[start:start + 30], return_dict=True) for start in (0, 30)]
    return history, weights, [{k: float(v) for k, v in log.items()} for log in logs]


@functools.cache
def of_keras(optimizer, weighted):
    import keras
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(3)])
    model.set_weights(make(optimizer).get_weights())
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                  metrics=["accuracy"], weighted_metrics=["accuracy"])
    return everything(model, weighted)


@pytest.mark.peers
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_fit_equals_keras_step_by_step(optimizer, weighted, backend):
    pytest.importorskip("keras")
    history, weights, logs = of_keras(optimizer, weighted)
    own = make(optimizer, metrics=["accuracy"], weighted_metrics=["accuracy"])
    own_history, own_weights, own_logs = everything(own, weighted)
    assert set(own_history) == set(history)
    for name in history:
        np.testing.assert_allclose(own_history[name], history[name], rtol=1e-4)
    for v, w in zip(own_weights, weights, strict=True):
        np.testing.assert_allclose(v, w, rtol=1e-4, atol=1e-5)
    for a, b in zip(own_logs, logs, strict=True):
        assert a == pytest.approx(b, rel=1e-4)


def test_history_and_names():
    model = make(metrics=["accuracy", metrics.SparseTopKCategoricalAccuracy(2, name="top2")])
    assert model.metrics_names == ["loss"]
    history = model.fit(X, Y, epochs=2, validation_data=(X, Y), verbose=0)
    assert history is model.history and history.epoch == [0, 1]
    assert list(history.history) == ["loss", "accuracy", "top2", "val_loss", "val_accuracy", "val_top2"]
    assert all(len(v) == 2 and all(type(n) is float for n in v) for v in history.history.values())
    assert model.metrics_names == ["loss", "accuracy", "top2"]
    logs = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert list(logs.values()) == model.evaluate(X, Y, verbose=0)
    np.testing.assert_allclose([history.history["val_" + k][-1] for k in logs], list(logs.values()),
                               rtol=1e-6)
    model.fit(X, Y, epochs=5, initial_epoch=3, verbose=0)
    assert model.history.epoch == [3, 4]


def test_one_number_without_metrics():
    model = make()
    assert isinstance(model.evaluate(X, Y, verbose=0), float)
    assert isinstance(model.train_on_batch(X, Y), float)
    assert list(model.test_on_batch(X, Y, return_dict=True)) == ["loss"]


# ---- the same run in other words

def test_the_seed_decides_everything(backend):
    a, b, c = make(seed=4), make(seed=4), make(seed=5)
    for model, seed in ((a, 8), (b, 8), (c, 8)):
        set_random_seed(seed)
        model.fit(X, Y, epochs=2, verbose=0)
    assert same_weights(a, b) and not same_weights(a, c)


def batches(size=16):
    for start in range(0, len(X), size):
        yield X[start:start + size], Y[start:start + size]


@pytest.mark.parametrize("source", [lambda: batches(), lambda: list(batches())])
def test_batches_equal_arrays(source, backend):
    a, b = make(), make()
    a.fit(X, Y, batch_size=16, shuffle=False, verbose=0)
    b.fit(source(), verbose=0)
    assert same_weights(a, b)
    assert a.evaluate(X, Y, batch_size=16, verbose=0) == b.evaluate(source(), verbose=0)
    np.testing.assert_array_equal(b.predict(x for x, _ in batches()), b.predict(X))


def test_validation_split_is_the_last_part_before_shuffling():
    a, b = make(), make()
    set_random_seed(2)
    h = a.fit(X, Y, validation_split=0.2, verbose=0, epochs=2)
    set_random_seed(2)
    g = b.fit(X[:72], Y[:72], validation_data=(X[72:], Y[72:]), verbose=0, epochs=2)
    assert h.history == g.history and same_weights(a, b)


def test_class_weights_are_sample_weights():
    a, b = make(), make()
    a.fit(X, Y, class_weight={0: 2.0, 2: 0.5}, shuffle=False, verbose=0)
    b.fit(X, Y, sample_weight=np.array([2.0, 1.0, 0.5], "float32")[Y], shuffle=False, verbose=0)
    assert same_weights(a, b)


def test_a_sample_of_weight_0_does_not_count():
    a, b = make(), make()
    weight = (np.arange(90) < 45).astype("float32")
    a.fit(X, Y, batch_size=90, sample_weight=weight * 2, shuffle=False, verbose=0)
    b.fit(X[:45], Y[:45], batch_size=45, shuffle=False, verbose=0)
    for v, w in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_allclose(v, w, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("change", [
    lambda x: np.asfortranarray(x), lambda x: x.astype(">f4"), lambda x: np.repeat(x, 2, 0)[::2],
    lambda x: x.astype("float64"), lambda x: x.tolist()])
def test_layout_and_type_of_the_data_do_not_matter(change):
    a, b = make(), make()
    a.fit(X, Y, shuffle=False, verbose=0)
    b.fit(change(X), Y.astype("uint8").tolist(), shuffle=False, verbose=0)
    assert same_weights(a, b)


def test_data_are_not_changed_and_may_be_read_only():
    x, y = X.copy(), Y.copy()
    x.flags.writeable = y.flags.writeable = False
    model = make()
    model.fit(x, y, verbose=0)
    model.predict(x), model.evaluate(x, y, verbose=0)
    np.testing.assert_array_equal(x, X)


def test_uint8_images_are_cast_in_the_program(backend):
    x = rng.integers(0, 256, (20, 4, 4)).astype("uint8")
    results = []
    for images in (x, x.astype("float32")):
        set_random_seed(0)
        model = pyconv.Sequential([pyconv.Input((4, 4)), layers.Flatten(), layers.Dense(2)])
        model.compile(optimizers.SGD(1e-6), LOGITS)
        model.fit(images, np.arange(20) % 2, shuffle=False, verbose=0)
        results.append(model)
    assert same_weights(*results)


def test_labels_in_a_column_and_whole_floats():
    a, b, c = make(), make(), make()
    a.fit(X, Y, shuffle=False, verbose=0)
    b.fit(X, Y[:, None], shuffle=False, verbose=0)
    c.fit(X, Y.astype("float32"), shuffle=False, verbose=0)
    assert same_weights(a, b) and same_weights(a, c)


# ---- epochs and steps

def test_steps_per_epoch():
    seen = []
    model = make()
    model.fit(X, Y, epochs=3, steps_per_epoch=2, batch_size=10, verbose=0,
              callbacks=[LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))])
    assert seen == [0, 1] * 3
    assert int(model.optimizer.iterations.numpy()) == 6


def test_a_generator_that_ends_early():
    model = make()
    with pytest.warns(UserWarning, match="ended after 6 batches of this epoch, but 10 batches per epoch"):
        history = model.fit(batches(), epochs=3, steps_per_epoch=10, verbose=0)
    assert history.epoch == [0] and len(history.history["loss"]) == 1


@pytest.mark.parametrize(("freq", "expected"), [(2, 2), ([1, 4], 2), (1, 4)])
def test_validation_freq(freq, expected):
    history = make().fit(X, Y, epochs=4, validation_data=(X, Y), validation_freq=freq, verbose=0)
    assert len(history.history["val_loss"]) == expected


def test_validation_steps_and_batch_size():
    seen = []
    make().fit(X, Y, validation_data=(X, Y), validation_batch_size=9, validation_steps=3, verbose=0,
               callbacks=[LambdaCallback(on_test_batch_end=lambda batch, logs: seen.append(batch))])
    assert seen == [0, 1, 2]


def test_stop_training_ends_after_the_batch():
    model = make()

    def stop(batch, logs):
        if batch == 1:
            model.stop_training = True
    history = model.fit(X, Y, epochs=5, batch_size=10, verbose=0, callbacks=LambdaCallback(on_batch_end=stop))
    assert history.epoch == [0] and int(model.optimizer.iterations.numpy()) == 2


def test_learning_rate_of_a_compiled_model():
    model = make()
    model.fit(X, Y, verbose=0)
    before = model.get_weights()
    model.optimizer.learning_rate = 0.0
    model.fit(X, Y, verbose=0)
    assert all(np.array_equal(v, w) for v, w in zip(before, model.get_weights(), strict=True))


def test_frozen_layers_stay_without_compiling_again():
    model = make()
    model.fit(X, Y, verbose=0)
    model.layers[0].trainable = False
    before = model.get_weights()
    model.fit(X, Y, verbose=0)
    after = model.get_weights()
    assert np.array_equal(before[0], after[0]) and not np.array_equal(before[2], after[2])


def test_regularizers_and_added_losses_belong_to_the_loss(backend):
    set_random_seed(0)
    model = pyconv.Sequential([pyconv.Input((6,)), layers.Dense(2, kernel_regularizer="l2")])
    model.compile("sgd", "mse")
    y = np.zeros((90, 2), "float32")
    plain = np.mean(model.predict(X) ** 2)
    expected = plain + 0.01 * np.sum(model.get_weights()[0] ** 2)
    np.testing.assert_allclose(model.evaluate(X, y, batch_size=90, verbose=0), expected, rtol=1e-5)
    np.testing.assert_allclose(model.train_on_batch(X, y), expected, rtol=1e-1)


# ---- several inputs and outputs

def two_headed():
    set_random_seed(0)
    a, b = pyconv.Input((6,), name="a"), pyconv.Input((6,), name="b")
    both = layers.Concatenate()([a, b])
    return pyconv.Model([a, b], [layers.Dense(3, name="kind")(both), layers.Dense(1, name="size")(both)])


SIZE = rng.normal(size=90).astype("float32")


def test_losses_and_metrics_of_several_outputs(backend):
    model = two_headed()
    model.compile("sgd", {"kind": LOGITS, "size": "mse"}, loss_weights={"size": 0.5},
                  metrics={"kind": ["accuracy"], "size": ["mae"]})
    history = model.fit([X, X], {"kind": Y, "size": SIZE}, epochs=2, verbose=0, shuffle=False)
    assert list(history.history) == ["loss", "kind_loss", "size_loss", "kind_accuracy", "size_mae"]
    logs = model.evaluate({"a": X, "b": X}, [Y, SIZE], verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(logs["kind_loss"] + 0.5 * logs["size_loss"], rel=1e-5)
    kind, size = model.predict([X, X])
    assert logs["size_mae"] == pytest.approx(np.abs(size[:, 0] - SIZE).mean(), rel=1e-5)
    assert kind.shape == (90, 3)


def test_lists_are_matched_by_position_and_weights_by_output():
    a, b = two_headed(), two_headed()
    a.compile("sgd", [LOGITS, "mse"])
    b.compile("sgd", {"kind": LOGITS, "size": "mse"})
    weight = rng.uniform(0, 2, 90).astype("float32")
    a.fit([X, X], [Y, SIZE], sample_weight=[weight, weight], shuffle=False, verbose=0)
    b.fit([X, X], {"size": SIZE, "kind": Y}, sample_weight=weight, shuffle=False, verbose=0)
    assert same_weights(a, b)


@pytest.mark.parametrize(("arguments", "y", "message"), [
    ({"loss": {"sort": "mse"}}, [Y, SIZE], "the name 'sort', but the model's outputs are called 'kind', "
                                           "'size'"),
    ({"loss": ["mse"]}, [Y, SIZE], "loss has 1 entries, but the model has 2 outputs"),
    ({"loss": [LOGITS, "mse"]}, Y, "y is one array, but the model has 2 outputs"),
    ({"loss": [LOGITS, "mse"], "metrics": ["mae"]}, [Y, SIZE], "metrics has 1 entries for 2 outputs"),
    ({"loss": [LOGITS, "mse"]}, {"kind": Y}, "no labels for the output 'size'")])
def test_errors_of_several_outputs(arguments, y, message):
    model = two_headed()
    model.compile("sgd", **arguments)
    with pytest.raises(ValueError, match=message):
        model.fit([X, X], y, verbose=0)


# ---- own steps

def test_own_loss_function_metric_and_compute_loss(backend):
    class Doubled(pyconv.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(1)

        def call(self, x):
            return self.dense(x)

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return 2.0 * super().compute_loss(x, y, y_pred, sample_weight)

    def cubic(y_true, y_pred):
        return ops.mean(ops.absolute(y_true - y_pred) ** 3.0, -1)

    def largest(y_true, y_pred):
        return ops.max(y_pred, -1)
    model = Doubled()
    model.compile("sgd", cubic, metrics=[largest])
    logs = model.evaluate(X, SIZE[:, None], verbose=0, return_dict=True, batch_size=90)
    np.testing.assert_allclose(logs["loss"], 2 * np.mean(np.abs(model.predict(X)[:, 0] - SIZE) ** 3),
                               rtol=1e-4)
    np.testing.assert_allclose(logs["largest"], model.predict(X).mean(), rtol=1e-3, atol=1e-6)


def test_own_train_step(backend):
    class Own(pyconv.Sequential):
        def train_step(self, data):
            from pyconv.graph import gradients
            x, y, _ = data
            loss = ops.mean(ops.square(self(x, training=True) - y))
            variables = self.trainable_variables
            self.optimizer.apply(gradients(loss, [v.read() for v in variables]), variables)
            return {"own": loss}
    model = Own([pyconv.Input((6,)), layers.Dense(1)])
    model.compile("sgd")
    history = model.fit(X, SIZE[:, None], epochs=2, batch_size=90, verbose=0)
    assert list(history.history) == ["own"] and history.history["own"][1] < history.history["own"][0]


# ---- prediction

@pytest.mark.parametrize("count", [1, 7, 32, 90])
@pytest.mark.parametrize("batch_size", [None, 1, 32, 100])
def test_predict_gives_the_same_for_any_batch_size(count, batch_size):
    model = make()
    full = model.predict(X)
    np.testing.assert_allclose(model.predict(X[:count], batch_size=batch_size), full[:count], rtol=1e-5,
                               atol=1e-6)
    np.testing.assert_array_equal(model.predict(X[:count]), model.predict(X[:count]))
    np.testing.assert_array_equal(model.predict_on_batch(X[:count]), model.predict(X[:count]))


def test_the_short_way_for_small_inputs_and_the_size_of_a_batch(monkeypatch):
    model, ways = make(), []
    expected, way = model.predict(X[:7]), type(model)._predict
    monkeypatch.setattr(type(model), "_predict", lambda self, x, *rest: [ways.append(rest[0]), way(self, x, *rest)][1])
    for size in (7, 8, 6, 1):
        np.testing.assert_allclose(model.predict(X[:7], batch_size=size, verbose=0), expected, rtol=1e-5, atol=1e-6)
    assert ways == [6, 1]
    for size, error in ((0, ValueError), (-7, ValueError), (7.0, TypeError), (True, TypeError)):
        with pytest.raises(error, match="batch_size"):
            model.predict(X[:7], batch_size=size)


def test_predict_in_several_internal_batches():
    model, x = make(), rng.normal(size=(600, 6)).astype("float32")
    np.testing.assert_allclose(model.predict(x), np.concatenate([model.predict(x[:300]),
                                                                 model.predict(x[300:])]),
                               rtol=1e-5, atol=1e-6)
    assert model.predict(x, batch_size=10, steps=3).shape == (30, 3)


def test_predict_follows_the_weights_and_the_layers():
    model = make()
    model.predict(X), model.predict(X)
    model.set_weights([w * 0 for w in model.get_weights()])
    assert not model.predict(X).any()
    model.add(layers.Dense(2, bias_initializer="ones"))
    np.testing.assert_array_equal(model.predict(X), np.ones((90, 2)))


def test_predict_calls_callbacks():
    seen = []
    make().predict(X, callbacks=[LambdaCallback(
        on_predict_batch_end=lambda batch, logs: seen.append((batch, logs["outputs"].shape)))])
    assert seen == [(0, (32, 3)), (1, (32, 3)), (2, (26, 3))]


def test_a_prediction_is_no_view_of_anything():
    model = make()
    first = model.predict(X[:2])
    kept = first.copy()
    model.predict(X[2:4])
    np.testing.assert_array_equal(first, kept)


# ---- what goes wrong leaves the model as it was

@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("which", ["x", "y", "sample_weight"])
def test_nan_in_the_data_changes_nothing(which, bad, backend):
    model = make("adam", "mse", units=1)
    data = {"x": X.copy(), "y": SIZE[:, None].copy(), "sample_weight": np.ones(90, "float32")}
    model.fit(**data, verbose=0)
    weights = model.get_weights()
    state = [v.numpy() for v in model.optimizer.variables]
    data[which][3] = bad
    with pytest.raises(ValueError, match=f"{which} has NaN or infinite values"):
        model.train_on_batch(**data)
    for old, new in zip(weights + state, model.get_weights() + [v.numpy() for v in model.optimizer.variables],
                        strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_label_that_is_no_class_changes_nothing(backend):
    model = make("adam", metrics=["accuracy"])
    model.fit(X, Y, verbose=0)
    weights, iterations = model.get_weights(), int(model.optimizer.iterations.numpy())
    with pytest.raises(ValueError, match="label"):
        model.train_on_batch(X, np.where(np.arange(90) == 5, 3, Y))
    assert all(np.array_equal(v, w) for v, w in zip(weights, model.get_weights(), strict=True))
    assert int(model.optimizer.iterations.numpy()) == iterations


def test_a_loss_that_diverges_is_no_error():
    model = make(optimizers.SGD(1e20), "mse", units=1)
    history = model.fit(X, SIZE, epochs=4, verbose=0)
    assert not np.isfinite(history.history["loss"][-1])


def test_ctrl_c_from_a_callback():
    model, ended = make(), []

    class Interrupt(Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                signal.raise_signal(signal.SIGINT)

        def on_train_end(self, logs=None):
            ended.append(True)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, batch_size=10, epochs=3, verbose=0, callbacks=[Interrupt()], shuffle=False)
    other = make()
    other.fit(X[:30], Y[:30], batch_size=10, verbose=0, shuffle=False)
    assert ended == [True] and model.history.epoch == [] and same_weights(model, other)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    model.fit(X, Y, verbose=0)
    assert model.history.epoch == [0]


def test_ctrl_c_during_a_step_waits_for_its_end():
    import _thread
    model = make()
    model.fit(X, Y, verbose=0)
    before = int(model.optimizer.iterations.numpy())
    timer = threading.Timer(0.05, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, batch_size=1, epochs=100_000, verbose=0)
    assert int(model.optimizer.iterations.numpy()) > before
    assert np.isfinite(model.evaluate(X, Y, verbose=0))


def test_ctrl_c_inside_a_step_is_raised_after_it():
    from pyconv.models.interrupts import WholeSteps
    done = []

    def step(item):
        signal.raise_signal(signal.SIGINT)
        time.sleep(0)
        done.append(item)
    with pytest.raises(KeyboardInterrupt), WholeSteps() as guard:
        guard.run(step, 1)
    assert done == [1] and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_fit_in_another_thread():
    model, errors = make(), []

    def run():
        try:
            model.fit(X, Y, verbose=0)
        except Exception as error:
            errors.append(error)
    thread = threading.Thread(target=run)
    thread.start(), thread.join()
    assert not errors and model.history.epoch == [0]


# ---- messages

@pytest.mark.parametrize(("arguments", "error", "message"), [
    ({"epochs": 2, "initial_epoch": 3}, ValueError, "epochs=2.*initial_epoch=3"),
    ({"epochs": -1}, ValueError, "epochs=-1 must be at least 0"),
    ({"epochs": 1.5}, TypeError, "epochs must be an int"),
    ({"batch_size": 0}, ValueError, "batch_size=0 must be at least 1"),
    ({"validation_split": 1.0}, ValueError, "validation_split=1.0 must be a fraction"),
    ({"validation_split": -0.1}, ValueError, "validation_split=-0.1"),
    ({"verbose": 3}, ValueError, "verbose=3 must be 'auto', 0, 1 or 2"),
    ({"shuffle": "batch"}, ValueError, "shuffle='batch' must be True or False"),
    ({"steps_per_epoch": 0}, ValueError, "steps_per_epoch=0 must be at least 1"),
    ({"validation_freq": 0}, ValueError, "validation_freq=0"),
    ({"validation_data": X}, ValueError, r"validation_data must be \(x, y\)"),
    ({"validation_data": (X, Y[:3])}, ValueError, "validation_data: x has 90 samples and y has 3"),
    ({"callbacks": [3]}, TypeError, "callbacks must hold"), ({"callbacks": [Callback]}, TypeError,
                                                             r"Callback\(\)"),
    ({"y": None}, ValueError, "y is missing"), ({"y": Y[:5]}, ValueError, "x has 90 samples and y has 5"),
    ({"y": np.eye(3)[Y]}, ValueError, "look one-hot: use 'categorical_crossentropy'"),
    ({"x": X[:, :5]}, ValueError, r"\(None, 6\)|axis"), ({"x": X[0]}, ValueError, "6"),
    ({"x": (b for b in batches()), "y": None, "validation_split": 0.1}, ValueError,
     "validation_split needs arrays")])
def test_arguments_of_fit_that_do_not_fit(arguments, error, message):
    model = make()
    weights = model.get_weights()
    with pytest.raises(error, match=message):
        model.fit(**{"x": X, "y": Y, "verbose": 0, **arguments})
    assert all(np.array_equal(v, w) for v, w in zip(weights, model.get_weights(), strict=True))


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ({"optimizer": "newton"}, ValueError, "optimizer 'newton' is not known.*adam, adamax"),
    ({"loss": "sparse_crossentropy"}, ValueError, "loss 'sparse_crossentropy' is not known"),
    ({"metrics": ["acuracy"]}, ValueError, "Did you mean 'accuracy'"),
    ({"metrics": "accuracy"}, TypeError, r"metrics must be a list.*\['accuracy'\]"),
    ({"run_eagerly": True}, ValueError, "run_eagerly=True is not possible: a step is always one compiled program"),
    ({"los": "mse"}, TypeError, "no argument 'los'"), ({"loss": losses.MeanSquaredError}, TypeError,
                                                       "is a class")])
def test_arguments_of_compile_that_do_not_fit(arguments, error, message):
    with pytest.raises(error, match=message):
        make(**arguments)


def test_methods_that_need_compile():
    model = pyconv.Sequential([pyconv.Input((6,)), layers.Dense(3)])
    for call in (lambda: model.fit(X, Y), lambda: model.evaluate(X, Y), lambda: model.train_on_batch(X, Y)):
        with pytest.raises(ValueError, match="must be compiled before"):
            call()
    assert model.predict(X).shape == (90, 3)
    model.compile("sgd")
    with pytest.raises(ValueError, match="There is no loss"):
        model.fit(X, Y, verbose=0)


def test_a_model_that_finds_its_shape_from_the_data(backend):
    set_random_seed(0)
    model = pyconv.Sequential([layers.Dense(8, activation="relu"), layers.Dense(3)])
    model.compile("adam", LOGITS, metrics=["accuracy"])
    model.fit(X.astype("float64"), Y, verbose=0)
    assert {v.dtype for v in model.weights} == {"float32"}
    assert len(model._functions().train.programs) == 2      # whole batches, and the last


def test_losses_and_metrics_of_ones_own_get_floats_of_the_models_type():
    seen = []

    class Weight(metrics.Metric):
        def __init__(self):
            super().__init__(name="weight")
            self.total = self.add_variable(shape=(), initializer="zeros", name="total")

        def update_state(self, y_true, y_pred, sample_weight=None):
            seen.append((str(y_true.dtype), str(sample_weight.dtype)))
            self.total.assign_add(ops.sum(sample_weight))

        def result(self):
            return self.total

    def loss(y_true, y_pred):
        seen.append((str(y_true.dtype), str(y_pred.dtype)))
        return ops.mean(ops.square(y_true - y_pred), -1)

    model = make(loss=loss, weighted_metrics=[Weight()])
    targets, weights = rng.normal(size=(90, 3)), np.full(90, 0.5)           # NumPy's default, float64
    history = model.fit(X, targets, sample_weight=weights, validation_data=(X, targets, weights), verbose=0).history
    assert history["weight"] == history["val_weight"] == [45]
    assert set(seen) == {("float32", "float32")}
