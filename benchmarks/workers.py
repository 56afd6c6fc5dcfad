"""Runs the workers: one measurement at a time, the others asleep, in rounds."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from typing import NamedTuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# After a measurement the library's idle threads may spin for some milliseconds before they sleep.
SETTLE = 0.05
# Ways of using a library that take this much longer than its best one in the first round are not measured again.
HOPELESS = 1.3
# A task gets no further round after this many seconds of measuring, so that a busy machine cannot hold up the run.
ENOUGH = 45


class Role(NamedTuple):
    """What a worker is: a library, the name that tables have for it, and environment variables that are set for it."""

    library: str
    name: str
    settings: tuple = ()        # of pairs


class Worker:
    """A library in a process of its own."""

    def __init__(self, role, threads, verbose=False):
        self.library, self.name = role.library, role.name
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(
            [ROOT, *filter(None, [os.environ.get("PYTHONPATH")])])}
        environment.pop("OMP_WAIT_POLICY", None)        # every library in its defaults
        if role.library == "torch":
            environment.setdefault("TORCHINDUCTOR_FREEZING", "1")      # torch.compile at its best for inference
        environment.update(role.settings)
        self.process = subprocess.Popen([sys.executable, "-m", "benchmarks.worker", role.library, str(threads)],
                                        cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, stderr=None if verbose else subprocess.DEVNULL)
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
        self.process.stdout.close()


class Staff:
    """The workers of a run: each is started when it is first asked for; leaving the context ends them all.

    versions: what those that were started have told. absent: name -> why it could not be started.
    """

    def __init__(self, threads, verbose=False):
        self.threads, self.verbose = threads, verbose
        self.versions, self.absent, self._workers = {}, {}, {}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()

    def of(self, roles) -> list[Worker]:
        """The workers of these roles (a library's name is one, too), without those that cannot be started."""
        found = []
        for role in roles:
            role = role if isinstance(role, Role) else Role(role, role)
            if role.name in self.absent:
                continue
            if role.name not in self._workers:
                worker = Worker(role, self.threads, self.verbose)
                if worker.error:
                    worker.close()
                    self.absent[role.name] = worker.error
                    continue
                self._workers[role.name] = worker
                if not role.settings:
                    self.versions.update(worker.versions)
            found.append(self._workers[role.name])
        return found

    def dismiss(self, roles):
        """End the workers of these roles."""
        for role in roles:
            worker = self._workers.pop(role.name, None)
            if worker:
                worker.close()


class Measurement:
    """All times of one way of using one library in one task. threads: None is the run's number."""

    def __init__(self, worker, candidate, facts, threads=None):
        self.worker, self.candidate, self.facts, self.threads = worker, candidate, facts, threads
        self.best_times, self.medians = [], []

    def add(self, answer):
        self.best_times.append(answer.get("best", answer.get("seconds")))
        self.medians.append(answer.get("median", answer.get("seconds")))

    @property
    def best(self):
        return min(self.best_times)

    def as_dict(self):
        told = {"peer": self.worker.name, "candidate": self.candidate, "best": self.best,
                "median": statistics.median(self.medians), "each": self.medians}
        return {**told, **({"threads": self.threads} if self.threads else {}), **self.facts}


class Result:
    """What came out of a task."""

    def __init__(self, task):
        self.task, self.measurements, self.failed = task, [], {}
        self.rounds = 0
        self.idle_share = 0.0           # of one core, by workers that were not being measured
        self.foreign_share = 0.0        # of one core, by programs that do not belong to the run

    def of(self, name, candidate=None, threads=None):
        """The fastest measurement of a worker, or that of one of its candidates; None if there is none."""
        found = [m for m in self.measurements if m.worker.name == name and m.best_times
                 and candidate in (None, m.candidate) and m.threads == threads]
        return min(found, key=lambda m: m.best, default=None)

    def as_dict(self, chosen=None):
        """For the file; chosen: the measurements, otherwise those with the run's number of threads."""
        if chosen is None:
            chosen = [m for m in self.measurements if m.best_times and m.threads is None]
        return {"task": self.task, "failed": self.failed, "rounds": self.rounds,
                "idle_share": round(self.idle_share, 4), "foreign_share": round(self.foreign_share, 4),
                "measurements": [m.as_dict() for m in chosen]}


def computed() -> float:
    """Seconds that the machine's processors have worked so far for any program, or 0 where the system does not tell."""
    try:
        with open("/proc/stat") as f:
            user, nice, system, _, _, interrupts, soft, stolen, *_ = map(int, f.readline().split()[1:])
    except (OSError, ValueError):
        return 0.0
    return (user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK")


class Rounds:
    """Measures the candidates of one task in turn, and keeps account of who else computed meanwhile."""

    def __init__(self, result, workers, tell):
        self.result, self.workers, self.tell = result, workers, tell
        self.idle = self.foreign = self.busy = 0.0

    def measure(self, measurement):
        worker, name = measurement.worker, f"{measurement.worker.name}, {measurement.candidate}"
        self.tell(f"{self.result.task['title']}: round {self.result.rounds + 1}, {name}")
        time.sleep(SETTLE)
        others = [w for w in self.workers if w is not worker]
        everyone, own = computed(), worker.cpu_seconds() + time.process_time()
        before, start = sum(w.cpu_seconds() for w in others), time.perf_counter()
        answer = worker.ask(do="measure", candidate=measurement.candidate, threads=measurement.threads)
        self.busy += time.perf_counter() - start
        idle = sum(w.cpu_seconds() for w in others) - before
        self.idle += idle
        self.foreign += computed() - everyone - (worker.cpu_seconds() + time.process_time() - own) - idle
        if "error" in answer:
            self.result.failed[name] = answer["error"]
        else:
            measurement.add(answer)

    def end(self):
        if self.busy:
            self.result.idle_share = self.idle / self.busy
            self.result.foreign_share = max(0.0, self.foreign / self.busy)


def run(task, workers, rounds, quick, tell, single=None) -> Result:
    """Measure a task with all workers, a round after the other.

    single: library -> a candidate (None: its fastest) that is measured with one thread, too.
    """
    result, outputs = Result(task), {}
    for worker in workers:
        tell(f"{task['title']}: preparing {worker.name}")
        answer = worker.ask(do="prepare", task=task, quick=quick)
        if "error" in answer:
            result.failed[worker.name] = answer["error"]
            continue
        result.failed.update({f"{worker.name}: {name}": reason for name, reason in answer["failed"].items()})
        outputs[worker.name] = answer["outputs"]
        result.measurements += [Measurement(worker, name, facts) for name, facts in answer["candidates"].items()]
    compare(outputs)
    active, turns = list(result.measurements), Rounds(result, workers, tell)
    for number in range(rounds):
        if turns.busy > ENOUGH:
            break
        # Each round starts elsewhere, so that none always follows the same other.
        at = number * len(active) // rounds
        for measurement in active[at:] + active[:at]:
            turns.measure(measurement)
        if number == 0:
            active = [m for m in active if m.best_times and (
                m.worker.library == "pyconv" or m.best <= HOPELESS * result.of(m.worker.name).best)]
            chosen = [result.of(w.name, single[w.library]) for w in workers if w.library in (single or {})]
            alone = [Measurement(m.worker, m.candidate, m.facts, 1) for m in chosen if m]
            for measurement in alone:
                turns.measure(measurement)
            active += [m for m in alone if m.best_times]
            result.measurements += alone
        result.rounds += 1
    turns.end()
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
