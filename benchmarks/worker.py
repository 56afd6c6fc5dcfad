"""A process in which one library is measured: ``python -m benchmarks.worker PEER THREADS``.

Commands come as lines of JSON on standard input, answers go as lines of JSON to what was standard output; what the
library prints goes to standard error. Between two commands the process is blocked in a read. Its library's threads
may spin for some milliseconds after a measurement, so whoever measures several workers in turn waits a moment.

Commands:

- {"do": "prepare", "task": {...}, "quick": bool} -> {"candidates": {name: facts about it}, "failed": {name: reason},
  "outputs": the network's outputs for the first images}
- {"do": "measure", "candidate": name, "threads": number or null} -> {"seconds": number} or {"best": number,
  "median": number}

The number of threads is that of the measurement, otherwise task["threads"], otherwise THREADS.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import sys
import time
import traceback


def one_run(function) -> dict:
    """Seconds of one call; a first shorter one brings code and data back into the caches."""
    function(True)
    start = time.perf_counter()
    function(False)
    return {"seconds": time.perf_counter() - start}


def many_runs(function, count) -> dict:
    """Best and median seconds of `count` calls: as the function tells them, or else from outside."""
    clock = time.perf_counter_ns
    for _ in range(count // 10):
        function()
    times = []
    for _ in range(count):
        start = clock()
        told = function()
        times.append(told * 1e9 if isinstance(told, float) else clock() - start)
    return {"best": min(times) / 1e9, "median": statistics.median(times) / 1e9}


def main():
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    name, threads = sys.argv[1], int(sys.argv[2])
    candidates, task, now = {}, None, threads
    try:
        peer = importlib.import_module(f"benchmarks.peers.{name}").Peer(threads)
        answer = {"versions": peer.versions()}
    except ImportError as error:
        answer = {"error": str(error)}
    while True:
        replies.write(json.dumps(answer) + "\n")
        replies.flush()
        line = sys.stdin.readline()
        if not line:
            return
        command = json.loads(line)
        try:
            if command["do"] == "prepare":
                candidates, task = {}, command["task"]
            wanted = command.get("threads") or task.get("threads") or threads
            if wanted != now:
                peer.set_threads(wanted)
                now = wanted
            if command["do"] == "prepare":
                candidates, failed, outputs = peer.prepare(task, command["quick"])
                answer = {"candidates": {key: getattr(f, "facts", {}) for key, f in candidates.items()},
                          "failed": failed, "outputs": outputs.tolist()}
            elif task["kind"] in ("one", "layer"):
                answer = many_runs(candidates[command["candidate"]], task["count"])
            else:
                answer = one_run(candidates[command["candidate"]])
        except Exception as error:      # the other workers go on; the report tells
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    main()
