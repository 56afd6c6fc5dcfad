"""Tables, in Markdown that reads well in a terminal too."""

from __future__ import annotations

import os
import platform
import statistics


def machine() -> dict:
    """The processor, its cores, the system and how busy it is."""
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
            "python": platform.python_version(), "load": load()}


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


def failures(failed: dict) -> str:
    return "".join(f"\n- not measured: {name}: {reason}" for name, reason in failed.items())


# What pyconv's user calls; the others are told apart below each table.
MAIN = {"train": "fit", "predict": "predict", "one": "predict, uint8"}
PEERS = {"train": ("torch", "keras", "jax"), "predict": ("onnxruntime", "torch", "keras", "jax"),
         "one": ("onnxruntime", "torch", "keras", "jax")}


def of_tasks(kind, results, names, unit, rounds) -> str:
    """One row per task and library: best and median time, and pyconv's time divided by it.

    unit: (title of the column, function of (seconds, task) that gives its text)
    """
    title, text = unit
    rows, notes = [], ""
    for result in results:
        own = result.of("pyconv", MAIN[kind])
        ways = [("pyconv", m.candidate) for m in result.measurements if m.peer == "pyconv"]
        ways += [(peer, None) for peer in PEERS[kind] if peer in names]
        for peer, candidate in ways:
            found = result.of(peer, candidate)
            if found is None:
                continue
            mine = peer == "pyconv"
            rows.append([result.task["title"], f"{peer} ({found.candidate})", text(found.best, result.task),
                         text(found.median, result.task),
                         "" if mine or own is None else f"{own.best / found.best:.2f}",
                         "" if mine or own is None else f"{own.median / found.median:.2f}"])
        notes += failures(result.failed)
        if result.rounds < rounds:
            notes += f"\n- {result.task['title']}: only {result.rounds} rounds, as they took long"
        if result.idle_share > 0.02:
            notes += (f"\n- {result.task['title']}: the waiting processes used {result.idle_share:.0%} of a core "
                      "meanwhile")
    head = ["network", "library", f"best, {title}", f"median, {title}", "pyconv ÷ it, best", "median"]
    return table(head, rows) + ("\n" + notes if notes else "")


def of_imports(times) -> str:
    medians = {name: statistics.median(found) for name, found in times.items()}
    reference = medians.get("numpy")
    return table(["import", "median", "best", "÷ numpy"],
                 [[name, duration(m), duration(min(times[name])), f"{m / reference:.2f}" if reference else ""]
                  for name, m in medians.items()])


def of_memory(found) -> str:
    peaks = {name: statistics.median(v) for name, v in found.items() if isinstance(v, list)}
    own = peaks.get("pyconv")
    failed = {name: v for name, v in found.items() if not isinstance(v, list)}
    return table(["library", "peak", "pyconv ÷ it"],
                 [[name, f"{value / 1e6:.0f} MB", f"{own / value:.2f}" if own and name != "pyconv" else ""]
                  for name, value in peaks.items()]) + failures(failed)


def of_accuracy(found) -> str:
    times = {name: statistics.median(a["seconds"] for a in v) for name, v in found.items() if isinstance(v, list)}
    own, rows = times.get("pyconv"), []
    for name, seconds in times.items():
        steps = ", ".join(str(a["steps"]) for a in found[name])
        rows.append([name, duration(seconds), ", ".join(duration(a["seconds"]) for a in found[name]), steps,
                     f"{own / seconds:.2f}" if own and name != "pyconv" else ""])
    failed = {name: v for name, v in found.items() if not isinstance(v, list)}
    return table(["library", "median", "each seed", "steps", "pyconv ÷ it"], rows) + failures(failed)
