"""The libraries. Each module has a class `Peer` with `versions()` and `prepare(task, quick)`.

`prepare` gives (candidates, failed, outputs): candidates is a dictionary name -> function, a candidate being a way of
using the library whose user could not know beforehand whether it is the fastest; failed is name -> reason; outputs are
the network's for the first four images, in which all libraries must agree.

- Task "train": ``function(warm)`` does two steps if `warm`, otherwise task["steps"] steps.
- Task "predict": ``function(warm)`` predicts task["count"] images, or a few if `warm`; in batches of task["batch"], or
  of what the library likes best if there is none.
- Task "one": ``function()`` predicts one image.
- Task "layer": ``function()`` does one layer of `benchmarks.layers`; it may return the seconds that it took.

A task may have a network's "size", its images' height and width. A function's attribute `facts`, a dictionary, is kept
with its times. Peers that can change their number of threads have ``set_threads(n)``.

Images are converted to what the library likes best before the time is taken; only pyconv gets its bytes as they are.
"""

from __future__ import annotations

CHECKED = 4         # images whose outputs are compared


def attempt(candidates, failed, name, make, warm_up):
    """Make a candidate and run it once; a failure is kept as its reason."""
    try:
        function = make()
        warm_up(function)
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        failed[name] = f"{type(error).__name__}: {lines[0][:200]}"
    else:
        candidates[name] = function


def warm_up_of(task):
    return (lambda function: function()) if task["kind"] in ("one", "layer") else (lambda function: function(True))
