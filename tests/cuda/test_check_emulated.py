"""`python -m pyconv.backends.cuda.check` on the emulated device, with few examples; and where it cannot run."""

import os
import re
import subprocess
import sys

import pytest

from pyconv.backends.cuda import check, driver, elementwise
from tests.cuda.emulator import standin

SMALL = ["--examples", "3", "--small", "--traceback"]


def test_everything(capsys):
    status = check.main([*SMALL, "--ops", "relu", "matmul", "max_pool*", "conv", "--steps", "2"])
    out = capsys.readouterr().out
    assert status == 0, out
    assert "CuPy: 14.2.0" in out and "driver: for CUDA 13.0" in out and "emulator" in out
    for section in check.SECTIONS:
        assert f"\n{section}: " in out
    assert "replayed as one graph give the same bits" in out and "LeNet on cuda, cpu in turn: 2 steps" in out
    assert "LeNet, a training step" in out and out.count("TFLOP/s") == 2 and "all is well" in out


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
    assert check.main(["--only", "ops", "--ops", "sign", "--minutes", "0"]) == 1
    assert "minutes were over" in capsys.readouterr().out


def test_sanitizer(capsys, monkeypatch, tmp_path):
    """A program in its place, which fails for one of the tools; without one the report says so."""
    monkeypatch.setenv("PATH", str(tmp_path))
    arguments = ["--only", "graphs", "--ops", "sign", "--sanitizer"]
    monkeypatch.setitem(check.SECTIONS, "graphs", lambda c: None)
    check.SECTIONS["graphs"].__doc__ = "Nothing."
    assert check.main(arguments) == 1
    assert "compute-sanitizer is not installed" in capsys.readouterr().out
    tool = tmp_path / "compute-sanitizer"
    tool.write_text(f"#!{sys.executable}\nimport os, sys\nassert os.environ['PYCONV_CUDA_GRAPHS'] == '0'\n"
                    "assert sys.argv[-2:] == ['--ops', 'sign'] and '--sanitizer' not in sys.argv\n"
                    "print(9 * 'RACE'); sys.exit(99 * ('racecheck' in sys.argv))\n")
    tool.chmod(0o755)
    assert check.main(arguments) == 1
    out = capsys.readouterr().out
    assert "memcheck: no errors" in out and "exit status 99" in out and "RACE" in out


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


@pytest.mark.parametrize("count, text", [(None, "NVIDIA driver"), (0, "shows none")])
def test_which_backends_are_available(count, text):
    from pyconv import backends
    driver.provide(missing(count))
    found = backends.available()
    assert found["cpu"] is None and found["reference"] is None and text in found["cuda"]
    driver.provide(standin)
    assert backends.available()["cuda"] is None
