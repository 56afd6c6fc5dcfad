"""The CUDA backend: CUDA C kernels through CuPy, planned ahead. docs/cuda.md says what has been verified and how."""

from __future__ import annotations

from ..base import Backend

__all__ = ["CUDABackend", "load", "reason_against"]


def reason_against(device=0) -> str | None:
    """Why the backend cannot be used on device number `device`, or None if it can."""
    from . import driver
    return driver.reason_against(device)


class CUDABackend(Backend):
    """Programs for one NVIDIA GPU."""

    def __init__(self, device=0):
        super().__init__()
        from .driver import Driver
        self.driver = Driver(device)
        self.name = "cuda" if device == 0 else f"cuda:{device}"

    def supports(self, name: str) -> bool:
        """Whether there is a kernel for the op."""
        from .elementwise import EXPRESSIONS
        from .expansion import EXPANSIONS
        from .lowering import LOWERING
        from .planner import ALIASES
        return any(name in table for table in (EXPRESSIONS, EXPANSIONS, LOWERING, ALIASES))

    def compile(self, graph):
        from .halves import prepare
        return self.make(prepare(graph, self.driver.tensor_cores))

    def make(self, graph):
        from .program import CUDAProgram
        with self.driver.lock:
            return CUDAProgram(graph, self.driver)

    def joined(self, parts):
        """One CuPy array of parts along the first axis, all on this device and in C order."""
        made = self.driver.array((sum(p.shape[0] for p in parts), *parts[0].shape[1:]), parts[0].dtype)
        with self.driver.lock:
            self.driver.follow()
            at = 0
            for part in parts:
                if part.nbytes:
                    self.driver.copy(made[at:at + part.shape[0]], part)
                at += part.shape[0]
            self.driver.stream.synchronize()
        return made


def load(device=0):
    return CUDABackend(device)
