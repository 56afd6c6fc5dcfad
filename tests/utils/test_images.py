"""Single images: arrays, Pillow's objects and files, also against Keras."""

import numpy as np
import pytest

import pyconv
from pyconv import utils

rng = np.random.default_rng(0)
pytest.importorskip("PIL.Image")


@pytest.mark.parametrize("channels,mode", [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_there_and_back(channels, mode):
    x = rng.integers(0, 256, (5, 4, channels)).astype("float32")
    image = utils.array_to_img(x, scale=False)
    assert image.mode == mode and image.size == (4, 5)
    np.testing.assert_array_equal(utils.img_to_array(image), x)
    first = utils.img_to_array(image, "channels_first", "uint8")
    assert first.dtype == "uint8"
    np.testing.assert_array_equal(first, x.transpose(2, 0, 1))
    np.testing.assert_array_equal(utils.img_to_array(utils.array_to_img(first, "channels_first", scale=False)), x)


def test_scale():
    image = utils.array_to_img(np.array([[[-1.0], [0.0], [3.0]]]))
    assert np.asarray(image).tolist() == [[0, 63, 255]]
    assert np.asarray(utils.array_to_img(np.full((2, 2, 3), 7.0))).max() == 0
    assert np.asarray(utils.array_to_img(np.full((1, 1, 1), 70_000.0), scale=False)).tolist() == [[70_000]]


@pytest.mark.peers
@pytest.mark.parametrize("arguments", [{}, {"target_size": (3, 5)}, {"target_size": (6, 2), "keep_aspect_ratio": True,
                                                                     "interpolation": "bilinear"},
                                       {"color_mode": "grayscale", "target_size": (9, 9), "interpolation": "lanczos"},
                                       {"color_mode": "rgba"}], ids=range(5))
def test_files_are_read_as_keras_reads_them(tmp_path, arguments):
    keras = pytest.importorskip("keras")
    utils.save_img(tmp_path / "a.png", rng.uniform(size=(7, 11, 3)))
    own, theirs = (u.load_img(str(tmp_path / "a.png"), **arguments) for u in (utils, keras.utils))
    assert own.mode == theirs.mode
    np.testing.assert_array_equal(utils.img_to_array(own), keras.utils.img_to_array(theirs))


def test_formats(tmp_path):
    x = np.full((6, 6, 4), 100, "uint8")
    utils.save_img(tmp_path / "a.jpg", x, scale=False)
    utils.save_img(tmp_path / "c.dat", x, file_format="jpg", scale=False)
    assert utils.load_img(tmp_path / "a.jpg").size == utils.load_img(tmp_path / "c.dat").size == (6, 6)
    np.testing.assert_allclose(utils.img_to_array(utils.load_img(tmp_path / "a.jpg")), 100, atol=2)


@pytest.mark.parametrize("call,error,message", [
    (lambda: utils.array_to_img(np.ones((2, 2))), ValueError, r"one image.*shape \(2, 2\)"),
    (lambda: utils.array_to_img(np.ones((2, 2, 2))), ValueError, "1, 3 or 4 channels, got 2"),
    (lambda: utils.array_to_img(np.ones((2, 2, 3)), "last"), ValueError, "data_format='last'"),
    (lambda: utils.img_to_array(np.ones(3)), ValueError, r"got shape \(3,\)"),
    (lambda: utils.load_img("none.png"), FileNotFoundError, "none.png"),
    (lambda: utils.load_img(__file__), ValueError, "cannot be read as an image"),
    (lambda: utils.load_img(__file__, "hsv"), ValueError, "color_mode='hsv' must be one of"),
    (lambda: utils.load_img(__file__, interpolation="cubic"), ValueError, "interpolation='cubic'")], ids=range(8))
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_clear_session_begins_the_names_anew():
    utils.clear_session()
    assert [pyconv.layers.Dense(1).name for _ in range(2)] == ["dense", "dense_1"]
    utils.clear_session()
    assert pyconv.layers.Dense(1).name == "dense"


def test_small_helpers():
    assert utils.standardize_dtype(np.float64) == "float64" and utils.standardize_dtype(None) == "float32"
    with pytest.raises(TypeError, match="float8"):
        utils.standardize_dtype("float8")
    for packed, parts in ((1, (1,)), (([1],), ([1],)), ((1, 2), (1, 2)), ((1, 2, 3), (1, 2, 3))):
        assert utils.pack_x_y_sample_weight(*parts) == packed
        assert utils.unpack_x_y_sample_weight(packed) == (*parts, None, None)[:3]
    assert pyconv.version() == pyconv.__version__
