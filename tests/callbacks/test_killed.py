"""A training that the system kills in the middle of an epoch, and that another process takes up again."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

PROGRAM = """
import os, signal, sys
import numpy as np
import pyconv
from pyconv import layers, optimizers
from pyconv.callbacks import BackupAndRestore, Callback

folder, out, seed, kill = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
rng = np.random.default_rng(0)
x, y = rng.normal(size=(60, 8, 8, 1)).astype("float32"), np.arange(60) % 3
pyconv.utils.set_random_seed(seed)
model = pyconv.Sequential([pyconv.Input((8, 8, 1)), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU(),
                           layers.Dropout(0.4), layers.Flatten(), layers.Dense(3)])
schedule = optimizers.schedules.CosineDecay(0.01, 40, warmup_target=0.05, warmup_steps=7)
model.compile(optimizers.AdamW(schedule, clipnorm=1.0, use_ema=True),
              pyconv.losses.SparseCategoricalCrossentropy(from_logits=True))

class Kill(Callback):
    steps = 0
    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.steps == 10:                    # the fourth step of the second epoch
            os.kill(os.getpid(), signal.SIGKILL)

callbacks = [] if folder == "none" else [BackupAndRestore(folder, save_freq=3)]
history = model.fit(x, y, 10, 4, verbose=0, callbacks=[*callbacks, *([Kill()] if kill == "kill" else [])])
np.savez(out, *[v.array for v in model.variables + model.optimizer.variables], loss=history.history["loss"])
"""


def run(*arguments):
    return subprocess.run([sys.executable, "-c", PROGRAM, *map(str, arguments)], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))})


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_killed_and_taken_up_again(tmp_path):
    whole = run("none", tmp_path / "whole.npz", 5, "live")
    assert whole.returncode == 0, whole.stderr
    killed = run(tmp_path / "backup", tmp_path / "killed.npz", 5, "kill")
    assert killed.returncode == -signal.SIGKILL and not (tmp_path / "killed.npz").exists()
    assert os.listdir(tmp_path / "backup") == ["latest.safetensors"]
    again = run(tmp_path / "backup", tmp_path / "again.npz", 99, "live")       # another seed: all of it is in the file
    assert again.returncode == 0, again.stderr
    a, b = np.load(tmp_path / "whole.npz"), np.load(tmp_path / "again.npz")
    assert len(a.files) == len(b.files) > 20
    for name in set(a.files) - {"loss"}:
        np.testing.assert_array_equal(a[name], b[name])
    # the metrics of the epoch that was taken up are those of its later batches, the others are all there
    np.testing.assert_array_equal(a["loss"][2:], b["loss"][1:])
