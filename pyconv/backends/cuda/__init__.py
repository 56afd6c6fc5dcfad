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
        from .program import CUDAProgram
        with self.driver.lock:
            return CUDAProgram(graph, self.driver)


def load(device=0):
    return CUDABackend(device)
