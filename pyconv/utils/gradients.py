"""Gradients of a user's own function, inside of a training step and outside of it."""

from __future__ import annotations

import numpy as np

from ..graph import Tensor, Variable, current_trace, flatten, gradients, is_float, is_nest, pack
from ..ops.base import as_tensor
from ..ops.function import Function, as_native
from .configurable import describe

__all__ = ["value_and_grad"]


def value_and_grad(function, variables=None, has_aux=False):
    """A function that gives the value of `function` and its gradients.

    In an own `train_step`, where everything is symbolic and becomes part of the compiled step::

        class Own(pyconv.Model):
            def train_step(self, data):
                x, y, sample_weight = data

                def loss():
                    return self.compute_loss(x, y, self(x, training=True), sample_weight)

                value, grads = pyconv.utils.value_and_grad(loss, self.trainable_variables)()
                self.optimizer.apply(grads, self.trainable_variables)
                return {"loss": value}

    On arrays, where it is traced and compiled once for each signature of its arguments::

        def loss(x, y):
            return pyconv.ops.mean(pyconv.ops.square(model(x) - y))

        value, grads = pyconv.utils.value_and_grad(loss, model.trainable_variables)(x, y)

    What `function` does to variables (running statistics, states of random generators) takes place.

    Parameters
    ----------
    function: callable
        Written with `pyconv.ops`, layers and models. It returns a float scalar, the loss.
    variables: list of Variable, or a nest of them; optional
        What to differentiate with respect to. Default: the first argument, whose arrays must be floats
        (saliency maps, adversarial examples).
    has_aux: bool
        Whether `function` returns a tuple ``(loss, aux)``, with tensors in any nest besides the loss; the
        value is then that tuple. Default False.

    Returns
    -------
    callable
        With the arguments of `function`; keyword arguments are constants. It gives ``(value, gradients)``,
        the gradients in the structure of `variables`, with None for what the loss does not depend on. On
        arrays these are NumPy arrays.

    Raises
    ------
    TypeError
        If `variables` holds something else, an argument to be differentiated is no float, or the loss is
        none.
    ValueError
        If the loss is no scalar.
    """
    if not callable(function):
        raise TypeError(f"value_and_grad: function must be callable, got {describe(function)}.")
    if isinstance(variables, Variable):
        variables = [variables]
        single = True
    else:
        single = False
        if variables is not None and not is_nest(variables):
            variables = list(variables)
    for variable in flatten(variables):
        if not isinstance(variable, Variable):
            raise TypeError(f"value_and_grad: variables must hold pyconv.Variable objects, got "
                            f"{describe(variable)}.")
    compiled: dict = {}                  # keyword arguments -> Function

    def symbolic(args, kwargs):
        targets = variables
        if targets is None:
            if not args:
                raise TypeError("value_and_grad without variables differentiates with respect to the first "
                                "argument, but there is none.")
            args = (_as_tensors(args[0]), *args[1:])
            targets = args[0]
        # read before the function may change them: the gradient is the one at the present values
        inputs = [v.read() if isinstance(v, Variable) else v for v in flatten(targets)]
        value = function(*args, **kwargs)
        loss = _loss(value, has_aux)
        grads = pack(targets, gradients(loss, inputs)) if inputs else targets
        return value, grads[0] if single else grads

    def run(*args, **kwargs):
        if current_trace() is not None or any(isinstance(a, Tensor) for a in flatten([list(args), kwargs])):
            return symbolic(args, kwargs)
        from ..layers.tracking import structure_version
        # a frozen layer computes something else
        key = structure_version(), repr(sorted(kwargs.items(), key=lambda item: item[0]))
        if key not in compiled:
            compiled[key] = Function(lambda *tensors: symbolic(tensors, kwargs))
        return compiled[key](*_native(args))
    return run


def _loss(value, has_aux):
    if has_aux and not (isinstance(value, tuple) and len(value) == 2):
        raise TypeError(f"value_and_grad: with has_aux=True the function must return (loss, aux), got "
                        f"{describe(value)}.")
    loss = value[0] if has_aux else value
    if is_nest(loss) or loss is None:
        raise TypeError(f"value_and_grad: the function must return one scalar, got {describe(loss)}; give "
                        "further values with has_aux=True.")
    return as_tensor(loss)


def _as_tensors(nest):
    """The argument that is differentiated, in tensors."""
    def convert(leaf):
        tensor = as_tensor(leaf)
        if not is_float(tensor.dtype):
            raise TypeError(f"value_and_grad: only floats have gradients; the first argument has element "
                            f"type {tensor.dtype}.")
        return tensor
    return pack(nest, [convert(leaf) for leaf in flatten(nest)])


def _native(args):
    def convert(leaf):
        if isinstance(leaf, float):
            from ..config import floatx
            leaf = np.asarray(leaf, floatx())
        return as_native(leaf)
    return pack(args, [convert(leaf) for leaf in flatten(args)])
