"""What every op of the registry must do on every backend, walked op by op."""

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

import pyconv.ops  # noqa: F401  (fills the registry)
from pyconv import backends
from pyconv.graph import REGISTRY, Graph, Op, Variable, is_float, make_node, placeholder, trace
from pyconv.testing import NotSmooth, check_gradients
from pyconv.testing.contract import HAS_GRADIENT, NO_GRADIENT, NO_SECOND_GRADIENT, OPS, compare
from pyconv.testing.strategies import arguments


def test_the_registry_is_filled():
    assert len(OPS) >= 62


@pytest.mark.parametrize("name", OPS)
def test_op_has_a_rule_and_a_strategy(name):
    op = type(REGISTRY[name])
    assert op.infer is not Op.infer, f"op {name} has no shape and type rule"
    assert op.draw is not Op.draw, f"op {name} has no strategy: give its class a method draw(self, draw, kit)"
    arguments(name).validate()


@pytest.mark.parametrize("name", OPS)
def test_op_has_a_derivative(name):
    op = REGISTRY[name]
    known = not op.differentiable or type(op).gradient is not Op.gradient
    assert known != (name in NO_GRADIENT), f"op {name} needs a gradient rule, or differentiable = False"


@pytest.mark.parametrize("name", OPS)
def test_backend_has_a_kernel(name, backend):
    assert backend.supports(name), f"the backend {backend.name} has no kernel for op {name}"


def test_backend_supports_nothing_unknown(backend):
    assert not backend.supports("no_such_op")


@pytest.mark.parametrize("name", OPS)
@given(data=st.data())
def test_forward(name, backend_name, data):
    """The result equals the reference's; any memory layout is accepted, and inputs are left alone."""
    arrays, attrs = data.draw(arguments(name))
    before = [a.copy() for a in arrays]
    results = backends.get(backend_name).execute(name, arrays, attrs)
    results = results if isinstance(results, tuple) else (results,)
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=f"{name} changed its input")
    assert not any(np.shares_memory(r, a) for r in results for a in arrays), f"{name} gave its input's memory"
    compare(name, arrays, attrs, results)


@pytest.mark.parametrize("name", OPS)
@settings(max_examples=settings().max_examples // 2)
@given(data=st.data())
def test_forward_of_variables_and_constants(name, backend_name, data):
    """Inputs may be variables or constants as well: backends lay these out ahead of time."""
    arrays, attrs = data.draw(arguments(name, layouts=("C",)))
    kinds = [data.draw(st.sampled_from(["input", "variable", "constant"])) for _ in arrays]
    variables = [Variable(a) for a in arrays]

    def run(*tensors):
        given = iter(tensors)
        inputs = [next(given) if k == "input" else v.read() if k == "variable" else pyconv.graph.constant(a)
                  for a, v, k in zip(arrays, variables, kinds, strict=True)]
        return make_node(name, inputs, attrs)
    fed = [a for a, k in zip(arrays, kinds, strict=True) if k == "input"]
    graph, _ = trace(run, [(a.shape, a.dtype.name) for a in fed])
    program = backends.get(backend_name).compile(graph)
    compare(name, arrays, attrs, program(fed))
    # New values in the variables are seen by the same program, and a second run gives the same bits as the
    # first.
    if "variable" in kinds and is_float(arrays[kinds.index("variable")].dtype.name):
        at = kinds.index("variable")
        arrays[at] = np.flip(arrays[at]).copy()
        variables[at].assign(arrays[at])
        compare(name, arrays, attrs, program(fed))
    first, second = program(fed), program(fed)
    assert [a.tobytes() for a in first] == [a.tobytes() for a in second]


@pytest.mark.parametrize("name", HAS_GRADIENT)
@settings(max_examples=settings().max_examples // 2)
@given(data=st.data())
def test_gradient(name, backend_name, data):
    arrays, attrs = data.draw(arguments(name, dtypes=("float64",), smooth=True, layouts=("C",)))
    try:
        check_gradients(lambda *tensors: make_node(name, tensors, attrs), arrays, backend=backend_name)
    except NotSmooth:
        reject()


@pytest.mark.parametrize("name", [name for name in HAS_GRADIENT if name not in NO_SECOND_GRADIENT])
@settings(max_examples=settings().max_examples // 3)
@given(data=st.data())
def test_second_gradient(name, backend_name, data):
    arrays, attrs = data.draw(arguments(name, dtypes=("float64",), smooth=True, layouts=("C",)))
    try:
        check_gradients(lambda *tensors: make_node(name, tensors, attrs), arrays, backend=backend_name,
                        order=2)
    except NotSmooth:
        reject()


@pytest.mark.parametrize("name", [n for n in OPS if not REGISTRY[n].differentiable])
@settings(max_examples=5)
@given(data=st.data())
def test_no_gradient_passes_through(name, data):
    arrays, attrs = data.draw(arguments(name))
    inputs = [placeholder(a.shape, a.dtype.name) for a in arrays]
    node = make_node(name, inputs, attrs)
    loss = pyconv.ops.sum(pyconv.ops.cast(node, "float32"))
    assert pyconv.graph.gradients(loss, inputs) == [None] * len(inputs)


@pytest.mark.parametrize("name", OPS)
@settings(max_examples=5)
@given(data=st.data())
def test_symbolic_result_has_the_inferred_spec(name, data):
    """Tracing gives the shape and type that a run gives."""
    arrays, attrs = data.draw(arguments(name))
    outputs = make_node(name, [placeholder(a.shape, a.dtype.name) for a in arrays], attrs)
    node = outputs[0] if isinstance(outputs, tuple) else outputs
    results = backends.get("reference").compile(Graph(node.node.inputs, node.node.outputs))(
        [np.require(a, a.dtype.newbyteorder("="), "C") for a in arrays])
    assert [(r.shape, r.dtype.name) for r in results] == [t.spec for t in node.node.outputs]
