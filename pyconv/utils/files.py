"""Files fetched once and kept: download from one of several mirrors, verify, cache.

How a file is fetched, whatever it is:

- it is written to a temporary file beside its final place, flushed to the disk, verified, and renamed over
  the final name, so that a reader sees the whole verified file or none, and an interruption leaves none;
- every process writes a temporary file of its own, so that two of them at once do the work twice and no harm;
- a mirror that is unreachable, silent, too slow, truncated or wrong is left for the next one, and when all
  have failed the error lists each with its reason.

Nothing is imported before it is needed: `import pyconv.utils.files` costs no network or hashing module.
"""

import os
import sys

__all__ = ["DownloadError", "cache_directory", "get_file", "hash_file", "obtain"]

_CHUNK = 1 << 16
_MINIMUM_SPEED = 1024  # bytes a second, averaged over one timeout: a slower mirror counts as silent
_STALE_SECONDS = 24 * 3600  # a temporary file as old as this was left by a process that was killed
_HASH_LENGTHS = {"md5": 32, "sha256": 64}


class DownloadError(OSError):
    """No mirror gave the file, or it could not be stored; the message tells why and what would help."""


class _MirrorFailed(Exception):
    """One mirror did not give the file; the message is the reason."""


def cache_directory():
    """Returns the folder (str) under which pyconv keeps what it downloads; it need not exist yet.

    With the optional package `platformdirs` installed, it is that package's `user_cache_dir("pyconv")`.
    Without it: `$XDG_CACHE_HOME/pyconv` where that variable holds an absolute path, else `~/.cache/pyconv`,
    on Linux and macOS; `%LOCALAPPDATA%\\pyconv\\Cache`, else `~\\AppData\\Local\\pyconv\\Cache`, on Windows.
    """
    try:
        from platformdirs import user_cache_dir
    except ImportError:
        home = os.path.expanduser("~")
        if sys.platform == "win32":
            base = os.environ.get("LOCALAPPDATA") or os.path.join(home, "AppData", "Local")
            return os.path.join(base, "pyconv", "Cache")
        base = os.environ.get("XDG_CACHE_HOME", "")
        return os.path.join(base if os.path.isabs(base) else os.path.join(home, ".cache"), "pyconv")
    return user_cache_dir("pyconv", appauthor=False)


def hash_file(path, algorithm="sha256"):
    """Returns the hash of a file's bytes as lower-case hexadecimal digits.

    Args:
        path: the file.
        algorithm: `"sha256"` or `"md5"`.
    """
    import hashlib

    if algorithm not in _HASH_LENGTHS:
        raise ValueError(f"algorithm must be one of {sorted(_HASH_LENGTHS)}, not {algorithm!r}")
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def get_file(fname=None, origin=None, untar=False, md5_hash=None, file_hash=None, cache_subdir="datasets",
             hash_algorithm="auto", extract=False, archive_format="auto", cache_dir=None, force_download=False,
             timeout=30.0):
    """Returns the path of a cached file, downloaded first where it is missing.

    The file lies at `cache_dir/cache_subdir/fname`. Names and meaning follow Keras's `get_file`; here
    `origin` may be several mirrors, and a cached file with a wrong hash is downloaded again, with a warning.

    Args:
        fname: name of the file in the cache; by default the last part of the first origin's address.
        origin: the address (`http`, `https` or `file`), or a list of addresses (mirrors of the same file),
            tried in this order.
        untar, md5_hash: older names: `extract` of a tar archive, and a `file_hash` that is an MD5.
        file_hash: expected hash in hexadecimal digits, verified after a download and on every later call;
            None verifies nothing but the length that the server announced.
        hash_algorithm: `"sha256"`, `"md5"`, or `"auto"`: told by the number of digits.
        cache_subdir: folder below `cache_dir`; an absolute path stands for the whole folder.
        extract: unpack the file, a tar or zip archive, into a folder beside it, which is made anew after each download:
            `NAME_extracted` for an `fname` NAME.tar.gz; `fname` itself for one without a dot, or for the name in the
            address, the archive being `fname_archive`. Only files and folders that stay within are unpacked.
        archive_format: `"auto"` (default), `"tar"`, `"zip"` or a list: which formats to try.
        cache_dir: by default `cache_directory()`.
        force_download: download even where the file is there already.
        timeout: seconds that a mirror may keep silent; a mirror slower than 1 KiB/s over that time is
            given up too.

    Returns:
        The path of the file, a str; with `extract` that of the folder.

    Raises:
        ValueError: an argument is wrong, or the file is no archive that can be unpacked.
        DownloadError: an OSError: every mirror failed (the message lists them with their reasons), or the
            cache cannot be written.
    """
    origins = _checked_origins(origin)
    given = fname
    if fname is None:
        from urllib.parse import unquote, urlsplit

        fname = os.path.basename(unquote(urlsplit(origins[0]).path))
        if not fname:
            raise ValueError(f"origin {origins[0]!r} ends in no file name: give fname")
    elif os.path.basename(os.fspath(fname)) != os.fspath(fname) or fname in ("", ".", ".."):
        raise ValueError(f"fname={fname!r} must be the name of a file, without folders: give those as cache_dir and "
                         "cache_subdir")
    if md5_hash is not None and file_hash is None:
        file_hash, hash_algorithm = md5_hash, "md5"
    expected, algorithm = _checked_hash(file_hash, hash_algorithm)
    folder = os.path.join(cache_directory() if cache_dir is None else os.fspath(cache_dir), cache_subdir)
    unpacked = None
    if extract or untar:
        if given and "." in fname:
            unpacked = f"{fname.split('.')[0]}_extracted"
        else:
            unpacked, fname = fname, f"{fname}_archive"
    target = os.path.join(folder, fname)

    def verify(path, label):
        if expected is not None:
            found = hash_file(path, algorithm)
            if found != expected:
                raise ValueError(f"{label}: its {algorithm} is {found}, expected {expected}")

    before = _version_of(target)
    obtain(target, origins, verify, force_download=force_download, timeout=timeout)
    if unpacked is None:
        return target
    place = os.path.join(folder, unpacked)
    if _version_of(target) != before or not os.path.isdir(place):
        from .archives import unpack

        unpack(target, place, "tar" if untar else archive_format)
    return place


def _version_of(path):
    """What changes when a file is written anew; None if it is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def obtain(target, origins, read, *, force_download=False, timeout=30.0, advice=None):
    """Returns `read(target, label)`, downloading `target` first where it is missing or `read` refuses it.

    What lies under `get_file` and the datasets: here the caller decides what is right, and gets what it read
    from the very file that it judged.

    Args:
        target: path of the cached file.
        origins: addresses of mirrors, tried in this order.
        read: a function of a path and of the name that the file goes by in messages. It raises ValueError
            where the content is wrong, with a message that begins with that name.
        force_download: download even where the file is there already.
        timeout: as for `get_file`.
        advice: what the user can do when nothing helps, one sentence or more, for the error's message.

    Raises:
        DownloadError: every mirror failed, or the file cannot be stored.
    """
    import warnings

    target = os.path.abspath(target)
    origins = _checked_origins(origins)
    if not timeout > 0:
        raise ValueError(f"timeout must be a positive number of seconds, not {timeout!r}")
    if not force_download and os.path.exists(target):
        try:
            return read(target, target)
        except ValueError as error:
            warnings.warn(f"A cached file is wrong and is downloaded again: {error}", stacklevel=2)
    if advice is None:
        advice = f"Check the connection, or download the file by hand and save it as {target}."
    temporary = _temporary_beside(target, advice)
    try:
        failures = []
        for url in origins:
            try:
                _download(url, temporary, os.path.basename(target), timeout)
                value = read(temporary, url)
            except _MirrorFailed as error:
                failures.append(f"{url}: {error}")
            except ValueError as error:
                failures.append(str(error))
            else:
                return _put_in_place(temporary, target, value, read, advice)
        lines = "".join(f"\n  - {line}" for line in failures)
        raise DownloadError(f"{os.path.basename(target)} could not be downloaded. Tried:{lines}\n{advice}")
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def _checked_origins(origin):
    origins = [origin] if isinstance(origin, str) else list(origin or ())
    if not origins:
        raise ValueError(f"origin must be an address or a list of addresses, not {origin!r}")
    for url in origins:
        if not isinstance(url, str) or not url.startswith(("http://", "https://", "file://")):
            raise ValueError(f"origin must be an http, https or file address, not {url!r}")
    return origins


def _checked_hash(file_hash, hash_algorithm):
    if hash_algorithm != "auto" and hash_algorithm not in _HASH_LENGTHS:
        raise ValueError(f"hash_algorithm must be 'auto', 'md5' or 'sha256', not {hash_algorithm!r}")
    if file_hash is None:
        return None, None
    digits = file_hash.lower()
    for algorithm, length in _HASH_LENGTHS.items():
        is_hash = len(digits) == length and set(digits) <= set("0123456789abcdef")
        if is_hash and hash_algorithm in ("auto", algorithm):
            return digits, algorithm
    raise ValueError(
        f"file_hash must be 64 (sha256) or 32 (md5) hexadecimal digits, matching "
        f"hash_algorithm={hash_algorithm!r}, not {file_hash!r}"
    )


def _temporary_beside(target, advice):
    """Makes the folder of `target` and an empty file of this call's own in it; returns that file's path."""
    import time

    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}-{os.urandom(4).hex()}.part")
    try:
        os.makedirs(folder, exist_ok=True)
        for entry in os.listdir(folder):
            if entry.startswith(f".{name}.") and entry.endswith(".part"):
                left_over = os.path.join(folder, entry)
                try:
                    if time.time() - os.stat(left_over).st_mtime > _STALE_SECONDS:
                        os.remove(left_over)
                except OSError:  # another process was faster
                    pass
        with open(temporary, "xb"):  # not tempfile: the umask decides who may read the file
            pass
    except OSError as error:
        raise DownloadError(f"{target} cannot be written: {error}. {advice}") from error
    return temporary


def _put_in_place(temporary, target, value, read, advice):
    """Renames the verified file over `target`; returns what was read of the file that is there at the end."""
    try:
        os.replace(temporary, target)
    except OSError as error:
        # Windows lets nobody replace a file that another process is reading: then theirs may do as well.
        if os.path.isfile(target):
            try:
                return read(target, target)
            except ValueError:
                pass
        raise DownloadError(f"{target} cannot be written: {error}. {advice}") from error
    return value


def _download(url, path, name, timeout):
    """Writes what `url` gives to `path`; raises _MirrorFailed for its faults, OSError for the disk's."""
    progress = _Progress(url, name)
    with open(path, "wb") as file:
        chunks = _chunks(url, timeout, progress)
        try:
            for chunk in chunks:
                file.write(chunk)
        except _MirrorFailed as error:
            progress.end(f"failed: {error}")
            raise
        finally:
            chunks.close()
        progress.end()
        file.flush()
        os.fsync(file.fileno())


def _chunks(url, timeout, progress):
    """Yields what `url` gives, piece by piece; turns whatever goes wrong on the way into _MirrorFailed."""
    import time
    import urllib.error
    import urllib.request
    from http.client import HTTPException

    response = None
    try:
        request = urllib.request.Request(url, headers={"User-Agent": "pyconv"})
        response = urllib.request.urlopen(request, timeout=timeout)
        announced = response.headers.get("Content-Length", "")
        total = int(announced) if announced.isdecimal() else None
        received = window_bytes = 0
        window_start = time.monotonic()
        while chunk := response.read1(_CHUNK):
            received += len(chunk)
            window_bytes += len(chunk)
            progress.show(received, total)
            yield chunk
            elapsed = time.monotonic() - window_start
            if elapsed > timeout:
                if window_bytes < elapsed * _MINIMUM_SPEED:
                    raise _MirrorFailed(f"too slow: {window_bytes} bytes in {elapsed:.3g} s")
                window_start, window_bytes = time.monotonic(), 0
        if total is not None and received != total:
            raise _MirrorFailed(f"the transfer ended after {received} of {total} bytes")
    except urllib.error.HTTPError as error:
        error.close()
        raise _MirrorFailed(f"HTTP {error.code} {error.reason}") from error
    except (OSError, HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(reason, TimeoutError):
            reason = f"no answer within {timeout:g} s"
        raise _MirrorFailed(f"{reason}" or type(reason).__name__) from error
    finally:
        if response is not None:
            response.close()


class _Progress:
    """Tells on the standard error how a download goes: a bar on a terminal, two plain lines elsewhere."""

    def __init__(self, url, name):
        import time

        self._clock = time.monotonic
        self._name, self._start, self._shown, self._received = name, self._clock(), -1.0, 0
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._say(f"Downloading {url}\n")

    def _say(self, text):
        if sys.stderr is not None:
            sys.stderr.write(text)
            sys.stderr.flush()

    def show(self, received, total):
        self._received, now = received, self._clock()
        if not self._terminal or (now - self._shown < 0.1 and received != total):
            return
        self._shown = now
        speed = received / max(now - self._start, 1e-3)
        if total:
            filled = min(30 * received // total, 30)
            amount = f"[{'=' * filled}{' ' * (30 - filled)}] {received / 1e6:.1f}/{total / 1e6:.1f} MB"
        else:
            amount = f"{received / 1e6:.1f} MB"
        self._say(f"\r{amount} {speed / 1e6:.1f} MB/s ")

    def end(self, outcome=None):
        if self._shown >= 0:
            self._say("\n")
        if outcome is None:
            outcome = f"{self._received / 1e6:.1f} MB in {self._clock() - self._start:.1f} s"
        self._say(f"{self._name}: {outcome}\n")
