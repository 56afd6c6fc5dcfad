"""Checks of constructor arguments. Each takes the layer and the argument's name, and returns the value."""

from __future__ import annotations

import difflib

import numpy as np

from ..config import image_data_format
from ..ops.convolution import per_axis
from ..utils.configurable import describe

__all__ = ["boolean", "choice", "data_format", "integer", "number", "padding_argument", "pairs",
           "seed_argument", "spatial"]


def _is_int(value):
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def fail(layer, argument, value, expected, error=ValueError):
    raise error(f"{layer._title()}: {argument} must be {expected}, got {describe(value)}.")


def integer(layer, argument, value, least=1):
    if not _is_int(value):
        fail(layer, argument, value, f"an int of at least {least}", TypeError)
    if value < least:
        fail(layer, argument, value, f"at least {least}")
    return int(value)


def number(layer, argument, value, least=None, below=None):
    expected = "a finite number" + (f" of at least {least}" if least is not None else "") \
        + (f" and below {below}" if below is not None else "")
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        fail(layer, argument, value, expected, TypeError)
    too_small, too_large = least is not None and value < least, below is not None and value >= below
    if not np.isfinite(value) or too_small or too_large:
        fail(layer, argument, value, expected)
    return value.item() if isinstance(value, np.generic) else value


def boolean(layer, argument, value):
    if not isinstance(value, (bool, np.bool_)):
        fail(layer, argument, value, "True or False", TypeError)
    return bool(value)


def choice(layer, argument, value, allowed):
    if not isinstance(value, str) or value not in allowed:
        close = difflib.get_close_matches(str(value), allowed, 1, 0.5)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        kind = ValueError if isinstance(value, str) else TypeError
        raise kind(f"{layer._title()}: {argument} must be {' or '.join(map(repr, allowed))}, got "
                   f"{describe(value)}.{hint}")
    return value


def data_format(layer, value):
    """Default: `pyconv.config.image_data_format()`."""
    return image_data_format() if value is None else choice(layer, "data_format", value,
                                                            ("channels_last", "channels_first"))


def spatial(layer, argument, value, rank, least=1):
    """An int, or one per spatial axis, as a tuple."""
    if isinstance(value, (str, bytes, dict)):
        fail(layer, argument, value, f"an int or a tuple of {rank} ints", TypeError)
    try:
        return per_axis(value, rank, argument, least)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{layer._title()}: {error}.") from None


def pairs(layer, argument, value, rank):
    """An int, one int per axis, or one pair (before, after) per axis, as a tuple of pairs.

    With a single axis, two ints are its pair.
    """
    several = "a pair of ints" if rank == 1 else f"{rank} ints, or {rank} pairs of ints"
    expected = f"an int of at least 0, {several}"
    items = [value] * rank if _is_int(value) else value
    if not isinstance(items, (tuple, list)):
        fail(layer, argument, value, expected, TypeError)
    if rank == 1 and len(items) == 2 and all(map(_is_int, items)):
        items = [items]
    if len(items) != rank:
        fail(layer, argument, value, expected)
    out = []
    for item in items:
        pair = (item, item) if _is_int(item) else item
        if not isinstance(pair, (tuple, list)) or not all(map(_is_int, pair)):
            fail(layer, argument, value, expected, TypeError)
        if len(pair) != 2 or min(pair) < 0:
            fail(layer, argument, value, expected)
        out.append((int(pair[0]), int(pair[1])))
    return tuple(out)


def padding_argument(layer, value, rank, causal=False):
    """"valid", "same", "causal" (where allowed), an int, or an int or pair per spatial axis, in that form."""
    names = ("valid", "same", "causal") if causal else ("valid", "same")
    if isinstance(value, str):
        return choice(layer, "padding", value.lower(), names)
    try:
        found = pairs(layer, "padding", value, rank)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{layer._title()}: padding must be {', '.join(map(repr, names))}, an int of at "
                          f"least 0, or an int or a pair of ints for each of the {rank} spatial axes, got "
                          f"{describe(value)}.") from None
    return int(value) if _is_int(value) else found


def seed_argument(layer, value):
    if value is not None and not _is_int(value):
        fail(layer, "seed", value, "an int of at least 0 or None", TypeError)
    if value is not None and not 0 <= value < 2**63:
        fail(layer, "seed", value, "from 0 to 2**63 - 1")
    return None if value is None else int(value)
