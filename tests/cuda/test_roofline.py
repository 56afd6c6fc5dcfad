"""docs/roofline.py: its arithmetic, and that docs/cuda.md has what it writes."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def roofline():
    spec = importlib.util.spec_from_file_location("roofline", ROOT / "docs" / "roofline.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("threads, registers, shared, blocks", [
    (256, 32, 0, 8), (256, 33, 0, 6), (256, 64, 0, 4), (256, 65, 0, 3), (256, 128, 0, 2), (256, 255, 0, 1),
    (1024, 64, 0, 1), (32, 16, 0, 32), (256, 32, 100 * 1024, 2), (256, 32, 48 * 1024, 4)])
def test_blocks_at_once(roofline, threads, registers, shared, blocks):
    """65536 registers, in units of 8 a thread; 2048 threads, 32 blocks, 228 KiB of which each block wastes one."""
    assert roofline.occupancy(threads, registers, shared) == blocks


def test_least_time(roofline):
    assert roofline.least_time(3.35e9, 67e9, 132) == (pytest.approx(1e-3), "memory")
    assert roofline.least_time(3.35e9, 67e9, 133) == (pytest.approx(1e-3 * 2 * 132 / 133), "arithmetic")
    assert roofline.least_time(0, 67e9, 1) == (pytest.approx(0.132), "arithmetic")


def test_bytes_and_operations(roofline):
    rows = {row[0]: row for row in roofline.launches() if row[0]}
    title, (family, name), blocks, threads, traffic, work = rows["3×3 convolution, 56×56, 64 to 64 channels"]
    assert (family, name) == ("implicit", "implicit<FORWARD, 3, 1, 64, 64, 16, 4, 4>")
    assert (blocks, threads) == (32 * 56 * 56 // 64, 256)
    assert traffic == 4 * (2 * 32 * 56 * 56 * 64 + 9 * 64 * 64) and work == 2 * 32 * 56 * 56 * 9 * 64 * 64


@pytest.mark.skipif(importlib.util.find_spec("cupy_backends") is None, reason="CuPy is not installed")
def test_the_page_is_up_to_date(roofline):
    text = (ROOT / "docs" / "cuda.md").read_text(encoding="utf-8")
    assert text == roofline.page(text), "run: python docs/roofline.py"
