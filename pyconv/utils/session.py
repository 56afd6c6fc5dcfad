"""What belongs to the whole process."""

from __future__ import annotations

from .naming import reset_names

__all__ = ["clear_session", "standardize_dtype"]


def clear_session(free_memory=True):
    """Layers made from now on are named as in a new process: dense, dense_1, ...

    free_memory: there for code written for Keras; a model's memory is free when nothing refers to it any more.
    """
    reset_names()


def standardize_dtype(dtype) -> str:
    """The name of an element type, such as "float32"; None is `pyconv.config.floatx()`. TypeError for others."""
    from ..config import floatx
    from ..graph import canonical
    return floatx() if dtype is None else canonical(dtype)
