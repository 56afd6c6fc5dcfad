"""How many kernels a step launches: elementwise work, sums and updates are put together."""

import pytest

import pyconv
from pyconv import applications, ops
from pyconv.backends.cuda.lowering import LOWERING
from pyconv.backends.cuda.planner import Planner
from pyconv.graph import fold, simplify, trace
from tests.cuda.nvrtc import Recorder


class Names(Recorder):
    """Kernels are their names."""

    def kernel(self, family, expression, before=""):
        return f"{family}.{expression}"

    def kernel_of_source(self, source, name):
        return name


def launches(model, shape, optimizer, training=True):
    model.compile(optimizer, pyconv.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    if training:
        graph, _ = trace(lambda x, y: model._run_train_step(x, y, None), [((32, *shape), "uint8"), ((32,), "int32")],
                         training=True)
        graph = simplify(graph)
    else:
        graph = fold(simplify(trace(lambda x: model(x, training=False), [((32, *shape), "uint8")])[0]))
    plan = Planner(graph, Names(), LOWERING).plan()
    return [launch.kernel if isinstance(launch.kernel, str) else "cuBLAS" for launch in plan.launches]


# Before chains, sums and updates were put together there were 66 and 14, 616 and 88.
@pytest.mark.parametrize("make, shape, training, most", [
    ("lenet5", (28, 28), True, 44), ("lenet5", (28, 28), False, 12), ("resnet20", (32, 32, 3), True, 239),
    ("resnet20", (32, 32, 3), False, 68)])
def test_upper_bounds(make, shape, training, most):
    found = launches(getattr(applications, make)(), shape, pyconv.optimizers.Adam(1e-3), training)
    assert len(found) <= most, found


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam", "adamw", "lion"])
def test_all_parameters_are_updated_in_one_launch(optimizer):
    found = launches(applications.resnet20(), (32, 32, 3), optimizer)
    assert sum(name.startswith("together_") for name in found) <= 2       # the updates, and what must be committed
    assert not any("commit" in name for name in found[:-1])


def test_bias_scale_residual_and_activation_are_part_of_the_convolution():
    x, k = ((2, 5, 5, 3), "float32"), ((3, 3, 3, 4), "float32")
    wide, flat = ((2, 5, 5, 4), "float32"), ((4,), "float32")

    def function(x, k, scale, shift, residual):
        y = ops.conv(x, k, padding="same") * scale + shift
        return ops.relu(y), ops.tanh(y + residual)

    graph, _ = trace(function, [x, k, flat, flat, wide])
    plan = Planner(graph, Names(), LOWERING).plan()
    assert [launch.kernel.split(".")[0] for launch in plan.launches] == ["copy", "convolution"]


def test_ops_on_a_sum_are_part_of_the_sum():
    graph, _ = trace(lambda x: ops.relu(ops.mean(x * x, 0) + 1), [((90, 7), "float32")])
    plan = Planner(graph, Names(), LOWERING).plan()
    assert [launch.kernel.split("_")[0] for launch in plan.launches[1:]] == ["sums"]
