"""Functions that are traced once per input signature and run as compiled programs."""

from __future__ import annotations

import numpy as np

from .. import backends, config
from ..graph import Variable, canonical, flatten, fold, pack, simplify, trace
from ..utils.foreign import to_hosts
from ..utils.garbage import no_collection
from ..utils.locks import RLock

__all__ = ["Function"]


MOST_PROGRAMS = 64


class Function:
    """Python code on tensors, compiled on first use for each signature of its arguments.

    Parameters
    ----------
    function: callable
        Takes nested symbolic tensors in the structure of the arguments, and returns nested tensors.
    training: bool
        What layers see while the code is traced.
    """

    def __init__(self, function, training=False):
        self.function, self.training = function, training
        self.programs = {}
        self._lock = RLock()

    def program(self, args, leaves=None, batch=None):
        """The compiled program for arguments like these, and the structure of its results."""
        leaves = flatten(args) if leaves is None else leaves
        backend = self._backend(leaves)
        # The number of rows that a batch is taken from does not matter to the program.
        shapes = [a.shape if batch is None else (batch, *a.shape[1:]) for a in leaves]
        key = (backend.name, config.conv_algorithm(), *((s, a.dtype) for s, a in zip(shapes, leaves, strict=True)),
               _structure(args))
        found = self.programs.get(key)
        if found is None:
            with self._lock, no_collection():
                found = self.programs.get(key) or self._compile(key, backend, args, shapes, leaves)
        return found

    @staticmethod
    def _backend(leaves):
        """The current one, or that of the GPU on which arrays lie."""
        for leaf in leaves:
            if not isinstance(leaf, np.ndarray):
                return backends.residence.gathered([leaf], "")[0] or backends.current()
        return backends.current()

    def _compile(self, key, backend, args, shapes, leaves):
        specs = [(shape, canonical(a.dtype)) for shape, a in zip(shapes, leaves, strict=True)]
        graph, result = trace(lambda *tensors: self.function(*pack(args, tensors)), specs, self.training)
        graph = simplify(graph)
        if not self.training:
            graph = fold(graph, large=backend.prepares)
        found = self.programs[key] = backend.compile(graph), result
        # Inputs of ever new sizes must not fill the memory with programs.
        while len(self.programs) > MOST_PROGRAMS:
            self.programs.pop(next(iter(self.programs)), None)
        return found

    def __call__(self, *args, rows=None, **options):
        """Run on nested arrays. With `rows`, row indices into arrays that are longer than the batch.

        Results lie where the arrays do: on a GPU if any of these is there.
        options: `ahead` and `on_host`, for programs that take them (`backends.base.Program.looks_ahead`).
        """
        leaves = flatten(args)
        program, result = self.program(args, leaves, None if rows is None else len(rows))
        return pack(result, program(leaves, rows, **options if program.looks_ahead else {}))


def _structure(value):
    if isinstance(value, dict):
        return ("d", tuple((k, _structure(v)) for k, v in value.items()))
    if isinstance(value, (tuple, list)):
        return ("t", tuple(map(_structure, value)))
    return None if value is None else ()


def as_native(array) -> np.ndarray:
    """An array as programs take it: contiguous, aligned and in this machine's byte order."""
    array = array.peek() if isinstance(array, Variable) else np.asarray(to_hosts(array))
    canonical(array.dtype)
    if array.dtype.isnative and array.flags.c_contiguous and array.flags.aligned:
        return array
    return np.require(array, array.dtype.newbyteorder("="), ["C", "A"])
