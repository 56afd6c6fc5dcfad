"""New files that take the place of old ones only when they are complete."""

from __future__ import annotations

import contextlib
import os

__all__ = ["replacing"]


@contextlib.contextmanager
def replacing(path):
    """A binary file, open for writing, that is renamed to `path` at the end of the ``with`` block.

    It is written beside `path`, under a name of this call's own, and flushed to the disk before it is
    renamed: a reader sees the old file or the whole new one, also after a crash. After an error there is
    nothing new.

    Raises OSError with the path in its message if the folder does not exist or cannot be written.
    """
    path = os.path.abspath(os.fspath(path))
    folder, name = os.path.split(path)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{path!r} cannot be written: there is no folder {folder!r}. Make it first, "
                                "for example with os.makedirs.")
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path!r} cannot be written: it is a folder.")
    temporary = os.path.join(folder, f".{name}.{os.getpid()}-{os.urandom(4).hex()}.part")
    try:
        with open(temporary, "xb") as file:     # not tempfile: the umask decides who may read the file
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(temporary)
        raise
    _flush_folder(folder)


def _flush_folder(folder):
    """The rename itself reaches the disk, where the system has a way to ask for that."""
    with contextlib.suppress(OSError, AttributeError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
