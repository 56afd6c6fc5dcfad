"""Folders of images: order, labels, sizes, splits. Without Pillow only the message about it is tested."""

import builtins

import numpy as np
import pytest

import pyconv
from pyconv import layers
from pyconv.utils import image_dataset_from_directory


def test_without_pillow(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "PIL" or name.startswith("PIL."):
            raise ImportError(name)
        return real(name, *args, **kwargs)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="pip install pillow"):
        image_dataset_from_directory(tmp_path)


@pytest.fixture
def folder(tmp_path):
    """Three cats of brightness 10, 11, 12 and two dogs of 100, 101 in a folder below; 6 by 4 pixels."""
    Image = pytest.importorskip("PIL.Image")
    for path, value in (("cats/a.png", 10), ("cats/b.PNG", 11), ("cats/c.bmp", 12), ("dogs/x/a.png", 100),
                        ("dogs/b.png", 101)):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((6, 4, 3), value, "uint8")).save(tmp_path / path)
    (tmp_path / "cats" / "notes.txt").write_text("no image")
    return tmp_path


def read(folder, **arguments):
    return image_dataset_from_directory(folder, **{"image_size": (5, 3), "shuffle": False, "verbose": False,
                                                   **arguments})


def test_in_order_of_the_names(folder, capsys):
    data = read(folder, batch_size=2, verbose=True)
    assert capsys.readouterr().out == "Found 5 files belonging to 2 classes.\n"
    assert data.class_names == ["cats", "dogs"] and len(data) == 3
    x, y = (np.concatenate(parts) for parts in zip(*data, strict=True))
    assert x.shape == (5, 5, 3, 3) and x.dtype == "float32" and y.dtype == "int32"
    assert x[:, 0, 0, 0].round(3).tolist() == [10, 11, 12, 101, 100] and y.tolist() == [0, 0, 0, 1, 1]
    assert data.file_paths[-1].endswith("a.png")


@pytest.mark.parametrize("mode,expected", [("int", [0, 0, 0, 1, 1]), ("binary", [[0], [0], [0], [1], [1]]),
                                           ("categorical", [[1, 0]] * 3 + [[0, 1]] * 2)])
def test_labels(folder, mode, expected):
    ((_, y),) = read(folder, label_mode=mode)
    assert y.tolist() == expected
    ((x, y),) = read(folder, label_mode=mode, class_names=["dogs", "cats"])
    assert round(x[0, 0, 0, 0], 3) == 101 and y[0].tolist() == expected[0] and y[-1].tolist() == expected[-1]


def test_without_labels_and_with_given_ones(folder):
    assert next(iter(read(folder, labels=None))).shape == (5, 5, 3, 3)
    assert next(iter(read(folder, label_mode=None))).shape == (5, 5, 3, 3)
    ((_, y),) = read(folder, labels=[4, 3, 2, 1, 0])
    assert y.tolist() == [4, 3, 2, 1, 0]


def test_colours_and_formats(folder):
    for mode, channels in (("rgb", 3), ("grayscale", 1), ("rgba", 4)):
        ((x, _),) = read(folder, color_mode=mode)
        ((first, _),) = read(folder, color_mode=mode, data_format="channels_first")
        assert x.shape == (5, 5, 3, channels)
        np.testing.assert_array_equal(first, x.transpose(0, 3, 1, 2))


def test_the_ratio_can_be_kept(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    picture = np.zeros((4, 8, 3), "uint8")
    picture[:, 2:6] = 255
    Image.fromarray(picture).save(tmp_path / "a.png")
    ((crop),) = read(tmp_path, labels=None, image_size=(4, 4), crop_to_aspect_ratio=True)
    ((pad),) = read(tmp_path, labels=None, image_size=(8, 8), pad_to_aspect_ratio=True)
    assert (crop == 255).all()
    assert (pad[0, :2] == 0).all() and (pad[0, 6:] == 0).all() and (pad[0, 2:6, 2:6] == 255).all()


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("options", [{}, {"interpolation": "bicubic"}, {"interpolation": "nearest"},
                                     {"crop_to_aspect_ratio": True}, {"pad_to_aspect_ratio": True},
                                     {"color_mode": "grayscale", "interpolation": "lanczos3"},
                                     {"color_mode": "rgba", "data_format": "channels_first"}])
def test_pixels_equal_keras(tmp_path, options):
    """Each file as Keras's own loader gives it; that loader is an inner function which needs no other framework."""
    load = pytest.importorskip("keras.src.utils.image_dataset_utils")._load_image_grain
    Image, rng = pytest.importorskip("PIL.Image"), np.random.default_rng(8)
    for i, size in enumerate(((9, 7, 3), (4, 13, 3), (6, 5, 3))):
        Image.fromarray(rng.integers(0, 256, size).astype("uint8")).save(tmp_path / f"{i}.png")
    ((x),) = read(tmp_path, labels=None, image_size=(6, 5), **options)
    channels = {"grayscale": 1, "rgba": 4}.get(options.get("color_mode"), 3)
    for i, image in enumerate(x):
        expected = load(str(tmp_path / f"{i}.png"), (6, 5), channels, options.get("interpolation", "bilinear"),
                        options.get("data_format", "channels_last"), options.get("crop_to_aspect_ratio", False),
                        options.get("pad_to_aspect_ratio", False))
        np.testing.assert_allclose(image, np.array(expected), atol=2e-3)


def test_area_averages(tmp_path):
    Image, rng = pytest.importorskip("PIL.Image"), np.random.default_rng(8)
    picture = rng.integers(0, 256, (6, 5, 3)).astype("uint8")
    Image.fromarray(picture).save(tmp_path / "a.png")
    ((x),) = read(tmp_path, labels=None, image_size=(3, 2), interpolation="area")
    rows = picture.reshape(3, 2, 5, 3).mean(1)
    parts = np.array([[1, 1, 0.5, 0, 0], [0, 0, 0.5, 1, 1]]) / 2.5
    np.testing.assert_allclose(x[0], np.einsum("hwc,vw->hvc", rows, parts), rtol=1e-5)


def test_shuffle_draws_a_new_order_in_each_epoch(folder):
    data = read(folder, shuffle=True, seed=3)
    orders = []
    for _ in range(5):
        ((x, _),) = data
        orders.append(tuple(x[:, 0, 0, 0].round(3)))
        data.on_epoch_end()
    assert len(set(orders)) > 1 and all(sorted(o) == [10, 11, 12, 100, 101] for o in orders)


@pytest.mark.parametrize("shuffle", [True, False])
def test_split(folder, shuffle):
    parts = [read(folder, shuffle=shuffle, seed=1, validation_split=0.4, subset=subset)
             for subset in ("training", "validation")]
    assert [len(p.file_paths) for p in parts] == [3, 2]
    assert len({path for p in parts for path in p.file_paths}) == 5
    both = read(folder, shuffle=shuffle, seed=1, validation_split=0.4, subset="both")
    assert [p.file_paths for p in both] == [p.file_paths for p in parts]


def test_in_fit(folder):
    model = pyconv.Sequential([pyconv.Input((5, 3, 3)), layers.Rescaling(1 / 255), layers.Flatten(),
                               layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(read(folder, batch_size=2, shuffle=True, workers=2), epochs=2, verbose=0)


@pytest.mark.parametrize("arguments,error,expected", [
    ({"label_mode": "onehot"}, ValueError, "label_mode='onehot'"),
    ({"image_size": 5}, ValueError, "image_size=5"),
    ({"color_mode": "hsv"}, ValueError, "'rgba'"), ({"class_names": ["cats"]}, ValueError, "cats, dogs"),
    ({"labels": [1]}, ValueError, "1 labels were given for 5 files"),
    ({"labels": "all"}, ValueError, "'inferred'"),
    ({"validation_split": 0.5}, ValueError, "given together"),
    ({"validation_split": 0.5, "subset": "training", "shuffle": True}, ValueError, "give a seed"),
    ({"validation_split": 0.1, "subset": "both"}, ValueError, "one part empty"),
    ({"crop_to_aspect_ratio": True, "pad_to_aspect_ratio": True}, ValueError, "only one of")])
def test_errors(folder, arguments, error, expected):
    with pytest.raises(error, match=expected):
        read(folder, **arguments)


def test_missing_and_damaged(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        read(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no such files"):
        read(tmp_path / "empty")
    (folder / "cats" / "a.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="a.png' cannot be read"):
        list(read(folder))
