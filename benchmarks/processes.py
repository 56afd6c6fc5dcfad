"""Measures whole processes: importing, peak memory, time from starting Python to an accuracy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from .workers import ROOT

IMPORTS = {
    "python alone": "pass",
    "numpy": "import numpy",
    "pyconv": "import pyconv",
    "pyconv, a model made": "import pyconv; from pyconv import layers; "
                            "pyconv.Sequential([pyconv.Input((8,)), layers.Dense(3)])",
    "torch": "import torch",
    "onnxruntime": "import onnxruntime",
}


def _environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join([ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])}


def imports(rounds, quick, tell) -> dict:
    """name -> seconds of each process that imports it, interleaved; a first round fills the caches."""
    chosen = {name: code for name, code in IMPORTS.items() if not quick or name not in ("torch", "onnxruntime")}
    times: dict = {name: [] for name in chosen}
    for number in range(rounds + 1):
        tell(f"imports: round {number} of {rounds}")
        for name, code in chosen.items():
            if name in ("torch", "onnxruntime") and number > 5:
                continue                # they take seconds, and are there for the record only
            start = time.perf_counter()
            done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=_environment(), check=False,
                                  capture_output=True)
            if done.returncode == 0 and number:
                times[name].append(time.perf_counter() - start)
    return {name: found for name, found in times.items() if found}


def whole(library, goal, threads, seed=0) -> dict:
    """What `benchmarks.whole` tells, and "seconds" from starting Python until it told it; or {"error": text}."""
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, "-m", "benchmarks.whole", library, goal, str(threads), str(seed)], cwd=ROOT,
                          env={**_environment(), "OMP_NUM_THREADS": str(threads)}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        line = process.stdout.readline()
        seconds = time.perf_counter() - start
        errors = process.communicate()[1].strip().splitlines()
    if process.returncode or not line:
        return {"error": errors[-1] if errors else f"nothing told, status {process.returncode}"}
    return {**json.loads(line), "seconds": seconds}


def memory(libraries, rounds, threads, tell) -> dict:
    """library -> peaks in bytes, one per process, or an error."""
    found: dict = {}
    for number in range(rounds):
        for library in libraries:
            tell(f"memory: {library}, {number + 1} of {rounds}")
            answer = whole(library, "memory", threads)
            if "error" in answer:
                found[library] = answer["error"]
            else:
                found.setdefault(library, []).append(answer["bytes"])
    return found


def accuracy(libraries, seeds, threads, tell) -> dict:
    """library -> a dictionary per seed with "seconds", "steps" and "accuracy", or an error."""
    found: dict = {}
    for seed in range(seeds):
        for library in libraries:
            tell(f"time to accuracy: {library}, seed {seed}")
            answer = whole(library, "accuracy", threads, seed)
            if "error" in answer:
                found[library] = answer["error"]
            else:
                found.setdefault(library, []).append(answer)
    return found
