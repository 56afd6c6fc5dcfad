"""pyconv.ops.image: against Keras where it has the function, against plain NumPy and finite differences elsewhere."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyconv
from pyconv import ops
from pyconv.graph import trace
from pyconv.testing import check_gradients

os.environ.setdefault("KERAS_BACKEND", "torch")
image = ops.image
IDENTITY = np.array([1, 0, 0, 0, 1, 0, 0, 0], "float32")
MODES = ("constant", "nearest", "wrap", "mirror", "reflect")


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture(scope="module")
def theirs():
    return pytest.importorskip("keras").ops


def first(x):
    return np.moveaxis(x, -1, -3)


def transforms(rng, batch):
    t = np.tile(IDENTITY, (batch, 1))
    t[:, :6] += rng.normal(size=(batch, 6)) * [0.3, 0.3, 3, 0.3, 0.3, 3]
    return t.astype("float32")


def test_every_function_is_documented():
    for name in image.__all__:
        assert getattr(image, name).__doc__, name


@pytest.mark.peers
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_affine_transform_equals_keras(mode, interpolation, rng, theirs, backend):
    x, t = rng.normal(size=(3, 7, 5, 2)).astype("float32"), transforms(rng, 3)
    if mode == "reflect":       # Keras's torch backend does something else there; see the next test
        t = np.tile(IDENTITY, (3, 1))
        t[:, [2, 5]] = rng.uniform(-0.5, 0.5, (3, 2))
    options = {"interpolation": interpolation, "fill_mode": mode, "fill_value": 0.7}
    expected = theirs.convert_to_numpy(theirs.image.affine_transform(x, t.copy(), **options))
    np.testing.assert_allclose(image.affine_transform(x, t, **options), expected, atol=2e-5)
    np.testing.assert_allclose(image.affine_transform(first(x), t, data_format="channels_first", **options),
                               first(expected), atol=2e-5)
    one = theirs.convert_to_numpy(theirs.image.affine_transform(x[0], t[0].copy(), **options))
    np.testing.assert_allclose(image.affine_transform(x[0], t[0], **options), one, atol=2e-5)


@pytest.mark.parametrize("mode, row", [("constant", "00abcd00"), ("nearest", "aaabcddd"), ("wrap", "cdabcdab"),
                                       ("mirror", "cbabcdcb"), ("reflect", "baabcddc")])
def test_what_lies_outside(mode, row, backend):
    values = {"a": 1, "b": 2, "c": 3, "d": 4, "0": 0}
    x = np.array([1.0, 2, 3, 4]).reshape(1, 1, 4, 1)
    y, at = np.zeros((1, 1, 8)), np.arange(-2.0, 6).reshape(1, 1, 8)
    for interpolation in ("nearest", "bilinear"):
        found = image.sample_images(x, y, at, interpolation, mode)
        assert found.ravel().tolist() == [values[c] for c in row]
    if mode != "constant":        # far outside, the pattern goes on
        period = {"nearest": 8, "wrap": 4, "mirror": 6, "reflect": 8}[mode]
        far = image.sample_images(x, y, at + (2**20 * period if mode != "nearest" else 0), "bilinear", mode)
        np.testing.assert_array_equal(far.ravel(), found.ravel())


@pytest.mark.parametrize("mode", MODES)
def test_places_that_are_no_numbers(mode, backend):
    x = np.arange(6.0).reshape(1, 2, 3, 1)
    wild = np.array([np.nan, np.inf, -np.inf, 1e300, -1e300, 2.0**40]).reshape(1, 1, 6)
    found = image.sample_images(x, wild, np.zeros_like(wild), "bilinear", mode, 9.0)
    assert np.isin(found, np.append(x, 9.0)).all()


def test_rounding_of_places(backend):
    x = np.arange(4.0, dtype="float32").reshape(1, 1, 4, 1)
    at = np.array([0.5, 1.5, np.nextafter(np.float32(0.5), np.float32(0)), 2.4999998, -0.5, -0.50000006], "float32")
    found = image.sample_images(x, np.zeros((1, 1, 6), "float32"), at.reshape(1, 1, 6), "nearest", "constant", -1.0)
    assert found.ravel().tolist() == [1, 2, 0, 2, 0, -1]


@pytest.mark.peers
def test_perspective_transform_equals_keras(rng, theirs, backend):
    x = rng.normal(size=(2, 8, 9, 3)).astype("float32")
    start = np.array([[0, 0], [8, 0], [0, 7], [8, 7]], "float32") + rng.uniform(-1, 1, (2, 4, 2)).astype("float32")
    end = np.array([[0, 0], [8, 0], [0, 7], [8, 7]], "float32") + rng.uniform(-1, 1, (2, 4, 2)).astype("float32")
    matrix = image.homography(start.astype("float64"), end.astype("float64"))
    for i in range(2):
        for (x1, y1), (x0, y0) in zip(end[i], start[i], strict=True):
            a0, a1, a2, b0, b1, b2, c0, c1 = matrix[i]
            k = c0 * x1 + c1 * y1 + 1
            np.testing.assert_allclose([(a0 * x1 + a1 * y1 + a2) / k, (b0 * x1 + b1 * y1 + b2) / k], [x0, y0],
                                       atol=1e-9)
    for interpolation in ("bilinear", "nearest"):
        expected = theirs.convert_to_numpy(theirs.image.perspective_transform(x, start, end, interpolation, 0.5))
        found = image.perspective_transform(x, start, end, interpolation, 0.5)
        # A place on the border between two pixels may round to either.
        assert np.mean(np.abs(found - expected) < 1e-3) > 0.98


@pytest.mark.peers
@pytest.mark.parametrize("name", ["rgb_to_grayscale", "rgb_to_hsv", "hsv_to_rgb", "gaussian_blur"])
def test_colors_and_blur_equal_keras(name, rng, theirs, backend):
    x = rng.uniform(0, 1, (2, 4, 5, 3)).astype("float32")
    x[0, 0] = [[0, 0, 0], [1, 1, 1], [1, 1, 0], [0, 1, 1], [1e-9, 0, 0]]
    options = {"kernel_size": (3, 3), "sigma": (1.2, 0.7)} if name == "gaussian_blur" else {}
    expected = theirs.convert_to_numpy(getattr(theirs.image, name)(x, data_format="channels_last", **options))
    np.testing.assert_allclose(getattr(image, name)(x, **options), expected, atol=2e-6)
    np.testing.assert_allclose(getattr(image, name)(first(x), data_format="channels_first", **options), first(expected),
                               atol=2e-6)
    np.testing.assert_allclose(getattr(image, name)(x[1], **options), expected[1], atol=2e-6)


def test_colors_go_there_and_back(rng, backend):
    x = rng.uniform(0, 1, (2, 4, 5, 3))
    np.testing.assert_allclose(image.hsv_to_rgb(image.rgb_to_hsv(x)), x, atol=1e-12)


@pytest.mark.peers
def test_map_coordinates_equals_keras(rng, theirs, backend):
    x = rng.normal(size=(6, 5)).astype("float32")
    at = np.stack([rng.uniform(-8, 14, (3, 4)), rng.uniform(-8, 14, (3, 4))]).astype("float32")
    for mode in ("constant", "nearest", "wrap", "mirror"):
        for order in (0, 1):
            expected = theirs.convert_to_numpy(theirs.image.map_coordinates(x, at, order, mode, 0.3))
            np.testing.assert_allclose(image.map_coordinates(x, at, order, mode, 0.3), expected, atol=1e-5)


@pytest.mark.peers
def test_padding_and_cropping_equal_keras(rng, theirs, backend):
    x = rng.normal(size=(2, 6, 7, 3)).astype("float32")
    for name, options in (
            ("pad_images", {"top_padding": 1, "left_padding": 2, "target_height": 9, "right_padding": 0}),
            ("pad_images", {"bottom_padding": 1, "left_padding": 2, "target_height": 9, "target_width": 11}),
            ("crop_images", {"top_cropping": 1, "left_cropping": 2, "target_height": 3, "target_width": 4}),
            ("crop_images", {"bottom_cropping": 1, "right_cropping": 2, "top_cropping": 0, "target_width": 4})):
        expected = theirs.convert_to_numpy(getattr(theirs.image, name)(x, **options))
        np.testing.assert_array_equal(getattr(image, name)(x, **options), expected)
        np.testing.assert_array_equal(getattr(image, name)(x[0], **options), expected[0])


@pytest.mark.peers
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest", "lanczos3", "lanczos5"])
@pytest.mark.parametrize("ratio", [None, "crop_to_aspect_ratio", "pad_to_aspect_ratio"])
def test_resize_equals_keras(interpolation, ratio, rng, backend, monkeypatch):
    keras_backend = pytest.importorskip("keras.src.backend")
    # The import below would leave Keras's NumPy backend in the place of the functions of the one in use.
    monkeypatch.setattr(keras_backend, "numpy", keras_backend.numpy)
    numpy_image = pytest.importorskip("keras.src.backend.numpy.image")        # their only one with all interpolations
    x = rng.normal(size=(2, 8, 13, 3)).astype("float32")
    options = {ratio: True, "fill_value": 0.5} if ratio else {}
    for size in ((5, 6), (16, 13), (9, 31)):
        for antialias in (False, True):
            expected = numpy_image.resize(x, size, interpolation, antialias, data_format="channels_last", **options)
            found = image.resize(x, size, interpolation, antialias, data_format="channels_last", **options)
            np.testing.assert_allclose(found, expected, atol=3e-5)
            np.testing.assert_array_equal(image.resize(x[1], size, interpolation, antialias, **options), found[1])


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "bool"])
def test_integers_are_rounded_to_even_and_kept_in_range(dtype, backend):
    x = np.array([[0, 1], [1, 1]]) if dtype == "bool" else np.array([[0, 255], [3, 100]])
    x = x.astype(dtype).reshape(1, 2, 2, 1)
    half = IDENTITY.copy()
    half[2] = 0.5
    found = image.affine_transform(x, half, fill_mode="nearest")
    assert found.dtype == dtype
    means = (x[..., :1, :].astype(float) + x[..., 1:, :]) / 2
    expected = np.concatenate([means, x[..., 1:, :]], 2)
    np.testing.assert_array_equal(found, expected >= 0.5 if dtype == "bool" else np.round(expected))


@settings(max_examples=20)
@given(data=st.data())
def test_large_integers_survive(data):
    values = data.draw(st.lists(st.integers(-2**31, 2**31 - 1), min_size=4, max_size=4))
    x = np.array(values, "int32").reshape(1, 2, 2, 1)
    np.testing.assert_allclose(image.affine_transform(x, IDENTITY, "nearest"), x, rtol=2e-7)


@pytest.mark.parametrize("mode", MODES)
def test_gradients_of_images_and_transforms(mode, rng, backend):
    x, t = rng.normal(size=(2, 4, 5, 2)), transforms(rng, 2).astype("float64")
    t[:, 6:] = rng.normal(size=(2, 2)) * 0.01
    check_gradients(lambda x, t: image.affine_transform(x, t, fill_mode=mode, fill_value=0.4), [x, t],
                    backend=backend.name)
    check_gradients(lambda x: image.affine_transform(x, t, "nearest", mode), [x], backend=backend.name)
    # The second derivative for the images, with places that stay.
    check_gradients(lambda x: ops.square(image.affine_transform(x, t, fill_mode=mode)), [x], backend=backend.name,
                    order=2)


def test_the_same_bits_for_any_number_of_threads(rng):
    x, t, g = (rng.normal(size=s).astype("float32") for s in ((5, 33, 31, 3), (5, 8), (5, 33, 31, 3)))
    t = IDENTITY + 0.1 * t * [1, 1, 10, 1, 1, 10, 0, 0]

    def run(x, t, g):
        y = image.affine_transform(x, t, fill_mode="reflect")
        return [y, *pyconv.graph.gradients(ops.sum(y * g), [x, t])]
    graph, _ = trace(run, [(a.shape, "float32") for a in (x, t, g)])
    found, before = [], pyconv.config.num_threads()
    try:
        for threads in (1, 2, 5):
            pyconv.config.set_num_threads(threads)
            program = pyconv.backends.get("cpu").compile(graph)
            found.append([a.tobytes() for a in program([x, t.astype("float32"), g])])
    finally:
        pyconv.config.set_num_threads(before)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("call, message", [
    (lambda x: image.affine_transform(x, IDENTITY, "linear"), "interpolation='linear' is not known.*bilinear"),
    (lambda x: image.affine_transform(x, IDENTITY, fill_mode="edge"), "fill_mode='edge' is not known.*nearest"),
    (lambda x: image.affine_transform(x, IDENTITY[:6]), r"transform must have shape \(8,\).*\(6,\)"),
    (lambda x: image.affine_transform(x[0, 0], IDENTITY), "images need 3 or 4 axes"),
    (lambda x: image.affine_transform(x[:, :0], IDENTITY), "no pixels to read"),
    (lambda x: image.rgb_to_hsv(x[..., :2]), "rgb_to_hsv: images need 3 channels"),
    (lambda x: image.rgb_to_hsv(x.astype("uint8")), "must be floats"),
    (lambda x: image.resize(x, (3, 3), crop_to_aspect_ratio=True, pad_to_aspect_ratio=True), "cannot both be True"),
    (lambda x: image.resize(x, (0, 3)), r"cannot be given the size \(0, 3\)"),
    (lambda x: image.pad_images(x, 1, 1), "height exactly two of the three"),
    (lambda x: image.crop_images(x, 3, 0, 3, 0), "do not fit to the height of 4"),
    (lambda x: image.perspective_transform(x, np.zeros((3, 2)), np.zeros((3, 2))), r"shape \(4, 2\)"),
    (lambda x: image.map_coordinates(x, np.zeros((2, 3)), 1), "inputs must have 2 axes"),
    (lambda x: image.sample_images(x, np.zeros((1, 2, 2)), np.zeros((1, 2, 2))), r"shape \(2, rows, columns\)"),
])
def test_errors(call, message, rng):
    with pytest.raises(ValueError, match=message):
        call(rng.normal(size=(2, 4, 5, 3)))
