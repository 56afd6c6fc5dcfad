"""How a run measures: rounds, candidates, numbers of threads, libraries that are missing. Times are never judged."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import parts, processes, workers
from benchmarks.networks import NETWORKS, THREE_LAYERS, after, draw_images, draw_weights, network_of, walk


class Fake:
    """A worker that takes the seconds that it is told to, in no time."""

    def __init__(self, library, times, failing=()):
        self.library = self.name = library
        self.times, self.failing, self.asked = times, failing, []

    def cpu_seconds(self):
        return 0.0

    def ask(self, do, **command):
        if do == "prepare":
            return {"candidates": {name: {} for name in self.times}, "failed": {"other": "why"}, "outputs": [[1.0]]}
        self.asked.append((command["candidate"], command["threads"]))
        if command["candidate"] in self.failing:
            return {"error": "out of order"}
        return {"seconds": self.times[command["candidate"]] * (2 if command["threads"] == 1 else 1)}


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(workers, "SETTLE", 0)


def run(*fakes, rounds=3, **options):
    return workers.run({"kind": "train", "title": "t"}, fakes, rounds, True, lambda text: None, **options)


def test_slow_ways_are_measured_once_and_pyconv_always():
    own, peer = Fake("pyconv", {"fit": 2.0, "step": 1.0}), Fake("torch", {"a": 1.0, "b": 1.2, "c": 1.4})
    result = run(own, peer)
    assert [own.asked.count((name, None)) for name in ("fit", "step")] == [3, 3]
    assert [peer.asked.count((name, None)) for name in "abc"] == [3, 3, 1]
    assert result.of("torch").candidate == "a" and result.of("pyconv", "fit").best == 2.0 and result.rounds == 3
    assert result.failed == {"pyconv: other": "why", "torch: other": "why"}


def test_fastest_way_is_measured_with_one_thread_too():
    own, peer = Fake("pyconv", {"fit": 2.0, "step": 1.0}), Fake("torch", {"a": 1.0, "b": 1.2})
    result = run(own, peer, single={"pyconv": "fit", "torch": None})
    assert [name for name, threads in own.asked if threads == 1] == ["fit"] * 3
    assert [name for name, threads in peer.asked if threads == 1] == ["a"] * 3
    assert result.of("torch").best == 1.0 and result.of("torch", threads=1).best == 2.0
    assert {m["candidate"] for m in result.as_dict()["measurements"]} == {"fit", "step", "a", "b"}
    both = result.as_dict(parts.both_numbers_of_threads(result))["measurements"]
    assert [(m["peer"], m.get("threads"), m["best"]) for m in both] == [
        ("pyconv", None, 2.0), ("pyconv", 1, 4.0), ("torch", None, 1.0), ("torch", 1, 2.0)]


def test_failing_candidates_are_told():
    result = run(Fake("pyconv", {"fit": 1.0}), Fake("torch", {"a": 1.0, "b": 1.0}, failing="b"))
    assert result.failed["torch, b"] == "out of order" and result.of("torch", "b") is None
    assert json.loads(json.dumps(result.as_dict()))["measurements"]


def test_different_networks_are_refused():
    with pytest.raises(RuntimeError, match="do not compute the same network"):
        workers.compare({"pyconv": [[1.0, 2.0]], "torch": [[1.0, 2.1]]})


def test_computed_counts_work():
    before, start = workers.computed(), time.process_time()
    if not before:
        pytest.skip("this system does not tell")
    while time.process_time() - start < 0.1:
        pass
    assert workers.computed() - before >= 0.08


# ---- the command

def test_command_measures_and_writes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(parts, "NETWORKS", {"lenet5": NETWORKS["lenet5"]._replace(steps=2, images=40, ones=8)})
    monkeypatch.setattr(processes, "IMPORTS", {name: processes.IMPORTS[name] for name in ("python alone", "pyconv")})
    path = str(tmp_path / "new" / "figures")
    command.main(["--quick", "--rounds", "1", "--peers", "nothing", "--networks", "lenet5", "--write", path,
                  "--only", "train", "one", "profile", "first"])
    shown = capsys.readouterr().out
    assert "pyconv (fit)" in shown and "not installed: nothing (No module named 'benchmarks.peers.nothing')" in shown
    data = json.loads((tmp_path / "new" / "figures.json").read_text("utf-8"))
    assert set(data["runs"]) == {"train", "one", "profile", "first"}
    assert data["train"][0]["measurements"][0]["best"] > 0
    assert len(data["first"]["lenet5"]["pyconv"]) == 5 and data["profile"]["lenet5"]["inference"]["convolution"]

    command.main(["--only", "import", "--quick", "--keep", "--peers", "--write", path])
    again = json.loads((tmp_path / "new" / "figures.json").read_text("utf-8"))
    assert again["train"] == data["train"] and again["import"]["pyconv"]
    page = (tmp_path / "new" / "figures.md").read_text("utf-8")
    (tmp_path / "new" / "figures.md").unlink()
    command.main(["--render", path])
    assert (tmp_path / "new" / "figures.md").read_text("utf-8") == page

    data["machine"]["processor"] = "another"
    (tmp_path / "new" / "figures.json").write_text(json.dumps(data), "utf-8")
    with pytest.raises(SystemExit, match="is of another machine"):
        command.main(["--only", "import", "--keep", "--write", path])


def test_options():
    quick, thorough = command.arguments(["--quick"]), command.arguments([])
    assert (quick.rounds, quick.seeds, quick.compile) == (2, 1, [])
    assert (thorough.rounds, thorough.seeds, thorough.compile) == (5, 3, list(NETWORKS))
    assert command.arguments(["--quick", "--compile", "vgg"]).compile == ["vgg"]
    with pytest.raises(SystemExit):
        command.arguments(["--readme"])


def test_whole_process_that_fails_tells_why():
    answer = processes.whole("pyconv", "memory", 1, network="no such network")
    assert answer["error"] == "KeyError: 'no such network'"


def test_peak_memory_is_that_of_the_process():
    code = "from benchmarks.whole import peak_bytes; a = b'x' * 300_000_000; print(peak_bytes())"
    told = subprocess.run([sys.executable, "-c", code], cwd=workers.ROOT, capture_output=True, text=True, check=True)
    assert 300e6 < int(told.stdout) < 400e6


# ---- the networks

@pytest.mark.parametrize("name", NETWORKS)
def test_shapes_and_weights_fit_the_layers(name):
    """Channels and sizes that `after` and `draw_weights` tell, against those of the model that pyconv builds."""
    from benchmarks.peers.pyconv import build
    network = NETWORKS[name]
    model = build(network)
    assert model.output_shape == (None, *[after(layer, shape) for layer, shape in walk(network.layers, network.shape)
                                          ][-1])
    assert sorted(w.shape for w in draw_weights(network)) == sorted(tuple(w.shape) for w in model.weights)


def test_networks_of_any_size():
    assert network_of({"network": "voxnet", "size": 8}).shape == (8, 8, 8, 1)
    assert network_of({"network": "three_layers"}) == THREE_LAYERS
    for task in parts.linear_tasks():
        samples = task["count"] if task["kind"] == "predict" else task["batch"] * task["steps"]
        assert samples % task["batch"] == 0 and samples * task["size"] ** 2 == parts.PIXELS


@pytest.mark.peers
@pytest.mark.parametrize("library", ["torch", "onnxruntime"])
def test_libraries_build_the_same_network(library):
    module = pytest.importorskip(f"benchmarks.peers.{library}", reason=f"{library} is not installed",
                                 exc_type=ImportError)
    from benchmarks.peers.pyconv import Peer
    task = {"kind": "one", "network": "lenet5", "title": "t", "count": 1}
    expected = Peer(1).prepare(task, True)[2]
    got = module.Peer(1).prepare(task, True)[2]
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_images_are_the_same_each_time():
    (a, b), (c, d) = draw_images(NETWORKS["lenet5"], 3), draw_images(NETWORKS["lenet5"], 3)
    assert (a == c).all() and (b == d).all() and a.dtype == np.uint8 and a.shape == (3, 28, 28, 1)
