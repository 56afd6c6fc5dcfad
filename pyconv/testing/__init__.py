"""Tools for testing code that is built on pyconv: gradient checks, and strategies for hypothesis."""

from .gradients import NotSmooth, check_gradients

__all__ = ["NotSmooth", "check_gradients"]
