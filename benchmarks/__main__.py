"""The command: ``python -m benchmarks [--quick] [--only PART ...] [--write docs/benchmarks]``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time

from . import layers, processes, report, workers
from .networks import NETWORKS

PARTS = ("train", "predict", "one", "layers", "import", "memory", "accuracy")


def arguments():
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure pyconv beside other libraries.")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART",
                        help=f"parts to measure, of {', '.join(PARTS)}; default all")
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS), metavar="NETWORK",
                        help=f"of {', '.join(NETWORKS)}; default all")
    parser.add_argument("--threads", type=int, default=2, help="threads of every library; default 2")
    parser.add_argument("--rounds", type=int, help="default 5, or 2 with --quick")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and candidates, no torch.compile")
    parser.add_argument("--all-peers", action="store_true", help="Keras and JAX too")
    parser.add_argument("--peers", nargs="+", metavar="PEER", help="these libraries instead, beside pyconv")
    parser.add_argument("--write", metavar="PATH", help="write PATH.md and PATH.json as well")
    parser.add_argument("--verbose", action="store_true", help="show what the libraries print")
    return parser.parse_args()


HOW = """Each figure is the time of a way of using a library; of several ways the fastest counts. "pyconv ÷ it" below 1
means that pyconv is faster. The command is `python -m benchmarks --quick --rounds 3 --write docs/benchmarks`, after
`pip install -e '.[benchmark]'` and with PYCONV_DATA_DIR set; without `--quick` it tries `torch.compile` too. The
processes of all libraries take turns, and only one computes at a time."""


def tell(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def tasks_of(kind, options):
    for name in options.networks:
        network = NETWORKS[name]
        task = {"kind": kind, "network": name, "title": network.title}
        if kind == "train":
            yield {**task, "batch": network.batch, "steps": -(-network.steps // (2 if options.quick else 1))}
        else:
            count = network.images if kind == "predict" else network.ones
            yield {**task, "count": count // 4 if options.quick and kind == "one" else count}


UNITS = {"train": ("µs a sample",
                   lambda t, task: f"{t / task['steps'] / task['batch'] * 1e6:.1f}"),
         "predict": ("µs a sample", lambda t, task: f"{t / task['count'] * 1e6:.1f}"),
         "one": ("µs", lambda t, task: f"{t * 1e6:.1f}")}
TITLES = {"train": "Training a step, Adam", "predict": "Predicting a batch", "one": "Predicting one sample"}


def overhead(results) -> str:
    """What `predict` adds to the program and the kernels under it."""
    lines = ""
    for result in results:
        parts = [result.of("pyconv", name) for name in ("predict, uint8", "program", "kernels")]
        if None not in parts:
            predict, program, kernels = (m.median * 1e6 for m in parts)
            lines += (f"\n- {result.task['title']}: predict takes {predict - kernels:.1f} µs more than its kernels, "
                      f"{predict - program:.1f} µs more than its program (medians)")
    return lines


def measured(options, staff, sections, data):
    """The parts that run in workers."""
    names = [w.name for w in staff]
    for kind in ("train", "predict", "one"):
        if kind not in options.only:
            continue
        able = [w for w in staff if not (kind == "train" and w.name == "onnxruntime")]
        results = [workers.run(task, able, options.rounds, options.quick, tell) for task in tasks_of(kind, options)]
        text = report.of_tasks(kind, results, names, UNITS[kind], options.rounds)
        if kind == "one":
            text += "\n" + overhead(results)
        sections(TITLES[kind], text)
        data[kind] = [r.as_dict() for r in results]


def main():
    options = arguments()
    options.rounds = options.rounds or (2 if options.quick else 5)
    peers = options.peers or ["torch", "onnxruntime"] + (["keras", "jax"] if options.all_peers else [])
    start, written = time.perf_counter(), []
    data = {"machine": report.machine(), "threads": options.threads, "rounds": options.rounds, "quick": options.quick}

    def sections(title, text):
        tell("")
        written.append(f"## {title}\n\n{text}\n")
        print(f"\n{written[-1]}", flush=True)

    versions, absent = {}, {}
    if {"train", "predict", "one"} & set(options.only):
        staff = [workers.Worker(name, options.threads, options.verbose) for name in ["pyconv", *peers]]
        try:
            absent = {w.name: w.error for w in staff if w.error}
            if "pyconv" in absent:
                raise SystemExit(f"pyconv cannot be loaded: {absent['pyconv']}")
            for worker in staff:
                versions.update(worker.versions)
            measured(options, [w for w in staff if not w.error], sections, data)
        finally:
            for worker in staff:
                worker.close()
    if "layers" in options.only:
        staff = [workers.Worker(name, 1, options.verbose) for name in ("pyconv", "torch")]
        staff, everyone = [w for w in staff if not w.error], staff
        try:
            results = [workers.run(task, staff, min(options.rounds, 3), options.quick, tell)
                       for task in layers.tasks(options.quick)]
        finally:
            for worker in everyone:
                worker.close()
        sections("Single layers, one core", layers.report(results, report.table))
        data["layers"] = [r.as_dict() for r in results]
    libraries = ["pyconv", *(p for p in peers if p in ("torch", "keras") and p not in absent)]
    if "import" in options.only:
        data["import"] = processes.imports(7 if options.quick else 20, options.quick, tell)
        sections("Importing (whole processes)", report.of_imports(data["import"]))
    if "memory" in options.only:
        data["memory"] = processes.memory(libraries, 1 if options.quick else 2, options.threads, tell)
        sections("Peak memory of training LeNet-5 1998 for an epoch (whole process)",
                 report.of_memory(data["memory"]))
    if "accuracy" in options.only:
        data["accuracy"] = processes.accuracy(libraries, 1 if options.quick else 3, options.threads, tell)
        sections("From starting Python to 98% of MNIST's test images right (LeNet-5 1998)",
                 report.of_accuracy(data["accuracy"]))
    data.update(versions=versions, seconds=round(time.perf_counter() - start, 1), load_at_the_end=report.load())
    about = about_run(data, absent)
    print(about)
    if options.write:
        picture = f"![Ratios of the networks]({os.path.basename(options.write)}.svg)"
        write(options.write, "\n\n".join(["# Measurements", about, HOW, picture, "\n".join(written)]), data)


def about_run(data, absent) -> str:
    m = data["machine"]
    lines = [f"- {m['processor']}, {m['cores']} cores, {m['system']}, Python {m['python']}; {data['threads']} threads "
             f"each; best and median of {data['rounds']} interleaved rounds; {time.strftime('%Y-%m-%d')}",
             "- " + ", ".join(f"{name} {version}" for name, version in data["versions"].items())]
    lines += [f"- not installed: {name} ({error})" for name, error in absent.items()]
    if (m["load"] or 0) > 0.5:
        lines.append(f"- The machine was busy with other work when this began (load {m['load']}): "
                     "the figures are unreliable.")
    return "\n".join(line for line in lines if line != "- ")


def write(path, text, data):
    folder = os.path.dirname(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    for name, content in ((".md", text.rstrip() + "\n"), (".json", json.dumps(data, indent=1) + "\n")):
        with open(path + name + ".part", "w", encoding="utf-8") as f:
            f.write(content)
        os.replace(path + name + ".part", path + name)
    try:
        from .plot import draw
        draw(data, path + ".svg")
    except ImportError:
        print(f"matplotlib is not installed: there is no {path}.svg", file=sys.stderr)


if __name__ == "__main__":
    main()
