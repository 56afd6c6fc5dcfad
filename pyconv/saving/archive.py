"""The file of a whole model: a zip of JSON and safetensors.

==================== ======================================================================================
metadata.json         what the file is: ``{"format": "pyconv model", "version": 1, "pyconv": "0.1.0"}``
config.json           the model: class, configuration, shapes that it was built for, arguments of `compile`
model.safetensors     its variables by structural name, the states of random generators included
optimizer.safetensors the optimizer's variables, where the model was compiled with one
==================== ======================================================================================

Members are stored uncompressed and with a fixed date, so that equal models give equal files. Nothing is ever
unpacked to the disk, and nothing in the file is run: names of classes and functions are looked up among those
of pyconv and those that were registered.

A file may come from anywhere. Before a member is read, its size must be one that the file really has: compressed
members, and sizes that add up to more than the file, are refused, so that no file makes more memory fill up than
it has bytes itself. The weights that its configuration asks for are bounded in the same way (`load_model`).
"""

from __future__ import annotations

import json
import os
import zipfile

from . import safetensors
from .atomic import replacing

__all__ = ["Archive", "SUFFIX", "write_archive"]

SUFFIX = ".pyconv"
FORMAT, VERSION = "pyconv model", 1
_DATE = (1980, 1, 1, 0, 0, 0)
_LONGEST_JSON = 1 << 28
_MEMBERS = ("metadata.json", "config.json", "model.safetensors", "optimizer.safetensors")


def write_archive(path, texts, tensors):
    """Write a new file atomically.

    texts: dict, name of a member -> what becomes its JSON. tensors: dict, name of a member -> name -> array.
    """
    from .. import __version__
    texts = {"metadata.json": {"format": FORMAT, "version": VERSION, "pyconv": __version__}, **texts}
    encoded = {name: json.dumps(value, indent=1, ensure_ascii=False).encode()
               for name, value in texts.items()}
    with replacing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, data in encoded.items():
            archive.writestr(_info(name), data)
        for name, arrays in tensors.items():
            with archive.open(_info(name), "w", force_zip64=True) as member:
                safetensors.write(member, arrays)


def _info(name):
    info = zipfile.ZipInfo(name, _DATE)
    info.external_attr = 0o644 << 16
    return info


class Archive:
    """A model's file that is open for reading; a context manager.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no model of pyconv's, damaged, or of a version that is newer than this pyconv.
    """

    def __init__(self, path):
        self.path = os.fspath(path)
        self.label = f"the file {self.path!r}"
        if os.path.isdir(self.path):
            raise ValueError(f"{self.path!r} is a folder, not a model's file.")
        if not os.path.exists(self.path):
            raise FileNotFoundError(f"there is no file {self.path!r}.")
        try:
            self.zip = zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError) as error:
            raise ValueError(f"{self.label} is not a model that pyconv saved, or is cut off: {error}. "
                             f"{self._looks_like()}") from None
        try:
            self._check_version()
            self._check_members()
            self._check_sizes()
        except BaseException:
            self.zip.close()
            raise

    def _looks_like(self):
        with open(self.path, "rb") as file:
            start = file.read(16)
        if start.startswith(b"\x89HDF"):
            return "It is an HDF5 file; pyconv reads files from its own model.save() only."
        if len(start) > 8 and start[8:9] == b"{":
            return "It looks like a safetensors file: build the model and call its load_weights()."
        if start.startswith(b"PK"):
            return "It begins like one, so it is probably incomplete: copy or save it again."
        return "Such a file is made by model.save('name.pyconv')."

    def _check_sizes(self):
        """Every member is stored as it is, once, and they fit into the file."""
        seen, total, available = set(), 0, os.path.getsize(self.path)
        for info in self.zip.infolist():
            if info.filename in seen:
                raise ValueError(f"{self.label} has the member {info.filename!r} twice; a model that pyconv saved "
                                 "has each once.")
            seen.add(info.filename)
            if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
                raise ValueError(f"{self.label} has a compressed member, {info.filename!r}, of {info.file_size} bytes "
                                 f"once unpacked; a model that pyconv saved has none. Get the file anew from "
                                 "whoever saved it, unchanged by other programs.")
            total += info.file_size
        if total > available:
            raise ValueError(f"{self.label} has {available} bytes, but its members would have {total}: it is "
                             "damaged or not a model that pyconv saved.")

    def _check_members(self):
        strange = [name for name in self.zip.namelist() if name not in _MEMBERS]
        if strange:
            raise ValueError(f"{self.label} has the member {strange[0]!r:.200}, which no model that pyconv saved has: "
                             f"there are only {', '.join(_MEMBERS)}.")

    def _check_version(self):
        if "metadata.json" not in self.zip.namelist():
            raise ValueError(f"{self.label} is not a model that pyconv saved: it is a zip without "
                             f"metadata.json; it has "
                             f"{', '.join(self.zip.namelist()[:5]) or 'nothing in it'}.")
        metadata = self.json("metadata.json", 1 << 16)
        if "keras_version" in metadata:
            raise ValueError(f"{self.label} was saved by Keras {metadata['keras_version']}; pyconv reads "
                             "files from its own model.save() only.")
        version = metadata.get("version")
        if metadata.get("format") != FORMAT or type(version) is not int or version < 1:
            raise ValueError(f"{self.label} is not a model that pyconv saved: its metadata is "
                             f"{metadata!r:.200}.")
        if version > VERSION:
            raise ValueError(f"{self.label} was saved by pyconv {metadata.get('pyconv', '?')} in version "
                             f"{version} of the format; this pyconv reads version {VERSION}. Upgrade pyconv: "
                             "pip install --upgrade pyconv-nn.")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.zip.close()

    def __contains__(self, name):
        return name in self.zip.namelist()
    def _open(self, name):
        try:
            return self.zip.open(name)
        except KeyError:
            raise ValueError(f"{self.label} is not complete: {name} is missing in it.") from None
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            raise self._damaged(name, error) from None

    def _damaged(self, name, error):
        return ValueError(f"{self.label} is damaged in {name}: {error}. Copy or save it again.")

    def json(self, name, longest=_LONGEST_JSON) -> dict:
        """The dictionary that a member of at most `longest` bytes holds."""
        try:
            with self._open(name) as file:
                data = file.read(longest + 1)
            if len(data) > longest:
                raise self._damaged(name, f"it is longer than {longest} bytes")
            value = json.loads(data.decode())
        except (zipfile.BadZipFile, EOFError, OSError, UnicodeDecodeError, json.JSONDecodeError,
                RecursionError, OverflowError) as error:
            raise self._damaged(name, error) from None
        if not isinstance(value, dict):
            raise self._damaged(name, "it is no dictionary")
        return value

    def arrays(self, name) -> dict:
        """Name -> array of a member."""
        import zlib
        size = self.zip.getinfo(name).file_size if name in self else 0
        try:
            with self._open(name) as file:
                found = safetensors.read(file, size, f"{self.label}, in {name},")[0]
                file.read(1)             # the end: here the zip's own checksum is compared
            return found
        except (zipfile.BadZipFile, EOFError, OSError, zlib.error) as error:
            raise self._damaged(name, error) from None
