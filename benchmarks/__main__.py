"""The command: ``python -m benchmarks [--quick] [--only PART ...] [--write docs/benchmarks]``."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time

from . import layers, page, tables
from .networks import NETWORKS
from .parts import PARTS, WITH_WORKERS, Bench
from .report import SECTIONS
from .workers import Staff


def arguments(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure pyconv beside other libraries.")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART",
                        help=f"parts to measure, of {', '.join(PARTS)}; default all")
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS), metavar="NETWORK",
                        help=f"of {', '.join(NETWORKS)}; default all")
    parser.add_argument("--match", default="", metavar="TEXT",
                        help="only networks, layers and sizes whose titles contain it")
    parser.add_argument("--threads", type=int, default=2, help="threads of every library; default 2")
    parser.add_argument("--rounds", type=int, help="default 5, or 2 with --quick")
    parser.add_argument("--seeds", type=int, help="trainings to an accuracy; default 3, or 1 with --quick")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and candidates, no torch.compile")
    parser.add_argument("--compile", nargs="+", choices=[*NETWORKS, "all", "none"], metavar="NETWORK",
                        help="train these with torch.compile, too (needs g++; up to a minute each); all or none: the "
                             "networks together; default all, or none with --quick")
    parser.add_argument("--all-peers", action="store_true", help="Keras and JAX too")
    parser.add_argument("--peers", nargs="*", metavar="PEER",
                        help="these libraries instead, beside pyconv: torch, onnxruntime, keras, jax; none: pyconv "
                             "alone")
    parser.add_argument("--write", metavar="PATH", help="write PATH.md, PATH.json and PATH.svg as well")
    parser.add_argument("--keep", action="store_true",
                        help="leave in PATH.json what is not measured now; it must be of the same machine")
    parser.add_argument("--render", metavar="PATH", help="measure nothing: write PATH.md and pictures from PATH.json")
    parser.add_argument("--readme", action="store_true", help="write the README's figures from PATH.json, too")
    parser.add_argument("--verbose", action="store_true", help="show what the libraries print")
    options = parser.parse_args(argv)
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.seeds = options.seeds or (1 if options.quick else 3)
    chosen = options.compile or (["none"] if options.quick else ["all"])
    options.compile = [] if "none" in chosen else list(NETWORKS) if "all" in chosen else chosen
    if options.readme and not (options.write or options.render):
        parser.error("--readme takes its figures from the file that --write or --render names")
    return options


def tell(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def read(path) -> dict:
    with open(path + ".json", encoding="utf-8") as f:
        return json.load(f)


def kept(options, machine) -> dict:
    """What is in the file already, if it is to stay."""
    if not (options.write and options.keep and os.path.exists(options.write + ".json")):
        return {}
    old = read(options.write)
    if any(old["machine"][key] != machine[key] for key in ("processor", "cores")):
        raise SystemExit(f"{options.write}.json is of another machine ({old['machine']['processor']}, "
                         f"{old['machine']['cores']} cores): its figures cannot stand beside new ones.")
    return old


def rounds(found, asked) -> int:
    """The most rounds of a result among what was found; parts that are whole processes have none."""
    if isinstance(found, dict):
        found = [result for value in found.values() if isinstance(value, list) for result in value]
    return max((r["rounds"] for r in found if isinstance(r, dict) and "rounds" in r), default=asked)


def measure(options, peers) -> dict:
    """Measures, prints and keeps part after part."""
    machine = tables.machine()
    data = page.merged(kept(options, machine), {"machine": machine, "versions": {}, "absent": {}, "runs": {}})
    load, command = tables.load(), shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
    with Staff(options.threads, options.verbose) as staff:
        bench = Bench(options, staff, peers, tell)
        if WITH_WORKERS & set(options.only) and not staff.of(["pyconv"]):
            raise SystemExit(f"pyconv cannot be loaded: {staff.absent['pyconv']}")
        if {"layers", "profile"} & set(options.only):
            data["rates"] = layers.rates()
        for part in filter(options.only.__contains__, PARTS):
            start = time.perf_counter()
            found = PARTS[part](bench)
            run = {"date": time.strftime("%Y-%m-%d %H:%M"), "rounds": rounds(found, options.rounds),
                   "threads": options.threads, "quick": options.quick,
                   "seconds": round(time.perf_counter() - start, 1), "load": load, "command": command}
            fresh = {"versions": staff.versions, "absent": staff.absent, part: found, "runs": {part: run}}
            data = page.merged(data, fresh)
            if options.write:           # a run that is ended early has kept what it has
                page.put(options.write + ".json", page.dumps(data))
            tell("")
            title, text = SECTIONS[part]
            print(f"\n## {title}\n\n{text(data)}\n", flush=True)
    return data


def main(argv=None):
    options = arguments(argv)
    if options.render:
        data = read(options.render)
    else:
        peers = ["torch", "onnxruntime"] + (["keras", "jax"] if options.all_peers else [])
        data = measure(options, peers if options.peers is None else options.peers)
        print(f"{page.about(data)}\n\n{page.summary(data)}")
    if options.write or options.render:
        page.write(options.write or options.render, data)
    if options.readme:
        page.write_readme(data)


if __name__ == "__main__":
    main()
