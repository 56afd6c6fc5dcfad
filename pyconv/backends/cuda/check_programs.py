"""The parts of the check that measure, or run other programs: times, the repository's examples, compute-sanitizer."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time

import numpy as np

from ... import __file__ as pyconv_file
from ... import backends, ops
from ...graph import Variable, simplify, trace

__all__ = ["MODULE", "Skipped", "check_benchmarks", "check_examples", "check_sanitizer"]

MODULE = "pyconv.backends.cuda.check"


class Skipped(Exception):
    """A part cannot run here; the message says what is missing."""


# Times ----------------------------------------------------------------------------------------------------------

def timed(run, least=5, seconds=1.0) -> float:
    """The median time of a call, in seconds, after three that are not counted."""
    for _ in range(3):
        run()
    times, start = [], time.perf_counter()
    while len(times) < least or time.perf_counter() - start < seconds and len(times) < 200:
        before = time.perf_counter()
        run()
        times.append(time.perf_counter() - before)
    return statistics.median(times)


def peer(check):
    """PyTorch, if it is there with CUDA, with TF32 off as here, and the name of the device; (None, None) else."""
    try:
        import torch
    except ImportError:
        check.say("  PyTorch is not installed: nothing to compare with")
        return None, None
    if not torch.cuda.is_available():
        check.say(f"  PyTorch {torch.__version__} is installed without CUDA: nothing to compare with")
        return None, None
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    return torch, f"cuda:{check.options.device}"


def peer_step(torch, device, batch):
    """A training step of LeNet-5 with Adam in PyTorch, from arrays in the host's memory to the loss there."""
    nn = torch.nn
    net = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
                        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
                        nn.Linear(84, 10)).to(device)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)

    def step(x, y):
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(net(torch.from_numpy(x).to(device)[:, None]),
                                           torch.from_numpy(y).long().to(device))
        loss.backward()
        optimizer.step()
        return loss.item()
    return step


def check_benchmarks(check):
    """Convolutions and products (the arrays stay on the device), and LeNet's step with its copies, beside PyTorch's."""
    from .check import training_step
    (torch, place), small = peer(check), check.options.small
    cases = [((32, 56, 56, 64), (3, 3, 64, 64)), ((32, 28, 28, 128), (3, 3, 128, 128)),
             ((32, 14, 14, 256), (3, 3, 256, 256)), ((32, 56, 56, 64), (1, 1, 64, 256))]
    sizes = [1024, 4096]
    if small:
        cases, sizes = [((1, 6, 6, 4), (3, 3, 4, 4))], [16]
    rng, ratios = np.random.default_rng(0), []

    def program(function, dtype, *arrays):
        variables = [Variable(a) for a in arrays]
        graph, _ = trace(lambda: ops.sum(ops.cast(function(*[ops.cast(v.read(), dtype) for v in variables]),
                                                  "float32")), [])
        made = backends.get(check.name).compile(simplify(graph))
        return lambda: made([])

    def rival(function, dtype, *arrays):
        if torch is None:
            return None
        tensors = [torch.from_numpy(a).to(place) for a in arrays]
        return timed(lambda: function(*[t.to(getattr(torch, dtype)) for t in tensors]).float().sum().item())

    def report(what, seconds, other, extra):
        if other:
            ratios.append(seconds / other)
        against = f", PyTorch {1e3 * other:.3f} ms: {seconds / other:.2f} of its time" if other else ""
        check.say(f"  {what}: {1e3 * seconds:.3f} ms, {extra(seconds)}{against}")

    def compared(what, flops, own, theirs, *arrays):
        for dtype in ("float32", "float16"):
            if check.in_time(f"{what}, {dtype}"):
                report(f"{what}, {dtype}, and a sum", timed(program(own, dtype, *arrays)),
                       rival(theirs, dtype, *arrays), lambda seconds: f"{flops / seconds / 1e12:.2f} TFLOP/s")
    for x_shape, k_shape in cases:
        compared(f"convolution of {x_shape} with {k_shape}", 2 * np.prod(x_shape[:3]) * np.prod(k_shape),
                 lambda a, b: ops.conv(a, b, padding="same"),
                 lambda a, b: torch.nn.functional.conv2d(a.permute(0, 3, 1, 2), b.permute(3, 2, 0, 1), padding="same"),
                 rng.random(x_shape, "float32"), rng.random(k_shape, "float32"))
    for n in sizes:
        compared(f"product of two matrices of {n} by {n}", 2 * n**3, ops.matmul, lambda p, q: p @ q,
                 *(rng.random((2, n, n), "float32") / n))
    batch = 4 if small else 128
    graph, _ = training_step(batch)
    step = backends.get(check.name).compile(graph)
    x, y = rng.random((batch, 28, 28), "float32"), rng.integers(0, 10, batch).astype("int32")
    other = None if torch is None else peer_step(torch, place, batch)
    report(f"LeNet, a training step of {batch} images", timed(lambda: step([x, y])),
           other and timed(lambda: other(x, y)), lambda seconds: f"{batch / seconds:,.0f} images/s")
    if ratios:
        check.say(f"  {statistics.geometric_mean(ratios):.2f} of PyTorch's time, the geometric mean of {len(ratios)}")


# The examples ---------------------------------------------------------------------------------------------------

# File -> arguments for a short run; the accuracies are ones that the CPU reaches easily.
EXAMPLES = {"lenet_mnist": ("--epochs", "1"), "resnet_mnist": ("--quick", "--assert-accuracy", "0.8"),
            "unet_digits": ("--quick",), "spoken_digits": ("--quick", "--assert-accuracy", "0.6"),
            "text_languages": ("--quick", "--assert-accuracy", "0.4"),
            "voxel_shapes": ("--quick", "--assert-accuracy", "0.3"), "normalizations": ("--quick",)}
OFFLINE = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}


def check_examples(check):
    """The examples of the repository in their short form, each in a process of its own; nothing is downloaded."""
    folder = os.path.join(check.options.checkout or ".", "examples")
    missing = [name for name in EXAMPLES if not os.path.isfile(os.path.join(folder, f"{name}.py"))]
    if len(missing) == len(EXAMPLES):
        raise Skipped(f"there are no examples in {os.path.abspath(folder)}; a wheel has none. Run this in a copy of "
                      f"the repository, or give it with --checkout")
    ran, without = 0, missing
    for name, arguments in EXAMPLES.items():
        if name in missing or not check.in_time(f"example {name}"):
            continue
        start = time.monotonic()
        command = [sys.executable, os.path.join(folder, f"{name}.py"), *arguments]
        # pyconv is the one that is checked, not another one that may be installed beside it.
        own = os.path.dirname(os.path.dirname(os.path.abspath(pyconv_file)))
        environment = {**os.environ, **OFFLINE, "PYCONV_BACKEND": check.name,
                       "PYTHONPATH": os.pathsep.join([own, *filter(None, [os.environ.get("PYTHONPATH")])])}
        try:
            done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=check.left())
        except subprocess.TimeoutExpired:
            check.in_time(f"example {name}")
            continue
        lines = [line for line in done.stdout.splitlines() + done.stderr.splitlines() if line.strip()] or [""]
        if done.returncode == 0:
            ran += 1
            result = [line for line in lines if "ccuracy" in line or "union" in line][-1:] or lines[-1:]
            check.say(f"  {name}: {result[0].strip()}, {time.monotonic() - start:.0f} s")
        elif done.returncode == 1 and "Traceback" not in done.stderr and "accuracy is below" not in done.stderr:
            without = [*without, name]              # as the examples say where their data comes from
            check.say(f"  {name}: skipped: {lines[-1].strip()}")
        else:
            check.fail(f"example {name}", f"exit status {done.returncode}\n" + "\n".join(lines[-6:]))
    if ran:
        check.say(f"  {ran} of {len(EXAMPLES)} examples ran" + (f", not {', '.join(without)}" if without else ""))
    elif len(without) == len(EXAMPLES):
        raise Skipped("none of the examples has its data here")


# The sanitizer --------------------------------------------------------------------------------------------------

# The ops whose kernels share memory between threads, and one of each other family: it takes long.
SANITIZED = ("conv*", "matmul", "sum", "max", "argmax", "max_pool*", "avg_pool*", "take*", "argsort", "sparse_*",
             "sample_*", "add", "transpose", "random_*")


def check_sanitizer(check):
    """Ops and their gradients in processes of their own, under two of compute-sanitizer's tools."""
    tool = shutil.which("compute-sanitizer")
    if tool is None:
        raise Skipped("compute-sanitizer is not installed, or not on PATH; it comes with the CUDA toolkit")
    patterns = SANITIZED if check.options.ops == ["*"] else check.options.ops
    kinds = ("memcheck", "racecheck")
    for i, kind in enumerate(kinds):
        if not check.in_time(f"compute-sanitizer --tool {kind}"):
            continue
        seconds = check.left() / (len(kinds) - i)
        command = [tool, "--tool", kind, "--error-exitcode", "99", sys.executable, "-m", MODULE, "--device",
                   str(check.options.device), "--only", "ops", "gradients", "--examples", "3", "--minutes",
                   f"{seconds / 60:.2f}", "--ops", *patterns]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60,
                                  env={**os.environ, "PYCONV_CUDA_GRAPHS": "0"})
        except subprocess.TimeoutExpired:
            check.left_out.append(f"compute-sanitizer --tool {kind}")
            continue
        lines = (done.stdout + done.stderr).splitlines()
        reached = [line.strip() for line in lines if line.startswith("LEFT OUT for want of time")]
        if done.returncode == 0:
            check.say(f"  {kind}: no errors")
        elif done.returncode == 1 and reached and not any("FAILED" in line for line in lines):
            check.say(f"  {kind}: no errors in what was reached ({reached[0]})")
        else:
            check.fail(f"compute-sanitizer --tool {kind}", f"exit status {done.returncode}\n" + "\n".join(lines[-6:]))
