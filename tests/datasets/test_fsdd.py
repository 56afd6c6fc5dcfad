"""Spoken digits: a made-up file of the same form, and the real one where it is at hand."""

import os

import numpy as np
import pytest

from pyconv.datasets import fsdd

REAL = os.path.isfile(os.path.join(os.environ.get("PYCONV_DATA_DIR", ""), "fsdd", "fsdd.npz"))


def made_up():
    """3,000 recordings of 2 to 5 samples; recording i holds i + 1 only."""
    sizes = 2 + np.arange(3000) % 4
    take = np.tile(np.arange(50), 60)
    return {"samples": np.repeat(np.arange(3000) + 1, sizes).astype("int16"),
            "offsets": np.concatenate([[0], np.cumsum(sizes)]),
            "digit": (np.arange(3000) // 300).astype("uint8"),
            "speaker": np.array(["ann", "bob", "cyd", "dan", "eve", "fay"])[np.arange(3000) // 50 % 6],
            "take": take.astype("int16")}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PYCONV_DATA_DIR", str(tmp_path))

    def write(place="fsdd", **changes):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        np.savez(tmp_path / place / "fsdd.npz", **{**made_up(), **changes})
    return write


@pytest.mark.parametrize("place", ["fsdd", ""])
def test_shapes_and_split(folder, place):
    folder(place)
    (x, y, who), (xt, yt, whot) = fsdd.load_data(length=3, return_speakers=True)
    assert x.shape == (2700, 3, 1) and xt.shape == (300, 3, 1) and x.dtype == "float32" and y.dtype == "uint8"
    assert np.bincount(y).tolist() == [270] * 10 and np.bincount(yt).tolist() == [30] * 10
    assert set(who) == set(whot) == {"ann", "bob", "cyd", "dan", "eve", "fay"}
    np.testing.assert_array_equal(xt[:, 0, 0] * 32768, 1 + np.flatnonzero(made_up()["take"] < 5))


@pytest.mark.parametrize("padding,rows", [
    ("post", [[1, 1, 0, 0], [2, 2, 2, 0], [3, 3, 3, 3], [4, 4, 4, 4]]),
    ("pre", [[0, 0, 1, 1], [0, 2, 2, 2], [3, 3, 3, 3], [4, 4, 4, 4]]),
    ("center", [[0, 1, 1, 0], [2, 2, 2, 0], [3, 3, 3, 3], [4, 4, 4, 4]])])
def test_padding(folder, padding, rows):
    folder()
    _, (x, _) = fsdd.load_data(length=4, dtype="int16", padding=padding)
    assert x.dtype == "int16" and x[:4, :, 0].tolist() == rows


def test_where_long_recordings_are_cut():
    samples, offsets = np.arange(6, dtype="int16"), np.array([0, 5, 6])
    for padding, row in (("post", [0, 1, 2]), ("pre", [2, 3, 4]), ("center", [1, 2, 3])):
        assert fsdd._aligned(samples, offsets, 3, padding)[0].tolist() == row


def test_the_length_of_the_longest(folder):
    folder()
    assert fsdd.load_data(length=None)[0][0].shape == (2700, 5, 1)


@pytest.mark.parametrize("changes,expected", [
    ({"digit": np.zeros(3, "uint8")}, "3 recordings, expected 3000"),
    ({"samples": np.zeros(10)}, "float64, expected one row of int16"), ({"offsets": np.arange(5)}, "offsets"),
    ({"offsets": np.arange(3001)}, "do not divide"), ({"take": np.zeros(2)}, "has a label"),
    ({"digit": np.full(3000, 10, "uint8")}, "digits above 9"),
    ({"speaker": np.array([object()] * 3000)}, "is damaged")])
def test_other_files(folder, changes, expected):
    folder(**changes)
    with pytest.raises(ValueError, match=f"not the Free Spoken Digit Dataset.*{expected}"):
        fsdd.load_data()


def test_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PYCONV_DATA_DIR", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="nor .*datasets.fsdd.fsdd.npz.*free-spoken-digit-dataset"):
        fsdd.load_data(cache_dir=tmp_path / "cache")
    (tmp_path / "fsdd.npz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="damaged"):
        fsdd.load_data()
    monkeypatch.setenv("PYCONV_DATA_DIR", str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match="is no folder"):
        fsdd.load_data()


def test_the_cache(folder, tmp_path, monkeypatch):
    """It comes behind PYCONV_DATA_DIR, and serves without it."""
    folder("cache/datasets/fsdd", digit=np.roll(made_up()["digit"], 1))
    folder("other", digit=made_up()["digit"])
    monkeypatch.setenv("PYCONV_DATA_DIR", str(tmp_path / "other"))
    first = fsdd.load_data(length=2, cache_dir=tmp_path / "cache")[1][1]
    for value in ("", str(tmp_path / "cache")):
        monkeypatch.setenv("PYCONV_DATA_DIR", value)
        found = fsdd.load_data(length=2, cache_dir=tmp_path / "cache")[1][1]
        assert found[0] == 9 and first[0] == 0


@pytest.mark.parametrize("arguments,expected", [({"length": 0}, "length=0"),
                                                ({"dtype": "int8"}, "dtype='int8'"),
                                                ({"padding": "left"}, "padding='left'")])
def test_arguments(arguments, expected):
    with pytest.raises(ValueError, match=expected):
        fsdd.load_data(**arguments)


@pytest.mark.skipif(not REAL, reason="PYCONV_DATA_DIR holds no fsdd/fsdd.npz")
def test_the_real_recordings():
    (x, y), (xt, yt) = fsdd.load_data()
    assert x.shape == (2700, 8000, 1) and xt.shape == (300, 8000, 1)
    assert np.bincount(y).tolist() == [270] * 10 and np.bincount(yt).tolist() == [30] * 10
    assert 0.01 < np.abs(x).mean() < 0.2 and np.abs(x).max() <= 1
