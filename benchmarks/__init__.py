"""Measures pyconv beside other libraries: ``python -m benchmarks`` (see README.md)."""
