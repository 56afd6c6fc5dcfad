"""The parts' sections: Markdown, from what a run has kept."""

from __future__ import annotations

import math
import statistics

from .layers import CONVOLUTIONS, least_bytes
from .networks import NETWORKS
from .parts import BATCH_SIZES, MAIN, SIZES
from .shares import FAMILIES, OUTSIDE, REST
from .tables import bullets, duration, failures, fastest, medians, not_measured, ratio, table
from .whole import BATCHES

PEERS = ("onnxruntime", "torch", "keras", "jax")


def amount(task) -> int:
    """Samples of a measurement."""
    return task["steps"] * task["batch"] if task["kind"] == "train" else task["count"] if task["kind"] == "predict" \
        else 1


def micros(measurement, task, key="best") -> str:
    return f"{measurement[key] / amount(task) * 1e6:.1f}" if measurement else ""


def of_networks(kind, data) -> str:
    """One row per task and way: best and median time, and pyconv's time divided by it."""
    rows, notes = [], []
    for result in data[kind]:
        task, own = result["task"], fastest(result, "pyconv", MAIN[kind])
        ways = [m for m in result["measurements"] if m["peer"] == "pyconv"]
        ways += filter(None, (fastest(result, peer) for peer in PEERS))
        for m in ways:
            compared = own if m["peer"] != "pyconv" else None
            rows.append([task["title"], f"{m['peer']} ({m['candidate']})", micros(m, task), micros(m, task, "median"),
                         ratio(compared, m), ratio(compared, m, "median")])
        notes += notes_on(result, data["runs"][kind]["rounds"])
    unit = "µs" if kind == "one" else "µs a sample"
    text = table(["network", "library", f"best, {unit}", f"median, {unit}", "pyconv ÷ it, best", "median"], rows)
    return text + bullets(notes + (overhead(data[kind]) if kind == "one" else []))


def notes_on(result, rounds) -> list:
    title, notes = result["task"]["title"], failures(result["failed"])
    if result["rounds"] < rounds:
        notes.append(f"{title}: only {result['rounds']} rounds, as they took long")
    if result["idle_share"] > 0.02:
        notes.append(f"{title}: the waiting processes used {result['idle_share']:.0%} of a core meanwhile")
    if result.get("foreign_share", 0) > 0.1:
        notes.append(f"{title}: other programs used {result['foreign_share']:.0%} of a core meanwhile")
    return notes


def overhead(results) -> list:
    """What `predict` adds to the program and the kernels under it."""
    lines = []
    for result in results:
        parts = [fastest(result, "pyconv", name) for name in ("predict, uint8", "program", "kernels")]
        if None not in parts:
            predict, program, kernels = (m["median"] * 1e6 for m in parts)
            lines.append(f"{result['task']['title']}: predict takes {predict - kernels:.1f} µs more than its kernels, "
                         f"{predict - program:.1f} µs more than its program (medians)")
    return lines


def of_scaling(data) -> str:
    rows, threads = [], data["runs"]["scaling"]["threads"]
    for kind, what in (("train", "training"), ("predict", "predicting")):
        for result in data["scaling"].get(kind, ()):
            row = [f"{result['task']['title']}, {what}"]
            for peer in ("pyconv", "torch"):
                one = fastest(result, peer, threads=1)
                more = one and fastest(result, peer, one["candidate"])
                if peer == "pyconv":
                    row += [micros(one, result["task"]), micros(more, result["task"])]
                row += [ratio(one, more), ratio(one, more, "median")]
            rows.append(row)
    return table(["network", "pyconv, 1 thread, µs a sample", f"{threads} threads", "faster, best", "median",
                  "PyTorch, best", "median"], rows)


def of_layers(data) -> str:
    """Convolutions with the fraction of the peak, the others with that of a copy's speed."""
    top, speed = data["rates"]["flops"], data["rates"]["bytes"]
    rows, others, notes = [], [], []
    for result in data["layers"]:
        own, peer, task = fastest(result, "pyconv"), fastest(result, "torch"), result["task"]
        notes += failures(result["failed"])
        if own is None:
            continue
        row = [task["title"], f"{own['best'] * 1e3:.2f}",
               f"{peer['best'] * 1e3:.2f} ({peer['candidate']})" if peer else "", ratio(own, peer)]
        if "convolution" in task:
            layer = CONVOLUTIONS[task["convolution"]]
            flops, fewer = layer.flops, "Winograd" if layer.kernel > 1 else "by pairs"
            speeds = [m and flops / m["best"] for m in (own, peer)]
            products = own.get("products") or flops
            rows.append([*row, *(f"{s / 1e9:.0f}" if s else "" for s in speeds),
                         f"{speeds[0] / top:.0%}" if top else "",
                         (fewer if products < flops else "direct") if "products" in own else "",
                         f"{products / own['best'] / top:.0%}" if top and "products" in own else ""])
        else:
            others.append([*row, f"{least_bytes(task['title'], task['what']) / own['best'] / speed:.0%}"])
    text = []
    if rows:
        text.append(table(["convolution (batch, in, size, out, kernel)", "pyconv, ms", "PyTorch, ms", "pyconv ÷ it",
                           "pyconv, GFLOP/s", "PyTorch's", "of the peak", "algorithm", "its products, of the peak"],
                          rows))
        if top:
            text.append(f"GFLOP/s count the products of the direct algorithm; the others need fewer, so that they can "
                        f"pass the peak of {top / 1e9:.0f} GFLOP/s, measured. The last column counts the products "
                        f"that are computed; the transforms of tiles, which take a good part of the time, are no "
                        f"products.")
    if others:
        text.append(table(["layer, maps of 32 × 64 × 56 × 56", "pyconv, ms", "PyTorch, ms", "pyconv ÷ it",
                           "of a copy's speed"], others))
        text.append(f"The last column: the bytes that any algorithm must read and write, each once, over what a copy "
                    f"of the maps moves ({speed / 1e9:.1f} GB/s).")
    return "\n\n".join(text) + bullets(notes)


WHAT = {"train": "training, a sample", "predict": "predicting, a sample"}


def of_sets(data) -> str:
    rows, notes = [], []
    for name, results in data["sets"].items():
        for result in results:
            task, own = result["task"], fastest(result, f"pyconv {name}")
            peer, what = fastest(result, f"torch {name}"), WHAT.get(task["kind"])
            title = f"{task['title']}, {what}" if what else task["title"]
            notes += [f"{name}: {note}" for note in failures(result["failed"])]
            rows.append([title, name, *(duration(m["best"] / amount(task)) if m else "" for m in (own, peer)),
                         peer["candidate"] if peer else "", ratio(own, peer), ratio(own, peer, "median")])
    text = table(["network or layer", "instructions", "pyconv", "PyTorch", "its way", "pyconv ÷ it, best", "median"],
                 rows)
    return f"{text}\n\nLayers on one core, networks with {data['runs']['sets']['threads']} threads." + bullets(notes)


def line(points) -> float:
    """The exponent e of time ~ amount^e that fits best; 1 is linear. points: (amount, time)."""
    x, y = ([math.log(p[i]) for p in points] for i in (0, 1))
    middle, mean = statistics.fmean(x), statistics.fmean(y)
    return sum((a - middle) * (b - mean) for a, b in zip(x, y, strict=True)) / sum((a - middle) ** 2 for a in x)


def costs(data, along, kind, peer) -> dict:
    """batch size or image size -> best seconds a step."""
    return {r["task"][along]: m["best"] / amount(r["task"]) * r["task"]["batch"] for r in data["linear"]
            if (r["task"]["along"], r["task"]["kind"]) == (along, kind) and (m := fastest(r, peer))}


def of_linear(data) -> str:
    texts = []
    for along, values, unit, head in (("batch", BATCH_SIZES, lambda batch: batch * 1e-6, "batch of images of 32 × 32"),
                                      ("size", SIZES, lambda size: 32 * size ** 2 * 1e-9, "32 images of the size")):
        found = {(kind, peer): costs(data, along, kind, peer) for kind in ("predict", "train")
                 for peer in ("pyconv", "torch")}
        rows = [[value if along == "batch" else f"{value} × {value}",
                 *(f"{times[value] / unit(value):.2f}" if value in times else "" for times in found.values())]
                for value in values if any(value in times for times in found.values())]
        rows.append(["grows with the power", *(
            f"{line([(unit(v), t) for v, t in times.items()]):.2f}" if len(times) > 1 else ""
            for times in found.values())])
        texts.append(table([head, *(f"{'pyconv' if peer == 'pyconv' else 'PyTorch'}, "
                                    f"{'predicting' if kind == 'predict' else 'training'}, "
                                    f"{'µs a sample' if along == 'batch' else 'ns a pixel'}" for kind, peer in found)],
                           rows))
    texts.append("Three convolutions of 3×3 with 16, 32 and 32 filters, max pooling after the first two; best times. "
                 "The last row: time is proportional to this power of the batch or of the image's area; 1 is linear.")
    return "\n\n".join(texts)


def of_profile(data) -> str:
    rows, notes = [], []
    names = [*FAMILIES, REST, OUTSIDE]
    for network, passes in data["profile"].items():
        if isinstance(passes, str):
            notes.append(f"not measured: {NETWORKS[network].title}: {passes}")
            continue
        for what, found in passes.items():
            total = sum(f["milliseconds"] for f in found.values())
            row = [f"{NETWORKS[network].title}, {what}", f"{total / NETWORKS[network].batch * 1e3:.1f}"]
            for name in names:
                f = found.get(name)
                row.append(f"{f['milliseconds'] / total:.0%}" if f else "")
                if name == "convolution":
                    row.append(f"{f['gigaflop'] / f['milliseconds'] * 1e3:.0f}" if f else "")
            rows.append(row)
    text = table(["network", "µs a sample", "convolution", "its GFLOP/s", *names[1:]], rows)
    if data.get("rates", {}).get("flops"):
        text += f"\n\nA core's peak is {data['rates']['flops'] / 1e9:.0f} GFLOP/s."
    return text + bullets(notes)


def of_libraries(found, text, key=None) -> list:
    """Rows (library, best, median, ratio of the medians) of processes' values."""
    middle = medians(found)
    own = middle.get("pyconv")
    return [[name, text(min(found[name])), text(value), f"{own / value:.2f}" if own and name != "pyconv" else ""]
            for name, value in middle.items()]


def of_first(data) -> str:
    rows, notes = [], []
    for network, found in data["first"].items():
        rows += [[NETWORKS[network].title, *row] for row in of_libraries(found, duration)]
        notes += not_measured(found)
    text = table(["network", "library", "best", "median", "pyconv ÷ it"], rows)
    return (f"{text}\n\nIn a fresh process; model, optimizer and the batch are there. pyconv and Keras trace the step, "
            f"and pyconv compiles and plans it; PyTorch is eager, with channels first.") + bullets(notes)


def of_imports(data) -> str:
    times = data["import"]
    middle = medians(times)
    reference = middle.get("numpy")
    return table(["import", "median", "best", "÷ numpy"],
                 [[name, duration(m), duration(min(times[name])), f"{m / reference:.2f}" if reference else ""]
                  for name, m in middle.items()])


def of_memory(data) -> str:
    rows, notes = [], []
    for network, found in data["memory"].items():
        rows += [[NETWORKS[network].title, name, peak, compared] for name, _, peak, compared in
                 of_libraries(found, lambda value: f"{value / 1e6:.0f} MB")]
        notes += not_measured(found)
    text = table(["network", "library", "peak", "pyconv ÷ it"], rows)
    return (f"{text}\n\nThe most memory that the process ever had, Python and all libraries included: LeNet-5 1998 for "
            f"an epoch of MNIST, the others for {BATCHES} batches. PyTorch with channels first.") + bullets(notes)


def of_accuracy(data) -> str:
    found = data["accuracy"]
    times = {name: v if isinstance(v, str) else [a["seconds"] for a in v] for name, v in found.items()}
    rows = [[name, middle, ", ".join(map(duration, times[name])), ", ".join(str(a["steps"]) for a in found[name]),
             compared] for name, _, middle, compared in of_libraries(times, duration)]
    return table(["library", "median", "each seed", "steps", "pyconv ÷ it"], rows) + bullets(not_measured(found))


# part -> (title, its text from the data), in the order of the page
SECTIONS = {
    "train": ("Training a step, Adam", lambda data: of_networks("train", data)),
    "predict": ("Predicting a batch", lambda data: of_networks("predict", data)),
    "one": ("Predicting one sample", lambda data: of_networks("one", data)),
    "scaling": ("From one thread to more", of_scaling),
    "layers": ("Single layers, one core", of_layers),
    "sets": ("Older instruction sets", of_sets),
    "linear": ("Larger batches, larger images", of_linear),
    "profile": ("Where a step's time goes: pyconv, one thread", of_profile),
    "first": ("The first training step, from a compiled model on", of_first),
    "import": ("Importing (whole processes)", of_imports),
    "memory": ("Peak memory of training (whole process)", of_memory),
    "accuracy": ("From starting Python to 98% of MNIST's test images right (LeNet-5 1998)", of_accuracy),
}
