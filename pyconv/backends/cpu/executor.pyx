# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Runs compiled programs: lists of instructions, with the GIL released and the threads of OpenMP (`threads.h`).

A program is a list of steps; between two steps all threads wait for each other. A step has chains and free
instructions. The chains' instructions are all split into the same number of tasks (blocks of samples), and one
thread takes a block through all of them while it is in cache. Several that follow each other may be a run: then it
takes a slice of the block, some channels, through these, then the next. The tasks of free instructions are independent.
Which thread does a task never changes what it computes, so results do not depend on the number of threads.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from _thread import start_new_thread
from libc.limits cimport LONG_MAX
from libc.stdlib cimport malloc, free
from libc.string cimport memcpy
from cython.parallel cimport parallel, threadid
from libc.stdint cimport int64_t

from pyconv.graph.variable import aligned_empty

cdef extern from "threads.h" nogil:
    const int PYCONV_OPENMP, AWAKE, POOLS, MOST_THREADS
    ctypedef struct Pool:
        int helpers
        int64_t last
        int64_t woken
    ctypedef void (*Work)(Pool *, void *, int, int, int) noexcept nogil
    int64_t pyconv_nanoseconds()
    int pyconv_prepare()
    Pool *pyconv_acquire(int)
    void pyconv_release(Pool *)
    void pyconv_begin(Pool *, void *, Work)
    int pyconv_awake(Pool *)
    void pyconv_share(Pool *, int, int, int)
    void pyconv_deal(Pool *, int, long)
    int64_t pyconv_task(Pool *, int, int)
    void pyconv_help(Pool *, int)

HAS_OPENMP = bool(PYCONV_OPENMP)
pyconv_prepare()


def _help(size_t pool, int first, int count):
    """So many helpers, as long as the process lives. The region's own thread stands for the callers, and sleeps."""
    with nogil, parallel(num_threads=count + 1):
        if threadid():
            pyconv_help(<Pool *>pool, first + threadid() - 1)


cdef int start_helpers(Pool *pool, int threads) except -1:
    """A pool that has too few for a run gets the others, if the system lets it; a run can do without."""
    cdef int missing = threads - 1 - pool.helpers
    if PYCONV_OPENMP and missing > 0:
        try:
            start_new_thread(_help, (<size_t>pool, pool.helpers + 1, missing))
            pool.helpers += missing
        except RuntimeError:        # at the end of the process, or there are too many
            pass
    return 0


cdef Operand operand(object description) except *:
    """(base, stride, place) from Python."""
    cdef Operand o
    base, stride, place = description
    o.base = <char *><size_t>base
    o.stride = stride
    o.place = place
    return o


cdef const void *elements(object array, size_t item) except? NULL:
    cdef Py_buffer view
    cdef const void *found
    if array.itemsize != item:
        raise TypeError(f"expected elements of {item} bytes, got {array.dtype}")
    PyObject_GetBuffer(array, &view, PyBUF_SIMPLE)
    found = view.buf
    PyBuffer_Release(&view)
    return found


cdef class Instruction:
    """A kernel, its parameters and the number of its tasks. Made by the constructors in the kernels' modules."""

    def __dealloc__(self):
        free(self.params)


cdef Instruction instruction(Kernel kernel, const void *params, size_t size, long tasks, size_t scratch, object keep):
    cdef Instruction self = Instruction.__new__(Instruction)
    self.params = malloc(size)
    if self.params == NULL:
        raise MemoryError()
    memcpy(self.params, params, size)
    self.kernel, self.tasks, self.scratch, self.keep = kernel, tasks, scratch, keep
    return self


cdef struct Code:
    Kernel kernel
    const void *params
    long tasks
    int run, slices             # of chains: how many instructions, from this one on, go slice by slice; else 1
    int64_t time                # nanoseconds of the last profiled run

cdef struct Step:
    int first, chains, free     # code[first:first + chains] in chains, then `free` free instructions
    long tasks                  # of the chains
    int slices                  # if all chains are one run, a task is a slice; else 1
    double cost                 # estimated nanoseconds
    int serial                  # by one thread

cdef struct Cursor:             # on the way through the tasks of a share of a step
    int share, shares
    int free                    # which of the free instructions it is at; -1: the chains
    long begin, end             # which of the share's tasks are of these
    long first, many, odd       # those tasks' numbers in the instruction: `many` from the first on, then `odd`
    long around                 # tasks so far that were left when every share had as many

cdef enum:                      # nanoseconds, estimated
    STEP = 500                  # work that a step must have for each thread
    STEP_ENOUGH = 3_000         # ... or altogether: waiting for the others costs about as much
    ALONE = 30_000              # that a step must have for threads to take over tasks, which are in another cache
    LITTLE = 4_000              # work in such steps that a program must have for each thread, if these are awake
    ENOUGH = 30_000             # ... or altogether
    WAKE = 100_000              # in which threads that sleep can help
    MUCH = 300_000              # for which sharing pays in any case; the slower way is tried again, of less work,
    TRIAL = 512                 # ... after so many runs
    TRIED = 8                   # ... in so many runs
    SOON = 32                   # and until what became slower, perhaps by chance, is tried again


cdef class Program:
    """Steps ready to run.

    Parameters
    ----------
    steps: list of (runs: lists of chain instructions, slices of each run, free instructions, estimated nanoseconds)
    inputs: int
        How many input pointers there are; the addresses of their slots are `slots`.
    local_bytes: int
        Memory of a thread for arrays that live within a task.
    """

    cdef Code *code
    cdef Step *steps
    cdef int n_steps
    cdef void **pointers
    cdef readonly int n_inputs
    cdef size_t local_bytes, scratch_bytes
    cdef object memory          # NumPy's, which puts large arrays on large pages where the system lets it
    cdef char *base             # of the memory
    cdef int threads, reserved  # of the last run, and that there is memory for
    cdef Py_buffer *views
    cdef list keep
    cdef Failure failure
    cdef int profiling
    cdef double shared          # estimated nanoseconds of the steps that are shared
    cdef int64_t times[2]       # of little programs: nanoseconds on one thread, and on all
    cdef int quicker, spread    # which of these ways takes less time, and that of the last run
    cdef unsigned int runs      # since the other one was tried

    def __cinit__(self, int inputs):
        self.pointers = <void **>malloc((inputs + 1) * sizeof(void *))
        self.views = <Py_buffer *>malloc((inputs + 1) * sizeof(Py_buffer))
        self.n_inputs = inputs
        if self.views == NULL or self.pointers == NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self.pointers)
        free(self.views)
        free(self.code)
        free(self.steps)

    def slot(self, int i):
        """The address of the pointer to input i; the slot after the last is that of the row indices."""
        return <size_t>&self.pointers[i]

    def load(self, list steps, size_t local_bytes):
        cdef int n = 0, s = 0
        cdef Instruction ins
        self.keep = steps
        self.local_bytes = (local_bytes + 4095) // 4096 * 4096
        self.n_steps = len(steps)
        self.steps = <Step *>malloc(max(1, self.n_steps) * sizeof(Step))
        self.code = <Code *>malloc(max(1, sum(sum(map(len, r)) + len(f) for r, _, f, _ in steps)) * sizeof(Code))
        if self.steps == NULL or self.code == NULL:
            raise MemoryError()
        for runs, slices, loose, cost in steps:
            self.steps[s] = Step(n, sum(map(len, runs)), len(loose), runs[0][0].tasks if runs else 0,
                                 slices[0] if len(runs) == 1 else 1, cost, 0)
            for run, parts in [*zip(runs, slices), *(([ins], 1) for ins in loose)]:
                for ins in run:
                    self.code[n] = Code(ins.kernel, ins.params, ins.tasks, len(run), parts, 0)
                    self.scratch_bytes = max(self.scratch_bytes, ins.scratch)
                    n += 1
            s += 1
        self.scratch_bytes = (self.scratch_bytes + 4095) // 4096 * 4096

    cdef int _prepare(self, int threads) except -1:
        """Memory of its own for each thread, and which steps these share."""
        cdef size_t each = self.local_bytes + self.scratch_bytes + 4096
        if self.reserved < threads:
            self.threads, self.reserved, self.memory = 0, 0, None
            self.memory = aligned_empty((threads * each + 4096,), "uint8")
            self.base = <char *><size_t>self.memory.ctypes.data
            self.reserved = threads
        if self.threads != threads:
            self.shared = 0
            for s in range(self.n_steps):
                self.steps[s].serial = self.steps[s].cost < min(STEP_ENOUGH, STEP * threads)
                if not self.steps[s].serial:
                    self.shared += self.steps[s].cost
            self.threads = threads
        return 0

    def run(self, arrays, rows, int threads):
        """Run once, on contiguous arrays; `rows` is an int64 array or None. One thread at a time may call this.

        Returns None, or (index of a message, value) if a kernel found an error.
        """
        cdef int i
        cdef int held = 0
        threads = min(threads, MOST_THREADS)
        self._prepare(threads)
        try:
            for array in arrays:
                PyObject_GetBuffer(array, &self.views[held], PyBUF_SIMPLE)
                self.pointers[held] = self.views[held].buf
                held += 1
            self.pointers[self.n_inputs] = NULL
            if rows is not None:
                PyObject_GetBuffer(rows, &self.views[held], PyBUF_SIMPLE)
                self.pointers[self.n_inputs] = self.views[held].buf
                held += 1
            self.failure.code = 0
            if threads == 1 or self.shared < min(ENOUGH, LITTLE * threads):
                with nogil:
                    self._work(NULL, 0)
            else:
                self._share(threads)
        finally:
            for i in range(held):
                PyBuffer_Release(&self.views[i])
        if self.failure.code:
            return self.failure.code - 1, self.failure.value
        return None

    def profile(self, arrays, rows):
        """Run once on one thread; returns the nanoseconds of each instruction, in the order of `load`."""
        cdef int i
        cdef int n = sum(self.steps[i].chains + self.steps[i].free for i in range(self.n_steps))
        for i in range(n):
            self.code[i].time = 0
        self.profiling = 1
        try:
            self.run(arrays, rows, 1)
        finally:
            self.profiling = 0
        return [self.code[i].time for i in range(n)]

    cdef int _share(self, int threads) except -1:
        """Run on one thread or on all. Little programs, which take less time than waking others does, go to these only
        while they are awake. All but large ones find out by themselves whether that takes less time: it depends on
        where the threads' cores are, and on what else these do. The result is the same."""
        cdef int little = self.shared < ENOUGH, tried = self.shared < MUCH
        cdef Pool *pool = pyconv_acquire(1 if little else POOLS)
        cdef Pool *team = pool
        cdef int64_t start = pyconv_nanoseconds(), took, known
        cdef int hot, spread, ready
        if pool == NULL:                # others have them all
            with nogil:
                self._work(NULL, 0)
            return 0
        try:
            hot = 0 <= start - pool.last < AWAKE
            if self.runs < TRIAL and self.quicker != (self.times[1] <= self.times[0]):
                self.quicker = not self.quicker
                if self.runs:
                    self.runs = TRIAL - SOON
            spread = self.quicker != (self.runs >= TRIAL) if tried and hot else not little
            ready = spread == self.spread and (not spread or pyconv_awake(pool) and start - pool.woken >= WAKE)
            self.spread = spread
            if spread:
                start_helpers(pool, threads)
            else:
                team = NULL
            with nogil:
                if spread:
                    pyconv_begin(pool, <void *>self, <Work>_do_share)
                self._work(team, hot or self.shared >= WAKE)
            pool.last = pyconv_nanoseconds()
            took = pool.last - start
            # About the median: a single run counts little, however long it took. Those after a change do not count:
            # they may have to wake others, which fall asleep while this runs alone, and data is in other caches.
            if tried and hot and ready:
                self.runs = (self.runs + 1) % (TRIAL + TRIED)
                known = self.times[spread]
                self.times[spread] = took if known == 0 else max(known // 2, min(known * 9 // 8, took))
            # It had to wait for a thread without a core of its own: none is shared for fifty times as long.
            if little and hot and took > AWAKE:
                pool.last += 50 * AWAKE
        finally:
            pyconv_release(pool)
        return 0

    cdef void _work(self, Pool *team, int wake) noexcept nogil:
        """All steps, those that are worth it together with a team, unless that is a null pointer."""
        cdef int s
        for s in range(self.n_steps):
            if team == NULL or self.steps[s].serial:
                self._step(NULL, s, 0, 1)
            else:
                pyconv_share(team, self.threads, s, wake)
            if self.failure.code:
                return

    cdef inline void _run(self, int first, long task, int slice, Context *context) noexcept nogil:
        """A slice of a block through the instructions of a run."""
        cdef int i
        context.slice, context.slices = slice, self.code[first].slices
        for i in range(first, first + self.code[first].run):
            if self.profiling:
                self.code[i].time -= pyconv_nanoseconds()
            self.code[i].kernel(self.code[i].params, task, context)
            if self.profiling:
                self.code[i].time += pyconv_nanoseconds()

    cdef void _step(self, Pool *team, int number, int thread, int threads) noexcept nogil:
        """A thread's share of a step, and then what others have not begun of theirs."""
        cdef Context context
        cdef Step *step = &self.steps[number]
        cdef Cursor at = begin(step, thread, threads)
        cdef int64_t task
        cdef long last
        cdef int i, share
        cdef size_t each = self.local_bytes + self.scratch_bytes + 4096
        cdef char *memory = <char *>((<size_t>self.base + 4095) // 4096 * 4096 + thread * each)
        context.local = memory
        context.scratch = memory + self.local_bytes
        context.failure = &self.failure
        for i in range(step.free):
            next_instruction(&self.code[step.first + step.chains + i], &at)
        if team == NULL or step.cost < ALONE:
            last, at = at.end, begin(step, thread, threads)
            for task in range(last):
                self._task(step, task, &at, &context)
            return
        pyconv_deal(team, thread, at.end)
        for i in range(threads):
            share = (thread + i) % threads
            task, at.begin = pyconv_task(team, share, i > 0), LONG_MAX
            while task >= 0:
                if task < at.begin:
                    at = begin(step, share, threads)
                self._task(step, task, &at, &context)
                task = pyconv_task(team, share, i > 0)

    cdef void _task(self, Step *step, long task, Cursor *at, Context *context) noexcept nogil:
        """A task of a share, not before that instruction to which the last one had brought `at`."""
        cdef int i, end, slice
        cdef Code *code
        while task >= at.end:
            at.free += 1
            next_instruction(&self.code[step.first + step.chains + at.free], at)
        task -= at.begin
        task = at.first + task if task < at.many else at.odd
        context.slice, context.slices = 0, 1
        if at.free >= 0:
            code = &self.code[step.first + step.chains + at.free]
            if self.profiling:
                code.time -= pyconv_nanoseconds()
            code.kernel(code.params, task, context)
            if self.profiling:
                code.time += pyconv_nanoseconds()
        elif step.slices > 1:
            self._run(step.first, task // step.slices, task % step.slices, context)
        else:
            i, end = step.first, step.first + step.chains
            while i < end:
                for slice in range(self.code[i].slices):
                    self._run(i, task, slice, context)
                i += self.code[i].run


cdef inline Cursor begin(const Step *step, int share, int shares) noexcept nogil:
    """The chains of a share."""
    cdef long tasks = step.tasks * step.slices
    cdef long first = tasks * share // shares, many = tasks * (share + 1) // shares - first
    return Cursor(share, shares, -1, 0, many, first, many, 0, 0)


cdef inline void next_instruction(const Code *code, Cursor *at) noexcept nogil:
    """As many tasks that follow each other for every thread, for the caches' sake: to take over what another has in its
    cache costs ten times the bandwidth of one's own. Those that are left go around, so that instructions of few tasks
    spread too."""
    cdef long many = code.tasks // at.shares, left = code.tasks - many * at.shares
    cdef long turn = (at.share + at.shares - at.around % at.shares) % at.shares
    at.begin, at.first, at.many, at.odd = at.end, many * at.share, many, many * at.shares + turn
    at.end += many + (turn < left)
    at.around += left


cdef void _do_share(Pool *team, void *program, int step, int thread, int threads) noexcept nogil:
    (<Program>program)._step(team, step, thread, threads)
