"""Archives that get_file unpacks: where the files go, and archives that mean harm."""

import hashlib
import io
import os
import pathlib
import tarfile
import zipfile

import pytest

from pyconv.utils import get_file
from pyconv.utils.archives import unpack

FILES = {"top/a.txt": b"one", "top/deep/b.txt": b"two", "c.txt": b""}


def make_tar(path, files=FILES, mode="w:gz", change=None):
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            if change:
                change(info)
            archive.addfile(info, io.BytesIO(data))


def make_zip(path, files=FILES):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("empty/", b"")
        for name, data in files.items():
            archive.writestr(name, data)


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in pathlib.Path(folder).rglob("*")
            if path.is_file()}


@pytest.mark.parametrize("name,make", [("d.tar.gz", make_tar), ("d.tar", lambda p: make_tar(p, mode="w:")),
                                       ("d.zip", make_zip)])
def test_get_file_unpacks(tmp_path, name, make):
    make(tmp_path / name)
    origin, cache = (tmp_path / name).as_uri(), tmp_path / "cache"
    folder = get_file(name, origin, extract=True, cache_dir=cache)
    assert folder == str(cache / "datasets" / "d_extracted") and tree(folder) == FILES
    assert sorted(os.listdir(cache / "datasets")) == [name, "d_extracted"]
    assert get_file("plain", origin, extract=True, cache_dir=cache) == str(cache / "datasets" / "plain")
    other = tmp_path / "other"
    assert get_file(origin=origin, extract=True, cache_dir=other) == str(other / "datasets" / name)
    assert sorted(os.listdir(other / "datasets")) == [name, f"{name}_archive"]
    (cache / "datasets" / "d_extracted" / "c.txt").write_bytes(b"mine")         # it is not unpacked each time
    get_file(name, origin, extract=True, cache_dir=cache)
    assert tree(folder)["c.txt"] == b"mine"
    get_file(name, origin, extract=True, cache_dir=cache, force_download=True)
    assert tree(folder) == FILES


def test_older_names(tmp_path):
    make_tar(tmp_path / "d.tgz")
    digest = hashlib.md5((tmp_path / "d.tgz").read_bytes()).hexdigest()
    folder = get_file("d.tgz", (tmp_path / "d.tgz").as_uri(), True, digest, cache_dir=tmp_path / "cache")
    assert tree(folder) == FILES
    make_zip(tmp_path / "e.zip")
    with pytest.raises(ValueError, match="no archive of the format tar"):
        get_file("e.zip", (tmp_path / "e.zip").as_uri(), untar=True, cache_dir=tmp_path / "cache")
    with pytest.raises(ValueError, match="must be the name of a file, without folders"):
        get_file("../e.zip", (tmp_path / "e.zip").as_uri(), cache_dir=tmp_path / "cache")


@pytest.mark.parametrize("make", [make_tar, make_zip])
@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil", "..\\evil", "C:\\evil"])
def test_members_that_would_leave_the_folder(tmp_path, make, name):
    make(tmp_path / "d", {"good.txt": b"1", name: b"2"})
    with pytest.raises(ValueError, match="would be outside of its folder"):
        unpack(str(tmp_path / "d"), str(tmp_path / "out"))
    assert os.listdir(tmp_path) == ["d"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices(tmp_path, kind):
    make_tar(tmp_path / "d", {"x": b""}, change=lambda i: (setattr(i, "type", kind), setattr(i, "linkname", "/etc")))
    with pytest.raises(ValueError, match="neither a file nor a folder"):
        unpack(str(tmp_path / "d"), str(tmp_path / "out"))
    assert os.listdir(tmp_path) == ["d"]


def test_damage_leaves_the_old_folder(tmp_path):
    make_zip(tmp_path / "d")
    unpack(str(tmp_path / "d"), str(tmp_path / "out"))
    data = bytearray((tmp_path / "d").read_bytes())
    data[data.index(b"a.txt") + 6] ^= 255
    (tmp_path / "d").write_bytes(data)
    with pytest.raises(ValueError, match="damaged"):
        unpack(str(tmp_path / "d"), str(tmp_path / "out"))
    assert tree(tmp_path / "out") == FILES and sorted(os.listdir(tmp_path)) == ["d", "out"]
    for format, match in (("rar", "'auto', 'tar' or 'zip'"), (None, "asked for")):
        with pytest.raises(ValueError, match=match):
            unpack(str(tmp_path / "d"), str(tmp_path / "out"), format)
