"""Models on the emulated device: the same steps as on the reference, and moves between backends on the way."""

import os

import numpy as np
import pytest

import pyconv
from pyconv import layers, losses, optimizers
from pyconv.datasets import mnist
from tests.cuda.devices import near

STEPS, BATCH = 3, 16


@pytest.fixture(scope="module")
def images():
    """The first images of MNIST where PYCONV_DATA_DIR has them, else random ones."""
    if os.environ.get("PYCONV_DATA_DIR"):
        x, y = mnist.load_data()[0]
    else:
        rng = np.random.default_rng(0)
        x, y = rng.integers(0, 256, (STEPS * BATCH, 28, 28)).astype("uint8"), rng.integers(0, 10, STEPS * BATCH)
    return x[:STEPS * BATCH], y[:STEPS * BATCH].astype("int32")


def trained(make, order, x, y):
    """The losses of some steps on the backends of `order` in turn, the weights after them, and predictions."""
    pyconv.random.set_random_seed(3)
    pyconv.set_backend(order[0])
    model = make()
    model.compile(optimizers.Adam(1e-3), losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    found = []
    for i in range(STEPS):
        pyconv.set_backend(order[i % len(order)])
        rows = slice(i * BATCH, (i + 1) * BATCH)
        found.append(model.train_on_batch(x[rows], y[rows]))
    return np.array(found), model.get_weights(), model.predict(x[:20], verbose=0)


def same(found, expected):
    np.testing.assert_allclose(found[0], expected[0], rtol=near(2e-6, 2e-3))
    for a, b in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=near(1e-5, 2e-3))
    np.testing.assert_allclose(found[2], expected[2], rtol=0, atol=near(1e-5, 5e-3))


@pytest.mark.devices
def test_lenet_trains_like_the_reference_and_moves(images):
    make = pyconv.applications.lenet5
    expected = trained(make, ["reference"], *images)
    same(trained(make, ["cuda"], *images), expected)
    same(trained(make, ["cuda", "cpu"], *images), expected)


@pytest.mark.devices
def test_fit_evaluate_predict_with_normalization_and_dropout():
    """Random numbers of layers are those of the other backends, also in the middle of an epoch's shuffled rows."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(40, 8, 8, 3)).astype("float32"), rng.integers(0, 4, 40)

    def run(backend):
        with pyconv.device(backend):
            pyconv.random.set_random_seed(5)
            model = pyconv.Sequential([
                pyconv.Input((8, 8, 3)), layers.Conv2D(6, 3, padding="same", strides=2), layers.BatchNormalization(),
                layers.ReLU(), layers.Dropout(0.3), layers.DepthwiseConv2D(3), layers.GlobalAveragePooling2D(),
                layers.Dense(4)])
            model.compile(optimizers.SGD(0.1, 0.9), losses.SparseCategoricalCrossentropy(from_logits=True),
                          metrics=["accuracy"])
            history = model.fit(x, y, batch_size=16, epochs=2, verbose=0, validation_data=(x[:9], y[:9]))
            return (np.array(list(history.history.values())), model.get_weights(), model.predict(x, verbose=0))
    same(run("cuda"), run("cpu"))


@pytest.mark.devices
def test_train_here_continue_there_save_and_load_elsewhere(images, tmp_path):
    """On the CPU, then here, saved, and loaded by the reference: what comes is as if all had been the reference's."""
    x, y = images[0][:2 * BATCH], images[1][:2 * BATCH]

    def run(order):
        pyconv.random.set_random_seed(9)
        with pyconv.device(order[0]):
            model = pyconv.Sequential([pyconv.Input((28, 28)), layers.Rescaling(1 / 255), layers.Reshape((28, 28, 1)),
                                       layers.Conv2D(4, 5, strides=4, use_bias=False), layers.BatchNormalization(),
                                       layers.ReLU(), layers.Dropout(0.1), layers.Flatten(), layers.Dense(10)])
            model.compile(optimizers.Adam(1e-3), losses.SparseCategoricalCrossentropy(from_logits=True))
            model.fit(x, y, batch_size=BATCH, verbose=0)
        with pyconv.device(order[1]):
            model.fit(x, y, batch_size=BATCH, verbose=0)
            model.save(tmp_path / f"{order[1]}.pyconv")
        with pyconv.device(order[2]):
            again = pyconv.models.load_model(tmp_path / f"{order[1]}.pyconv")
            pyconv.random.set_random_seed(10)
            loss = again.fit(x, y, batch_size=BATCH, verbose=0, shuffle=False).history["loss"]
            return loss, again.get_weights(), again.predict(x, verbose=0)
    found, expected = run(["cpu", "cuda", "reference"]), run(["reference"] * 3)
    np.testing.assert_allclose(found[0], expected[0], rtol=near(1e-4, 2e-3))
    for a, b in zip([*found[1], found[2]], [*expected[1], expected[2]], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=near(1e-4, 5e-3))
