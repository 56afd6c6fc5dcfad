"""Whether the CUDA backend works on this machine: one command, one report.

    python -m pyconv.backends.cuda.check                        # everything, in less than ten minutes
    python -m pyconv.backends.cuda.check --only ops sanitizer   # some parts

The exit status is 0 if all went well, 1 if something is wrong, and 2 if the backend cannot run here at all; the report
says what is missing. It needs ``pip install 'pyconv-nn[cuda13,testing]'`` (or cuda12). Parts whose means are missing
are passed over, and the table at the end says why: the examples, which a wheel does not have, unless the command is run
in a copy of the repository or --checkout names one; NVIDIA's compute-sanitizer; PyTorch with CUDA, to compare times.

Each part has a share of the time, and what the parts before it have not used.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import platform
import sys
import time
import traceback

import numpy as np

from ... import __version__, applications, backends, losses, optimizers, ops, random
from ...graph import gradients, simplify, trace
from . import check_programs, driver
from .check_programs import MODULE, Skipped

__all__ = ["main"]

# Rules that differ between element types: rounding, signs, wrapping. Each is a kernel to be compiled.
TYPES = ("float32", "float64", "bool", "uint8", "int32", "int64")


class Check:
    """The report and what all sections need."""

    def __init__(self, options):
        self.options = options
        self.name = f"cuda:{options.device}" if options.device else "cuda"
        self.batch = 4 if options.small else 64
        self.start, self.failures, self.left_out, self.said = time.monotonic(), [], [], []
        self.deadline = self.start + 60 * options.minutes

    def say(self, text):
        self.said.append(text.strip())
        print(text, flush=True)

    def fail(self, what, error):
        """Put a failure into the report; the first lines of its reason."""
        self.failures.append(what)
        lines = [line for line in str(error).splitlines() if line.strip()][:6]
        self.say(f"  FAILED {what}: {type(error).__name__ if isinstance(error, Exception) else ''} "
                 + "\n      ".join(lines))

    def attempt(self, what, function, *args):
        """Run a part; whatever it raises is a failure. Gives its result, None if there is none."""
        try:
            return function(*args)
        except Skipped:
            raise
        except Exception as error:
            if self.options.traceback:
                traceback.print_exc()
            self.fail(what, error)
            return None

    def left(self) -> float:
        """The seconds that the part under way still has."""
        return self.deadline - time.monotonic()

    def in_time(self, what) -> bool:
        """Whether there is time left; if not, what was left out is in the report, as nobody knows about it."""
        if self.left() > 0:
            return True
        self.left_out.append(what)
        self.say(f"  LEFT OUT {what}: the time of this part is over (see --minutes)")
        return False

    def chosen(self, names):
        return [n for n in names if any(fnmatch.fnmatchcase(n, p) for p in self.options.ops)]


# Ops ------------------------------------------------------------------------------------------------------------

def each(strategy, count, function):
    """Call `function` with `count` examples, always the same; the error of the first that fails is raised."""
    from hypothesis import HealthCheck, Phase, given, settings

    @settings(max_examples=count, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))
    @given(strategy)
    def run(case):
        function(case)
    run()


def check_ops(check):
    """Every op in every element type against the reference, in all memory layouts."""
    from ...testing.contract import OPS, compare
    from ...testing.strategies import arguments
    backend, names = backends.get(check.name), check.chosen(OPS)

    def forward(name):
        def one(case):
            arrays, attrs = case
            results = backend.execute(name, arrays, attrs)
            compare(name, arrays, attrs, results if isinstance(results, tuple) else (results,))
        each(arguments(name, dtypes=TYPES), check.options.examples, one)
    for i, name in enumerate(names):
        if not check.in_time(f"ops: {name} and {len(names) - i - 1} more"):
            break
        check.attempt(f"op {name}", forward, name)
    check.say(f"  {len(names)} ops, {check.options.examples} examples each, against the reference")


def check_halves(check):
    """Ops on float16 and bfloat16, the tensor cores among them, and LeNet under both mixed policies."""
    from ...config import dtype_policy, set_dtype_policy
    from ...testing.contract import HALF_OPS, compare_halves
    from ...testing.strategies import arguments
    names, count = check.chosen(HALF_OPS), max(1, check.options.examples // 3)
    for name in names:
        for dtype in ("float16", "bfloat16"):
            if not check.in_time(f"ops in {dtype}: {name} and those after it"):
                return
            check.attempt(f"op {name} in {dtype}", each, arguments(name, dtypes=("float32", "int32"), layouts=("C",)),
                          count, lambda case, name=name, dtype=dtype: compare_halves(name, *case, dtype, check.name))
    check.say(f"  {len(names)} ops in float16 and bfloat16, {count} examples each, against the reference")
    (x, y, source), before = digits(check), dtype_policy()
    for policy, close in (("mixed_float16", 0.01), ("mixed_bfloat16", 0.05)):
        set_dtype_policy(policy)
        try:
            expected = trained(["cpu"], x, y, check.batch)
            found = check.attempt(f"LeNet, {policy}", trained, [check.name], x, y, check.batch)
        finally:
            set_dtype_policy(before)
        if found is not None:
            check.attempt(f"LeNet, {policy}", np.testing.assert_allclose, found[0], expected[0], close)
            check.say(f"  LeNet, {policy}: {len(found[0])} steps on {source}, loss {found[0][0]:.5f} to "
                      f"{found[0][-1]:.5f} (CPU: {expected[0][0]:.5f} to {expected[0][-1]:.5f})")


def check_gradients(check):
    """Gradients of ops: float64 against finite differences, float32 against the reference in float64."""
    from hypothesis import reject

    from ...graph import make_node
    from ...testing import NotSmooth
    from ...testing import check_gradients as finite_differences
    from ...testing.contract import HAS_GRADIENT
    from ...testing.gradients import with_gradients
    from ...testing.strategies import arguments
    names, count = check.chosen(HAS_GRADIENT), max(1, check.options.examples // 3)

    def computed(backend, name, arrays, attrs):
        def function(*tensors):
            def op(*inputs):
                return make_node(name, inputs, attrs)
            value, grads = with_gradients(op, tensors, (), np.random.default_rng(0))
            return [value, *grads]
        graph, _ = trace(function, [(a.shape, a.dtype.name) for a in arrays])
        return backends.get(backend).compile(simplify(graph))(arrays)

    def double(name):
        def one(case):
            try:
                finite_differences(lambda *tensors: make_node(name, tensors, case[1]), case[0], backend=check.name)
            except NotSmooth:
                reject()
        each(arguments(name, dtypes=("float64",), smooth=True, layouts=("C",)), count, one)

    def single(name):
        def one(case):
            wide, attrs = case      # drawn in float64 and rounded: the reference sees the rounded numbers
            arrays = [a.astype("float32") if a.dtype == "float64" else a for a in wide]
            attrs = {k: "float32" if v == "float64" else v for k, v in attrs.items()}
            exact = [a.astype("float64") if a.dtype == "float32" else a for a in arrays]
            for a, b in zip(computed(check.name, name, arrays, attrs),
                            computed("reference", name, exact, case[1]), strict=True):
                np.testing.assert_allclose(a, b, rtol=0, atol=2e-3 * max(1, np.abs(b).max(initial=0)))
        each(arguments(name, dtypes=("float64",), smooth=True, layouts=("C",)), count, one)
    for i, name in enumerate(names):
        if not check.in_time(f"gradients: {name} and {len(names) - i - 1} more"):
            break
        check.attempt(f"gradient of {name} in float64", double, name)
        check.attempt(f"gradient of {name} in float32", single, name)
    check.say(f"  {len(names)} ops, {count} examples each: float64 against finite differences, float32 against the "
              f"reference")


# Models ---------------------------------------------------------------------------------------------------------

def digits(check):
    """Images, labels, and where they are from: MNIST if it is on this machine, which is not asked to download it."""
    from ...datasets import mnist
    from ...utils.files import cache_directory
    count = check.options.steps * check.batch
    folder = os.path.join(cache_directory(), "datasets", "mnist")
    if os.environ.get("PYCONV_DATA_DIR") or os.path.isdir(folder) and len(os.listdir(folder)) >= 4:
        try:
            (x, y), _ = mnist.load_data()
            return x[:count], y[:count].astype("int32"), "MNIST"
        except Exception as error:
            check.say(f"  MNIST cannot be read ({error})")
    rng = np.random.default_rng(0)
    return (rng.integers(0, 256, (count, 28, 28)).astype("uint8"), rng.integers(0, 10, count).astype("int32"),
            "random digits")


def trained(order, x, y, batch):
    """Losses of LeNet's steps on the backends of `order` in turn, the weights afterwards, and predictions."""
    random.set_random_seed(3)
    before = backends.current_name()
    try:
        backends.set_current(order[0])
        model = applications.lenet5()
        model.compile(optimizers.SGD(0.02, 0.9), losses.SparseCategoricalCrossentropy(from_logits=True))
        found = []
        for i in range(len(x) // batch):
            backends.set_current(order[i % len(order)])
            rows = slice(i * batch, (i + 1) * batch)
            found.append(float(model.train_on_batch(x[rows], y[rows])))
        return np.array(found), model.get_weights(), model.predict(x[:batch], verbose=0)
    finally:
        backends.set_current(before)


def same(found, expected):
    """Rounding grows with each step; a mistake is larger from the first one on."""
    np.testing.assert_allclose(found[0][:1], expected[0][:1], rtol=1e-5, err_msg="the first step's loss")
    np.testing.assert_allclose(found[0], expected[0], rtol=2e-3, err_msg="the losses")
    for a, b in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-3, err_msg="the weights")
    scale = np.abs(expected[2]).max()
    np.testing.assert_allclose(found[2], expected[2], rtol=0, atol=5e-3 * max(1, scale), err_msg="the predictions")


def check_training(check):
    """LeNet against the CPU backend, wholly on the device, and with every other step on the CPU."""
    x, y, source = digits(check)
    expected = trained(["cpu"], x, y, check.batch)
    for order in ([check.name], [check.name, "cpu"], ["cpu", check.name, check.name]):
        what = f"LeNet on {', '.join(order)} in turn"
        found = check.attempt(what, trained, order, x, y, check.batch)
        if found is not None:
            check.attempt(what, same, found, expected)
            own, others = (f"{a[0][0]:.5f} to {a[0][-1]:.5f}" for a in (found, expected))
            check.say(f"  {what}: {len(found[0])} steps on {source}, loss {own} (CPU: {others})")


def training_step(batch, shape=(28, 28)):
    """LeNet's step with Adam as a graph, and its variables."""
    random.set_random_seed(4)
    model = applications.lenet5()
    model.build((None, *shape))
    weights = model.trainable_variables
    optimizer = optimizers.Adam(1e-3)
    optimizer.build(weights)

    def step(x, y):
        loss = ops.mean(ops.sparse_softmax_cross_entropy(model(x, training=True), y))
        optimizer.apply(gradients(loss, [v.read() for v in weights]), weights)
        return loss
    graph, _ = trace(step, [((batch, *shape), "float32"), ((batch,), "int32")], training=True)
    return simplify(graph), model


def check_graphs(check):
    """A CUDA graph, replayed, gives the bits of the same kernels launched one by one."""
    from .program import CUDAProgram
    device = backends.get(check.name).driver
    rng = np.random.default_rng(1)
    x, y = rng.random((check.batch, 28, 28), "float32"), rng.integers(0, 10, check.batch).astype("int32")
    before, results = device.graphs, []
    try:
        for use in (False, True):
            device.graphs = use
            graph, model = training_step(check.batch)
            program = CUDAProgram(graph, device)
            values = [program([x, y])[0] for _ in range(6)]
            results.append([a.tobytes() for a in (*values, *model.get_weights())])
    finally:
        device.graphs = before
    if program.captured is None:
        raise AssertionError(f"the CUDA graph was not captured: {program.uncaptured}")
    if results[0] != results[1]:
        raise AssertionError("a replayed CUDA graph gives other bits than launching the kernels one by one")
    check.say(f"  6 steps of LeNet: {len(program.plan)} launches replayed as one graph give the same bits")


# Arrays on the device -------------------------------------------------------------------------------------------

def check_training_there(check, device):
    """Steps on arrays of the device, and batches of a generator, give what arrays of the host give."""
    rng, size = np.random.default_rng(7), check.batch
    x, y = rng.random((3 * size, 28, 28), "float32"), rng.integers(0, 10, 3 * size).astype("int32")
    with device.device:
        there = []
        for host in (x, y):
            there.append(device.array(host.shape, host.dtype))
            there[-1].set(host)

    def losses_of(run):
        random.set_random_seed(6)
        model = applications.lenet5()
        model.compile(optimizers.SGD(0.02), losses.SparseCategoricalCrossentropy(from_logits=True))
        with backends.device(check.name):
            return run(model)

    def batches(a, b):
        return ((a[i:i + size], b[i:i + size]) for i in range(0, len(x), size))
    expected = losses_of(lambda m: m.fit(x, y, size, shuffle=False, verbose=0).history["loss"])
    for what, run in {
            "fit on arrays of the device": lambda m: m.fit(*there, size, shuffle=False, verbose=0).history["loss"],
            "fit on batches of a generator": lambda m: m.fit(batches(x, y), verbose=0).history["loss"],
            "fit on batches of the device": lambda m: m.fit(batches(*there), verbose=0).history["loss"]}.items():
        found = losses_of(run)
        if found != expected:
            raise AssertionError(f"{what} gives the loss {found}; arrays of the host give {expected}")


def check_arrays(check):
    """Arrays that lie on the device are computed with there; batches that are copied ahead are the right ones."""
    device, rng = backends.get(check.name).driver, np.random.default_rng(2)
    host = rng.normal(size=(6 * check.batch, 28, 28)).astype("float32")
    with device.device:
        there = device.array(host.shape, host.dtype)
        there.set(host)
        random.set_random_seed(5)
        model = applications.lenet5()
        cases = {"softmax": ops.softmax, "mean": lambda x: ops.mean(x, (1, 2)), "model": model, "predict":
                 lambda x: model.predict(x, batch_size=check.batch, verbose=0)}
        for what, function in cases.items():
            found = function(there)
            if not isinstance(found, device.cupy.ndarray):
                raise AssertionError(f"{what} of a CuPy array gave {type(found).__name__}")
            np.testing.assert_allclose(found.get(), function(host), rtol=1e-3, atol=1e-4, err_msg=what)
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            tensor = torch.from_numpy(host).to(f"cuda:{check.options.device}")
            np.testing.assert_allclose(ops.softmax(tensor).get(), ops.softmax(host), rtol=1e-3, atol=1e-6)
            check.say("  a tensor of PyTorch's was taken without a copy")
    graph, _ = training_step(check.batch)
    program = backends.get(check.name).compile(graph)
    state = [v.numpy() for v in program.variables]
    x, y = rng.random((4 * check.batch, 28, 28), "float32"), rng.integers(0, 10, 4 * check.batch).astype("int32")
    parts = [rng.permutation(len(x))[:check.batch] for _ in range(8)]
    losses = []
    for told in (False, True):
        for variable, value in zip(program.variables, state, strict=True):
            variable.assign(value)
        arrays, ahead = [x, y], [*parts[1:], None]
        losses.append([float(program(arrays, rows, **({"ahead": (arrays, after)} if told and after is not None else {}))
                             [0]) for rows, after in zip(parts, ahead, strict=True)])
    if losses[0] != losses[1]:
        raise AssertionError("batches that were copied ahead give other losses")
    check_training_there(check, device)
    check.say(f"  {len(cases)} functions gave CuPy arrays; {len(parts)} steps with batches copied ahead gave the same "
              f"bits")


# The report -----------------------------------------------------------------------------------------------------

# part -> (function, share of the time)
SECTIONS = {"ops": (check_ops, 4), "halves": (check_halves, 3), "gradients": (check_gradients, 3),
            "training": (check_training, 1), "graphs": (check_graphs, 0.5), "arrays": (check_arrays, 0.5),
            "benchmarks": (check_programs.check_benchmarks, 2), "examples": (check_programs.check_examples, 3),
            "sanitizer": (check_programs.check_sanitizer, 3)}


def run_section(check, name, share) -> tuple:
    """Run a part within its share of the time that is left; gives its line of the table."""
    function, start = SECTIONS[name][0], time.monotonic()
    check.say(f"\n{name}: {function.__doc__.splitlines()[0]}")
    check.deadline = start + share * max(0.0, check.start + 60 * check.options.minutes - start)
    failed, left_out, said, skipped = len(check.failures), len(check.left_out), len(check.said), ""
    if check.in_time(name):
        try:
            check.attempt(name, function, check)
        except Skipped as reason:
            skipped = str(reason)
            check.say(f"  skipped: {skipped}")
    bad, missing = len(check.failures) - failed, len(check.left_out) - left_out
    result = f"{bad} FAILED" if bad else "left out" if missing else "skipped" if skipped else "ok"
    notes = [f"{missing} left out"] * bool(missing) + [skipped] * bool(skipped)
    notes += [text for text in check.said[said:] if not text.startswith(("FAILED", "LEFT OUT", "skipped"))][-1:]
    return name, result, time.monotonic() - start, "; ".join(notes)


def parser():
    made = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__.split("\n")[0])
    made.add_argument("--device", type=int, default=0, help="the number of the GPU (default 0)")
    made.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="run only these parts")
    made.add_argument("--ops", nargs="+", default=["*"], metavar="PATTERN", help="only ops whose names fit")
    made.add_argument("--examples", type=int, default=12, help="examples for each op (default 12)")
    made.add_argument("--steps", type=int, default=20, help="steps of training (default 20)")
    made.add_argument("--minutes", type=float, default=9, help="what is not reached by then is left out (default 9)")
    made.add_argument("--checkout", help="a copy of the repository, for its examples (default: the current folder)")
    made.add_argument("--small", action="store_true", help="small batches and arrays, to try out the command itself")
    made.add_argument("--traceback", action="store_true", help="show where failures come from")
    return made


def main(arguments=None) -> int:
    """Run the checks of the command line `arguments`; returns the exit status."""
    options = parser().parse_args(arguments)
    check = Check(options)
    check.say(f"pyconv {__version__} with NumPy {np.__version__} and Python {platform.python_version()} on "
              f"{platform.platform()}")
    why = driver.reason_against(options.device)
    if why is None and {"ops", "halves", "gradients"} & set(options.only):
        try:
            import hypothesis  # noqa: F401
        except ImportError:
            why = "The checks of ops need hypothesis, which is not installed: pip install 'pyconv-nn[testing]'."
    if why is not None:
        check.say(f"cannot run: {why}")
        return 2
    for key, value in driver.description(options.device).items():
        check.say(f"{key}: {value}")
    chosen, table = [name for name in SECTIONS if name in options.only], []
    for i, name in enumerate(chosen):
        share = SECTIONS[name][1] / sum(SECTIONS[n][1] for n in chosen[i:])
        table.append(run_section(check, name, share))
    check.say("\nin short:")
    for name, result, seconds, notes in table:
        check.say(f"  {name:<11}{result:<10}{seconds:>6.1f} s  {notes}")
    if check.failures:
        check.say(f"\nFAILED: {', '.join(check.failures)}")
    if check.left_out:
        check.say(f"\nLEFT OUT for want of time: {', '.join(check.left_out)}")
    skipped = [name for name, result, *_ in table if result == "skipped"]
    fine = "all is well" + (f", but for what was skipped: {', '.join(skipped)}" if skipped else "")
    check.say(f"\n{'' if check.failures or check.left_out else fine + ', '}{time.monotonic() - check.start:.0f} s")
    return 1 if check.failures or check.left_out else 0


if __name__ == "__main__":
    sys.exit(main())
