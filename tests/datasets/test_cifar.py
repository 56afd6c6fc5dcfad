"""CIFAR: small archives of the same form, found, read, and refused. The published ones are not at hand here."""

import hashlib
import io
import tarfile

import numpy as np
import pytest

from pyconv.datasets import cifar10, cifar100
from pyconv.utils.files import DownloadError
from tests.datasets.mirrors import Mirror

rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 256, (6, 32, 32, 3), dtype="uint8")


def records(images, *labels):
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    return np.concatenate([*(np.asarray(y, "uint8")[:, None] for y in labels), planes], 1).tobytes()


def archive(files) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in {"readme.html": b"text", **files}.items():
            info = tarfile.TarInfo(f"folder/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def ten(**changes) -> bytes:
    files = {name: records(IMAGES[[i]], [i]) for i, name in enumerate(cifar10.DATASET.train)}
    return archive({**files, "test_batch.bin": records(IMAGES[[5]], [9]),
                    **{name.replace("_bin", ".bin"): data for name, data in changes.items()}})


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Declares archives as the data sets', each record counted as the small ones have them; finds them in a folder."""
    monkeypatch.setenv("PYCONV_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")

    def declare(module, data, counts, address="file:///none/"):
        monkeypatch.setattr(module, "DATASET", module.DATASET._replace(
            md5=hashlib.md5(data).hexdigest(), counts=counts, address=address))
        return data
    return declare


@pytest.mark.parametrize("place", ["cifar10", "."])
def test_ten_classes(small, tmp_path, place):
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / place / "cifar-10-binary.tar.gz").write_bytes(small(cifar10, ten(), (1, 1)))
    (x, y), (xt, yt) = cifar10.load_data()
    np.testing.assert_array_equal(x, IMAGES[:5])
    np.testing.assert_array_equal(xt, IMAGES[5:])
    assert y.tolist() == [[0], [1], [2], [3], [4]] and yt.tolist() == [[9]] and y.dtype == x.dtype == "uint8"
    assert len(cifar10.CLASS_NAMES) == 10 and x.flags.writeable and x.flags.c_contiguous


def test_hundred_classes(small, tmp_path):
    data = archive({"train.bin": records(IMAGES[:4], [1, 2, 3, 19], [10, 20, 30, 99]),
                    "test.bin": records(IMAGES[4:], [4, 5], [40, 50])})
    (tmp_path / "cifar-100-binary.tar.gz").write_bytes(small(cifar100, data, (4, 2)))
    (x, y), (xt, yt) = cifar100.load_data()
    np.testing.assert_array_equal(np.concatenate([x, xt]), IMAGES)
    assert y[:, 0].tolist() == [10, 20, 30, 99] and yt[:, 0].tolist() == [40, 50]
    assert cifar100.load_data("coarse")[0][1][:, 0].tolist() == [1, 2, 3, 19]
    with pytest.raises(ValueError, match="label_mode='rough'"):
        cifar100.load_data("rough")


def test_it_is_downloaded_once(small, tmp_path, monkeypatch):
    monkeypatch.delenv("PYCONV_DATA_DIR")
    data = ten()
    with Mirror({"/cifar-10-binary.tar.gz": data}) as mirror:
        small(cifar10, data, (1, 1), mirror.url)
        for _ in range(2):
            (x, _), _ = cifar10.load_data(cache_dir=tmp_path)
        assert mirror.requests == ["/cifar-10-binary.tar.gz"]
    assert (tmp_path / "datasets" / "cifar10" / "cifar-10-binary.tar.gz").read_bytes() == data
    np.testing.assert_array_equal(x, IMAGES[:5])


@pytest.mark.parametrize("data,counts,message", [
    (ten(test_batch_bin=records(IMAGES[[5]], [10])), (1, 1), "has a label 10, expected 0 to 9"),
    (ten(), (2, 1), "data_batch_1.bin has 3073 bytes, expected 6146"),
    (archive({"test_batch.bin": records(IMAGES[[5]], [1])}), (1, 1), "data_batch_1.bin, data_batch_2.bin.* is missing"),
    (ten()[:-3000], (1, 1), "broken archive"), (b"no archive", (1, 1), "broken archive")], ids=range(5))
def test_archives_that_are_wrong(small, tmp_path, data, counts, message):
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(small(cifar10, data, counts))
    with pytest.raises(ValueError, match=f"{message}.*found through PYCONV_DATA_DIR"):
        cifar10.load_data()


def test_another_archive(small, tmp_path, monkeypatch):
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(ten())
    with pytest.raises(ValueError, match="the MD5 of CIFAR-10's archive is .*, expected c32a1d4ab5d03f12"):
        cifar10.load_data()
    monkeypatch.setenv("PYCONV_DATA_DIR", str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match="is no folder"):
        cifar10.load_data()
    monkeypatch.setenv("PYCONV_DATA_DIR", "")
    small(cifar10, ten(), (1, 1))
    with pytest.raises(DownloadError, match="cifar10/cifar-10-binary.tar.gz"):
        cifar10.load_data(cache_dir=tmp_path / "cache")
