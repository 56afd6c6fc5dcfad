"""A picture of a run's ratios: ``python -m benchmarks.plot docs/benchmarks.json docs/benchmarks.svg``."""

from __future__ import annotations

import json
import sys

from .report import MAIN

KINDS = {"train": "training a step", "predict": "predicting a batch", "one": "predicting one sample"}


def ratios(data) -> dict:
    """kind -> {network: pyconv's best time over that of the fastest other library}."""
    found: dict = {}
    for kind in KINDS:
        for result in data.get(kind, ()):
            own = [m["best"] for m in result["measurements"]
                   if m["peer"] == "pyconv" and m["candidate"] == MAIN[kind]]
            others = [m["best"] for m in result["measurements"] if m["peer"] != "pyconv"]
            if own and others:
                found.setdefault(kind, {})[result["task"]["title"]] = own[0] / min(others)
    return found


def draw(data, path):
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "pyconv"          # the same file for the same numbers
    from matplotlib import pyplot
    found = ratios(data)
    names = list(dict.fromkeys(name for bars in found.values() for name in bars))
    figure, axes = pyplot.subplots(figsize=(8, 0.55 * len(names) + 1.2), layout="constrained")
    height = 0.8 / max(1, len(found))
    for i, (kind, bars) in enumerate(found.items()):
        places = [names.index(name) + (i - (len(found) - 1) / 2) * height for name in bars]
        drawn = axes.barh(places, list(bars.values()), height * 0.9, label=KINDS[kind])
        axes.bar_label(drawn, [f"{value:.2f}" for value in bars.values()], padding=2, fontsize=7)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("time of pyconv ÷ time of the fastest other library (below 1: pyconv is faster)")
    axes.legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        draw(json.load(file), sys.argv[2])
