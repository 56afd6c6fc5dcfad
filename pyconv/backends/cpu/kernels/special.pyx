# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Softmax cross-entropy with integer labels, random numbers from a counter, parts picked by indices, and order.

Cross-entropy: in the plain layout a vector is neighbouring classes of a sample, in lanes a class of a block. A task is
a range of samples, or a block.

Taking: arrays are plain, [outer][place or index][inner]. A task copies the parts of a range of indices. The gradient
goes through all indices in their order; a task has some of the inner elements, so that nobody adds to the same one.

Order: rows are plain. A task sorts the places of a range of rows: runs of 8 by insertion, then merged pairwise, back
and forth between the result and scratch memory, so that equal elements stay in order.
"""

from libc.stdint cimport int8_t, uint8_t, int16_t, uint16_t, int32_t, uint32_t, int64_t, uint64_t

from libc.string cimport memcpy, memset

from pyconv.backends.cpu.executor cimport Context, Instruction, Operand, address, ceil_div, fail, instruction, operand

cdef extern from "special.h" nogil:
    const int LANES_F32, LANES_F64
    float cross_entropy_row_f32(const float *, long, long, float, float *)
    double cross_entropy_row_f64(const double *, long, long, double, double *)
    void cross_entropy_block_f32(const float *, long, const int64_t *, long, const float *, float *, float *)
    void cross_entropy_block_f64(const double *, long, const int64_t *, long, const double *, double *, double *)
    const int PHILOX_MANY
    void philox(uint64_t, uint64_t, uint32_t, uint32_t *)
    void philox_many(uint64_t, uint64_t, uint32_t, uint32_t *)
    double philox_uniform(uint32_t)
    void philox_normal(uint32_t, uint32_t, double *, double *)

ctypedef fused real:
    float
    double

LABELS = {"bool": 0, "uint8": 0, "int8": 1, "uint16": 2, "int16": 3, "uint32": 4, "int32": 5, "int64": 6}

cdef struct CrossEntropy:
    Operand logits, labels, grad, out
    int label_type, gradient, failure
    int in_lanes
    long samples, classes, per_task

cdef int64_t read_label(const char *labels, int type, long i) noexcept nogil:
    if type == 0:
        return (<const uint8_t *>labels)[i]
    if type == 1:
        return (<const int8_t *>labels)[i]
    if type == 2:
        return (<const uint16_t *>labels)[i]
    if type == 3:
        return (<const int16_t *>labels)[i]
    if type == 4:
        return (<const uint32_t *>labels)[i]
    if type == 5:
        return (<const int32_t *>labels)[i]
    return (<const int64_t *>labels)[i]

cdef void cross_entropy_task(const CrossEntropy *p, long task, const Context *context, real *tag) noexcept nogil:
    cdef const real *x = <const real *>address(&p.logits, task, context)
    cdef const char *labels = address(&p.labels, task, context)
    cdef const real *g = <const real *>address(&p.grad, task, context) if p.gradient else NULL
    cdef real *out = <real *>address(&p.out, task, context)
    cdef long i, n = min(p.per_task, p.samples - task * p.per_task)
    cdef int64_t label
    cdef int64_t block[16]
    for i in range(n):
        label = read_label(labels, p.label_type, i)
        if label < 0 or label >= p.classes:
            fail(context, p.failure, label)
            label = 0
        if p.in_lanes:
            block[i] = label
        elif p.gradient:
            if real is float:
                cross_entropy_row_f32(x + i * p.classes, p.classes, label, g[i], out + i * p.classes)
            else:
                cross_entropy_row_f64(x + i * p.classes, p.classes, label, g[i], out + i * p.classes)
        elif real is float:
            out[i] = cross_entropy_row_f32(x + i * p.classes, p.classes, label, 0, NULL)
        else:
            out[i] = cross_entropy_row_f64(x + i * p.classes, p.classes, label, 0, NULL)
    if p.in_lanes:
        if real is float:
            cross_entropy_block_f32(x, p.classes, block, n, g, out if p.gradient else NULL, out)
        else:
            cross_entropy_block_f64(x, p.classes, block, n, g, out if p.gradient else NULL, out)

cdef void cross_entropy_f32(const void *p, long task, const Context *c) noexcept nogil:
    cross_entropy_task[float](<const CrossEntropy *>p, task, c, NULL)
cdef void cross_entropy_f64(const void *p, long task, const Context *c) noexcept nogil:
    cross_entropy_task[double](<const CrossEntropy *>p, task, c, NULL)


def cross_entropy(dtype, label_type, logits, labels, grad, out, *, samples, classes, in_lanes, per_task, failure):
    """Losses, or with `grad` the gradient for the logits. The operands' strides are those of a task."""
    cdef CrossEntropy p
    p.logits, p.labels, p.out = operand(logits), operand(labels), operand(out)
    p.gradient = grad is not None
    if grad is not None:
        p.grad = operand(grad)
    p.label_type, p.failure = LABELS[label_type], failure
    p.samples, p.classes, p.in_lanes, p.per_task = samples, classes, in_lanes, per_task
    return instruction(cross_entropy_f32 if dtype == "float32" else cross_entropy_f64, &p, sizeof(p),
                       ceil_div(samples, per_task), 0, None)


cdef struct Random:
    Operand state, out
    long count, chunk
    int normal

cdef void random_task(const Random *p, long task, const Context *context, real *tag) noexcept nogil:
    cdef const int64_t *state = <const int64_t *>address(&p.state, 0, context)
    cdef real *out = <real *>address(&p.out, 0, context)
    cdef uint32_t words[128]
    cdef double values[4]
    cdef long i, k, start = task * p.chunk, end = min(p.count, (task + 1) * p.chunk)
    while not p.normal and start + 4 * PHILOX_MANY <= end:
        philox_many(<uint64_t>state[0], <uint64_t>state[1], <uint32_t>(start // 4), words)
        for k in range(4 * PHILOX_MANY):
            out[start + k] = <real>(words[k] >> 8) * <real>5.9604644775390625e-08        # 2**-24, exact
        start += 4 * PHILOX_MANY
    for i in range(start, end, 4):
        philox(<uint64_t>state[0], <uint64_t>state[1], <uint32_t>(i // 4), words)
        if p.normal:
            philox_normal(words[0], words[1], &values[0], &values[1])
            philox_normal(words[2], words[3], &values[2], &values[3])
        else:
            for k in range(4):
                values[k] = philox_uniform(words[k])
        for k in range(min(4, end - i)):
            out[i + k] = <real>values[k]

cdef void random_f32(const void *p, long task, const Context *c) noexcept nogil:
    random_task[float](<const Random *>p, task, c, NULL)
cdef void random_f64(const void *p, long task, const Context *c) noexcept nogil:
    random_task[double](<const Random *>p, task, c, NULL)


def random(dtype, state, out, *, count, normal):
    """`count` uniform or standard normal numbers; a task makes 4096."""
    cdef Random p
    p.state, p.out, p.count, p.chunk, p.normal = operand(state), operand(out), count, 4096, normal
    return instruction(random_f32 if dtype == "float32" else random_f64, &p, sizeof(p), ceil_div(count, 4096), 0, None)


cdef struct Take:
    Operand x, indices, out
    int index_type, failure
    long outer, size, count, inner     # inner: bytes; in the gradient elements
    long chunk, chunks                 # indices (gradient: inner elements) of a task, and tasks of an outer one

cdef void take_task(const void *params, long task, const Context *context) noexcept nogil:
    cdef const Take *p = <const Take *>params
    cdef const char *x = address(&p.x, 0, context)
    cdef const char *indices = address(&p.indices, 0, context)
    cdef char *out = address(&p.out, 0, context)
    cdef long o = task // p.chunks, i, first = task % p.chunks * p.chunk
    cdef int64_t index
    for i in range(first, min(p.count, first + p.chunk)):
        index = read_label(indices, p.index_type, i)
        if index < 0 or index >= p.size:
            fail(context, p.failure, index)
            continue
        memcpy(out + (o * p.count + i) * p.inner, x + (o * p.size + index) * p.inner, p.inner)

cdef void take_gradient_task(const Take *p, long task, const Context *context, real *tag) noexcept nogil:
    cdef const real *g = <const real *>address(&p.x, 0, context)
    cdef const char *indices = address(&p.indices, 0, context)
    cdef real *out = <real *>address(&p.out, 0, context)
    cdef long o = task // p.chunks, i, k, first = task % p.chunks * p.chunk
    cdef long width = min(p.inner - first, p.chunk)
    cdef int64_t index
    cdef real *to
    cdef const real *part
    out += o * p.size * p.inner + first
    g += o * p.count * p.inner + first
    for i in range(p.size):
        memset(out + i * p.inner, 0, width * sizeof(real))
    for i in range(p.count):
        index = read_label(indices, p.index_type, i)
        if index < 0 or index >= p.size:
            fail(context, p.failure, index)
            continue
        to = out + index * p.inner
        part = g + i * p.inner
        for k in range(width):
            to[k] += part[k]

cdef void take_gradient_f32(const void *p, long task, const Context *c) noexcept nogil:
    take_gradient_task[float](<const Take *>p, task, c, NULL)
cdef void take_gradient_f64(const void *p, long task, const Context *c) noexcept nogil:
    take_gradient_task[double](<const Take *>p, task, c, NULL)


def take(x, index_type, indices, out, *, outer, size, count, inner, failure):
    """out[o, i] = x[o, indices[i]], parts of `inner` bytes; a task copies about 16 KB."""
    cdef Take p
    p.x, p.indices, p.out = operand(x), operand(indices), operand(out)
    p.index_type, p.failure = LABELS[index_type], failure
    p.outer, p.size, p.count, p.inner = outer, size, count, inner
    p.chunk = max(1, 16384 // max(1, inner))
    p.chunks = ceil_div(count, p.chunk)
    return instruction(take_task, &p, sizeof(p), outer * p.chunks, 0, None)


def take_gradient(dtype, g, index_type, indices, out, *, outer, size, count, inner, failure):
    """out = zeros, and out[o, indices[i]] += g[o, i] in the order of i, parts of `inner` elements."""
    cdef Take p
    p.x, p.indices, p.out = operand(g), operand(indices), operand(out)
    p.index_type, p.failure = LABELS[index_type], failure
    p.outer, p.size, p.count, p.inner = outer, size, count, inner
    p.chunk = 64
    p.chunks = ceil_div(inner, p.chunk)
    return instruction(take_gradient_f32 if dtype == "float32" else take_gradient_f64, &p, sizeof(p),
                       outer * p.chunks, 0, None)


ctypedef fused key:
    float
    double
    int64_t

cdef struct Sort:
    Operand x, out
    long rows, count, per_task

cdef inline bint precedes(key a, key b) noexcept nogil:
    """Whether a belongs before b; NaN, which is equal to nothing, belongs last."""
    if key is int64_t:
        return a < b
    else:
        return a < b or (a == a and b != b)

cdef void sort_row(const key *x, int32_t *places, int32_t *spare, long n) noexcept nogil:
    cdef int32_t *source = places
    cdef int32_t *target = spare
    cdef int32_t *other
    cdef int32_t p
    cdef long first, middle, last, i, j, k, width = 8
    for first in range(0, n, 8):
        for i in range(first, min(n, first + 8)):
            p = <int32_t>i
            j = i
            while j > first and precedes(x[p], x[places[j - 1]]):
                places[j] = places[j - 1]
                j -= 1
            places[j] = p
    while width < n:
        first = 0
        while first < n:
            middle, last = min(n, first + width), min(n, first + 2 * width)
            i, j = first, middle
            for k in range(first, last):
                if i < middle and (j == last or not precedes(x[source[j]], x[source[i]])):
                    target[k] = source[i]
                    i += 1
                else:
                    target[k] = source[j]
                    j += 1
            first = last
        other = source
        source = target
        target = other
        width *= 2
    if source != places:
        memcpy(places, source, n * sizeof(int32_t))

cdef void sort_task(const Sort *p, long task, const Context *context, key *tag) noexcept nogil:
    cdef const key *x = <const key *>address(&p.x, 0, context)
    cdef int32_t *out = <int32_t *>address(&p.out, 0, context)
    cdef long i
    for i in range(task * p.per_task, min(p.rows, (task + 1) * p.per_task)):
        sort_row(x + i * p.count, out + i * p.count, <int32_t *>context.scratch, p.count)

cdef void sort_f32(const void *p, long task, const Context *c) noexcept nogil:
    sort_task[float](<const Sort *>p, task, c, NULL)
cdef void sort_f64(const void *p, long task, const Context *c) noexcept nogil:
    sort_task[double](<const Sort *>p, task, c, NULL)
cdef void sort_i64(const void *p, long task, const Context *c) noexcept nogil:
    sort_task[int64_t](<const Sort *>p, task, c, NULL)


def argsort(dtype, x, out, *, rows, count):
    """The places of each row's elements in ascending order, int32; a task sorts about 4,096 elements."""
    cdef Sort p
    p.x, p.out, p.rows, p.count = operand(x), operand(out), rows, count
    p.per_task = max(1, 4096 // max(1, count))
    function = {"float32": 0, "float64": 1, "int64": 2}[dtype]
    return instruction(sort_f32 if function == 0 else sort_f64 if function == 1 else sort_i64, &p, sizeof(p),
                       ceil_div(rows, p.per_task), 4 * count, None)
