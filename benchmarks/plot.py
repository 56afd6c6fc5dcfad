"""Pictures of a run: the ratios of the networks, and what a sample and a pixel cost."""

from __future__ import annotations

import sys

NAMES = {"pyconv": "pyconv", "torch": "PyTorch"}
PASSES = {"predict": ("predicting", "--"), "train": ("training", "-")}


def write(data, path):
    """PATH.svg and PATH_linear.svg, as far as there are figures for them and matplotlib is installed."""
    from .page import ratios
    try:
        import matplotlib
    except ImportError:
        print(f"matplotlib is not installed: there is no {path}.svg", file=sys.stderr)
        return
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "pyconv"          # the same file for the same numbers
    for name, draw, wanted in ((path + ".svg", networks, ratios(data)),
                               (path + "_linear.svg", linear, data.get("linear"))):
        if wanted:
            draw(data).savefig(name, metadata={"Date": None})


def networks(data):
    from matplotlib import pyplot

    from .page import KINDS, ratios
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
    return figure


def linear(data):
    from matplotlib import pyplot

    from .report import costs
    figure, both = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for axes, along, title, unit in ((both[0], "batch", "µs a sample, images of 32 × 32", lambda v: v * 1e-6),
                                     (both[1], "size", "ns a pixel, 32 images", lambda v: 32 * v * v * 1e-9)):
        axes.set_xscale("log", base=2)
        for colour, (peer, name) in enumerate(NAMES.items()):
            for kind, (what, style) in PASSES.items():
                times = costs(data, along, kind, peer)
                if times:
                    axes.plot(list(times), [t / unit(v) for v, t in times.items()], style, marker="o", markersize=3,
                              color=f"C{colour}", label=f"{name}, {what}")
                    axes.set_xticks(list(times), [str(v) for v in times])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("batch" if along == "batch" else "height and width of the images")
    both[0].legend(fontsize=7)
    return figure
