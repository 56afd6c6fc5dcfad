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


def find_object(kind: str, identifier, base: type, classes: dict, names: dict):
    """What `identifier` stands for: None, an instance of `base`, a function, a configuration, or one of `names`.

    Parameters
    ----------
    kind: str
        What it is, for the error message.
    classes, names: dict
        Of a configuration's class names; of all names, to classes, which give an instance, or functions.

    Raises
    ------
    ValueError
        For unknown names and for a dictionary that is no configuration.
    TypeError
        For a class in the place of its instance, and for what has no name.
    """
    if identifier is None or isinstance(identifier, base):
        return identifier
    if isinstance(identifier, dict):
        if "class_name" not in identifier:
            raise ValueError(f"a {kind}'s configuration is a dictionary with 'class_name' and 'config', "
                             f"got {identifier!r}.")
        return find(kind, identifier["class_name"], classes).from_config(identifier.get("config", {}))
    if isinstance(identifier, type) and issubclass(identifier, base):
        raise TypeError(f"{kind}={identifier.__name__} is a class; give an instance: {identifier.__name__}().")
    if callable(identifier):
        return identifier
    found = find(kind, identifier, names)
    return found() if isinstance(found, type) else found


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
