"""The backends, and which one is current."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import os
import re

from . import residence

__all__ = ["NAMES", "available", "current", "current_name", "device", "get", "parse", "residence", "set_current"]

NAMES = ("cpu", "reference", "cuda")

_current = None
_loaded: dict = {}


def parse(name) -> tuple:
    """("cuda", 1) of "cuda:1", and ("cuda", 0) of "cuda".

    Raises
    ------
    ValueError
        For unknown names.
    """
    match = re.fullmatch(r"cuda:(\d+)", str(name))
    if match:
        return "cuda", int(match[1])
    if name not in NAMES:
        gpu = re.fullmatch(r"(?:/?gpu|cuda)(:\d+)?", str(name), re.IGNORECASE)       # as others call it
        close = [f"cuda{gpu[1] or ''}"] if gpu else difflib.get_close_matches(str(name), NAMES, 1)
        raise ValueError(f"backend {name!r} is not known; expected one of {', '.join(map(repr, NAMES))}, or 'cuda:1' "
                         f"and so on for further GPUs." + (f" Did you mean {close[0]!r}?" if close else ""))
    return name, 0


def get(name: str):
    """The backend called `name`; it is loaded at the first use. "cuda:1" is that of the second GPU.

    Raises
    ------
    ValueError
        For unknown names.
    ImportError, RuntimeError
        If something that the backend needs is missing; the message says what, and what to install.
    """
    key = parse(name)
    if key not in _loaded:
        module = importlib.import_module(f"{__name__}.{key[0]}")
        _loaded[key] = module.load(key[1]) if key[0] == "cuda" else module.load()
    return _loaded[key]


def available() -> dict:
    """Which backends can be used: name -> None if it can, otherwise a sentence that says why not.

    For "cuda" this loads CuPy, if it is installed, and asks the driver.
    """
    from .cuda import reason_against
    return {name: reason_against() if name == "cuda" else None for name in NAMES}


def current():
    """The current backend: the one set last, else that of the environment variable PYCONV_BACKEND, else the CPU."""
    global _current
    if _current is None:
        _current = get(os.environ.get("PYCONV_BACKEND") or "cpu")
    return _current


def current_name() -> str:
    return current().name


def set_current(name: str):
    global _current
    _current = get(name)


@contextlib.contextmanager
def device(name: str):
    """Compute on another backend within a ``with`` block: "cpu", "cuda", "cuda:1", "reference".

    The choice is that of the whole process, as with `pyconv.set_backend`. Models move by themselves.
    """
    global _current
    before, _current = _current, get(name)
    try:
        yield _current
    finally:
        _current = before
