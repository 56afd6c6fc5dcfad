"""Runs the workers: one measurement at a time, the others asleep, in rounds."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# After a measurement the library's idle threads may spin for some milliseconds before they sleep.
SETTLE = 0.05
# Ways of using a library that take this much longer than its best one in the first round are not measured again.
HOPELESS = 1.3
# A task gets no further round after this many seconds of measuring, so that a busy machine cannot hold up the run.
ENOUGH = 45


class Worker:
    """A library in a process of its own."""

    def __init__(self, name, threads, verbose=False):
        self.name, self.verbose = name, verbose
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(
            [ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])}
        environment.pop("OMP_WAIT_POLICY", None)        # every library in its defaults
        if name == "torch":
            environment.setdefault("TORCHINDUCTOR_FREEZING", "1")      # torch.compile at its best for inference
        self.process = subprocess.Popen([sys.executable, "-m", "benchmarks.worker", name, str(threads)], cwd=ROOT,
                                        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        stderr=None if verbose else subprocess.DEVNULL)
        answer = self._receive()
        self.versions, self.error = answer.get("versions", {}), answer.get("error")

    def _receive(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            return {"error": f"the process ended with status {code}"}
        return json.loads(line)

    def ask(self, **command) -> dict:
        if self.process.poll() is not None:
            return {"error": f"the process ended with status {self.process.returncode}"}
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return self._receive()

    def cpu_seconds(self) -> float:
        """What the process has computed so far, or 0 where the system does not tell."""
        try:
            with open(f"/proc/{self.process.pid}/stat") as f:
                fields = f.read().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Measurement:
    """All times of one way of using one library in one task."""

    def __init__(self, peer, candidate):
        self.peer, self.candidate = peer, candidate
        self.best_times, self.medians = [], []

    def add(self, answer):
        self.best_times.append(answer.get("best", answer.get("seconds")))
        self.medians.append(answer.get("median", answer.get("seconds")))

    @property
    def best(self):
        return min(self.best_times)

    @property
    def median(self):
        return statistics.median(self.medians)


class Result:
    """What came out of a task."""

    def __init__(self, task):
        self.task, self.measurements, self.failed = task, [], {}
        self.rounds = 0
        self.idle_share = 0.0           # of one core, by workers that were not being measured

    def of(self, peer, candidate=None):
        """The fastest measurement of a library, or that of one of its candidates; None if there is none."""
        found = [m for m in self.measurements if m.peer == peer and m.best_times and candidate in (None, m.candidate)]
        return min(found, key=lambda m: m.best, default=None)

    def as_dict(self):
        return {"task": self.task, "failed": self.failed, "rounds": self.rounds,
                "idle_share": round(self.idle_share, 4),
                "measurements": [{"peer": m.peer, "candidate": m.candidate, "best": m.best, "median": m.median,
                                  "each": m.medians} for m in self.measurements if m.best_times]}


def run(task, workers, rounds, quick, tell) -> Result:
    """Measure a task with all workers, a round after the other."""
    result, outputs = Result(task), {}
    for worker in workers:
        tell(f"{task['title']}: preparing {worker.name}")
        answer = worker.ask(do="prepare", task=task, quick=quick)
        if "error" in answer:
            result.failed[worker.name] = answer["error"]
            continue
        result.failed.update({f"{worker.name}: {name}": reason for name, reason in answer["failed"].items()})
        outputs[worker.name] = answer["outputs"]
        result.measurements += [Measurement(worker.name, candidate) for candidate in answer["candidates"]]
    compare(outputs)
    by_name, active = {w.name: w for w in workers}, list(result.measurements)
    idle = busy = 0.0
    for number in range(rounds):
        if busy > ENOUGH:
            break
        # Each round starts elsewhere, so that none always follows the same other.
        at = number * len(active) // rounds
        for measurement in active[at:] + active[:at]:
            tell(f"{task['title']}: round {number + 1} of {rounds}, {measurement.peer}, {measurement.candidate}")
            time.sleep(SETTLE)
            others = [w for w in workers if w.name != measurement.peer]
            before, start = sum(w.cpu_seconds() for w in others), time.perf_counter()
            answer = by_name[measurement.peer].ask(do="measure", candidate=measurement.candidate)
            busy += time.perf_counter() - start
            idle += sum(w.cpu_seconds() for w in others) - before
            if "error" in answer:
                result.failed[f"{measurement.peer}: {measurement.candidate}"] = answer["error"]
            else:
                measurement.add(answer)
        result.rounds += 1
        if number == 0:
            active = [m for m in active if m.best_times and (
                m.peer == "pyconv" or m.best <= HOPELESS * result.of(m.peer).best)]
    result.idle_share = idle / busy if busy else 0.0
    return result


def compare(outputs: dict):
    """All libraries must have computed the same network.

    Raises
    ------
    RuntimeError
        If the outputs of two differ by more than float32's rounding explains.
    """
    names = list(outputs)
    for name in names[1:]:
        for row, other in zip(outputs[names[0]], outputs[name], strict=True):
            scale = max(map(abs, row))
            if any(abs(a - b) > 1e-3 * scale for a, b in zip(row, other, strict=True)):
                raise RuntimeError(f"{names[0]} and {name} do not compute the same network: {row} and {other}.")
