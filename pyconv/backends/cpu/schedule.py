"""The order of a program's work, its steps, and the places of its buffers."""

from __future__ import annotations

import heapq
import itertools

import numpy as np

from ...graph.variable import aligned_empty
from . import buffers as memory
from . import slices
from .buffers import CACHE, FIXED, LOCAL

FAR = 3 << 23          # bytes; what was written before so many others is hardly in a cache any more
LARGE = CACHE          # bytes of a block that a core does not keep until it is read again


def ordered(works) -> list:
    """All work, each after what it reads, otherwise in order of creation."""
    waiting = {}
    after = {}
    for work in works:
        needs = {id(w): w for b in work.reads for w in b.writers if w is not work}
        # Several works may fill parts of one buffer; those after the first wait for it (a border, then the rest).
        for buffer in work.writes:
            for earlier in buffer.writers:
                if earlier is work:
                    break
                needs[id(earlier)] = earlier
        work.waits = list(needs.values())
        waiting[id(work)] = len(needs)
        for key in needs:
            after.setdefault(key, []).append(work)
    heap = [(*w.index, w) for w in works if not waiting[id(w)]]
    heapq.heapify(heap)
    order = []
    while heap:
        work = heapq.heappop(heap)[-1]
        order.append(work)
        for follower in after.get(id(work), ()):
            waiting[id(follower)] -= 1
            if not waiting[id(follower)]:
                heapq.heappush(heap, (*follower.index, follower))
    if len(order) != len(works):
        raise AssertionError("the work of this graph goes in a circle")
    return order


def in_steps(order) -> list:
    """Work in steps, as early as possible; what changes variables comes after everything else.

    A step is (runs of work by blocks, other work).
    """
    steps = []        # [chain works, free works, blocks]

    def put(work, earliest):
        s = earliest
        while True:
            while s >= len(steps):
                steps.append([[], [], 0])
            if not work.blocks or steps[s][2] in (0, work.blocks):
                break
            s += 1
        if work.blocks:
            steps[s][2] = work.blocks
            steps[s][0].append(work)
        else:
            steps[s][1].append(work)
        work.step = s

    def earliest(work, floor):
        s = floor
        for other in work.waits:
            together = work.blocks and other.blocks == work.blocks and _aligned(other, work)
            s = max(s, earliest(other, s) if id(other) in joining else other.step + (0 if together else 1))
        return s

    joining, late, lazy, followers = _for_updates(order), set(), [], {}
    for work in order:
        if work.updates or id(work) in joining or any(id(w) in late for w in work.waits):
            late.add(id(work))
        elif work.lazy:
            work.step = earliest(work, 0)
            lazy.append(work)
        else:
            put(work, earliest(work, 0))
        for other in work.waits:
            if other.lazy:
                followers.setdefault(id(other), []).append(work)
    for work in reversed(lazy):
        users = followers.get(id(work), ())
        if any(id(w) in late for w in users) or not users:
            put(work, work.step)
            continue
        last = min(w.step - (w.blocks != work.blocks or not _aligned(work, w)) for w in users)
        put(work, next((s for s in range(last, work.step, -1)
                        if s < len(steps) and work.blocks in (0, steps[s][2])), work.step))
    floor = len(steps)
    for work in order:
        if id(work) in late and id(work) not in joining and work.updates != "commit":
            put(work, earliest(work, floor))
    for work in reversed(order):
        if id(work) in joining:
            work.step = min(w.step for b in work.writes for w in b.readers)
            steps[work.step][0].append(work)
    floor = len(steps)
    for work in order:
        if work.updates == "commit":
            put(work, earliest(work, floor))
    position = {id(w): i for i, w in enumerate(order)}
    for chains, free, _ in steps:
        chains.sort(key=lambda w: position[id(w)])
        free.sort(key=lambda w: -w.cost)
    return [(slices.find(chains), free) for chains, free, _ in steps if chains or free]


def _for_updates(order):
    """Work (its ids) by rows whose results are read by updates of variables alone, in the same rows: it is done with
    them, so that a row is still in the cache. It may not read variables itself, whose values may be new by then."""
    found = set()
    for work in reversed(order):
        readers = [w for b in work.writes for w in b.readers]
        if work.rows and not work.updates and readers and not any(b.array is not None for b in work.reads) \
                and all(w.rows == work.rows and (w.updates is True or id(w) in found) for w in readers):
            found.add(id(work))
    return found


def _aligned(earlier, later):
    """Whether all that passes from one to the other does so block by block."""
    same = earlier.rows is not None and earlier.rows == later.rows
    passed = [b for b in earlier.writes if any(b is r for r in later.reads) or any(b is w for w in later.writes)]
    return all(b.rows == earlier.rows if same else b.blocks for b in passed)


def places(order, outputs, in_lanes):
    """Give every buffer its place: in the thread's memory if it lives within a block, else in the arena.

    Returns (arena, bytes of the thread's memory).
    """
    position = {id(w): i for i, w in enumerate(order)}
    kept = {id(b) for b in outputs}
    every = {id(b): b for w in order for b in [*w.reads, *w.writes] if b.array is None}
    local, shared = [], []
    for buffer in every.values():
        users = [w for w in (*buffer.writers, *buffer.readers) if id(w) in position]
        if (buffer.blocks or buffer.rows) and id(buffer) not in kept and not buffer.shared \
                and len({w.step for w in users}) == 1 \
                and all(w.rows == buffer.rows if buffer.rows else w.blocks == buffer.blocks for w in users):
            buffer.place, buffer.slices = LOCAL, slices.within(buffer)
            # What a later slice needs as well must stay until the end of the run.
            during = users if buffer.slices > 1 else [w for user in users for w in user.run or [user]]
            buffer.first = min(position[id(w)] for w in during)
            buffer.last = max(position[id(w)] for w in during)
            local.append(buffer)
        else:
            buffer.first = min(w.step for w in users)
            buffer.last = max(w.step for w in users) if id(buffer) not in kept else 1 << 30
            shared.append(buffer)
    replaced = _replace(order, every)
    local, shared = ([b for b in some if b.instead is None] for some in (local, shared))
    local_bytes, size = memory.place(local), 0
    # Small batches: a place is used again for arrays of one size only, whose parts belong to the same threads.
    kinds = {0: shared} if in_lanes else {b.nbytes: [] for b in shared}
    for buffer in () if in_lanes else shared:
        kinds[buffer.nbytes].append(buffer)
    for kind in kinds.values():
        size = memory.place(kind, size)
    arena = aligned_empty((size + 64,), np.uint8)
    for buffer in shared:
        buffer.base += arena.ctypes.data
        buffer.place = FIXED
    for buffer in replaced:
        buffer.base = buffer.instead.base
    return arena, local_bytes


def _replace(order, every):
    """Results that take the place of what their work is the last to read, in order: so less memory passes through the
    caches, and none need be read just because it is written."""
    replaced, taken = [], set()
    for work in order:
        for new, old in work.replaces:
            if id(new) in every and id(old) in every and new.instead is None and id(old) not in taken \
                    and new.writers == [work] and (old.nbytes, old.block_bytes, old.slices, old.rows) \
                    == (new.nbytes, new.block_bytes, new.slices, new.rows) \
                    and (old.last == new.first if old.place == new.place
                         else old.place == FIXED and old.last == work.step and new.block_bytes >= LARGE) \
                    and (old.place == LOCAL
                         or all(w is work or w.step != work.step for w in (*old.writers, *old.readers))):
                if old.place != new.place:
                    new.place, new.first, new.last = FIXED, old.last, old.last
                new.instead = old
                taken.add(id(old))
                replaced.append(new)
    for buffer in reversed(replaced):
        buffer.instead.last = buffer.last
    return replaced


def find_far(steps):
    """Tell each work which of its results are read, if at all, only after so much else that no cache holds them.

    Until the next step whole arrays pass, until the next run of the same step those of a block, and within a run only
    slices.
    """
    runs = [(s, works, {id(b): b for w in works for b in (*w.reads, *w.writes)}.values())
            for s, (chains, free) in enumerate(steps) for works in (*chains, free)]
    place = {id(w): i for i, (_, works, _) in enumerate(runs) for w in works}
    begins = {s: i for i, (s, _, _) in reversed([*enumerate(runs)])}         # step -> its first run
    blocks, arrays = ([0, *itertools.accumulate(sum(map(size, buffers)) for _, _, buffers in runs)] for size in (
        lambda b: b.block_bytes or b.nbytes, lambda b: b.nbytes if b.place == FIXED else b.block_bytes or b.nbytes))

    def passed(first, last):
        """Bytes from the beginning of one run to that of another."""
        if runs[first][0] < runs[last][0]:
            return arrays[begins[runs[last][0]]] - arrays[begins[runs[first][0]]]
        return blocks[last] - blocks[first]

    for i, (_, works, _) in enumerate(runs):
        for work in works:
            for buffer in work.writes:
                later = [place[id(w)] for w in buffer.readers if place.get(id(w), -1) >= i and w is not work]
                if (passed(i, min(later)) if later else buffer.nbytes) >= FAR:
                    work.far.add(id(buffer))
