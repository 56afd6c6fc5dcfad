"""Slices: work that keeps channels apart takes a block of samples a few channels at a time, while these are in cache.

In the lanes layout a block is [channel][row][column][lane], and elementwise chains, sums per channel, pooling and
depthwise convolutions compute a range of channels from the same range of channels. Such instructions that follow each
other in a step are a *run*: the executor takes the first slice of a block through all of them, then the next. So what
passes between them stays in the second-level cache however large a block is, and arrays that live only within a run
need the memory of one slice. A step that is one run also gives more tasks than there are blocks.
"""

from __future__ import annotations

import math
from typing import NamedTuple

SLICE = 1 << 19                # bytes of all arrays of a run that one slice of theirs should not exceed
LEAST = 1 << 15                # the same for slices that are made only so that there are enough of them
TASKS = 16                     # as many tasks a step should have


class Sliced(NamedTuple):
    """How work can be sliced: into equal ranges of `channels`; `buffers`: ids of those of which it then touches ranges.

    Of all other buffers a slice may read anything.
    """

    channels: int
    buffers: frozenset


def find(chains) -> list:
    """The runs of a step's chain work: lists of work, which has `slices` set, in an order that makes few of them."""
    inside = {id(w) for w in chains}
    waiting = [(w, {id(v) for v in w.waits} & inside) for w in chains]
    runs, done, written = [], set(), {}        # written: ids of a run's results -> whether they are made in slices
    while waiting:
        ready = [w for w, needs in waiting if needs <= done]
        work = next((w for w in ready if runs and _joins(w, runs[-1], written)), None)
        if work is None:
            work = ready[0]
            runs.append([])
            written = {}
        runs[-1].append(work)
        done.add(id(work))
        waiting = [entry for entry in waiting if entry[0] is not work]
        for buffer in work.writes if work.sliced else ():
            written[id(buffer)] = written.get(id(buffer), True) and id(buffer) in work.sliced.buffers
    for run in runs:
        _set(run)
    return runs


def _joins(work, run, written) -> bool:
    """Whether the work can be the next of a run: what it shares with the run's results is ranges on both sides."""
    if not work.sliced or not run[0].sliced or math.gcd(*(w.sliced.channels for w in (work, *run))) == 1:
        return False
    return all(written.get(id(b), True) and (id(b) not in written or id(b) in work.sliced.buffers)
               for b in (*work.reads, *work.writes))


def _set(run):
    """Choose the number of slices of a run, and say so to its work and to the buffers that live only within it."""
    if run[0].sliced is None:
        return
    channels, blocks = math.gcd(*(w.sliced.channels for w in run)), run[0].blocks
    size = sum({id(b): b.block_bytes for w in run for b in (*w.reads, *w.writes)}.values())
    most = min(SLICE, max(LEAST, size * blocks // TASKS)) if len(run) > 1 or blocks < TASKS // 2 else size
    slices = min((n for n in range(1, channels + 1) if channels % n == 0 and size <= most * n), default=channels)
    for work in run:
        work.slices = slices
        if slices > 1:
            work.run = run


def within(buffer) -> int:
    """Of how many slices the memory of a buffer in a thread's own memory needs to hold one only; 1: all of it."""
    users = [*buffer.writers, *buffer.readers]
    run = users[0].run
    same = run is not None and all(w.run is run and id(buffer) in w.sliced.buffers for w in users)
    return users[0].slices if same else 1
