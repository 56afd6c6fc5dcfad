"""Arrays that lie on a GPU are computed with there, and results stay there; arrays in several places are an error."""

import numpy as np
import pytest

import pyconv
from pyconv import backends, layers, ops
from pyconv.backends.cuda import driver
from tests.cuda.emulator import standin, streams

X = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")


def on_device(array):
    array = np.ascontiguousarray(array)
    made = standin.empty(array.shape, array.dtype)
    made.set(array)
    return made


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
        self._a, self.shape, self.dtype, self.streams = array._a, array.shape, f"torch.{array.dtype}", []
        self._array = array

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


def moved(function):
    """What happens on the bus meanwhile, but for the eight bytes that say whether there was an error."""
    start = len(standin.log)
    out = function()
    return out, standin.log[start:]


@pytest.mark.parametrize("make", [on_device, lambda a: Other(on_device(a)), lambda a: Tensor(on_device(a))],
                         ids=["CuPy", "interface", "DLPack"])
def test_functions_compute_where_the_array_lies(make):
    x = make(X)
    out, events = moved(lambda: ops.relu(x))
    assert type(out) is standin.ndarray and "H2D" not in events
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
    ops.softplus(on_device(X))
    _, events = moved(lambda: ops.softplus(on_device(X)))
    assert events.count("D2H") == 1 and events.count("kernel") <= 2


def test_views_that_are_not_contiguous():
    x = on_device(X)
    np.testing.assert_array_equal(ops.relu(x.swapaxes(0, 1)).get(), np.maximum(X.T, 0))
    np.testing.assert_array_equal(ops.relu(x[::2]).get(), np.maximum(X[::2], 0))
    np.testing.assert_array_equal(ops.relu(x[:0]).get(), X[:0])


@pytest.mark.parametrize("which", ["early", "late"])
def test_what_the_user_has_put_on_his_stream_is_waited_for(which):
    """The array is written by a stream of the user's, which nobody has waited for; so is the memory of the result."""
    streams.schedule = which
    try:
        for _ in range(3):
            x, own = on_device(0 * X), standin.Stream(non_blocking=True)
            with own:
                x.set(X, stream=own)
                out = ops.relu(x)
            np.testing.assert_array_equal(out._a, np.maximum(X, 0))     # nothing is left to wait for
    finally:
        streams.schedule = "late"


def test_that_the_user_s_stream_is_not_waited_for_is_found(monkeypatch):
    monkeypatch.setattr(driver.Driver, "follow", lambda self: None)
    x, own = on_device(0 * X), standin.Stream(non_blocking=True)
    with own:
        x.set(X, stream=own)
        out = ops.relu(x)
    assert not np.array_equal(out._a, np.maximum(X, 0))


def test_models():
    model = pyconv.Sequential([pyconv.Input((5,)), layers.Dense(3, activation="relu"), layers.Dropout(0.5)])
    expected = model(X)
    for call in (model, lambda x: model(x, training=False), model.layers[0], model.predict_on_batch,
                 lambda x: model.predict(x, verbose=0), lambda x: model.predict(x, batch_size=4, verbose=0)):
        call(on_device(X))
        out, events = moved(lambda call=call: call(on_device(X)))
        assert type(out) is standin.ndarray and events.count("H2D") == 1       # that of `on_device`
        np.testing.assert_allclose(out.get(), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"expects shape \(None, 5\), got \(None, 4\)"):
        model(on_device(X[:, :4]))
    with pytest.raises(TypeError, match="complex64"):
        model(on_device(X.astype("complex64")))


def test_training_takes_copies():
    """Rows are picked on the host, so whole arrays come there once."""
    def run(x, y):
        pyconv.random.set_random_seed(3)
        model = pyconv.Sequential([pyconv.Input((5,)), layers.Dense(3)])
        model.compile("sgd", "mse")
        model.fit(x, y, batch_size=4, verbose=0)
        return [*model.get_weights(), model.train_on_batch(x, y)]
    for a, b in zip(run(on_device(X), on_device(X[:, :3].copy())), run(X, X[:, :3]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_places_do_not_mix():
    message = r"add: the arrays lie in cuda:0 and the host's memory.*cupy.asarray\(x\).*x.get\(\)"
    with pytest.raises(ValueError, match=message):
        ops.add(on_device(X), X)
    with pytest.raises(ValueError, match="concatenate: the arrays lie in cuda:0 and the host's"):
        ops.concatenate([on_device(X), X])
    np.testing.assert_array_equal(ops.add(on_device(X), np.float32(1)).get(), X + 1)
    np.testing.assert_array_equal(ops.add(on_device(X), np.array(1, "float32")).get(), X + 1)
    merge = layers.Add()
    with pytest.raises(ValueError, match="Add.*lie in cuda:0 and the host's memory"):
        merge([on_device(X), X])
    a, b = pyconv.Input((5,)), pyconv.Input((5,))
    model = pyconv.Model([a, b], merge([a, b]))
    with pytest.raises(ValueError, match="predict: the arrays lie in"):
        model.predict([on_device(X), X], verbose=0)
    with pytest.raises(ValueError, match="predict_on_batch: the arrays lie in"):
        model.predict_on_batch([on_device(X), X])


def test_two_devices(monkeypatch):
    monkeypatch.setattr(standin, "DEVICES", 2)
    try:
        with standin.Device(1):
            second = on_device(X)
            out = ops.softmax(second)
        again = ops.softmax(second)         # while the other one is current
        assert out.device.id == again.device.id == 1 and backends.get("cuda:1").driver.index == 1
        np.testing.assert_allclose(out.get(streams.get_current_stream(1)), ops.softmax(X), rtol=1e-5)
        with pytest.raises(ValueError, match="lie in cuda:0 and cuda:1"):
            ops.add(on_device(X), second)
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
    other = Other(on_device(X))
    driver.provide(None)
    monkeypatch.setattr(driver.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"Other lies on a GPU.*takes CuPy.*pip install.*copy it yourself"):
        ops.relu(other)
