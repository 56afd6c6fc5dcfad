"""Arrays of a file and variables of a model: all fit, or an error tells what does not."""

from __future__ import annotations

import difflib

from ..layers.input_spec import show

__all__ = ["assign_all", "check_all", "compare"]

_MOST = 8        # differences of one kind that a message lists


def compare(arrays, variables) -> dict:
    """What does not fit between arrays and variables by name.

    Returns a dictionary: "missing" (names that only the model has), "unexpected" (names that only the file
    has), "shapes" (names with different shapes), "types" (names whose values would be lost by a cast).
    """
    common = [name for name in variables if name in arrays]
    return {"missing": [n for n in variables if n not in arrays],
            "unexpected": [n for n in arrays if n not in variables],
            "shapes": [n for n in common if tuple(arrays[n].shape) != variables[n].shape],
            "types": [n for n in common if not _castable(arrays[n].dtype, variables[n].dtype)]}


def _castable(given, wanted) -> bool:
    """Floats fit floats, anything else only its own type."""
    return str(given) == wanted or (given.kind == "f" and wanted in ("float32", "float64"))


def _some(lines) -> str:
    more = len(lines) - _MOST
    return "".join(f"\n    {line}" for line in lines[:_MOST]) + (f"\n    and {more} more" if more > 0 else "")


def _report(found, arrays, variables, what) -> str:
    parts = []
    if found["shapes"]:
        lines = [f"{n}: {show(arrays[n].shape)} in the file, {show(variables[n].shape)} in the {what}"
                 for n in found["shapes"]]
        parts.append(f"\n  Different shapes:{_some(lines)}")
    if found["types"]:
        lines = [f"{n}: {arrays[n].dtype} in the file, {variables[n].dtype} in the {what}"
                 for n in found["types"]]
        parts.append(f"\n  Different types:{_some(lines)}")
    if found["missing"]:
        lines = []
        for name in found["missing"]:
            close = difflib.get_close_matches(name, found["unexpected"], 1, 0.7)
            lines.append(f"{name} {show(variables[name].shape)}"
                         + (f"; the file has {close[0]} {show(arrays[close[0]].shape)}" if close else ""))
        parts.append(f"\n  In the {what}, not in the file:{_some(lines)}")
    if found["unexpected"]:
        lines = [f"{n} {show(arrays[n].shape)}" for n in found["unexpected"]]
        parts.append(f"\n  In the file, not in the {what}:{_some(lines)}")
    return "".join(parts)


def assign_all(arrays, variables, label, what="model", skip_mismatch=False, advice=""):
    """Give every variable the array of its name.

    All names, shapes and types are compared first: when anything does not fit, nothing is changed.

    Parameters
    ----------
    arrays, variables: dict
        By name.
    label: str
        What the file is called in messages.
    skip_mismatch: bool
        Whether what does not fit is left alone, with a warning.

    Raises
    ------
    ValueError
        With a list of the differences.
    """
    for name in check_all(arrays, variables, label, what, skip_mismatch, advice):
        variables[name].array[...] = arrays[name]


def check_all(arrays, variables, label, what="model", skip_mismatch=False, advice="") -> list:
    """What `assign_all` would assign: the names that fit. It raises as that does."""
    found = compare(arrays, variables)
    wrong = {name for names in found.values() for name in names}
    if wrong:
        count = len(variables) - sum(n in wrong for n in variables)
        text = (f"{label} does not fit the {what}: {count} of its {len(variables)} variables have their "
                f"counterpart.{_report(found, arrays, variables, what)}")
        if not skip_mismatch:
            raise ValueError(text + (f"\n{advice}" if advice else ""))
        import warnings
        warnings.warn(f"{text}\nThese were skipped.", stacklevel=5)
    return [name for name in variables if name not in wrong]
