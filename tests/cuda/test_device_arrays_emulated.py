"""Arrays that lie on a GPU are computed with there, and results stay there; arrays in several places are an error."""

import inspect

import numpy as np
import pytest

import pyconv
from pyconv import backends, layers, ops
from pyconv.backends.cuda import driver
from pyconv.graph import trace
from tests.cuda import devices
from tests.cuda.devices import crossings, events, lies_there, near, put
from tests.cuda.emulator import standin, streams

X = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")


class Other:
    """An array of some library that has the CUDA array interface alone."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    @property
    def __cuda_array_interface__(self):
        return self.array.__cuda_array_interface__


class Tensor:
    """One of a library with DLPack, as PyTorch's: it is told the stream on which it will be read."""

    requires_grad = True

    def __init__(self, array):
        self._a, self.shape, self.dtype = getattr(array, "_a", None), array.shape, f"torch.{array.dtype}"
        self._array, self.streams = array, []

    def cpu(self):
        return self._array.get()

    def detach(self):
        self.requires_grad = False
        return self

    def __dlpack_device__(self):
        return 2, 0

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        assert not self.requires_grad       # PyTorch refuses
        self.streams.append(stream)
        return self._array.__dlpack__(stream=stream) if devices.current == "gpu" else None


@pytest.mark.devices
@pytest.mark.parametrize("make", [put, lambda a: Other(put(a)), lambda a: Tensor(put(a))],
                         ids=["CuPy", "interface", "DLPack"])
def test_functions_compute_where_the_array_lies(make):
    x = make(X)
    out, seen = events(lambda: ops.relu(x))
    assert lies_there(out) and "H2D" not in (seen or ())
    np.testing.assert_array_equal(out.get(), np.maximum(X, 0))
    if isinstance(x, Tensor):
        assert x.streams == [backends.get("cuda").driver.stream.ptr]
    np.testing.assert_allclose(ops.gelu(make(X), approximate=True).get(), ops.gelu(X, approximate=True), rtol=1e-5,
                               atol=1e-6)
    np.testing.assert_allclose(ops.add(make(X), 2).get(), X + 2)
    np.testing.assert_allclose(ops.mean(make(X), axis=0).get(), X.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(ops.concatenate([make(X), make(X)]).get(), np.concatenate([X, X]))
    np.testing.assert_array_equal(ops.where(ops.greater(make(X), 0), make(X), 0.0).get(), np.maximum(X, 0))
    halves = ops.split(make(X), 2)
    np.testing.assert_array_equal(halves[1].get(), X[3:])
    np.testing.assert_array_equal(ops.convert_to_numpy(make(X)), X)
    assert pyconv.config.backend() == "cpu"


def test_a_function_with_several_ops_is_one_program():
    ops.softplus(put(X))
    _, seen = events(lambda: ops.softplus(put(X)))
    assert seen.count("D2H") == 1 and seen.count("kernel") <= 2


@pytest.mark.devices
def test_views_that_are_not_contiguous():
    x = put(X)
    np.testing.assert_array_equal(ops.relu(x.swapaxes(0, 1)).get(), np.maximum(X.T, 0))
    np.testing.assert_array_equal(ops.relu(x[::2]).get(), np.maximum(X[::2], 0))
    np.testing.assert_array_equal(ops.relu(x[:0]).get(), X[:0])


@pytest.mark.parametrize("which", ["early", "late"])
def test_what_the_user_has_put_on_his_stream_is_waited_for(which):
    """The array is written by a stream of the user's, which nobody has waited for; so is the memory of the result."""
    streams.schedule = which
    try:
        for _ in range(3):
            x, own = put(0 * X), standin.Stream(non_blocking=True)
            with own:
                x.set(X, stream=own)
                out = ops.relu(x)
            np.testing.assert_array_equal(out._a, np.maximum(X, 0))     # nothing is left to wait for
    finally:
        streams.schedule = "late"


def test_that_the_user_s_stream_is_not_waited_for_is_found(monkeypatch):
    monkeypatch.setattr(driver.Driver, "follow", lambda self: None)
    x, own = put(0 * X), standin.Stream(non_blocking=True)
    with own:
        x.set(X, stream=own)
        out = ops.relu(x)
    assert not np.array_equal(out._a, np.maximum(X, 0))


@pytest.mark.devices
def test_models():
    model = pyconv.Sequential([pyconv.Input((5,)), layers.Dense(3, activation="relu"), layers.Dropout(0.5)])
    expected = model(X)
    for call in (model, lambda x: model(x, training=False), model.layers[0], model.predict_on_batch,
                 lambda x: model.predict(x, verbose=0), lambda x: model.predict(x, batch_size=4, verbose=0)):
        call(put(X))
        out, seen = events(lambda call=call: call(put(X)))
        assert lies_there(out) and (seen is None or seen.count("H2D") == 1)       # that of `put`
        np.testing.assert_allclose(out.get(), expected, rtol=near(1e-5, 1e-3), atol=near(1e-6, 1e-4))
    with pytest.raises(ValueError, match=r"expects shape \(None, 5\), got \(None, 4\)"):
        model(put(X[:, :4]))
    with pytest.raises(TypeError, match="complex64"):
        model(put(X.astype("complex64")))


def classifier():
    pyconv.random.set_random_seed(3)
    model = pyconv.Sequential([pyconv.Input((5,)), layers.Dense(4, "tanh"), layers.Dense(3)])
    model.compile(pyconv.optimizers.SGD(0.1, 0.9), pyconv.losses.SparseCategoricalCrossentropy(from_logits=True),
                  metrics=["accuracy"], weighted_metrics=["accuracy"])
    return model


LABELS, WEIGHTS = np.array([0, 2, 1, 1, 0, 2]), np.arange(6, dtype="float32")
STEPS = {
    "train_on_batch": lambda model, x, y, w: model.train_on_batch(x, y, w),
    "test_on_batch": lambda model, x, y, w: model.test_on_batch(x, y, w),
    "evaluate": lambda model, x, y, w: model.evaluate(x, y, batch_size=4, sample_weight=w, verbose=0),
    "fit": lambda model, x, y, w: (pyconv.random.set_random_seed(4), model.fit(
        x, y, batch_size=4, sample_weight=w, verbose=0).history["loss"])[1],
    "batches": lambda model, x, y, w: model.fit([(x, y, w)] * 2, verbose=0).history["loss"],
    "validation": lambda model, x, y, w: model.fit(
        x, y, 6, verbose=0, shuffle=False, validation_data=(x, y, w)).history["val_loss"]}


@pytest.mark.devices
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("make", [put, lambda a: Tensor(put(a))], ids=["CuPy", "DLPack"])
def test_training_and_evaluation_where_the_arrays_lie(step, make, device):
    """Only numbers of rows go to the device; losses and metrics come back, and an error's number."""
    model, expected = classifier(), classifier()
    arrays = [make(a) for a in (X, LABELS, WEIGHTS)]
    STEPS[step](model, *arrays)                                     # the weights are copied
    STEPS[step](expected, X, LABELS, WEIGHTS)
    found, to_device, to_host = crossings(lambda: STEPS[step](model, *arrays))
    np.testing.assert_allclose(found, STEPS[step](expected, X, LABELS, WEIGHTS), rtol=near(1e-5, 1e-3))
    for a, b in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=near(1e-5, 1e-3), atol=near(1e-6, 1e-4))
    assert type(found) is list and all(isinstance(n, float) for n in found)
    if device == "gpu":
        return
    assert max(to_host) <= 5 * 256          # three outputs and the status, each in a place of its own
    # State that `reset_metrics` has set, four bytes each, and numbers of rows.
    assert max(to_device, default=0) <= (16 if step in ("evaluate", "fit") else 4 * 6 if step == "validation" else 8)
    assert pyconv.config.backend() == "cpu"


@pytest.mark.devices
def test_labels_in_the_host_s_memory_go_along():
    model, expected = classifier(), classifier()
    for step in ("train_on_batch", "evaluate", "fit"):
        np.testing.assert_allclose(STEPS[step](model, put(X), LABELS, WEIGHTS),
                                   STEPS[step](expected, X, LABELS, WEIGHTS), rtol=near(1e-5, 1e-3))
    kinds = {0: 2.0, 2: 0.5}
    np.testing.assert_allclose(model.train_on_batch(put(X), put(LABELS), class_weight=kinds),
                               expected.train_on_batch(X, LABELS, class_weight=kinds), rtol=near(1e-5, 1e-3))
    with pytest.raises(TypeError, match="^y: dtype 'uint64' is not supported.*int64'"):
        model.train_on_batch(X, put(LABELS.astype("uint64")))
    with pytest.raises(TypeError, match="^y: dtype 'complex64' is not supported"):
        model.train_on_batch(X, put(X[:, 0].astype("complex64")))


@pytest.mark.devices
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64", "bool"])
def test_rows_of_arrays_on_the_device(dtype):
    whole = (X * 50).astype(dtype)
    program = backends.get("cuda").compile(trace(lambda t: ops.cast(t, "float64"), [((4, 5), dtype)])[0])
    rows = np.array([5, 0, 3, 3])
    for array in (put(whole), whole):
        np.testing.assert_array_equal(program([array], rows, on_host=True)[0], whole[rows])
    np.testing.assert_array_equal(program([put(whole)], rows[::-1].copy())[0].get(), whole[rows[::-1]])
    for wrong in ([0, 1, 2, 6], [0, -1, 2, 3]):
        with pytest.raises(IndexError, match="an array with 6"):
            program([put(whole)], np.array(wrong))


PREDICTED = np.random.default_rng(1).uniform(0.05, 0.95, (6, 3)).astype("float32")
TRUE = np.eye(3, dtype="float32")[LABELS]


@pytest.mark.devices
@pytest.mark.parametrize("loss", [
    pyconv.losses.SparseCategoricalCrossentropy(), pyconv.losses.BinaryCrossentropy(label_smoothing=0.1),
    pyconv.losses.Huber(), pyconv.losses.Dice(), pyconv.losses.mean_squared_error, pyconv.losses.kl_divergence,
    pyconv.metrics.binary_accuracy], ids=lambda loss: getattr(loss, "name", None) or loss.__name__)
def test_losses(loss):
    """Objects and functions alike; the loss stays on the device."""
    y = LABELS if "sparse" in getattr(loss, "name", "") else TRUE
    there = put(y), put(PREDICTED)
    loss(*there)                            # its constants are copied
    found, to_device, to_host = crossings(lambda: loss(*there))
    assert lies_there(found) and not to_device and max(to_host or [0]) <= 256
    np.testing.assert_allclose(found.get(), loss(y, PREDICTED), rtol=near(2e-5, 1e-4), atol=1e-6)
    if isinstance(loss, pyconv.losses.Loss) and "dice" not in loss.name:
        np.testing.assert_allclose(loss(*there, put(WEIGHTS)).get(), loss(y, PREDICTED, WEIGHTS),
                                   rtol=near(2e-5, 1e-4))
    with pytest.raises(ValueError, match="lie in cuda:0 and the host's memory"):
        loss(y, put(PREDICTED))


def test_every_function_of_losses_and_metrics_computes_there():
    """As `operation` sees to."""
    found = [f for module in (pyconv.losses, pyconv.metrics) for f in map(vars(module).get, module.__all__)
             if inspect.isfunction(f) and "y_pred" in inspect.signature(f).parameters]
    assert len(found) > 28 and all(f.__wrapped__.__name__ == f.__name__ for f in found)


METRICS = {"sparse_categorical_accuracy": LABELS, "AUC": TRUE, "F1Score": TRUE, "MeanIoU": None, "Mean": None}


@pytest.mark.devices
@pytest.mark.parametrize("name", METRICS)
def test_metrics(name):
    """Their state stays on the device until the result is asked for, and goes on with arrays of the host."""
    def metric():
        if name == "MeanIoU":
            return pyconv.metrics.MeanIoU(3)
        found = pyconv.metrics.get(name)
        return found if isinstance(found, pyconv.metrics.Metric) else pyconv.metrics.MeanMetricWrapper(found)
    given = {"MeanIoU": (LABELS, LABELS[::-1].copy()), "Mean": (PREDICTED,)}.get(name, (METRICS[name], PREDICTED))
    own, expected = metric(), metric()
    there = [put(a) for a in given]
    own.update_state(*there)
    _, to_device, to_host = crossings(lambda: own.update_state(*there))
    assert not to_device and max(to_host or [0]) <= 256
    own.update_state(*given)
    for _ in range(3):
        expected.update_state(*given)
    np.testing.assert_allclose(own.result(), expected.result(), rtol=1e-5, atol=1e-6)
    own.reset_state()
    np.testing.assert_allclose(own(*there), metric()(*given), rtol=1e-5, atol=1e-6)


@pytest.mark.devices
def test_what_is_computed_on_the_host_takes_copies():
    """Settings rather than data: weights that are set, statistics, conversions."""
    model = classifier()
    model.set_weights([put(2 * w) for w in model.get_weights()])
    np.testing.assert_array_equal(model.get_weights()[0], 2 * classifier().get_weights()[0])
    model.layers[-1].bias.assign(put(np.arange(3.0)))
    np.testing.assert_array_equal(model.layers[-1].bias.numpy(), np.arange(3))
    normalization = layers.Normalization()
    normalization.adapt(put(X))
    np.testing.assert_allclose(normalization(X).mean(0), 0, atol=1e-6)
    assert lies_there(normalization(put(X)))
    np.testing.assert_array_equal(pyconv.utils.to_categorical(put(LABELS), 3), np.eye(3)[LABELS])
    np.testing.assert_array_equal(pyconv.utils.normalize(put(X)), pyconv.utils.normalize(X))
    left, _ = pyconv.utils.split_dataset((put(X), put(LABELS)), left_size=0.5)
    np.testing.assert_array_equal(left[0], X[:3])
    np.testing.assert_array_equal(pyconv.initializers.Constant(put(np.arange(5.0)))((5,)), np.arange(5))


@pytest.mark.devices
def test_places_do_not_mix():
    message = r"add: the arrays lie in cuda:0 and the host's memory.*cupy.asarray\(x\).*x.get\(\)"
    with pytest.raises(ValueError, match=message):
        ops.add(put(X), X)
    with pytest.raises(ValueError, match="concatenate: the arrays lie in cuda:0 and the host's"):
        ops.concatenate([put(X), X])
    np.testing.assert_array_equal(ops.add(put(X), np.float32(1)).get(), X + 1)
    np.testing.assert_array_equal(ops.add(put(X), np.array(1, "float32")).get(), X + 1)
    merge = layers.Add()
    with pytest.raises(ValueError, match="Add.*lie in cuda:0 and the host's memory"):
        merge([put(X), X])
    a, b = pyconv.Input((5,)), pyconv.Input((5,))
    model = pyconv.Model([a, b], merge([a, b]))
    with pytest.raises(ValueError, match="predict: the arrays lie in"):
        model.predict([put(X), X], verbose=0)
    with pytest.raises(ValueError, match="predict_on_batch: the arrays lie in"):
        model.predict_on_batch([put(X), X])


def test_two_devices(monkeypatch):
    monkeypatch.setattr(standin, "DEVICES", 2)
    try:
        with standin.Device(1):
            second = put(X)
            out = ops.softmax(second)
        again = ops.softmax(second)         # while the other one is current
        assert out.device.id == again.device.id == 1 and backends.get("cuda:1").driver.index == 1
        np.testing.assert_allclose(out.get(streams.get_current_stream(1)), ops.softmax(X), rtol=1e-5)
        with pytest.raises(ValueError, match="lie in cuda:0 and cuda:1"):
            ops.add(put(X), second)
        model = pyconv.Sequential([pyconv.Input((5,)), layers.Dense(3)])
        expected = model(X)
        with pyconv.device("cuda:1"):
            assert pyconv.config.backend() == "cuda:1"
            np.testing.assert_allclose(model(X), expected, rtol=1e-5, atol=1e-6)
        with pytest.raises(RuntimeError, match="no device cuda:2: this process sees 2, cuda:0 to cuda:1"):
            pyconv.set_backend("cuda:2")
    finally:
        backends._loaded.pop(("cuda", 1), None)


def test_without_cupy(monkeypatch):
    other = Other(put(X))
    driver.provide(None)
    monkeypatch.setattr(driver.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"Other lies on a GPU.*takes CuPy.*pip install.*copy it yourself"):
        ops.relu(other)
