"""The parts of the benchmark: each a function that measures, and gives what is kept in the file."""

from __future__ import annotations

from pyconv.backends.cpu.variants import available

from . import layers, processes, workers
from .networks import NETWORKS

# What pyconv's user calls.
MAIN = {"train": "fit", "predict": "predict", "one": "predict, uint8"}
# What is measured with one thread, too: these libraries can change their number of threads.
SCALED = {"train": {"pyconv": MAIN["train"], "torch": None}, "predict": {"pyconv": MAIN["predict"], "torch": None}}

# Instruction sets: pyconv's variants, of which the best counts, and what holds PyTorch, oneDNN and MKL to the same.
SETS = {
    "AVX2": (("zen3", "v3"), [("ATEN_CPU_CAPABILITY", "avx2"), ("ONEDNN_MAX_CPU_ISA", "AVX2"),
                              ("MKL_ENABLE_INSTRUCTIONS", "AVX2")]),
    "SSE4": (("v2",), [("ATEN_CPU_CAPABILITY", "default"), ("ONEDNN_MAX_CPU_ISA", "SSE41"),
                        ("MKL_ENABLE_INSTRUCTIONS", "SSE4_2")]),
}
IN_SETS = (("train", "predict"), ("lenet5", "resnet20"), (0, 1))      # kinds, networks, convolutions

BATCH_SIZES, SIZES, PIXELS = (16, 32, 64, 128, 256, 512, 1024), (32, 64, 128, 256), 1 << 21
FIRST = ("lenet5", "resnet20")


class Bench:
    """One run: the options, the staff, and what one part leaves for another."""

    def __init__(self, options, staff, peers, tell):
        self.options, self.staff, self.tell = options, staff, tell
        self.libraries = ["pyconv", *peers]
        self.scaled: dict = {}

    @property
    def in_processes(self):
        """The libraries that `benchmarks.whole` knows."""
        return [name for name in self.libraries if name in ("pyconv", "torch", "keras")]

    def run(self, task, roles, rounds=None, single=None):
        options = self.options
        return workers.run(task, self.staff.of(roles), min(rounds or options.rounds, options.rounds), options.quick,
                           self.tell, single)

    def wanted(self, tasks):
        return [task for task in tasks if self.options.match in task["title"]]


def network_tasks(kind, options):
    for name in options.networks:
        network = NETWORKS[name]
        task = {"kind": kind, "network": name, "title": network.title}
        if kind == "train":
            yield {**task, "batch": network.batch, "steps": -(-network.steps // (2 if options.quick else 1)),
                   "compile": name in options.compile}
        else:
            count = network.images if kind == "predict" else network.ones
            yield {**task, "count": count // 4 if options.quick and kind == "one" else count,
                   "compile": not options.quick}


def of_networks(bench, kind) -> list:
    options = bench.options
    able = bench.libraries if kind in options.only else ["pyconv", "torch"]
    able = [name for name in able if not (kind == "train" and name == "onnxruntime")]
    single = SCALED.get(kind) if "scaling" in options.only else None
    results = [bench.run(task, able, single=single) for task in bench.wanted(network_tasks(kind, options))]
    if single:
        bench.scaled[kind] = [r.as_dict(both_numbers_of_threads(r)) for r in results]
    return [r.as_dict() for r in results]


def both_numbers_of_threads(result) -> list:
    alone = [m for m in result.measurements if m.threads and m.best_times]
    return [m for one in alone for m in (result.of(one.worker.name, one.candidate), one)]


def scaling(bench) -> dict:
    """kind -> results; taken from the parts "train" and "predict" of the same run if they are measured."""
    for kind in SCALED:
        if kind not in bench.scaled:
            of_networks(bench, kind)
    return bench.scaled


def single_layers(bench) -> list:
    return [bench.run({**task, "threads": 1}, ["pyconv", "torch"], 3).as_dict()
            for task in bench.wanted(layers.tasks(bench.options.quick))]


def set_tasks(options):
    kinds, names, convolutions = IN_SETS
    for kind in kinds:
        for task in network_tasks(kind, options):
            if task["network"] in names:
                yield {**task, "compile": False, **({"count": task["count"] // 2} if kind == "predict" else {})}
    for task in layers.tasks(options.quick):
        if task.get("convolution") in convolutions:
            yield {**task, "threads": 1}


def instruction_sets(bench) -> dict:
    """set -> results, of pyconv and PyTorch held to it."""
    found = {}
    for name, (own, peer) in SETS.items():
        own = [("PYCONV_CPU_VARIANT", next((v for v in available() if v in own), own[-1]))]
        roles = [workers.Role("pyconv", f"pyconv {name}", tuple(own)), workers.Role("torch", f"torch {name}",
                                                                                     tuple(peer))]
        found[name] = [bench.run(task, roles, 2).as_dict() for task in bench.wanted(set_tasks(bench.options))]
        bench.staff.dismiss(roles)
    return found


def linear_tasks():
    """Training and prediction of so many pixels each, in batches of several sizes, of images of several sizes."""
    for along, pairs in (("batch", [(batch, 32) for batch in BATCH_SIZES]), ("size", [(32, size) for size in SIZES])):
        for batch, size in pairs:
            samples = max(batch, PIXELS // size ** 2)
            title = f"batches of {batch} images of {size} × {size}"
            task = {"network": "three_layers", "along": along, "batch": batch, "size": size}
            yield {**task, "kind": "train", "title": f"{title}: training", "steps": samples // batch}
            yield {**task, "kind": "predict", "title": f"{title}: predicting", "count": samples}


def linear(bench) -> list:
    return [bench.run(task, ["pyconv", "torch"], 3).as_dict() for task in bench.wanted(linear_tasks())]


def profiles(bench) -> dict:
    """network -> "training" and "inference" -> family of layers -> what it takes."""
    found = {}
    for name in bench.options.networks:
        answer = processes.repeated("profile", dict, name, ["pyconv"], 1, 1, bench.tell)["pyconv"]
        found[name] = answer if isinstance(answer, str) else {key: answer[0][key] for key in ("training", "inference")}
    return found


def first_step(bench) -> dict:
    rounds, others = (5, 3) if bench.options.quick else (15, 7)
    return {name: processes.repeated("first", lambda a: a["first"], name, bench.in_processes, rounds,
                                     bench.options.threads, bench.tell, others)
            for name in FIRST if name in bench.options.networks}


def imports(bench) -> dict:
    return processes.imports(*((7, 2) if bench.options.quick else (20, 5)), bench.tell)


def memory(bench) -> dict:
    return {name: processes.repeated("memory", lambda a: a["bytes"], name, bench.in_processes,
                                     1 if bench.options.quick else 2, bench.options.threads, bench.tell)
            for name in bench.options.networks}


def accuracy(bench) -> dict:
    return processes.repeated("accuracy", dict, "lenet5", bench.in_processes, bench.options.seeds,
                              bench.options.threads, bench.tell)


PARTS = {"train": lambda bench: of_networks(bench, "train"),
         "predict": lambda bench: of_networks(bench, "predict"),
         "one": lambda bench: of_networks(bench, "one"),
         "scaling": scaling, "layers": single_layers, "sets": instruction_sets, "linear": linear, "profile": profiles,
         "first": first_step, "import": imports, "memory": memory, "accuracy": accuracy}
WITH_WORKERS = {"train", "predict", "one", "scaling", "layers", "sets", "linear"}
