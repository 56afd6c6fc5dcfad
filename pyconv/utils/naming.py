"""Finding things by name, with an error that names the nearest valid one."""

import difflib
import re

from .registry import custom_object, get_registered_object


def find(kind: str, name: str, table: dict):
    """``table[name]``; otherwise a ValueError that says what is known and what was probably meant.

    Names are found as written, in lower case, and in snake_case ("Adam", "adam", "HeNormal", "he_normal").
    Objects of a `CustomObjectScope` come before those of the table, registered ones behind them.
    """
    if not isinstance(name, str):
        raise TypeError(f"{kind} must be a name, an object or a configuration, got {type(name).__name__}.")
    own = custom_object(name)
    if own is not None:
        return own
    for candidate in (name, name.lower(), snake_case(name)):
        if candidate in table:
            return table[candidate]
    own = get_registered_object(name)
    if own is not None:
        return own
    raise unknown(kind, name, table)


def unknown(kind: str, name: str, table) -> ValueError:
    """The error for a name that is not among `table`; it proposes the nearest."""
    close = difflib.get_close_matches(name.lower(), [str(k) for k in table], 1, 0.5)
    return ValueError(f"{kind} {name!r} is not known." + (f" Did you mean {close[0]!r}?" if close else "")
                      + f" Known: {', '.join(sorted(map(str, table)))}.")


def snake_case(name: str) -> str:
    """``"MaxPooling2D"`` -> ``"max_pooling2d"``, ``"HeNormal"`` -> ``"he_normal"``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", name).lower()


_counters: dict = {}


def unique_name(base: str) -> str:
    """`base`, then `base_1`, `base_2`, ... within this process."""
    n = _counters.get(base, 0)
    _counters[base] = n + 1
    return f"{base}_{n}" if n else base


def reset_names():
    """Start the counters of `unique_name` again."""
    _counters.clear()
