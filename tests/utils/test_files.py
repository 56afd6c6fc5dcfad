"""pyconv.utils.files, against local servers that misbehave in every way a mirror can."""

import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from pyconv.utils import files
from pyconv.utils.files import DownloadError, get_file, hash_file, obtain
from tests.datasets.mirrors import (
    Mirror,
    answer,
    chunked,
    closed_port_url,
    silent,
    trickling,
    truncated,
    without_length,
)

BODY = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("NO_PROXY", "*")


def entries(folder):
    return sorted(os.listdir(folder))


def test_downloads_once_and_then_reads_the_cache(tmp_path):
    with Mirror({"/d/data.bin": BODY}) as mirror:
        origin = mirror.url + "d/data.bin"
        path = get_file(origin=origin, file_hash=SHA256, cache_dir=tmp_path)
        assert path == str(tmp_path / "datasets" / "data.bin")
        assert (tmp_path / "datasets" / "data.bin").read_bytes() == BODY
        assert get_file(origin=origin, file_hash=SHA256, cache_dir=tmp_path) == path
        assert mirror.requests == ["/d/data.bin"]
        get_file(origin=origin, file_hash=SHA256, cache_dir=tmp_path, force_download=True)
        assert mirror.requests == ["/d/data.bin"] * 2
    assert entries(tmp_path / "datasets") == ["data.bin"]


def test_names_of_file_and_folder(tmp_path):
    with Mirror({"/a%20b.bin?raw=1": BODY}) as mirror:
        origin = mirror.url + "a%20b.bin?raw=1"
        assert get_file(origin=origin, cache_dir=tmp_path, cache_subdir="x/y") == str(
            tmp_path / "x/y" / "a b.bin"
        )
        assert get_file("c", origin, cache_dir="/none", cache_subdir=str(tmp_path)) == str(tmp_path / "c")


def test_file_address(tmp_path):
    (tmp_path / "source.bin").write_bytes(BODY)
    path = get_file("copy.bin", (tmp_path / "source.bin").as_uri(), file_hash=SHA256, cache_dir=tmp_path)
    assert hash_file(path) == SHA256


@pytest.mark.parametrize("body", [without_length(BODY), chunked(BODY)], ids=["no length", "chunked"])
def test_answers_without_a_length(tmp_path, body):
    with Mirror({"/data.bin": body}) as mirror:
        path = get_file(origin=mirror.url + "data.bin", file_hash=SHA256, cache_dir=tmp_path)
    assert hash_file(path) == SHA256


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (truncated(BODY), "the transfer ended after 128000 of 256000 bytes"),
        (chunked(BODY, complete=False), "IncompleteRead"),
        (BODY[:-1] + b"?", f"expected {SHA256}"),
        (None, "HTTP 404 Not Found"),
        (silent(3.0), "no answer within 1 s"),
        (silent(3.0, begin=b"begun"), "no answer within 1 s"),
        (trickling(3.0), "too slow: "),
    ],
    ids=["truncated", "broken chunk", "wrong hash", "404", "silent", "falls silent", "trickling"],
)
def test_a_bad_mirror_is_left_for_the_next(tmp_path, bad, reason):
    with Mirror({"/data.bin": bad}) as first, Mirror({"/data.bin": BODY}) as second:
        origin = [first.url + "data.bin", second.url + "data.bin"]
        path = get_file(origin=origin, file_hash=SHA256, cache_dir=tmp_path, timeout=1.0)
        assert hash_file(path) == SHA256
        assert len(first.requests) == len(second.requests) == 1

        with pytest.raises(DownloadError) as caught:
            get_file("other.bin", origin[0], file_hash=SHA256, cache_dir=tmp_path, timeout=1.0)
    assert origin[0] in str(caught.value)
    assert reason in str(caught.value)
    assert entries(tmp_path / "datasets") == ["data.bin"]  # nothing half-done


def test_an_unreachable_mirror_is_left_for_the_next(tmp_path):
    with Mirror({"/data.bin": BODY}) as mirror:
        origin = [closed_port_url() + "data.bin", mirror.url + "data.bin"]
        assert hash_file(get_file(origin=origin, file_hash=SHA256, cache_dir=tmp_path)) == SHA256


def test_when_all_mirrors_fail_the_error_names_each_with_its_reason(tmp_path):
    with Mirror({"/wrong": b"wrong"}) as mirror:
        origin = [closed_port_url() + "data.bin", mirror.url + "absent", mirror.url + "wrong"]
        with pytest.raises(DownloadError) as caught:
            get_file("data.bin", origin, file_hash=SHA256, cache_dir=tmp_path)
    lines = str(caught.value).splitlines()
    assert lines[0] == "data.bin could not be downloaded. Tried:"
    assert lines[1].startswith(f"  - {origin[0]}: ")
    assert "refused" in lines[1]
    assert lines[2] == f"  - {origin[1]}: HTTP 404 Not Found"
    wrong = hashlib.sha256(b"wrong").hexdigest()
    assert lines[3] == f"  - {origin[2]}: its sha256 is {wrong}, expected {SHA256}"
    place = tmp_path / "datasets" / "data.bin"
    assert lines[4] == f"Check the connection, or download the file by hand and save it as {place}."
    assert isinstance(caught.value, OSError)
    assert entries(tmp_path / "datasets") == []


def test_a_corrupted_cached_file_is_replaced_with_a_warning(tmp_path):
    cached = tmp_path / "datasets" / "data.bin"
    cached.parent.mkdir()
    cached.write_bytes(BODY[:100])
    with Mirror({"/data.bin": BODY}) as mirror:
        with pytest.warns(UserWarning, match=r"data\.bin: its sha256 is .*, expected ") as caught:
            get_file(origin=mirror.url + "data.bin", file_hash=SHA256, cache_dir=tmp_path)
    assert len(caught) == 1
    assert cached.read_bytes() == BODY


def test_a_corrupted_cached_file_stays_where_nothing_better_comes(tmp_path):
    cached = tmp_path / "datasets" / "data.bin"
    cached.parent.mkdir()
    cached.write_bytes(b"old")
    with pytest.warns(UserWarning, match="downloaded again"), pytest.raises(DownloadError):
        get_file(origin=closed_port_url() + "data.bin", file_hash=SHA256, cache_dir=tmp_path)
    assert cached.read_bytes() == b"old"
    assert entries(cached.parent) == ["data.bin"]


def test_two_processes_at_once(tmp_path):
    both = threading.Barrier(2)

    def respond(handler):
        both.wait(timeout=30)  # neither gets a byte before both have found the cache empty
        answer(handler, BODY, len(BODY))

    with Mirror({"/data.bin": respond}) as mirror:
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            arguments = {"origin": mirror.url + "data.bin", "file_hash": SHA256, "cache_dir": str(tmp_path)}
            jobs = [pool.apply_async(get_file, kwds=arguments) for _ in range(2)]
            paths = {job.get(timeout=60) for job in jobs}
            pool.close()
            pool.join()
        assert len(mirror.requests) == 2
    assert paths == {str(tmp_path / "datasets" / "data.bin")}
    assert hash_file(paths.pop()) == SHA256
    assert entries(tmp_path / "datasets") == ["data.bin"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process alone")
def test_an_interruption_leaves_nothing(tmp_path):
    with Mirror({"/data.bin": silent(20, begin=b"begun")}) as mirror:
        code = (
            "from pyconv.utils.files import get_file\n"
            f"get_file(origin={mirror.url + 'data.bin'!r}, cache_dir={str(tmp_path)!r})"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code], stderr=subprocess.PIPE, env=child_environment()
        )
        folder = tmp_path / "datasets"
        deadline = time.monotonic() + 30
        while not (mirror.requests and folder.is_dir() and entries(folder)) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert [name.rpartition(".")[2] for name in entries(folder)] == ["part"]
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=30)[1].decode()
        mirror.files.clear()
    assert process.returncode != 0
    assert "KeyboardInterrupt" in errors
    assert entries(folder) == []


def child_environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def test_what_a_killed_process_left_is_swept_up_after_a_day(tmp_path):
    old, young, other = (
        tmp_path / name for name in (".d.bin.1-a.part", ".d.bin.2-b.part", ".e.bin.1-a.part")
    )
    for path in (old, young, other):
        path.write_bytes(b"begun")
    for path in (old, other):
        os.utime(path, (time.time() - 2 * 86400,) * 2)
    with Mirror({"/d.bin": BODY}) as mirror:
        get_file(origin=mirror.url + "d.bin", cache_dir=tmp_path, cache_subdir="")
    assert entries(tmp_path) == sorted(["d.bin", young.name, other.name])


@pytest.mark.skipif(sys.platform == "win32", reason="the umask is a matter of POSIX systems")
def test_the_umask_decides_who_may_read_the_file(tmp_path):
    with Mirror({"/data.bin": BODY}) as mirror:
        before = os.umask(0o027)
        try:
            path = get_file(origin=mirror.url + "data.bin", cache_dir=tmp_path)
        finally:
            os.umask(before)
    assert os.stat(path).st_mode & 0o777 == 0o640


def test_where_another_process_holds_the_file_open_its_copy_is_used(tmp_path, monkeypatch):
    """What Windows does to a rename over an open file, played on any system."""

    def replace(source, target):
        raise PermissionError(13, "held open", target)

    target = tmp_path / "data.bin"

    def read(path, label):
        if hash_file(path) != SHA256:
            raise ValueError(f"{label}: wrong")
        return SHA256

    monkeypatch.setattr(os, "replace", replace)
    with Mirror({"/data.bin": BODY}) as mirror:
        with pytest.raises(DownloadError, match=r"data\.bin cannot be written: .*held open"):
            obtain(target, mirror.url + "data.bin", read)
        target.write_bytes(b"theirs is wrong")
        with pytest.raises(DownloadError, match="held open"):
            obtain(target, mirror.url + "data.bin", read, force_download=True)
        target.write_bytes(BODY)
        assert obtain(target, mirror.url + "data.bin", read, force_download=True) == SHA256
    assert entries(tmp_path) == ["data.bin"]


def test_a_cache_that_cannot_be_made(tmp_path):
    (tmp_path / "datasets").write_text("a file where the folder should be")
    with pytest.raises(DownloadError, match=r"data\.bin cannot be written: .*save it as"):
        get_file(origin=closed_port_url() + "data.bin", cache_dir=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "origin must be an address or a list of addresses, not None"),
        ({"origin": []}, "origin must be an address"),
        ({"origin": "ftp://host/data"}, "http, https or file address, not 'ftp://host/data'"),
        ({"origin": "http://host/"}, "ends in no file name: give fname"),
        ({"origin": "http://host/a", "file_hash": "12"}, "64 .sha256. or 32 .md5. hexadecimal digits"),
        ({"origin": "http://host/a", "file_hash": "z" * 64}, "hexadecimal digits"),
        (
            {"origin": "http://host/a", "file_hash": "0" * 32, "hash_algorithm": "sha256"},
            "'sha256', not '000",
        ),
        ({"origin": "http://host/a", "hash_algorithm": "crc"}, "'md5' or 'sha256', not 'crc'"),
        ({"origin": "http://host/a", "timeout": 0}, "timeout must be a positive number of seconds, not 0"),
    ],
)
def test_wrong_arguments(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        get_file(cache_dir=tmp_path, **arguments)
    assert entries(tmp_path) == []


def test_hashes(tmp_path):
    """The hashes of "abc" from RFC 1321 and FIPS 180-2."""
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    md5 = "900150983cd24fb0d6963f7d28e17f72"
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hash_file(path, "md5") == md5
    assert hash_file(path) == sha256
    with pytest.raises(ValueError, match="not 'sha1'"):
        hash_file(path, "sha1")
    for expected in (
        md5,
        md5.upper(),
        sha256,
    ):  # the cached file passes, so that nothing is asked of the network
        get_file("abc", closed_port_url(), file_hash=expected, cache_dir=tmp_path, cache_subdir="")


def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere(tmp_path, capsys, monkeypatch):
    with Mirror({"/data.bin": BODY, "/open": without_length(BODY), "/bad": truncated(BODY)}) as mirror:
        get_file(origin=mirror.url + "data.bin", cache_dir=tmp_path)
        first, second = capsys.readouterr().err.splitlines()
        assert first == f"Downloading {mirror.url}data.bin"
        assert second.startswith("data.bin: 0.3 MB in ")

        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        get_file("b", mirror.url + "data.bin", cache_dir=tmp_path)
        shown = capsys.readouterr().err
        assert f"\r[{'=' * 30}] 0.3/0.3 MB " in shown
        assert shown.endswith(" s\n")
        get_file("c", mirror.url + "open", cache_dir=tmp_path)
        assert "\r0." in capsys.readouterr().err
        with pytest.raises(DownloadError):
            get_file("d", mirror.url + "bad", cache_dir=tmp_path)
        assert "d: failed: the transfer ended after" in capsys.readouterr().err

        monkeypatch.setattr(sys, "stderr", None)
        get_file("e", mirror.url + "data.bin", cache_dir=tmp_path)


def test_cache_directory_without_platformdirs(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert files.cache_directory() == str(tmp_path / "pyconv")
    home = os.path.expanduser("~")
    for no_use in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", no_use)
        assert files.cache_directory() == os.path.join(home, ".cache", "pyconv")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert files.cache_directory() == os.path.join(str(tmp_path), "pyconv", "Cache")
    monkeypatch.delenv("LOCALAPPDATA")
    assert files.cache_directory() == os.path.join(home, "AppData", "Local", "pyconv", "Cache")


def test_cache_directory_with_platformdirs():
    platformdirs = pytest.importorskip("platformdirs")
    assert files.cache_directory() == platformdirs.user_cache_dir("pyconv", appauthor=False)


def test_default_cache(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with Mirror({"/data.bin": BODY}) as mirror:
        assert get_file(origin=mirror.url + "data.bin") == str(tmp_path / "pyconv" / "datasets" / "data.bin")
