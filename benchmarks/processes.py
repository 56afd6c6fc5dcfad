"""Measures whole processes: importing, peak memory, the first step, time from starting Python to an accuracy."""

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
SLOW = ("torch", "onnxruntime")         # they take seconds, and are there for the record only


def _environment():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)        # an installed package has its bytecode
    return environment


def imports(rounds, of_slow, tell) -> dict:
    """name -> seconds of each process that imports it, interleaved; a first round fills the caches."""
    times: dict = {name: [] for name in IMPORTS}
    for number in range(rounds + 1):
        tell(f"imports: round {number} of {rounds}")
        for name, code in IMPORTS.items():
            if name in SLOW and number > of_slow:
                continue
            start = time.perf_counter()
            done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=_environment(), check=False,
                                  capture_output=True)
            if done.returncode == 0 and number:
                times[name].append(time.perf_counter() - start)
    return {name: found for name, found in times.items() if found}


def whole(library, goal, threads, seed=0, network="lenet5") -> dict:
    """What `benchmarks.whole` tells, and "seconds" from starting Python until it told it; or {"error": text}."""
    command = [sys.executable, "-m", "benchmarks.whole", library, goal, str(threads), str(seed), network]
    start = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, env={**_environment(), "OMP_NUM_THREADS": str(threads)}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        line = process.stdout.readline()
        seconds = time.perf_counter() - start
        errors = process.communicate()[1].strip().splitlines()
    if process.returncode or not line:
        return {"error": errors[-1] if errors else f"nothing told, status {process.returncode}"}
    return {**json.loads(line), "seconds": seconds}


def repeated(goal, read, network, libraries, rounds, threads, tell, of_others=None) -> dict:
    """library -> what `read` takes from the answer of each process, or an error; the libraries take turns.

    The number of the round is the seed. of_others: rounds of the libraries that are not pyconv, if fewer.
    """
    found: dict = {}
    for number in range(rounds):
        for library in libraries:
            if isinstance(found.get(library), str) or library != "pyconv" and number >= (of_others or rounds):
                continue
            tell(f"{goal}: {network}, {library}, {number + 1} of {rounds}")
            answer = whole(library, goal, threads, number, network)
            if "error" in answer:
                found[library] = answer["error"]
            else:
                found.setdefault(library, []).append(read(answer))
    return found
