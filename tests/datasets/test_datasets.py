"""pyconv.datasets: the IDX parser, and the loader on small data sets of the same make as MNIST."""

import gzip
import hashlib
import multiprocessing
import os
import struct
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from pyconv.datasets import _idx, fashion_mnist, mnist
from pyconv.utils.files import DownloadError
from tests.datasets.mirrors import Mirror, answer, closed_port_url, silent, truncated

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}
NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx_bytes(array):
    """The IDX file of an array, written from the format's description and not from the parser."""
    header = bytes([0, 0, CODES[array.dtype.str[1:]], array.ndim]) + struct.pack(
        f">{array.ndim}I", *array.shape
    )
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def arrays(seed=0):
    random = np.random.default_rng(seed)
    return (
        random.integers(0, 256, (12, 5, 4), dtype=np.uint8),
        random.integers(0, 10, 12, dtype=np.uint8),
        random.integers(0, 256, (7, 5, 4), dtype=np.uint8),
        random.integers(0, 10, 7, dtype=np.uint8),
    )


def served(contents):
    return {f"/{name}.gz": gzip.compress(content, mtime=0) for name, content in contents.items()}


CONTENTS = {name: idx_bytes(array) for name, array in zip(NAMES, arrays(), strict=True)}
SERVED = served(CONTENTS)


def dataset(mirrors, hash_of="content", name="small"):
    def entry(file, array):
        hashed = CONTENTS[file] if hash_of == "content" else SERVED[f"/{file}.gz"]
        return _idx.IdxFile(file, array.shape, hashlib.sha256(hashed).hexdigest())

    mirrors = (mirrors,) if isinstance(mirrors, str) else tuple(mirrors)
    entries = [entry(file, array) for file, array in zip(NAMES, arrays(), strict=True)]
    return _idx.IdxDataset(name, "Small", mirrors, hash_of, 10, *entries)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("PYCONV_DATA_DIR", raising=False)


def assert_right(loaded):
    (x_train, y_train), (x_test, y_test) = loaded
    for found, expected in zip((x_train, y_train, x_test, y_test), arrays(), strict=True):
        assert found.dtype == np.uint8
        assert found.flags.writeable
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found, expected)


# The parser


@given(
    st.sampled_from(sorted(CODES)).flatmap(
        lambda code: npst.arrays(
            np.dtype(code), npst.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)
        )
    )
)
def test_idx_round_trip(array):
    found = _idx.parse_idx(idx_bytes(array), "file", shape=array.shape, dtype=array.dtype)
    assert found.dtype == array.dtype
    assert found.dtype.isnative
    assert found.flags.writeable
    np.testing.assert_array_equal(found, array)


def test_idx_by_hand():
    content = bytes.fromhex("0000 0b02 00000002 00000003 0001 0002 0003 ffff 7fff 8000")
    np.testing.assert_array_equal(_idx.parse_idx(content, "file"), [[1, 2, 3], [-1, 32767, -32768]])


IMAGES = idx_bytes(np.zeros((2, 3, 3), np.uint8))  # 16 bytes of header and 18 of pixels


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "f: truncated: 0 bytes, an IDX header has at least 4"),
        (IMAGES[:3], "f: truncated: 3 bytes, an IDX header has at least 4"),
        (IMAGES[:15], "f: truncated: 15 bytes, its IDX header alone has 16"),
        (IMAGES[:-1], "f: truncated: 33 bytes, its IDX header announces 34"),
        (IMAGES + b"x", "f: wrong length: goes on after the 34 bytes that its IDX header announces"),
        (b"<!DOCTYPE html>", "f: begins with 3c 21 44 4f, which is no IDX magic number"),
        (b"\0\0\x07" + IMAGES[3:], "f: begins with 00 00 07 03, which is no IDX magic number"),
        (b"\0\0\x08\0" + IMAGES[4:], "f: begins with 00 00 08 00, which is no IDX magic number"),
        (
            idx_bytes(np.zeros((2, 3, 4), np.uint8)),
            r"f: holds an array of shape \(2, 3, 4\), expected \(2, 3, 3\)",
        ),
        (idx_bytes(np.zeros(2, np.uint8)), r"f: holds an array of shape \(2,\), expected \(2, 3, 3\)"),
        (idx_bytes(np.zeros((2, 3, 3), np.int8)), "f: holds elements of type int8, expected uint8"),
        (b"\0\0\x08\x03" + b"\xff" * 12, r"f: holds an array of shape \(4294967295, "),
    ],
)
def test_idx_is_strict(content, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        _idx.parse_idx(content, "f", shape=(2, 3, 3), dtype=np.uint8)


def test_idx_with_a_huge_shape():
    with pytest.raises(ValueError, match=r"^f: truncated: 16 bytes, its IDX header announces 79228162"):
        _idx.parse_idx(b"\0\0\x08\x03" + b"\xff" * 12, "f")
    with pytest.raises(ValueError, match=r"^f: NumPy has no array of shape \(4294967295, 4294967295, 0\)"):
        _idx.parse_idx(b"\0\0\x08\x03" + b"\xff" * 8 + bytes(4), "f")


# The loader


@pytest.mark.parametrize("hash_of", ["content", "gzip"])
def test_downloads_once_and_then_reads_the_cache(tmp_path, hash_of):
    with Mirror(SERVED) as mirror:
        small = dataset(mirror.url, hash_of)
        assert_right(_idx.load(small, cache_dir=tmp_path))
        assert sorted(mirror.requests) == sorted(SERVED)
        assert_right(_idx.load(small, cache_dir=tmp_path))
        assert len(mirror.requests) == 4
    assert_right(_idx.load(small, cache_dir=tmp_path))
    assert sorted(os.listdir(tmp_path / "datasets" / "small")) == sorted(f"{name}.gz" for name in NAMES)


def test_another_gzip_wrapper_or_none_is_the_same_data(tmp_path):
    with Mirror({f"/{name}.gz": gzip.compress(content, 1) for name, content in CONTENTS.items()}) as mirror:
        assert_right(_idx.load(dataset(mirror.url), cache_dir=tmp_path / "wrapped"))
    with Mirror({f"/{name}.gz": content for name, content in CONTENTS.items()}) as mirror:
        assert_right(_idx.load(dataset(mirror.url), cache_dir=tmp_path / "plain"))


def test_published_gzip_hash_refuses_another_wrapper(tmp_path):
    with Mirror({f"/{name}.gz": gzip.compress(content, 1) for name, content in CONTENTS.items()}) as mirror:
        with pytest.raises(DownloadError, match="the SHA-256 of its compressed file is"):
            _idx.load(dataset(mirror.url, "gzip"), cache_dir=tmp_path)


FIRST = f"/{NAMES[0]}.gz"
LABELS = f"/{NAMES[1]}.gz"
OTHER = served({name: idx_bytes(array) for name, array in zip(NAMES, arrays(seed=1), strict=True)})


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (None, "HTTP 404"),
        (truncated(SERVED[FIRST]), "the transfer ended after"),
        (SERVED[FIRST][:-20], "truncated: its gzip data end"),
        (
            SERVED[FIRST][:40] + b"\xff\xff\xff\xff" + SERVED[FIRST][44:],
            "broken gzip data|truncated: its gzip",
        ),
        (OTHER[FIRST], "the SHA-256 of its decompressed content is [0-9a-f]{64}, expected [0-9a-f]{64}"),
        (SERVED[LABELS], r"holds an array of shape \(12,\), expected \(12, 5, 4\)"),
        (gzip.compress(CONTENTS[NAMES[0]] + bytes(5000)), "wrong length: goes on after the 256 bytes"),
        (b"<html>Log in to this network</html>", "begins with 3c 68 74 6d, which is no IDX magic"),
        (silent(3.0), "no answer within 1 s"),
    ],
    ids=["404", "hung up", "truncated", "broken", "another", "labels", "too long", "html", "silent"],
)
def test_a_bad_mirror_is_left_for_the_next(tmp_path, body, reason):
    with Mirror({**SERVED, FIRST: body}) as bad, Mirror(SERVED) as good:
        both = dataset([bad.url, good.url])
        assert_right(_idx.load(both, cache_dir=tmp_path / "two", timeout=1.0))
        assert good.requests == [FIRST]
        with pytest.raises(DownloadError, match=reason) as caught:
            _idx.load(dataset(bad.url), cache_dir=tmp_path / "one", timeout=1.0)
    assert f"{bad.url}{NAMES[0]}.gz: " in str(caught.value)
    assert not any(name.endswith(".part") for name in os.listdir(tmp_path / "one" / "datasets" / "small"))


def test_when_all_mirrors_fail_the_error_tells_all(tmp_path):
    with Mirror(OTHER) as other, Mirror({}) as empty:
        mirrors = [closed_port_url(), empty.url, other.url]
        with pytest.raises(DownloadError) as caught:
            _idx.load(dataset(mirrors), cache_dir=tmp_path)
    message = str(caught.value)
    for mirror, reason in zip(mirrors, ("", "HTTP 404 Not Found", "the SHA-256 of its"), strict=True):
        assert f"\n  - {mirror}{NAMES[0]}.gz: {reason}" in message
        assert f" {mirror}{NAMES[0]}.gz " in message.splitlines()[-1]  # the addresses to download it by hand
    assert f"save it as {tmp_path / 'datasets' / 'small' / NAMES[0]}.gz" in message
    assert f"set PYCONV_DATA_DIR to a folder that has it as small/{NAMES[0]}.gz" in message


@pytest.mark.parametrize(
    "wrong", [b"", SERVED[FIRST][:50], OTHER[FIRST]], ids=["empty", "truncated", "another"]
)
def test_a_corrupted_cached_file_is_replaced_with_a_warning(tmp_path, wrong):
    with Mirror(SERVED) as mirror:
        small = dataset(mirror.url)
        _idx.load(small, cache_dir=tmp_path)
        cached = tmp_path / "datasets" / "small" / f"{NAMES[0]}.gz"
        cached.write_bytes(wrong)
        with pytest.warns(UserWarning, match="is wrong and is downloaded again: .*train-images"):
            assert_right(_idx.load(small, cache_dir=tmp_path))
        assert mirror.requests.count(FIRST) == 2
        assert cached.read_bytes() == SERVED[FIRST]


def test_two_processes_at_once(tmp_path):
    both = threading.Barrier(2)

    def respond(handler):
        both.wait(timeout=30)  # neither gets a byte before both have found the file missing
        answer(handler, SERVED[handler.path], len(SERVED[handler.path]))

    with Mirror(dict.fromkeys(SERVED, respond)) as mirror:
        small = dataset(mirror.url)
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            jobs = [pool.apply_async(_idx.load, (small,), {"cache_dir": str(tmp_path)}) for _ in range(2)]
            for job in jobs:
                assert_right(job.get(timeout=60))
            pool.close()
            pool.join()
        assert sorted(mirror.requests) == sorted([*SERVED, *SERVED])
    assert sorted(os.listdir(tmp_path / "datasets" / "small")) == sorted(f"{name}.gz" for name in NAMES)


# PYCONV_DATA_DIR

UNREACHABLE = "http://127.0.0.1:1/"  # nothing may be asked of it: a local file must do


def put(folder, contents):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name.removeprefix("/")).write_bytes(content)


@pytest.mark.parametrize("hash_of", ["content", "gzip"])
@pytest.mark.parametrize("sub_folder", ["small", "."])
@pytest.mark.parametrize("compressed", [True, False])
def test_data_dir_layouts(tmp_path, monkeypatch, hash_of, sub_folder, compressed):
    put(tmp_path / "data" / sub_folder, SERVED if compressed else CONTENTS)
    monkeypatch.setenv("PYCONV_DATA_DIR", str(tmp_path / "data"))
    small = dataset(UNREACHABLE, hash_of)
    if hash_of == "gzip" and sub_folder == "." and not compressed:  # whose files these are, nobody can tell
        with pytest.raises(DownloadError):
            _idx.load(small, cache_dir=tmp_path / "cache")
        return
    assert_right(_idx.load(small, cache_dir=tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


def test_data_dir_goes_before_the_cache_and_the_cache_before_the_network(tmp_path, monkeypatch):
    put(tmp_path / "data" / "small", {FIRST: SERVED[FIRST]})  # the other three are not there
    put(tmp_path / "cache" / "datasets" / "small", {FIRST: b"not even looked at", LABELS: SERVED[LABELS]})
    monkeypatch.setenv("PYCONV_DATA_DIR", str(tmp_path / "data"))
    with Mirror(SERVED) as mirror:
        assert_right(_idx.load(dataset(mirror.url), cache_dir=tmp_path / "cache"))
        assert mirror.requests == [f"/{NAMES[2]}.gz", f"/{NAMES[3]}.gz"]
    assert os.listdir(tmp_path / "data" / "small") == [FIRST[1:]]


def test_the_sub_folder_goes_before_the_folder(tmp_path, monkeypatch):
    put(tmp_path, OTHER)
    put(tmp_path / "small", SERVED)
    monkeypatch.setenv("PYCONV_DATA_DIR", str(tmp_path))
    assert_right(_idx.load(dataset(UNREACHABLE), cache_dir=tmp_path / "cache"))


@pytest.mark.parametrize("sub_folder", ["small", "."])
def test_a_wrong_file_in_the_data_dir_is_an_error(tmp_path, monkeypatch, sub_folder):
    put(tmp_path / sub_folder, {**SERVED, LABELS: OTHER[LABELS]})
    monkeypatch.setenv("PYCONV_DATA_DIR", str(tmp_path))
    with Mirror(SERVED) as mirror:
        small = dataset(mirror.url)
        with pytest.raises(ValueError, match="SHA-256") as caught:
            _idx.load(small, cache_dir=tmp_path / "cache")
        assert mirror.requests == []
    message = str(caught.value)
    assert os.path.normpath(message.partition(": ")[0]) == str(tmp_path / sub_folder / LABELS[1:])
    for part in (
        f"expected {small.train_labels.sha256}. This file was found through PYCONV_DATA_DIR",
        f"is not the {NAMES[1]} of Small. Replace it by the one from {mirror.url}{NAMES[1]}.gz",
        "put Small in the sub-folder 'small'",
        "unset PYCONV_DATA_DIR",
    ):
        assert part in message
    assert (tmp_path / sub_folder / LABELS[1:]).read_bytes() == OTHER[LABELS]


def test_labels_out_of_range(tmp_path, monkeypatch):
    put(tmp_path / "small", {**CONTENTS, NAMES[1]: idx_bytes(np.full(12, 11, np.uint8))})
    monkeypatch.setenv("PYCONV_DATA_DIR", str(tmp_path))
    with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte: has a label 11, expected 0 to 9"):
        _idx.load(dataset(UNREACHABLE, "gzip"), cache_dir=tmp_path / "cache")


def test_a_data_dir_that_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PYCONV_DATA_DIR", str(tmp_path / "absent"))
    with pytest.raises(FileNotFoundError, match=r"PYCONV_DATA_DIR is .*absent.*, which is no folder"):
        _idx.load(dataset(UNREACHABLE), cache_dir=tmp_path / "cache")


# The public modules


@pytest.mark.parametrize("module", [mnist, fashion_mnist])
def test_tables(module):
    table = module.DATASET
    assert table.name == module.__name__.rpartition(".")[2]
    assert table.hash_of in ("content", "gzip")
    assert len(table.mirrors) >= 2
    assert all(
        mirror.startswith(("http://", "https://")) and mirror.endswith("/") for mirror in table.mirrors
    )
    entries = (table.train_images, table.train_labels, table.test_images, table.test_labels)
    assert [entry.name for entry in entries] == list(NAMES)
    assert [entry.shape for entry in entries] == [(60000, 28, 28), (60000,), (10000, 28, 28), (10000,)]
    assert len({entry.sha256 for entry in entries}) == 4
    assert all(len(bytes.fromhex(entry.sha256)) == 32 for entry in entries)


@pytest.mark.parametrize("module", [mnist, fashion_mnist])
def test_load_data_reads_the_data_dir(module, tmp_path, monkeypatch):
    """The wrong data in the right place: each module looks in its own folder and judges by its own table."""
    put(tmp_path / module.DATASET.name, SERVED)
    monkeypatch.setenv("PYCONV_DATA_DIR", str(tmp_path))
    with pytest.raises(
        ValueError, match=r"shape \(12, 5, 4\), expected \(60000, 28, 28\).*" + module.DATASET.title
    ):
        module.load_data(cache_dir=tmp_path / "cache")


def test_import_is_lazy():
    code = (
        "import sys, pyconv\n"
        "before = set(sys.modules)\n"
        "import pyconv.datasets as datasets\n"
        "new = set(sys.modules) - before\n"
        "assert new <= {'pyconv.datasets'}, new\n"
        "assert {'mnist', 'fashion_mnist'} <= set(dir(datasets))\n"
        "assert datasets.mnist.load_data and datasets.fashion_mnist.load_data\n"
        "import pyconv.utils.files\n"
        "heavy = {'urllib.request', 'http.client', 'platformdirs', 'ssl'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "try:\n"
        "    datasets.absent\n"
        "except AttributeError as error:\n"
        "    assert 'absent' in str(error)\n"
        "else:\n"
        "    raise AssertionError\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


REAL = os.environ.get("PYCONV_DATA_DIR", "")


@pytest.mark.skipif(
    not REAL or not os.path.isdir(os.path.join(REAL, "mnist")),
    reason="PYCONV_DATA_DIR names no folder with MNIST in its sub-folder mnist",
)
def test_the_real_mnist(monkeypatch, tmp_path):
    monkeypatch.setenv("PYCONV_DATA_DIR", REAL)
    (x_train, y_train), (x_test, y_test) = mnist.load_data(cache_dir=tmp_path)
    assert (x_train.shape, y_train.shape) == ((60000, 28, 28), (60000,))
    assert (x_test.shape, y_test.shape) == ((10000, 28, 28), (10000,))
    assert {array.dtype for array in (x_train, y_train, x_test, y_test)} == {np.dtype(np.uint8)}
    # The first labels, and the test labels' counts, as in any copy of MNIST.
    assert y_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert np.bincount(y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert os.listdir(tmp_path) == []
