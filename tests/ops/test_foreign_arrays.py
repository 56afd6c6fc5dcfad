"""Arrays of other libraries are taken everywhere; results are NumPy's."""

import numpy as np
import pytest

import pyconv
from pyconv import layers, losses, metrics, ops
from pyconv.utils.foreign import is_foreign, to_host


class Capsule:
    """Nothing but DLPack."""

    def __init__(self, array, device=(1, 0)):
        self.array, self.device = array, device

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.device


def torch_like(array):
    torch = pytest.importorskip("torch")
    return torch.from_numpy(array)


def jax_like(array):
    return pytest.importorskip("jax.numpy").asarray(array)


MAKERS = [Capsule, pytest.param(torch_like, marks=pytest.mark.peers), pytest.param(jax_like, marks=pytest.mark.peers)]
X = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")


@pytest.mark.parametrize("make", MAKERS)
def test_ops_layers_models_and_variables(make):
    x, t = X, make(X)
    for function in (ops.relu, ops.sum, ops.shape if make is not Capsule else ops.exp, lambda a: ops.add(a, 1.0),
                     lambda a: ops.concatenate([a, a]), lambda a: ops.matmul(a, ops.transpose(a)),
                     lambda a: ops.where(ops.greater(a, 0), a, 0.0), lambda a: ops.take(a, [1, 2], axis=0),
                     ops.convert_to_numpy, lambda a: ops.cast(a, "float64"), lambda a: pyconv.Variable(a).numpy()):
        found, expected = function(t), function(x)
        assert type(found) is type(expected)
        np.testing.assert_array_equal(found, expected)
    labels = np.arange(6).astype("int32") % 3
    results = []
    for a, b in ((x, labels), (t, make(labels))):
        pyconv.random.set_random_seed(1)
        model = pyconv.Sequential([pyconv.Input((5,)), layers.Dense(3)])
        assert type(model(a)) is np.ndarray
        model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        history = model.fit(a, b, batch_size=4, epochs=2, verbose=0, validation_data=(a, b))
        results.append([*history.history.values(), model.predict(a, verbose=0), model.train_on_batch(a, b),
                        model.evaluate(a, b, verbose=0), model.get_weights()[0]])
    for found, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert losses.MeanSquaredError()(t, t) == 0
    metric = metrics.MeanAbsoluteError()
    metric.update_state(t, make(X + 1))
    np.testing.assert_allclose(metric.result(), 1, rtol=1e-6)
    v = pyconv.Variable(np.zeros((6, 5), "float32"))
    v.assign(to_host(t))
    np.testing.assert_array_equal(v.numpy(), x)


@pytest.mark.parametrize("make", MAKERS)
def test_nothing_is_copied_in_the_host_memory(make):
    t = make(X.copy())
    a, b = to_host(t), to_host(t)
    assert is_foreign(t) and type(a) is np.ndarray and np.shares_memory(a, b)
    for value in (X, X[0, 0], 1.0, [1.0], None, "text", pyconv.Variable(1.0)):
        assert not is_foreign(value)


@pytest.mark.peers
def test_tensors_of_pytorch():
    torch = pytest.importorskip("torch")
    t = torch.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(ops.square(t.T), np.square(t.numpy().T))
    np.testing.assert_array_equal(ops.square(t.clone().requires_grad_()), np.square(t.numpy()))    # its values alone
    for call in (lambda x: ops.relu(x), lambda x: ops.concatenate([x, x]), lambda x: layers.Dense(2)(x),
                 lambda x: pyconv.Variable(x), lambda x: pyconv.Sequential([layers.Dense(2)]).predict(x, verbose=0)):
        with pytest.raises(TypeError, match=r"torch\.Tensor holds bfloat16.*x\.float\(\)"):
            call(t.to(torch.bfloat16))


@pytest.mark.peers
def test_arrays_of_jax():
    numpy = pytest.importorskip("jax.numpy")
    with pytest.raises(TypeError, match=r"holds bfloat16.*x\.astype\('float32'\)"):
        ops.relu(numpy.ones(3, numpy.bfloat16))
    np.testing.assert_array_equal(ops.relu(numpy.ones(3, numpy.float16)), np.ones(3, "float16"))


def test_a_device_that_nobody_reads():
    with pytest.raises(TypeError, match=r"Capsule is on a device of DLPack's type 10, number 3.*Copy it first"):
        ops.relu(Capsule(X, (10, 3)))
