"""The same bits: for any number of threads, in any process. And the CPU backend's training against the reference's."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

import pyconv
from pyconv import config, layers, losses, optimizers
from pyconv.applications import lenet5
from pyconv.utils import set_random_seed

THREADS = (1, 2, 3, 4, 7)
LOGITS = losses.SparseCategoricalCrossentropy(from_logits=True)


def digits(count, seed=0):
    """Images like MNIST's: bright strokes on black, two to each label, at places of their own, and noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, count)
    images = np.zeros((count, 28, 28), "uint8")
    for image, label in zip(images, labels, strict=True):
        y, x = 3 + 2 * label + rng.integers(-1, 2), 3 + rng.integers(0, 4)
        image[y:y + 2, x:x + 14] = rng.integers(150, 256, (2, 14))
        image[4:24, 22 - 2 * label:24 - 2 * label] = rng.integers(150, 256, (20, 2))
    return images, labels


IMAGES, LABELS = digits(715)        # five batches of 128, and one of 75: not whole blocks of 16 samples


def with_dropout():
    """What else draws random numbers, couples the batch or has a shape of its own."""
    return pyconv.Sequential([
        pyconv.Input((28, 28, 1)), layers.Rescaling(1 / 255), layers.Conv2D(7, 3, strides=2, activation="relu"),
        layers.Dropout(0.3), layers.Conv2D(14, 3, padding="same", groups=7), layers.MaxPooling2D(3, 2),
        layers.Flatten(), layers.Dropout(0.5), layers.Dense(10)])


def lecture():
    return lenet5("lecture")


MODELS = {"lenet5": lenet5, "lecture": lecture, "with_dropout": with_dropout}


def trained(name, floatx="float32", threads=None, images=IMAGES, labels=LABELS):
    """The model after an epoch, and its history."""
    config.set_floatx(floatx)
    config.set_num_threads(threads)
    set_random_seed(3)
    model = MODELS[name]()
    model.compile("adam", LOGITS, metrics=["accuracy"])
    history = model.fit(images, labels, batch_size=128, verbose=0, validation_data=(images[:70], labels[:70]))
    return model, history.history


def digest(model, history) -> str:
    """One number for the weights, the optimizer's state, the metrics and the predictions, to the last bit."""
    arrays = [*model.get_weights(), *(v.numpy() for v in model.optimizer.variables), model.predict(IMAGES[:333])]
    found = hashlib.sha256(repr(sorted(history.items())).encode())
    for array in arrays:
        found.update(array.tobytes())
    return found.hexdigest()


@pytest.mark.parametrize(("name", "floatx"), [("lenet5", "float32"), ("lenet5", "float64"),
                                              ("with_dropout", "float32"), ("with_dropout", "float64")])
def test_training_has_the_same_bits_for_any_number_of_threads(name, floatx):
    model, history = trained(name, floatx, 1)
    expected = [w.tobytes() for w in model.get_weights()]
    for threads in THREADS[1:]:
        other, other_history = trained(name, floatx, threads)
        assert [w.tobytes() for w in other.get_weights()] == expected
        assert other_history == history
        for a, b in zip(other.optimizer.variables, model.optimizer.variables, strict=True):
            assert a.numpy().tobytes() == b.numpy().tobytes()


def test_the_wide_form_too():
    """The lecture's LeNet-5 has another choice of kernels."""
    images, labels = IMAGES[:200], LABELS[:200]
    found = {digest(*trained("lecture", "float32", threads, images, labels)) for threads in THREADS}
    assert len(found) == 1


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("count", [1, 2, 17, 300])
def test_predictions_have_the_same_bits_for_any_number_of_threads(name, count):
    set_random_seed(1)
    model, found = MODELS[name](), set()
    for threads in THREADS:
        config.set_num_threads(threads)
        found.add(model.predict(IMAGES[:count]).tobytes())
    assert len(found) == 1


def test_another_process_gives_the_same_bits():
    """With another number of threads and other hashes of strings."""
    here = digest(*trained("with_dropout", threads=2))
    root = os.path.dirname(os.path.dirname(os.path.abspath(pyconv.__file__)))
    script = "import test_reproducible as t; print(t.digest(*t.trained('with_dropout')))"
    folder = os.path.dirname(os.path.abspath(__file__))
    for threads in ("1", "3"):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False,
                              env={**os.environ, "PYTHONPATH": os.pathsep.join([root, folder]),
                                   "PYCONV_NUM_THREADS": threads, "PYTHONHASHSEED": threads})
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == here


def test_a_second_epoch_with_another_number_of_threads():
    """The number may change while a model is trained."""
    runs = []
    for changes in ((1, 1, 1), (4, 1, 3)):
        set_random_seed(3)
        model = lenet5()
        model.compile(optimizers.SGD(0.05, 0.9), LOGITS)
        for threads in changes:
            config.set_num_threads(threads)
            model.fit(IMAGES[:300], LABELS[:300], batch_size=64, verbose=0)
        runs.append([w.tobytes() for w in model.get_weights()])
    assert runs[0] == runs[1]


# ---- fifty steps against the reference

def odd():
    """Channels first, strides, groups, dilation, uneven padding: what the usual networks do not have."""
    return pyconv.Sequential([
        pyconv.Input((3, 11, 9)),
        layers.Conv2D(6, (3, 2), strides=(2, 1), padding="same", groups=3, activation="relu",
                      data_format="channels_first"),
        layers.Conv2D(4, 2, dilation_rate=(1, 2), data_format="channels_first", activation="tanh"),
        layers.MaxPooling2D((2, 3), strides=(1, 2), padding="same", data_format="channels_first"),
        layers.Flatten(data_format="channels_first"), layers.Dense(7, use_bias=False, activation="relu"),
        layers.Dense(10)])


def steps(make, optimizer, floatx, backend_name, x, y, batch, biases):
    """The weights at the start and after 50 steps, and the loss of each step. biases: what they are drawn within."""
    config.set_floatx(floatx)
    pyconv.set_backend(backend_name)
    set_random_seed(7)
    model = make()
    model.compile(optimizer(), LOGITS)
    rng = np.random.default_rng(5)
    model.set_weights([rng.uniform(-biases, biases, w.shape) if w.ndim == 1 else w for w in model.get_weights()])
    start, found = model.get_weights(), []
    for i in range(50):
        rows = np.arange(i * batch, (i + 1) * batch) % len(x)
        found.append(model.train_on_batch(x[rows], y[rows]))
    return start, model.get_weights(), found


def adam():
    return optimizers.Adam(0.001)


def momentum():
    return optimizers.SGD(0.01, 0.9, nesterov=True)


@pytest.mark.parametrize("floatx", ["float32", "float64", "float32 by winograd"])
@pytest.mark.parametrize("optimizer", [adam, momentum])
@pytest.mark.parametrize("make", [lenet5, odd])
def test_50_steps_like_the_reference(make, optimizer, floatx):
    """The same weights but for rounding.

    A gradient is a sum of some hundred to some thousand products, which the backends add in different orders. Errors
    of single additions, half an eps each and of either sign, grow with the root of their number to a few eps of
    the sum of magnitudes; fifty steps add such errors up. So as a whole (norm) an array's way from where it began
    should agree within some ten eps: 1e-6 and 2e-15. A single weight can be further off under Adam, which divides a
    gradient by its own size: where that is a small difference of large terms, its error counts in full. Measured:
    2e-6 and 1e-14 (norm), 1.2e-5 and 2e-14 (worst weight). The bounds leave a factor of about ten, for other
    processors and orders of summation; a wrong gradient anywhere is off by whole percents. Winograd's algorithm adds
    and subtracts neighbours that do not belong to a result, which costs it a decimal. It also has a small number where
    a window of zeros gives zero: with a bias of zero, relu may then pass a gradient or not, as it happens. Such
    networks begin with other biases here.
    """
    floatx, _, algorithm = floatx.partition(" by ")
    config.set_conv_algorithm(algorithm or "direct")
    if make is lenet5:
        (x, y), batch = digits(160, seed=1), 16
    else:
        rng = np.random.default_rng(2)
        x, y, batch = rng.normal(size=(150, 3, 11, 9)).astype(floatx), rng.integers(0, 10, 150), 15
    biases = 0.1 if algorithm else 0
    start, found, found_losses = steps(make, optimizer, floatx, "cpu", x, y, batch, biases)
    same_start, expected, expected_losses = steps(make, optimizer, floatx, "reference", x, y, batch, biases)
    whole, single = {"float32": (2e-5, 2e-4), "float64": (1e-13, 5e-13)}[floatx]
    if algorithm:
        whole, single = 10 * whole, 10 * single
    for a, b, before, before_too in zip(found, expected, start, same_start, strict=True):
        np.testing.assert_array_equal(before, before_too)
        moved = b.astype("float64") - before
        difference = a.astype("float64") - b
        assert np.abs(moved).max() > 1e-3
        assert np.linalg.norm(difference) <= whole * np.linalg.norm(moved)
        assert np.abs(difference).max() <= single * np.abs(moved).max()
    # A loss near zero is a difference of numbers about one, hence the absolute part.
    np.testing.assert_allclose(found_losses, expected_losses, whole, whole)
    assert expected_losses[49] < expected_losses[9]         # the same batch, forty steps before
