"""hypothesis, which draws the cases: an optional dependency, imported by what needs it."""

try:
    import hypothesis
    from hypothesis import strategies
except ImportError as error:
    raise ImportError("pyconv.testing draws its cases with hypothesis, which is not installed. Install it with "
                      "pip install 'pyconv-nn[testing]', or pip install 'pyconv-nn[test]' with all that pyconv's own "
                      "tests need.") from error

__all__ = ["hypothesis", "strategies"]
