"""Archives unpacked where they cannot do harm: regular files and folders, below one folder, all or nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import tarfile
import zipfile
import zlib

__all__ = ["unpack"]

FORMATS = ("tar", "zip")


def unpack(path, folder, archive_format="auto"):
    """Unpack a tar (also .gz, .bz2 and .xz) or zip archive into a new folder, which takes the place of an old one.

    Parameters
    ----------
    path: str
        The archive.
    folder: str
        It is there with all its files, or as it was before.
    archive_format: "auto", "tar", "zip", or a list of the latter two

    Raises
    ------
    ValueError
        If it is no such archive, or damaged, or has a member that is neither a file nor a folder, or that would lie
        outside of the folder; then nothing is left behind.
    """
    formats = FORMATS if archive_format == "auto" else (
        (archive_format,) if isinstance(archive_format, str) else tuple(archive_format or ()))
    for name in formats:
        if name not in FORMATS:
            raise ValueError(f"archive_format={name!r} must be 'auto', 'tar' or 'zip'.")
    temporary = f"{folder}.{os.getpid()}-{os.urandom(4).hex()}.part"
    try:
        with _members(path, formats) as members:
            os.makedirs(temporary)
            for name, is_folder, open_member in members:
                target = _place(temporary, name, path)
                os.makedirs(target if is_folder else os.path.dirname(target), exist_ok=True)
                if not is_folder:
                    with open_member() as source, open(target, "wb") as file:
                        shutil.copyfileobj(source, file)
        if os.path.isdir(folder):
            os.rename(folder, old := f"{temporary}.old")
            os.rename(temporary, folder)
            shutil.rmtree(old)
        else:
            os.rename(temporary, folder)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise ValueError(f"the archive {path!r} is damaged or of another kind: {error}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def _members(path, formats):
    """(name, is it a folder, function that opens it) of each member."""
    if "tar" in formats and tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            yield _of_tar(archive, path)
    elif "zip" in formats and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield [(i.filename, i.is_dir(), lambda i=i: archive.open(i)) for i in archive.infolist()]
    else:
        raise ValueError(f"{path!r} is no archive of the format {' or '.join(formats) or 'that was asked for (none)'}.")


def _of_tar(archive, path):
    for member in archive:
        if not member.isfile() and not member.isdir():
            raise ValueError(f"the archive {path!r} has {member.name!r}, which is neither a file nor a folder: links "
                             "and devices are not unpacked.")
        yield member.name, member.isdir(), lambda m=member: archive.extractfile(m)


def _place(folder, name, path) -> str:
    """Where a member goes; ValueError if that is outside of the folder."""
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
        raise ValueError(f"the archive {path!r} has the member {name!r}, which would be outside of its folder.")
    return os.path.join(folder, *(part for part in parts if part not in ("", ".")))
