"""`pytest -m gpu` without a GPU: nothing runs, and the reason is what pyconv says."""

import os
import subprocess
import sys
from pathlib import Path


def test_why_tests_on_a_gpu_are_skipped():
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONDONTWRITEBYTECODE": "1"}
    root = Path(__file__).parents[2]
    why = subprocess.run([sys.executable, "-c", "from pyconv import backends; print(backends.available()['cuda'])"],
                         cwd=root, capture_output=True, text=True, env=environment, check=True).stdout.strip()
    assert why.startswith("The backend 'cuda' needs")
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-rs", "-m", "gpu", "-p", "no:cacheprovider",
                           "tests/cuda/test_training_emulated.py", "tests/cuda/test_memory_emulated.py"],
                          cwd=root, capture_output=True, text=True, env={**environment, "COLUMNS": "2000"}, check=False)
    assert done.returncode == 0 and "4 skipped" in done.stdout and "passed" not in done.stdout, done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert len(lines) == 1 and why in lines[0], done.stdout
