"""LeNet-5: parameter counts of its two forms, and what it takes."""

import numpy as np
import pytest

import pyconv
from pyconv.applications import lenet5

# From the definitions: filters * (5 * 5 * channels + 1), and units * (inputs + 1).
FORM_1998 = 6 * 26 + 16 * 151 + 120 * 401 + 84 * 121 + 10 * 85
LECTURE = 20 * 26 + 50 * 501 + 500 * 2451 + 10 * 501


@pytest.mark.parametrize("form,expected", [("1998", 61706), ("lecture", 1256080)])
def test_parameters(form, expected):
    assert {"1998": FORM_1998, "lecture": LECTURE}[form] == expected == lenet5(form).count_params()


def test_the_papers_image_size():
    """32x32 images padded to the same size: the flat part is 6x6x16."""
    assert lenet5(input_shape=(32, 32, 1)).count_params() == FORM_1998 + 120 * 16 * (36 - 25)


def test_it_takes_bytes_with_and_without_a_channel_axis():
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype="uint8")
    model = lenet5()
    y = model(images)
    assert y.shape == (3, 10) and y.dtype == "float32"
    np.testing.assert_array_equal(model(images[..., None]), y)
    plain = lenet5(rescale=False)
    plain.set_weights(model.get_weights())
    np.testing.assert_allclose(plain(images / 255), y, rtol=1e-4, atol=1e-5)


def test_channels_first_is_the_same_network():
    x = np.random.default_rng(0).normal(size=(2, 28, 28, 3)).astype("float32")
    last = lenet5("lecture", (28, 28, 3), rescale=False)
    first = lenet5("lecture", (3, 28, 28), rescale=False, data_format="channels_first")
    first.set_weights(last.get_weights())
    np.testing.assert_allclose(first(x.transpose(0, 3, 1, 2)), last(x), rtol=1e-4, atol=1e-5)


def test_options():
    model = lenet5(classes=3, activation="tanh", classifier_activation="softmax", name="digits")
    y = model(np.zeros((2, 28, 28, 1)))
    assert model.name == "digits" and y.shape == (2, 3)
    np.testing.assert_allclose(y.sum(1), 1, rtol=1e-6)
    assert pyconv.Sequential.from_config(model.get_config()).count_params() == model.count_params()


@pytest.mark.parametrize("arguments,expected", [({"form": "1989"}, "form='1989' is not known; expected "
                                                                   "'1998' or 'lecture'"),
                                                ({"input_shape": (28, 28)}, "input_shape must be 3 sizes"),
                                                ({"input_shape": (4, 4, 1)}, "reaches over more"),
                                                ({"classes": 0}, "units must be at least 1")])
def test_errors(arguments, expected):
    with pytest.raises(ValueError, match=expected):
        lenet5(**arguments)


def test_it_learns():
    """Ten images of noise are told apart after a few steps."""
    pyconv.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (10, 28, 28), dtype="uint8")
    model = lenet5()
    model.compile("adam", pyconv.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(images, np.arange(10), epochs=6, verbose=0).history["loss"]
    assert history[-1] < history[0]
