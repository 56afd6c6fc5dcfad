"""What all reports use: tables, durations, and how to find a measurement in what was kept."""

from __future__ import annotations

import math
import os
import platform
import statistics


def machine() -> dict:
    """The processor, its cores and the system."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as f:
            for line in f:
                if line.startswith("model name"):
                    model = line.split(":", 1)[1].strip()
                    break
    except OSError:
        pass
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"processor": model, "cores": cores, "system": f"{platform.system()} {platform.release()}",
            "python": platform.python_version()}


def load():
    """The mean number of busy processes in the last minute, or None where the system does not tell."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def duration(seconds) -> str:
    for factor, unit in ((1, "s"), (1e3, "ms")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def table(head, rows) -> str:
    """A Markdown table; the first column to the left, the others to the right."""
    cells = [[str(c) for c in row] for row in [head, *rows]]
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(head))]
    lines = ["| " + " | ".join(c.ljust(w) if i == 0 else c.rjust(w)
                               for i, (c, w) in enumerate(zip(row, widths, strict=True))) + " |" for row in cells]
    rule = "| " + " | ".join("-" * w if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)) + " |"
    return "\n".join([lines[0], rule, *lines[1:]])


def bullets(lines) -> str:
    """A list below a table, or nothing."""
    return "".join(f"\n- {line}" for line in lines) and "\n" + "".join(f"\n- {line}" for line in lines)


def failures(failed: dict) -> list:
    return [f"not measured: {name}: {reason}" for name, reason in failed.items()]


def ratio(a, b, key="best") -> str:
    """Time a over time b, both measurements; "" if one is missing."""
    return f"{a[key] / b[key]:.2f}" if a and b else ""


def fastest(result, peer=None, candidate=None, threads=None):
    """The fastest measurement of a library (None: of all but pyconv), or that of one candidate; None if none is."""
    found = [m for m in result["measurements"] if (m["peer"] == peer if peer else not m["peer"].startswith("pyconv"))
             and candidate in (None, m["candidate"]) and m.get("threads") == threads]
    return min(found, key=lambda m: m["best"], default=None)


def medians(found: dict) -> dict:
    """library -> median, of those that were measured."""
    return {name: statistics.median(values) for name, values in found.items() if isinstance(values, list)}


def not_measured(found: dict) -> list:
    return failures({name: reason for name, reason in found.items() if isinstance(reason, str)})


def geometric_mean(values) -> float:
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values))
