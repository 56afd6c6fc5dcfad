"""`python -m pyconv.backends.cuda.check` on the emulated device, with few examples; and where it cannot run."""

import importlib.util
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

from pyconv.backends.cuda import check, check_programs, driver, elementwise
from tests.cuda.emulator import standin

SMALL = ["--examples", "3", "--small", "--traceback"]


def table(out) -> dict:
    """part -> (result, notes) from the end of a report."""
    lines = out.split("in short:\n")[1].split("\n\n")[0].splitlines()
    return {name: (result, notes) for name, result, notes in (
        re.fullmatch(r"  (\w+) +(ok|skipped|left out|\d+ FAILED) +[\d.]+ s  (.*)", line).groups() for line in lines)}


def test_everything(capsys, monkeypatch, tmp_path):
    """With PyTorch on the CPU in the place of cuDNN, where it is installed."""
    torch = sys.modules.get("torch") or importlib.util.find_spec("torch") and importlib.import_module("torch")
    monkeypatch.setattr(check_programs, "peer", lambda c: (torch, "cpu"))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(check_programs.shutil, "which", lambda name: None)
    monkeypatch.setattr(check_programs, "timed", lambda run: (run(), 1e-3)[1])
    status = check.main([*SMALL, "--ops", "relu", "matmul", "max_pool*", "conv", "--steps", "2", "--checkout",
                         str(tmp_path)])
    out = capsys.readouterr().out
    assert status == 0, out
    found = table(out)
    assert list(found) == list(check.SECTIONS)
    assert [name for name, (result, _) in found.items() if result != "ok"] == ["examples", "sanitizer"]
    assert "a wheel has none" in found["examples"][1] and "not installed" in found["sanitizer"][1]
    assert "but for what was skipped: examples, sanitizer" in out
    assert found["arrays"][1].endswith("batches copied ahead gave the same bits")
    if torch:
        assert "PyTorch 1.000 ms: 1.00 of its time" in out and "the geometric mean of 5" in found["benchmarks"][1]
    assert "CuPy: 14.2.0" in out and "driver: for CUDA 13.0" in out and "emulator" in out
    for section in check.SECTIONS:
        assert f"\n{section}: " in out
    assert "replayed as one graph give the same bits" in out and "LeNet on cuda, cpu in turn: 2 steps" in out
    assert "LeNet, a training step" in out and out.count("TFLOP/s") == 4 and "all is well" in out


@pytest.mark.filterwarnings("ignore")       # NumPy's, of the wrong numbers
def test_a_wrong_kernel_is_found(capsys, monkeypatch):
    monkeypatch.setitem(elementwise.EXPRESSIONS, "sin", "op_cos({0})")
    from pyconv import backends
    backends.get("cuda")._single.clear()
    assert check.main([*SMALL[:3], "--only", "ops", "gradients", "--ops", "sin", "sign"]) == 1
    out = capsys.readouterr().out
    assert "FAILED op sin: AssertionError sin: " in out and "FAILED gradient of sin in float64" in out
    assert "FAILED gradient of sin in float32" in out and "op sign" not in out
    backends.get("cuda")._single.clear()


def test_failures_of_models_graphs_and_time_are_found(capsys, monkeypatch):
    def end_capture(self):
        self._recording = None
        raise RuntimeError("cudaErrorStreamCaptureInvalidated")
    monkeypatch.setattr(standin.Stream, "end_capture", end_capture)
    monkeypatch.setattr(check, "trained", lambda order, x, y, batch: ([len(order)] * 2, [], 0.0 * x[:2]))
    assert check.main(["--small", "--only", "graphs", "training", "--steps", "2"]) == 1
    out = capsys.readouterr().out
    assert "not captured: RuntimeError: cudaErrorStreamCaptureInvalidated" in out
    assert "FAILED LeNet on cuda, cpu in turn" in out and "the first step's loss" in out
    assert check.main(["--only", "ops", "graphs", "--ops", "sign", "--minutes", "0"]) == 1
    out = capsys.readouterr().out
    assert "LEFT OUT for want of time: ops, graphs" in out and table(out)["ops"] == ("left out", "1 left out")


def test_each_part_has_its_share_of_the_time(capsys, monkeypatch):
    """What a part does not use is for those after it; one that would take all is stopped."""
    clock, shares = [0.0], {}
    monkeypatch.setattr(check.time, "monotonic", lambda: clock[0])

    def part(name, seconds):
        def run(c):
            shares[name] = c.left()
            clock[0] += min(seconds, c.left())
            c.in_time(f"the end of {name}")
        run.__doc__ = "Takes a while."
        return run
    monkeypatch.setattr(check, "SECTIONS", {"a": (part("a", 10), 1), "b": (part("b", 1e9), 2), "c": (part("c", 0), 1)})
    options = check.parser().parse_args(["--minutes", "4"])
    c = check.Check(options)
    lines = [check.run_section(c, name, share) for name, share in (("a", 1 / 4), ("b", 2 / 3), ("c", 1))]
    assert shares["a"] == 60 and round(shares["b"]) == round(230 * 2 / 3) and round(shares["c"]) == round(230 / 3)
    assert [result for _, result, _, _ in lines] == ["ok", "left out", "ok"] and c.left_out == ["the end of b"]
    capsys.readouterr()


def test_examples(capsys, tmp_path):
    """Programs in their place: one that is well, one that crashes, one without its data, one that is never done."""
    folder = tmp_path / "examples"
    folder.mkdir()
    (folder / "lenet_mnist.py").write_text("import os, sys, pyconv\nassert sys.argv[1:] == ['--epochs', '1']\n"
                                           "print('Test accuracy:', os.environ['PYCONV_BACKEND'], pyconv.__file__)")
    (folder / "resnet_mnist.py").write_text("import sys; sys.exit('MNIST is not here: see its page')")
    arguments = ["--only", "examples", "--checkout", str(tmp_path)]
    assert check.main(arguments) == 0
    out = capsys.readouterr().out
    root = os.path.dirname(os.path.dirname(os.path.abspath(check_programs.pyconv_file)))
    assert f"lenet_mnist: Test accuracy: cuda {root}" in out and "resnet_mnist: skipped: MNIST is not here" in out
    assert table(out)["examples"] == ("ok", "1 of 7 examples ran, not unet_digits, spoken_digits, text_languages, "
                                            "voxel_shapes, normalizations, resnet_mnist")
    (folder / "unet_digits.py").write_text("raise KeyError('broken')")
    (folder / "spoken_digits.py").write_text("import sys; sys.exit('The accuracy is below 60%.')")
    (folder / "voxel_shapes.py").write_text("import time; time.sleep(60)")
    assert check.main([*arguments, "--minutes", "0.05"]) == 1
    out = capsys.readouterr().out
    assert "KeyError: 'broken'" in out and "FAILED example spoken_digits" in out and "accuracy is below 60%" in out
    assert table(out)["examples"][0] == "2 FAILED" and "LEFT OUT for want of time: example voxel_shapes" in out
    for path in folder.glob("*.py"):
        path.write_text("import sys; sys.exit('no data')")
    for name in check_programs.EXAMPLES:
        (folder / f"{name}.py").write_text("import sys; sys.exit('no data')")
    assert check.main(arguments) == 0
    assert table(capsys.readouterr().out)["examples"][0] == "skipped"


def test_the_examples_are_those_of_the_repository():
    folder = Path(__file__).parents[2] / "examples"
    assert {path.stem for path in folder.glob("*.py")} == set(check_programs.EXAMPLES)
    for name, arguments in check_programs.EXAMPLES.items():
        text = (folder / f"{name}.py").read_text()
        assert all(f'"{a}"' in text for a in arguments if a.startswith("--"))


def test_sanitizer(capsys, monkeypatch, tmp_path):
    """A program in its place, which fails for one of the tools; without one the report says so."""
    monkeypatch.setenv("PATH", str(tmp_path))
    arguments = ["--only", "sanitizer", "--ops", "sign"]
    assert check.main(arguments) == 0
    out = capsys.readouterr().out
    assert table(out)["sanitizer"] == ("skipped", "compute-sanitizer is not installed, or not on PATH; it comes with "
                                                  "the CUDA toolkit")
    tool = tmp_path / "compute-sanitizer"
    tool.write_text(f"#!{sys.executable}\nimport os, sys\nassert os.environ['PYCONV_CUDA_GRAPHS'] == '0'\n"
                    "assert sys.argv[-2:] == ['--ops', 'sign'] and 'sanitizer' not in sys.argv\n"
                    "print(9 * 'RACE'); sys.exit(99 * ('racecheck' in sys.argv))\n")
    tool.chmod(0o755)
    assert check.main(arguments) == 1
    out = capsys.readouterr().out
    assert "memcheck: no errors" in out and "exit status 99" in out and "RACE" in out
    tool.write_text(f"#!{sys.executable}\nprint('LEFT OUT for want of time: ops: sin and 3 more')\nraise SystemExit(1)")
    assert check.main(arguments) == 0
    assert "racecheck: no errors in what was reached (LEFT OUT" in capsys.readouterr().out


def missing(count):
    class Module:
        __version__ = "14.2.0"

        class cuda:
            class runtime:
                @staticmethod
                def getDeviceCount():
                    if count is None:
                        raise RuntimeError("cudaErrorInsufficientDriver")
                    return count
    return Module


@pytest.mark.parametrize("count, arguments, text", [
    (None, [], "NVIDIA driver.*cudaErrorInsufficientDriver"), (0, [], "shows none"),
    (1, ["--device", "1"], "no device cuda:1")])
def test_what_is_missing_is_said(count, arguments, text, capsys):
    driver.provide(missing(count))
    assert check.main(arguments) == 2
    assert re.search("cannot run: .*" + text, capsys.readouterr().out)


def test_as_a_command_without_a_device():
    done = subprocess.run([sys.executable, "-W", "error::RuntimeWarning", "-m", "pyconv.backends.cuda.check"],
                          capture_output=True, text=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "cannot run: The backend 'cuda' needs" in done.stdout and not done.stderr


def test_the_environment_asks_for_a_device_that_is_not_there():
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYCONV_BACKEND": "cuda"}
    done = subprocess.run([sys.executable, "-c", "import pyconv; pyconv.ops.relu([1.0])"], capture_output=True,
                          text=True, env=environment, check=False)
    assert done.returncode == 1 and "The backend 'cuda' needs" in done.stderr.splitlines()[-1]
    assert "pip install" in done.stderr or "set_backend('cpu')" in done.stderr


def test_a_cupy_that_is_too_old(monkeypatch):
    monkeypatch.setattr(driver, "_cupy", None)
    monkeypatch.setattr(driver.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(driver.importlib, "import_module", lambda name: types.SimpleNamespace(__version__="12.3.0"))
    for _ in range(2):
        assert "needs CuPy 13 or later, and CuPy 12.3.0 is installed; install it" in driver.reason_against()


@pytest.mark.parametrize("count, text", [(None, "NVIDIA driver"), (0, "shows none")])
def test_which_backends_are_available(count, text):
    from pyconv import backends
    driver.provide(missing(count))
    found = backends.available()
    assert found["cpu"] is None and found["reference"] is None and text in found["cuda"]
    driver.provide(standin)
    assert backends.available()["cuda"] is None
