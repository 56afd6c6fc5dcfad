"""What is written: the page of a run, its file of figures, and the README's figures."""

from __future__ import annotations

import json
import os

from .layers import CONVOLUTIONS
from .networks import NETWORKS
from .parts import MAIN
from .report import SECTIONS
from .tables import duration, fastest, geometric_mean, medians, table
from .workers import ROOT

README = os.path.join(ROOT, "README.md")
BEGIN, END = "<!-- figures: begin", "<!-- figures: end -->"
INSTRUCTIONS = {"zen4": "AVX-512", "v4": "AVX-512", "zen3": "AVX2", "v3": "AVX2", "v2": "SSE4.2"}
KINDS = {"train": "training a step", "predict": "predicting a batch", "one": "predicting one sample"}

HOW = """Each figure is the time of a way of using a library; of several ways the fastest counts. "pyconv ÷ it" below 1
means that pyconv is faster. `pip install -e '.[benchmark]'` installs the other libraries, PYCONV_DATA_DIR names the
folder with MNIST, and `python -m benchmarks --help` tells the rest. The processes of all libraries take turns, and only
one computes at a time. [How pyconv is made fast](performance.md) is a page of its own."""


def ratios(data) -> dict:
    """kind -> {network: pyconv's best time over that of the fastest other library}."""
    found: dict = {}
    for kind in KINDS:
        for result in data.get(kind, ()):
            own, other = fastest(result, "pyconv", MAIN[kind]), fastest(result)
            if own and other:
                found.setdefault(kind, {})[result["task"]["title"]] = own["best"] / other["best"]
    return found


def layer_ratios(data) -> dict:
    """group of layers -> ratios, as above."""
    found: dict = {}
    for result in data.get("layers", ()):
        own, other, task = fastest(result, "pyconv"), fastest(result), result["task"]
        if own and other:
            group = f"convolution, {task['what']}" if "convolution" in task else "pooling and normalization"
            found.setdefault(group, []).append(own["best"] / other["best"])
    return found


def ratio_table(data) -> str:
    found = ratios(data)
    names = dict.fromkeys(name for column in found.values() for name in column)
    rows = [[name, *(f"{column[name]:.2f}" if name in column else "" for column in found.values())] for name in names]
    if len(rows) > 1:
        rows.append(["geometric mean", *(f"{geometric_mean(column.values()):.2f}" for column in found.values())])
    return table(["network", *(KINDS[kind] for kind in found)], rows)


def summary(data) -> str:
    """The ratios of everything that was measured."""
    texts = []
    if ratios(data):
        texts.append("pyconv's time over that of the fastest other library (best times):\n\n" + ratio_table(data))
    found = layer_ratios(data)
    if found:
        rows = [[group, len(values), f"{geometric_mean(values):.2f}", f"{max(values):.2f}"]
                for group, values in found.items()]
        every = [value for values in found.values() for value in values]
        rows.append(["all", len(every), f"{geometric_mean(every):.2f}", f"{max(every):.2f}"])
        texts.append(f"Single layers on one core, {len(CONVOLUTIONS)} convolutions among them:\n\n" + table(
            ["layers", "number", "geometric mean of the ratios", "largest"], rows))
    rows = whole_rows(data)
    if rows:
        texts.append("Whole processes (medians):\n\n" + table(["", "pyconv", "PyTorch"], rows))
    return "\n\n".join(texts)


def whole_rows(data) -> list:
    """(what, pyconv's figure, PyTorch's) of the parts that are processes."""
    rows = []

    def add(what, found, text):
        middle = medians(found)
        if "pyconv" in middle:
            rows.append([what, text(middle["pyconv"]), text(middle["torch"]) if "torch" in middle else ""])

    def megabytes(value):
        return f"{value / 1e6:.0f} MB"
    accuracy = {name: [a["seconds"] for a in runs] for name, runs in data.get("accuracy", {}).items()
                if isinstance(runs, list)}
    add("from starting Python to 98% of MNIST's test images right (LeNet-5 1998)", accuracy, duration)
    for name, found in data.get("first", {}).items():
        add(f"the first training step of {NETWORKS[name].title}, from a compiled model on", found, duration)
    for name, found in data.get("memory", {}).items():
        add(f"peak memory of training {NETWORKS[name].title}", found, megabytes)
    times = data.get("import", {})
    if "numpy" in times:
        add(f"importing (NumPy alone: {duration(medians(times)['numpy'])})", times, duration)
    return rows


def about(data) -> str:
    m = data["machine"]
    lines = [f"{m['processor']}, {m['cores']} cores, {m['system']}, Python {m['python']}",
             ", ".join(f"{name} {version}" for name, version in data["versions"].items())]
    lines += [f"not installed: {name} ({error})" for name, error in data.get("absent", {}).items()]
    busy = [part for part in SECTIONS if part in data and (data["runs"][part]["load"] or 0) > 0.5]
    if busy:
        which = "all parts" if len(busy) == len(data["runs"]) else ", ".join(busy)
        lines.append(f"The machine was busy with other work when this began: {which}. These figures are unreliable.")
    return "\n".join(f"- {line}" for line in lines if line)


def protocol(data) -> str:
    """When and how each part was measured."""
    runs = {part: data["runs"][part] for part in SECTIONS if part in data}
    text = table(["part", "date", "rounds", "threads", "seconds", "load at the start"],
                 [[part, r["date"], r["rounds"], r["threads"], *("" if r[key] is None else r[key]
                                                                 for key in ("seconds", "load"))]
                  for part, r in runs.items()])
    commands = dict.fromkeys(r["command"] for r in runs.values())
    return f"{text}\n\n" + "\n".join(f"- `{command}`" for command in commands)


def instructions(data) -> str:
    """The instruction set of pyconv's kernels; "" if it has no name."""
    return next((name for variant, name in INSTRUCTIONS.items() if variant in data["versions"].get("pyconv", "")), "")


def page(data, name) -> str:
    """The page; pictures are NAME.svg and NAME_linear.svg beside it."""
    used = instructions(data)
    texts = ["# Measurements" + (f" with {used}" if used else ""), about(data), HOW, "## All at once", summary(data)]
    if ratios(data):
        texts.append(f"![Ratios of the networks]({name}.svg)")
    for part, (title, text) in SECTIONS.items():
        if part in data:
            texts += [f"## {title}", text(data)]
            if part == "linear":
                texts.append(f"![Time a sample and a pixel]({name}_linear.svg)")
    texts += ["## When and how", protocol(data)]
    return "\n\n".join(text for text in texts if text) + "\n"


def compiled(data) -> list:
    """The networks that PyTorch trained with torch.compile, too."""
    return [r["task"]["title"] for r in data.get("train", ()) if fastest(r, "torch", "compile, fused Adam")]


def readme_figures(data) -> str:
    """What stands between the marks in the README."""
    m, versions, train = data["machine"], data["versions"], data["runs"]["train"]
    rivals = " and ".join(f"{name} {version.partition('+')[0]}" for name, version in versions.items()
                          if name != "pyconv")
    used = instructions(data)
    names = compiled(data)
    every = len(names) == len(data["train"])
    ways = "channels first or last, fused Adam" + (
        f"; torch.compile for {'all' if every else ', '.join(names)}" if names else "; torch.compile was not tried")
    text = (f"Time of pyconv ÷ time of the fastest of {rivals}, on {m['cores']} cores of an {m['processor']}"
            f"{used and f' ({used})'}, {train['threads']} threads each, float32; below 1, pyconv is faster. "
            f"Best of {train['rounds']} interleaved rounds, by `python -m benchmarks`. PyTorch in its fastest "
            f"way ({ways}). Absolute figures, single layers and the details are in "
            "[docs/benchmarks.md](docs/benchmarks.md).")
    texts = [wrapped(text), ratio_table(data)]
    notes = "Batches are of 128 samples, of 32 for the 3D network."
    if any(value > 1 for column in ratios(data).values() for value in column.values()):
        notes += " Where a number is above 1, pyconv is slower."
    layers = [value for values in layer_ratios(data).values() for value in values]
    if layers:
        notes += (f" For {len(layers)} single layers and passes on one core, against PyTorch, the geometric mean is "
                  f"{geometric_mean(layers):.2f}.")
    speedups = {peer: geometric_mean(values) for peer, values in speed_ups(data).items()}
    if {"pyconv", "torch"} <= set(speedups):
        notes += (f" From one thread to {data['runs']['scaling']['threads']}, pyconv becomes "
                  f"{speedups['pyconv']:.2f} times as fast, PyTorch {speedups['torch']:.2f} times (geometric means).")
    texts.append(wrapped(notes))
    rows = whole_rows({**data, "memory": {k: v for k, v in data.get("memory", {}).items()
                                          if k in ("lenet5", "resnet20")}})
    if rows:
        texts.append(table(["whole processes, medians", "pyconv", "PyTorch"], rows))
    return "\n\n".join(texts)


def speed_ups(data) -> dict:
    """library -> how much faster its threads are than one, of each network and kind."""
    found: dict = {}
    for results in data.get("scaling", {}).values():
        for result in results:
            for peer in ("pyconv", "torch"):
                one = fastest(result, peer, threads=1)
                more = one and fastest(result, peer, one["candidate"])
                if more:
                    found.setdefault(peer, []).append(one["best"] / more["best"])
    return found


def wrapped(text, width=120) -> str:
    import textwrap
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)


def with_figures(readme, data) -> str:
    """The README's text with the figures of `data`."""
    before, begin, rest = readme.partition(BEGIN)
    mark, _, rest = rest.partition("\n")
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the README has no lines {BEGIN} ... --> and {END}.")
    return f"{before}{begin}{mark}\n{readme_figures(data)}\n{end}{after}"


# ---- files

def put(path, text):
    """A new file, then an atomic rename."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path + ".part", "w", encoding="utf-8") as f:
        f.write(text)
    os.replace(path + ".part", path)


def dumps(data) -> str:
    """JSON with a line for each result, process or part, so that changes can be read."""
    def text(value, depth):
        if depth and isinstance(value, (dict, list)) and value:
            pairs = value.items() if isinstance(value, dict) else ((None, v) for v in value)
            lines = [" " * (3 - depth) + (f"{json.dumps(k)}: " if k is not None else "") + text(v, depth - 1)
                     for k, v in pairs]
            first, last = "{}" if isinstance(value, dict) else "[]"
            return f"{first}\n" + ",\n".join(lines) + f"\n{' ' * (2 - depth)}{last}"
        return json.dumps(value, ensure_ascii=False)
    return text(data, 2) + "\n"


def merged(old, new):
    """`old` with what is new: dictionaries by key, lists of results by their task's title."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: merged(old[key], value) if key in old else value for key, value in new.items()}}
    if all(isinstance(each, list) and all(isinstance(r, dict) and "task" in r for r in each) for each in (old, new)):
        fresh = {r["task"]["title"]: r for r in new}
        return [fresh.pop(r["task"]["title"], r) for r in old] + list(fresh.values())
    return new


def write(path, data):
    """PATH.json, PATH.md, PATH.svg, PATH_linear.svg."""
    put(path + ".json", dumps(data))
    put(path + ".md", page(data, os.path.basename(path)))
    from . import plot
    plot.write(data, path)


def write_readme(data, path=README):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    put(path, with_figures(text, data))
