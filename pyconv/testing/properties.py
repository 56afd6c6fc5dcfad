"""Properties that hold for every case: running them, finding the smallest failure, saying what it means."""

from __future__ import annotations

import contextlib
import difflib
import random
import time
from typing import NamedTuple

import numpy as np

from .. import backends, config
from .. import random as pyconv_random
from .gradients import NotSmooth

__all__ = ["NotApplicable", "Property", "PropertyError", "available_backends", "close", "isolated", "run", "same_bits",
           "selected"]

# How long a failure is made smaller, in seconds of the processor: on a busy machine as far as on an idle one. The
# smallest case found until then is shown.
SHRINKING = 1.5


class PropertyError(AssertionError):
    """What was checked lacks a property that it should have.

    `failures` is a dictionary: name of the property -> what went wrong, with the smallest case found.
    """

    def __init__(self, message, failures):
        super().__init__(message)
        self.failures = failures


class NotApplicable(Exception):
    """The property says nothing about this case."""


class Property(NamedTuple):
    """`check` takes a case and raises where it lacks the property; `examples` is how many cases are drawn."""

    name: str
    meaning: str      # what a failure means, in one sentence
    check: object
    examples: int = 4


def selected(properties, only, skip, function) -> list:
    """The properties whose names are in `only` (None: all) and not in `skip`; ValueError for unknown names."""
    known = [p.name for p in properties]
    chosen = {}
    for argument, names in (("only", only), ("skip", skip)):
        names = [names] if isinstance(names, str) else list(names or ())
        for name in names:
            if name not in known:
                close = difflib.get_close_matches(str(name), known, 1, 0.4)
                raise ValueError(f"{function}: {argument}={name!r} is no property."
                                 + (f" Did you mean {close[0]!r}?" if close else "") + f" Known: {', '.join(known)}.")
        chosen[argument] = names
    return [p for p in properties if p.name not in chosen["skip"] and (only is None or p.name in chosen["only"])]


def run(title, function, properties, cases, seed=0, max_examples=None) -> dict:
    """Check each property on cases drawn from the strategy `cases`.

    Returns
    -------
    dict: name of the property -> "holds", or "does not apply: ..." with the reason

    Raises
    ------
    PropertyError
        If a property does not hold. Where the first one fails (the thing cannot be called at all), the others are not
        checked.
    """
    found, failures = {}, {}
    for place, prop in enumerate(properties):
        failure, why = _smallest_failure(prop, cases, max_examples or prop.examples, seed)
        if failure is None:
            found[prop.name] = f"does not apply: {why}" if why else "holds"
            continue
        case, error = failure
        failures[prop.name] = f"{_told(error)}\nSmallest case found: {case}."
        if place == 0 and prop.name == "call":
            break
    if failures:
        raise PropertyError(_message(title, function, properties, failures), failures)
    return found


def _told(error) -> str:
    notes = [note for note in getattr(error, "__notes__", ()) if "Falsifying" not in note and "reproduce" not in note]
    text = "\n".join([str(error), *notes])
    return text if isinstance(error, AssertionError) and str(error) else f"{type(error).__name__}: {text}"


def _message(title, function, properties, failures):
    lines = [f"{title} does not keep {len(failures)} of {len(properties)} properties."]
    for prop in properties:
        if prop.name in failures:
            body = "\n".join(f"    {line}" for line in failures[prop.name].splitlines())
            lines.append(f"\n[{prop.name}] {prop.meaning}\n{body}")
    if "call" in failures and failures.keys() == {"call"} and len(properties) > 1:
        lines.append("\nThe other properties were not checked.")
    name = next(iter(failures))
    lines.append(f"\nTo check one alone: {function}(..., only={name!r}); to leave out one that is not meant to hold: "
                 f"skip=[{name!r}].")
    return "\n".join(lines)


def _smallest_failure(prop, cases, examples, seed):
    """``((case, error), None)`` for the smallest case found that lacks the property; else ``(None, reason)``.

    The reason is None where the property holds, and says why if it applied to no case.
    """
    from .optional import hypothesis
    best, since, held, reasons = None, None, 0, []

    def check(case):
        nonlocal best, since, held
        shown = str(case)
        # hypothesis shows the best failure once more at the end; other cases are left when the time is over.
        if best is not None and time.process_time() - since > SHRINKING and shown != str(best[0]):
            return
        try:
            with isolated():
                prop.check(case)
            held += 1
        except (NotApplicable, NotSmooth) as reason:
            reasons.append(reason)
        except Exception as error:
            best, since = (case, error), since or time.process_time()
            raise

    settings = hypothesis.settings(max_examples=examples, database=None, deadline=None, derandomize=False,
                                   phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
                                   suppress_health_check=list(hypothesis.HealthCheck), report_multiple_bugs=False,
                                   print_blob=False, verbosity=hypothesis.Verbosity.quiet)
    try:
        hypothesis.seed(seed)(settings(hypothesis.given(case=cases)(check)))()
    except Exception:
        if best is None:
            raise
    if best is not None:
        return best, None
    if held or not reasons:
        return None, None
    if isinstance(reasons[0], NotSmooth):
        text = f"none of {len(reasons)} cases could be compared with finite differences: {reasons[0]}."
        return ("each of them", AssertionError(text)), None
    return None, str(reasons[0])


@contextlib.contextmanager
def isolated():
    """Whatever is done to the configuration, the backend and the random generators is undone at the end."""
    states = dict(config._state), backends._current, pyconv_random._generator, random.getstate(), np.random.get_state()
    generator = states[2] and states[2].bit_generator.state
    try:
        yield
    finally:
        config._state.update(states[0])
        backends._current, pyconv_random._generator = states[1:3]
        if generator is not None:
            pyconv_random._generator.bit_generator.state = generator
        random.setstate(states[3])
        np.random.set_state(states[4])


def available_backends() -> list:
    """The names of the backends that can be used here."""
    found = []
    for name in backends.NAMES:
        try:
            backends.get(name)
        except (ImportError, OSError, RuntimeError):      # a package or a device that is not there
            continue
        found.append(name)
    return found


# ---- comparing

def same_bits(found, expected, what):
    """AssertionError unless two lists of arrays are equal in shape, type and every bit."""
    for i, (a, b) in enumerate(_pairs(found, expected, what)):
        if a.dtype != b.dtype or a.tobytes() != b.tobytes():
            raise AssertionError(f"{what}: {_difference(a, b, i, len(found))}")


def close(found, expected, what, rtol):
    """AssertionError unless two lists of arrays differ by at most `rtol` times the largest expected value (or 1)."""
    for i, (a, b) in enumerate(_pairs(found, expected, what)):
        size = np.abs(b[np.isfinite(b)]).max(initial=1) if b.dtype.kind == "f" else 1
        if not np.allclose(a, b, rtol=0, atol=rtol * size, equal_nan=True):
            raise AssertionError(f"{what}: {_difference(a, b, i, len(found))}")


def _pairs(found, expected, what):
    if len(found) != len(expected):
        raise AssertionError(f"{what}: {len(found)} outputs instead of {len(expected)}.")
    for a, b in zip(found, expected, strict=True):
        if a.shape != b.shape:
            raise AssertionError(f"{what}: shape {a.shape} instead of {b.shape}.")
    return list(zip(found, expected, strict=True))


def _difference(a, b, place, count):
    where = f"output {place} " if count > 1 else ""
    if a.dtype != b.dtype:
        return f"{where}has type {a.dtype} instead of {b.dtype}."
    with np.errstate(all="ignore"):
        off = ~((a == b) | ((a != a) & (b != b)))
        if not off.any():
            return f"{where}differs in the sign of a zero or the bits of a NaN."
        gap = np.where(off, np.abs(a.astype("float64") - b.astype("float64")), -1.0)
    gap[np.isnan(gap)] = np.inf
    at = tuple(int(i) for i in np.unravel_index(np.argmax(gap), gap.shape))
    index = f"[{', '.join(map(str, at))}]" if at else ""
    return f"{where}{index} is {a[at]!s} instead of {b[at]!s} ({int(off.sum())} of {off.size} elements differ)."
