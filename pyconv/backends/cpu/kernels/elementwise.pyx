# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Fused chains of elementwise operations.

A chain runs over a range of positions in strips of STRIP numbers that stay in the first-level cache: the operands of
a strip are loaded (converted, spread where they are broadcast; used in place where they are contiguous and of the
chain's own type), the instructions of the chain run one after the other over the whole strip, and the results are
stored or, in the lanes layout, added up. What large arrays hold for a strip is fetched AHEAD strips before: a strip is
too short for the processor to see a stream, and to go on reading that while it computes. Results that are large and not
read soon are written past the caches: else the processor would read from memory what they replace. Positions are
numbered in the order of the results, which are contiguous. A task is a range of positions, or in the lanes layout a
block or a slice of one.

Where the last axis is long, a strip never goes over its end (`aligned`): then an operand that is broadcast along it is
spread once per row, and one that is contiguous along it is used in place. A last axis that the lanes are joined to may
have operands that repeat one vector, or that have one number for all lanes of a vector (a layer normalization's scale).
The instructions that normalizations consist of keep the former in registers, and read the latter where they lie; the
two sums of their gradients are one instruction, which stores nothing else.
"""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset

from pyconv.backends.cpu.executor cimport (Context, Instruction, Operand, address, ceil_div, elements, fail,
                                           instruction, operand)

cdef extern from "elementwise_types.h" nogil:
    const int LANES_F32, LANES_F64, STRIP
    void load_f32(float *, const char *, int, long, long)
    void load_f64(double *, const char *, int, long, long)
    void load_i64(int64_t *, const char *, int, long, long)
    void store_f32(char *, int, const float *, long)
    void store_f64(char *, int, const double *, long)
    void store_i64(char *, int, const int64_t *, long)
    void accumulate_f32(float *, const float *, long)
    void accumulate_f64(double *, const double *, long)
    float total_f32(const float *, long)
    double total_f64(const double *, long)
    void totals_f32(float *, const float *, long, long)
    void totals_f64(double *, const double *, long, long)
    void spread_f32(float *, const char *, int, long, long)
    void spread_f64(double *, const char *, int, long, long)
    void spread_i64(int64_t *, const char *, int, long, long)
    int execute_f32(const int32_t *, long, float **, long, const float *, long, long, long)
    int execute_f64(const int32_t *, long, double **, long, const double *, long, long, long)
    int execute_i64(const int32_t *, long, int64_t **, long, const int64_t *, long, long, long)
    void stream(char *, const char *, long)
    void STREAMED()
    const char *INSTRUCTION_NAMES

ctypedef fused number:
    float
    double
    int64_t

cdef enum:
    DIMS = 8
    REGISTERS = 48
    LOADS = 32
    SUMS = 8
    AHEAD = 4                # strips
    AT_ONCE = 0
    PAST_CACHES = 2

NAMES = tuple(INSTRUCTION_NAMES.decode().lower().split())
MAX_REGISTERS, MAX_LOADS, MAX_DIMS, MAX_SUMS, MAX_STRIP = REGISTERS, LOADS, DIMS, SUMS, STRIP


cdef struct Load:
    Operand at
    int type, item, register
    int kind                 # 0: one number for all, 1: contiguous, 2: strided, 3: strided, all strips read the same
    int few                  # one number for each vector, as it lies in memory
    int64_t strides[DIMS]    # in elements

cdef struct Store:
    Operand at
    int type, item, register
    int how                  # AT_ONCE: as it is computed; else when all is done

cdef struct Sum:
    Operand at
    int register
    int each                 # each vector has a result of its own: its lanes' sum
    int inside               # an instruction adds it up, whose register it is
    int like                 # the first sum of the same numbers, which are added up once
    long count               # results of a task; 0 if they need no place in between
    int64_t strides[DIMS]    # results from one index to the next; 0 along what is summed
    long samples             # if the lanes are summed too: how many there are; else 0

cdef struct Chain:
    long total, chunk        # positions of a task: all, or a range of `chunk`
    long strip               # of a strip
    long rest                # those of all blocks together, of which the last may be shorter; 0: it is not
    int dims, aligned, sums
    long few                 # bits: registers that hold one number for each vector
    int far                  # loads and stores, if they surely come from beyond the cache of a core; else 0
    Sum sum[SUMS]
    int64_t shape[DIMS]
    int loads, stores, registers, failure
    long count
    const int32_t *code
    Load load[LOADS]
    Store store[LOADS]

cdef inline void read_strip(number *out, const char *src, int type, long stride, long n) noexcept nogil:
    if number is float:
        load_f32(out, src, type, stride, n)
    elif number is double:
        load_f64(out, src, type, stride, n)
    else:
        load_i64(out, src, type, stride, n)

cdef void read_strided(const Chain *p, const Load *l, const char *base, number *out, long at, long n) noexcept nogil:
    """Positions at..at + n of an operand that is not contiguous: runs along the last axis."""
    cdef int64_t index[DIMS]
    cdef int d
    cdef long offset = 0, run
    for d in range(p.dims - 1, -1, -1):
        index[d] = at % p.shape[d]
        at //= p.shape[d]
        offset += index[d] * l.strides[d]
    d = p.dims - 1
    while n > 0:
        run = min(n, p.shape[d] - index[d])
        read_strip(out, base + offset * l.item, l.type, l.strides[d], run)
        out += run
        n -= run
        # to the beginning of the next run
        offset -= index[d] * l.strides[d]
        index[d] = p.shape[d]
        while d > 0 and index[d] == p.shape[d]:
            index[d] = 0
            d -= 1
            index[d] += 1
            offset += l.strides[d]
            if index[d] == p.shape[d]:
                offset -= index[d] * l.strides[d]
        d = p.dims - 1

cdef inline long offset_at(const Chain *p, const int64_t *strides, long at) noexcept nogil:
    """Elements from the beginning to position `at`."""
    cdef long offset = 0
    cdef int d
    for d in range(p.dims - 1, -1, -1):
        offset += at % p.shape[d] * strides[d]
        at //= p.shape[d]
    return offset

cdef inline long row_offset(const Chain *p, const Load *l, long at) noexcept nogil:
    """Where an operand's elements of the row of position `at` begin, such that `at` times the last stride is added."""
    cdef long last = l.strides[p.dims - 1], inside = at % p.shape[p.dims - 1]
    return offset_at(p, l.strides, at) - inside * last - (0 if last < 0 else (at - inside) * last)

cdef void chain_task(const Chain *p, long task, const Context *context, number *tag) noexcept nogil:
    cdef number *buffers = <number *>context.scratch
    cdef number *registers[REGISTERS]
    cdef char *inputs[LOADS]
    cdef const char *rows[LOADS]
    cdef char *outputs[LOADS]
    cdef number *sums[SUMS]
    cdef number *row_sums[SUMS]
    cdef number *results
    cdef int own = 0 if number is float else 1 if number is double else 9
    cdef long lanes = LANES_F32 if number is float else LANES_F64
    cdef long at = task * p.chunk if p.chunk else p.total * context.slice // context.slices
    cdef long end = min(p.total, at + p.chunk) if p.chunk else p.total * (context.slice + 1) // context.slices
    if p.rest:
        end = min(end, p.rest - task * p.total)
    cdef long block = 0 if p.chunk else task
    cdef long last = p.shape[p.dims - 1] if p.dims else 1
    cdef long n, k, step, row_end = 0
    cdef int i, bad
    cdef const Load *l
    cdef const Store *s
    cdef const Sum *t
    for i in range(p.registers):
        registers[i] = buffers + i * STRIP
    for i in range(p.loads):
        inputs[i] = address(&p.load[i].at, block, context)
        if p.load[i].kind == 0:
            read_strip(registers[p.load[i].register], inputs[i], p.load[i].type, 0, STRIP)
        elif p.load[i].kind == 3:
            read_strided(p, &p.load[i], inputs[i], registers[p.load[i].register], 0, p.strip)
    for i in range(p.stores):
        outputs[i] = address(&p.store[i].at, block, context)
    results = buffers + p.registers * STRIP
    for i in range(p.sums):
        sums[i] = results
        if p.sum[i].like < i:
            sums[i] = sums[p.sum[i].like]
            continue
        k = p.sum[i].count // context.slices * lanes
        memset(results + context.slice * k, 0, k * sizeof(number))
        results += p.sum[i].count * lanes
    while at < end:
        n = min(p.strip, end - at)
        if p.aligned:
            if at >= row_end:
                row_end = (at // last + 1) * last
                for i in range(p.sums):
                    t = &p.sum[i]
                    row_sums[i] = sums[i] + offset_at(p, t.strides, at) * lanes
                    if t.inside and t.like == i:
                        registers[t.register] = row_sums[i]
                for i in range(p.loads):
                    l = &p.load[i]
                    if l.kind == 2:
                        rows[i] = inputs[i] + row_offset(p, l, at) * l.item
                        if l.strides[p.dims - 1] == 0:
                            read_strip(registers[l.register], rows[i], l.type, 0, min(STRIP, row_end - at))
                        elif l.strides[p.dims - 1] == -1:
                            read_strip(registers[l.register], rows[i], l.type, 1, lanes)
                            k = lanes
                            while k < min(STRIP, row_end - at):
                                memcpy(registers[l.register] + k, registers[l.register], lanes * sizeof(number))
                                k += lanes
            n = min(n, row_end - at)
        for i in range(p.loads):
            l = &p.load[i]
            if l.kind == 1:
                if l.type == own:           # beyond the last number it may read, and never uses, what comes next
                    registers[l.register] = <number *>(inputs[i] + at * sizeof(number))
                else:
                    registers[l.register] = buffers + l.register * STRIP
                    read_strip(registers[l.register], inputs[i] + at * l.item, l.type, 1, n)
            elif l.kind == 2:
                if not p.aligned:
                    read_strided(p, l, inputs[i], registers[l.register], at, n)
                elif l.strides[p.dims - 1] == 1 and l.type == own:
                    registers[l.register] = <number *>(rows[i] + at * sizeof(number))
                elif l.strides[p.dims - 1] > 0:
                    registers[l.register] = buffers + l.register * STRIP
                    read_strip(registers[l.register], rows[i] + at * l.strides[p.dims - 1] * l.item, l.type,
                               l.strides[p.dims - 1], n)
                elif l.strides[p.dims - 1] < -1:
                    k = (at - row_end + last) // lanes        # vectors since the beginning of the row
                    step = -1 - l.strides[p.dims - 1]
                    if l.few:
                        registers[l.register] = <number *>(rows[i] + k * l.item)
                    elif number is float:
                        spread_f32(registers[l.register], rows[i] + k * step * l.item, l.type, step, n // lanes)
                    elif number is double:
                        spread_f64(registers[l.register], rows[i] + k * step * l.item, l.type, step, n // lanes)
                    else:
                        spread_i64(registers[l.register], rows[i] + k * step * l.item, l.type, step, n // lanes)
        for i in range(p.stores):
            s = &p.store[i]
            if s.type == own and n % lanes == 0 and s.how == AT_ONCE:
                registers[s.register] = <number *>(outputs[i] + at * sizeof(number))
            else:
                registers[s.register] = buffers + s.register * STRIP
        if number is float:
            bad = execute_f32(p.code, p.count, registers, n, buffers, p.far, AHEAD * STRIP, p.few)
        elif number is double:
            bad = execute_f64(p.code, p.count, registers, n, buffers, p.far, AHEAD * STRIP, p.few)
        else:
            bad = execute_i64(p.code, p.count, registers, n, buffers, p.far, AHEAD * STRIP, p.few)
        if bad:
            fail(context, p.failure, 0)
        for i in range(p.stores):
            s = &p.store[i]
            if registers[s.register] == buffers + s.register * STRIP:
                if s.how == PAST_CACHES:
                    stream(outputs[i] + at * s.item, <char *>registers[s.register], n * s.item)
                elif number is float:
                    store_f32(outputs[i] + at * s.item, s.type, registers[s.register], n)
                elif number is double:
                    store_f64(outputs[i] + at * s.item, s.type, registers[s.register], n)
                else:
                    store_i64(outputs[i] + at * s.item, s.type, registers[s.register], n)
        for i in range(p.sums):
            # Strips of unaligned chains go on into further rows.
            t = &p.sum[i]
            k = 0
            if t.inside or t.like < i:
                continue
            if t.each:
                results = <number *>address(&t.at, block, context) + at // lanes
                if number is float:
                    totals_f32(results, registers[t.register], n // lanes, min(lanes, t.samples - task * lanes))
                elif number is double:
                    totals_f64(results, registers[t.register], n // lanes, min(lanes, t.samples - task * lanes))
                continue
            if p.aligned:
                if number is float:
                    accumulate_f32(row_sums[i], registers[t.register], n)
                elif number is double:
                    accumulate_f64(row_sums[i], registers[t.register], n)
                continue
            while k < n:
                results = sums[i] + offset_at(p, t.strides, at + k) * lanes
                if number is float:
                    accumulate_f32(results, registers[t.register] + k, min(n - k, last - (at + k) % last))
                elif number is double:
                    accumulate_f64(results, registers[t.register] + k, min(n - k, last - (at + k) % last))
                k += min(n - k, last - (at + k) % last)
        at += n
    for i in range(p.stores):
        if p.store[i].how == PAST_CACHES:
            STREAMED()
    for i in range(p.sums):
        t = &p.sum[i]
        if t.each:
            continue
        results = <number *>address(&t.at, block, context)
        n = t.count // context.slices
        if not t.samples:
            memcpy(results + context.slice * n * lanes, sums[i] + context.slice * n * lanes, n * lanes * sizeof(number))
            continue
        for k in range(context.slice * n, context.slice * n + n):
            if number is float:
                results[k] = total_f32(sums[i] + k * lanes, min(lanes, t.samples - task * lanes))
            elif number is double:
                results[k] = total_f64(sums[i] + k * lanes, min(lanes, t.samples - task * lanes))

cdef void chain_f32(const void *p, long task, const Context *c) noexcept nogil:
    chain_task[float](<const Chain *>p, task, c, NULL)

cdef void chain_f64(const void *p, long task, const Context *c) noexcept nogil:
    chain_task[double](<const Chain *>p, task, c, NULL)

cdef void chain_i64(const void *p, long task, const Context *c) noexcept nogil:
    chain_task[int64_t](<const Chain *>p, task, c, NULL)


def chain(int kernel, shape, loads, stores, code, sums, *, registers, aligned, tasks, chunk, strip, rest, far, failure):
    """A fused chain over positions of `shape`; `chain_code.instruction`, which calls it, has the details.

    kernel: 0 float32, 1 float64, 2 int64. loads, stores, sums: the fields of Load, Store and Sum; code: six ints per
    instruction. strip: positions of a strip; if a load's kind is 3, whole rows, as those of a task are then. far:
    whether what it reads and writes surely comes from beyond the cache of a core.
    """
    cdef Chain p
    cdef int i, d
    if len(loads) > LOADS or len(stores) > LOADS or registers > REGISTERS or len(shape) > DIMS or len(sums) > SUMS:
        raise ValueError("the chain is too long")
    p.total, p.dims = 1, len(shape)
    for d in range(p.dims):
        p.shape[d] = shape[d]
        p.total *= p.shape[d]
    p.loads, p.stores, p.sums, p.registers, p.failure = len(loads), len(stores), len(sums), registers, failure
    p.aligned, p.chunk, p.strip, p.rest, p.few = aligned, chunk, strip, rest, 0
    p.far = p.loads + p.stores if far else 0
    for i in range(p.loads):
        at, p.load[i].type, p.load[i].item, p.load[i].register, p.load[i].kind, p.load[i].few, strides = loads[i]
        p.load[i].at = operand(at)
        p.few |= <long>p.load[i].few << p.load[i].register
        for d in range(p.dims):
            p.load[i].strides[d] = strides[d]
    for i in range(p.stores):
        at, p.store[i].type, p.store[i].item, p.store[i].register, p.store[i].how = stores[i]
        p.store[i].at = operand(at)
    cdef size_t results = 0
    for i in range(p.sums):
        at, p.sum[i].register, p.sum[i].each, p.sum[i].inside, p.sum[i].like, p.sum[i].count, p.sum[i].samples, \
            strides = sums[i]
        p.sum[i].at = operand(at)
        results += p.sum[i].count
        for d in range(p.dims):
            p.sum[i].strides[d] = strides[d]
    p.code, p.count = <const int32_t *>elements(code, 4), code.shape[0] // 6
    cdef size_t scratch = (p.registers * STRIP + results * (LANES_F64 if kernel else LANES_F32)) * (8 if kernel else 4)
    return instruction(chain_f32 if kernel == 0 else chain_f64 if kernel == 1 else chain_i64, &p, sizeof(p), tasks,
                       scratch, (code,))
