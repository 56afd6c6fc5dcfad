"""The backends, and which one is current."""

from __future__ import annotations

import difflib
import importlib
import os

NAMES = ("cpu", "reference", "cuda")

_current = None
_loaded: dict = {}


def get(name: str):
    """The backend called `name`; it is loaded at the first use.

    Raises
    ------
    ValueError
        For unknown names.
    ImportError
        If something that the backend needs is missing; the message says what.
    """
    if name not in NAMES:
        close = difflib.get_close_matches(str(name), NAMES, 1)
        raise ValueError(f"backend {name!r} is not known; expected one of {', '.join(map(repr, NAMES))}."
                         + (f" Did you mean {close[0]!r}?" if close else ""))
    if name == "cuda":
        raise ImportError("The backend 'cuda' is not part of this version of pyconv: it has no GPU kernels yet. "
                          "Use pyconv.set_backend('cpu'), the default, which runs on every machine.")
    if name not in _loaded:
        _loaded[name] = importlib.import_module(f"{__name__}.{name}").load()
    return _loaded[name]


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
