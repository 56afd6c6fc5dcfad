"""How many kernels a step launches: elementwise work, sums and updates are put together."""

import pytest

import pyconv
from pyconv import applications, ops
from pyconv.backends.cuda.lowering import LOWERING
from pyconv.backends.cuda.planner import Planner
from pyconv.graph import fold, simplify, trace
from pyconv.ops.base import apply
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
    ("lenet5", (28, 28), True, 36), ("lenet5", (28, 28), False, 9), ("resnet20", (32, 32, 3), True, 218),
    ("resnet20", (32, 32, 3), False, 67)])
def test_upper_bounds(make, shape, training, most):
    found = launches(getattr(applications, make)(), shape, pyconv.optimizers.Adam(1e-3), training)
    assert len(found) <= most, found


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam", "adamw", "lion"])
def test_all_parameters_are_updated_in_one_launch(optimizer):
    found = launches(applications.resnet20(), (32, 32, 3), optimizer)
    assert sum(name.startswith("together_") for name in found) <= 2       # the updates, and what must be committed
    assert not any("commit" in name for name in found[:-1])


def kernel_gradients(channels, count, loss):
    """The launches after the convolutions of `count` gradients for kernels, of which `loss` makes the results."""
    x, dy = ((32, 40, 40, channels), "float32"), ((32, 40, 40, channels), "float32")
    attrs = {"strides": (1, 1), "dilation": (1, 1), "padding": ((1, 1),) * 2, "groups": 1, "channels_last": True}

    def function(*arrays):
        return loss([apply("conv_kernel_gradient", a, arrays[-1], shape=(3, 3, channels, channels), **attrs)
                     for a in arrays[:-1]])
    plan = Planner(trace(function, [x] * count + [dy])[0], Names(), LOWERING).plan()
    return [launch.kernel for launch in plan.launches if "implicit" not in launch.kernel and "no_error" not in
            launch.kernel]


def test_parts_of_kernel_gradients_are_added_up_where_they_are_used():
    assert kernel_gradients(16, 3, lambda g: ops.tanh(g[0] + g[1]) * g[2]) == ["chain_add_parts_add_tanh_multiply"]
    transposed = kernel_gradients(16, 1, lambda g: ops.transpose(ops.reshape(g[0], (48, 48))))
    assert transposed == ["chain_add_parts", "copy.copy<unsigned, int>"]
    (name,) = kernel_gradients(16, 2, lambda g: ops.sum(g[0] * g[0]) + 0 * ops.sum(g[0]))
    assert name.startswith("sums_add_parts_multiply")


def test_parts_that_would_leave_the_cache_are_added_up_in_between():
    """Together, though: 40 gradients, each with 1.8 MB of parts, as many at once as fit into 32 MB."""
    assert kernel_gradients(16, 40, lambda g: g) == ["together_add_parts"] * 3


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
