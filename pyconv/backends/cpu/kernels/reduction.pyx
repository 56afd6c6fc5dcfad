# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Sum, max and min over axes, mean and variance together; argmax and argmin.

The results are numbered in C order of the kept axes. Three ways through memory: `across`, where neighbouring results
lie side by side in x and fill a vector; `along`, where the reduced elements of one result lie side by side; and any
other, one element at a time. A task is a range of results, or in the lanes layout a block. Sums over the samples of a
block leave out the lanes that hold none.

The variance is computed from differences: from the mean, in two passes, or in the lanes layout from the mean of what
came before, in one. Where samples are summed, each block gives its mean and its sum of squares, which are then joined
in the order of the blocks.
"""

from libc.stdint cimport int32_t, int64_t

from pyconv.backends.cpu.executor cimport Context, Instruction, Operand, address, ceil_div, instruction, operand

cdef extern from "reduction_types.h" nogil:
    const int LANES_F32, LANES_F64, MAX_AXES
    ctypedef struct Axes:
        long shape[8]
        long stride[8]
        long count
        int axes
    void reduce_lanes_f32(const Axes *, int, const float *, float *, long)
    void reduce_lanes_f64(const Axes *, int, const double *, double *, long)
    void reduce_lanes_i64(const Axes *, int, const int64_t *, int64_t *, long)
    float reduce_run_f32(const Axes *, int, const float *, long, long, long)
    double reduce_run_f64(const Axes *, int, const double *, long, long, long)
    int64_t reduce_run_i64(const Axes *, int, const int64_t *, long, long, long)
    void moments_lanes_f32(const Axes *, const float *, float *, float *)
    void moments_lanes_f64(const Axes *, const double *, double *, double *)
    void moments_block_f32(const Axes *, const float *, long, float *, float *)
    void moments_block_f64(const Axes *, const double *, long, double *, double *)
    void moments_run_f32(const Axes *, const float *, long, long, float *, float *)
    void moments_run_f64(const Axes *, const double *, long, long, double *, double *)
    void moments_join_f32(const float *, const float *, long, long, double, double, double *, double *)
    void moments_join_f64(const double *, const double *, long, long, double, double, double *, double *)
    int32_t arg_f32(int, const float *, long, long)
    int32_t arg_f64(int, const double *, long, long)
    int32_t arg_i64(int, const int64_t *, long, long)

ctypedef fused number:
    float
    double
    int64_t

OPERATIONS = {"sum": 0, "max": 1, "min": 2, "argmax": 1, "argmin": 2}

cdef struct Reduce:
    Operand x, y
    Axes kept, reduced
    int op, across
    long run, step              # innermost: length, and elements from one to the next
    long chunk                  # results of a task; 0: all
    long samples                # in the lanes layout, if the sum goes over samples; else 0
    long rest                   # results of all blocks of rows together; else 0

cdef long offset_of(const Axes *a, long i) noexcept nogil:
    cdef long offset = 0
    cdef int d
    for d in range(a.axes - 1, -1, -1):
        offset += i % a.shape[d] * a.stride[d]
        i //= a.shape[d]
    return offset

cdef inline void results(const Axes *kept, long chunk, long rest, long task, long *first, long *last) noexcept nogil:
    """The range of a task: a chunk, or all of a block's results; of blocks of rows the last may have fewer."""
    first[0] = task * chunk
    last[0] = min(kept.count, first[0] + chunk) if chunk else kept.count
    if rest:
        last[0] = min(kept.count, rest - task * kept.count)

cdef void reduce_task(const Reduce *p, long task, const Context *context, number *tag) noexcept nogil:
    cdef long lanes = LANES_F32 if number is float else LANES_F64
    cdef long block = 0 if p.chunk else task
    cdef const number *x = <const number *>address(&p.x, block, context)
    cdef number *y = <number *>address(&p.y, block, context)
    cdef long first, last
    cdef long i, j, valid = lanes
    cdef const number *at
    results(&p.kept, p.chunk, p.rest, task, &first, &last)
    if p.samples:
        valid = min(lanes, p.samples - task * lanes)
    for i in range(first, last):
        at = x + offset_of(&p.kept, i)
        if p.across:
            j = 0
            while j < p.run:
                if number is float:
                    reduce_lanes_f32(&p.reduced, p.op, at + j, y + i * p.run + j, min(lanes, p.run - j))
                elif number is double:
                    reduce_lanes_f64(&p.reduced, p.op, at + j, y + i * p.run + j, min(lanes, p.run - j))
                else:
                    reduce_lanes_i64(&p.reduced, p.op, at + j, y + i * p.run + j, min(lanes, p.run - j))
                j += lanes
        elif number is float:
            y[i] = reduce_run_f32(&p.reduced, p.op, at, p.run, p.step, valid)
        elif number is double:
            y[i] = reduce_run_f64(&p.reduced, p.op, at, p.run, p.step, valid)
        else:
            y[i] = reduce_run_i64(&p.reduced, p.op, at, p.run, p.step, valid)

cdef void reduce_f32(const void *p, long task, const Context *c) noexcept nogil:
    reduce_task[float](<const Reduce *>p, task, c, NULL)
cdef void reduce_f64(const void *p, long task, const Context *c) noexcept nogil:
    reduce_task[double](<const Reduce *>p, task, c, NULL)
cdef void reduce_i64(const void *p, long task, const Context *c) noexcept nogil:
    reduce_task[int64_t](<const Reduce *>p, task, c, NULL)

cdef int set_axes(Axes *a, pairs) except -1:
    a.axes, a.count = len(pairs), 1
    if len(pairs) > MAX_AXES:
        raise ValueError("too many axes")
    for i, (n, stride) in enumerate(pairs):
        a.shape[i], a.stride[i] = n, stride
        a.count *= n
    return 0

def reduce(dtype, op, x, y, *, kept, reduced, across, run, step=1, blocks=0, chunk=0, samples=0, rest=0):
    """kept, reduced: (length, stride in elements) per axis, without the innermost one, which is `run` elements long.

    across: the innermost axis is kept (stride 1), else reduced, `step` elements apart. blocks: tasks of the lanes
    layout, with `samples` if the lanes are summed, or blocks of rows, `rest` together; otherwise tasks of `chunk`
    results (of kept, without run).
    """
    cdef Reduce p
    p.x, p.y, p.op, p.across = operand(x), operand(y), OPERATIONS[op], across
    set_axes(&p.kept, kept)
    set_axes(&p.reduced, reduced)
    p.run, p.step, p.chunk, p.samples, p.rest = run, step, chunk, samples, rest
    return instruction(reduce_f32 if dtype == "float32" else reduce_f64 if dtype == "float64" else reduce_i64, &p,
                       sizeof(p), blocks or ceil_div(p.kept.count, chunk), 0, None)


ctypedef fused real:
    float
    double

cdef struct Moments:
    Operand x, total, variance     # total: the sum; with `samples` the mean of a block, and its sum of squares
    Axes kept, reduced
    int across, has_total
    long run, step, chunk, samples, rest

cdef void moments_task(const Moments *p, long task, const Context *context, real *tag) noexcept nogil:
    cdef long lanes = LANES_F32 if real is float else LANES_F64
    cdef long block = 0 if p.chunk else task
    cdef const real *x = <const real *>address(&p.x, block, context)
    cdef real *total = <real *>address(&p.total, block, context) if p.has_total else NULL
    cdef real *variance = <real *>address(&p.variance, block, context)
    cdef long first, last, i, j, l, n, at
    cdef double count = <double>p.reduced.count * (1 if p.across else p.run)
    cdef real mean[16]
    cdef real squares[16]
    cdef const real *xi
    results(&p.kept, p.chunk, p.rest, task, &first, &last)
    for i in range(first, last):
        xi = x + offset_of(&p.kept, i)
        if p.samples:
            n = min(lanes, p.samples - task * lanes)
            if real is float:
                moments_block_f32(&p.reduced, xi, n, total + i, variance + i)
            else:
                moments_block_f64(&p.reduced, xi, n, total + i, variance + i)
            continue
        j = 0
        while j < (p.run if p.across else 1):
            n = min(lanes, p.run - j) if p.across else 1
            if p.across:
                if real is float:
                    moments_lanes_f32(&p.reduced, xi + j, mean, squares)
                else:
                    moments_lanes_f64(&p.reduced, xi + j, mean, squares)
            elif real is float:
                moments_run_f32(&p.reduced, xi, p.run, p.step, mean, squares)
            else:
                moments_run_f64(&p.reduced, xi, p.run, p.step, mean, squares)
            at = i * p.run + j if p.across else i
            for l in range(n):
                variance[at + l] = <real>(squares[l] / count)
                if total != NULL:
                    total[at + l] = <real>(mean[l] * count)
            j += lanes

cdef void moments_f32(const void *p, long task, const Context *c) noexcept nogil:
    moments_task[float](<const Moments *>p, task, c, NULL)
cdef void moments_f64(const void *p, long task, const Context *c) noexcept nogil:
    moments_task[double](<const Moments *>p, task, c, NULL)

def moments(dtype, x, total, variance, *, kept, reduced, across, run, step=1, blocks=0, chunk=0, samples=0, rest=0):
    """The variance and, unless `total` is None, the sum over axes; the arguments are those of `reduce`.

    With `samples` each block gives instead its mean (in `total`) and its sum of squares, for `join_moments`.
    """
    cdef Moments p
    p.x, p.variance, p.across, p.has_total = operand(x), operand(variance), across, total is not None
    if total is not None:
        p.total = operand(total)
    set_axes(&p.kept, kept)
    set_axes(&p.reduced, reduced)
    p.run, p.step, p.chunk, p.samples, p.rest = run, step, chunk, samples, rest
    return instruction(moments_f32 if dtype == "float32" else moments_f64, &p, sizeof(p),
                       blocks or ceil_div(p.kept.count, chunk), 0, None)


cdef struct Join:
    Operand means, squares, total, variance
    long count, parts, step, has_total
    double each, last

cdef void join_task(const Join *p, const Context *context, real *tag) noexcept nogil:
    cdef const real *means = <const real *>address(&p.means, 0, context)
    cdef const real *squares = <const real *>address(&p.squares, 0, context)
    cdef real *total = <real *>address(&p.total, 0, context) if p.has_total else NULL
    cdef real *variance = <real *>address(&p.variance, 0, context)
    cdef double mean, spread, n = p.each * (p.parts - 1) + p.last
    cdef long i
    for i in range(p.count):
        if real is float:
            moments_join_f32(means + i, squares + i, p.parts, p.step, p.each, p.last, &mean, &spread)
        else:
            moments_join_f64(means + i, squares + i, p.parts, p.step, p.each, p.last, &mean, &spread)
        variance[i] = <real>(spread / n)
        if total != NULL:
            total[i] = <real>(mean * n)

cdef void join_f32(const void *p, long task, const Context *c) noexcept nogil:
    join_task[float](<const Join *>p, c, NULL)
cdef void join_f64(const void *p, long task, const Context *c) noexcept nogil:
    join_task[double](<const Join *>p, c, NULL)

def join_moments(dtype, means, squares, total, variance, *, count, parts, step, each, last):
    """`count` variances and, unless `total` is None, sums, from those of `parts` blocks, `step` elements apart.

    each, last: how many numbers a block had, and the last one.
    """
    cdef Join p
    p.means, p.squares, p.variance = operand(means), operand(squares), operand(variance)
    p.has_total = total is not None
    if total is not None:
        p.total = operand(total)
    p.count, p.parts, p.step, p.each, p.last = count, parts, step, each, last
    return instruction(join_f32 if dtype == "float32" else join_f64, &p, sizeof(p), 1, 0, None)


cdef struct Arg:
    Operand x, y
    Axes kept
    int op
    long count, step, chunk

cdef void arg_task(const Arg *p, long task, const Context *context, number *tag) noexcept nogil:
    cdef long block = 0 if p.chunk else task
    cdef const number *x = <const number *>address(&p.x, block, context)
    cdef int32_t *y = <int32_t *>address(&p.y, block, context)
    cdef long first = task * p.chunk if p.chunk else 0
    cdef long last = min(p.kept.count, first + p.chunk) if p.chunk else p.kept.count
    cdef long i
    for i in range(first, last):
        if number is float:
            y[i] = arg_f32(p.op, x + offset_of(&p.kept, i), p.count, p.step)
        elif number is double:
            y[i] = arg_f64(p.op, x + offset_of(&p.kept, i), p.count, p.step)
        else:
            y[i] = arg_i64(p.op, x + offset_of(&p.kept, i), p.count, p.step)

cdef void arg_f32_task(const void *p, long task, const Context *c) noexcept nogil:
    arg_task[float](<const Arg *>p, task, c, NULL)
cdef void arg_f64_task(const void *p, long task, const Context *c) noexcept nogil:
    arg_task[double](<const Arg *>p, task, c, NULL)
cdef void arg_i64_task(const void *p, long task, const Context *c) noexcept nogil:
    arg_task[int64_t](<const Arg *>p, task, c, NULL)

def arg(dtype, op, x, y, *, kept, count, step, blocks=0, chunk=0):
    """The index (int32) of the first extremum of `count` elements, `step` apart, for each result of `kept`."""
    cdef Arg p
    p.x, p.y, p.op, p.count, p.step, p.chunk = operand(x), operand(y), OPERATIONS[op], count, step, chunk
    set_axes(&p.kept, kept)
    return instruction(arg_f32_task if dtype == "float32" else arg_f64_task if dtype == "float64" else arg_i64_task,
                       &p, sizeof(p), blocks or ceil_div(p.kept.count, chunk), 0, None)
