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
    const int OP_COPY, OP_NEGATIVE, OP_SQUARE, OP_ABSOLUTE, OP_SIGN, OP_RELU, OP_NOT, OP_ADD, OP_SUBTRACT, OP_MULTIPLY
    const int OP_MAXIMUM, OP_MINIMUM, OP_EQUAL, OP_NOT_EQUAL, OP_LESS, OP_LESS_EQUAL, OP_GREATER, OP_GREATER_EQUAL
    const int OP_AND, OP_OR, OP_WHERE, OP_DIVIDE, OP_SIGMOID, OP_EXP, OP_EXPM1, OP_LOG, OP_LOG1P, OP_SQRT, OP_FLOOR
    const int OP_TANH, OP_ERF, OP_POWER, OP_ISFINITE, OP_CHECK, OP_GATE, OP_MULTIPLY_ADD, OP_SIN, OP_COS
    const int OP_ARCTAN2, OP_ROUND, OP_ROUND_F16, OP_ROUND_BF16, OP_ADD_MULTIPLY, OP_SUBTRACT_MULTIPLY
    const int OP_SUBTRACT_MULTIPLY_ADD, OP_SUBTRACT_MULTIPLY_ADD_RELU, OP_ADD_RELU, OP_ADD_MULTIPLY_MULTIPLY
    const int OP_SIGMOID_MULTIPLY, OP_MULTIPLY_ERF, OP_CHOOSE, OP_MULTIPLY_MULTIPLY, OP_MULTIPLY_MULTIPLY_MULTIPLY
    const int OP_MULTIPLY_MULTIPLY_ADD, OP_SUBTRACT_MULTIPLY_MULTIPLY, OP_GELU, OP_ERF_ADD_MULTIPLY_MULTIPLY
    const int OP_MULTIPLY_NEGATIVE, OP_MULTIPLY_NEGATIVE_EXP, OP_ADD_MAXIMUM, OP_MAXIMUM_MINIMUM
    const int OP_ADD_MAXIMUM_MINIMUM, OP_RELU_MINIMUM, OP_EQUAL_WHERE
    const int OP_SUBTRACT_MULTIPLY_ADD_HHH, OP_SUBTRACT_MULTIPLY_ADD_RELU_HHH, OP_SUBTRACT_MULTIPLY_ADD_HH
    const int OP_SUBTRACT_MULTIPLY_HH, OP_MULTIPLY_ADD_HH, OP_MULTIPLY_ADD_EE, OP_MULTIPLY_E
    const int OP_MULTIPLY_MULTIPLY_ADD_EHH, OP_SUBTRACT_MULTIPLY_MULTIPLY_HHV, OP_GRADIENT_SUMS

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
    FAR = 1 << 22            # bytes
    AT_ONCE = 0
    WHEN_DONE = 1
    PAST_CACHES = 2

# Operation of the graph -> instruction, for float chains; INTEGER: those that int64 chains have.
OPERATIONS = {
    "stop_gradient": OP_COPY, "broadcast_to": OP_COPY, "negative": OP_NEGATIVE, "square": OP_SQUARE,
    "absolute": OP_ABSOLUTE, "sign": OP_SIGN, "relu": OP_RELU, "logical_not": OP_NOT, "add": OP_ADD,
    "subtract": OP_SUBTRACT, "multiply": OP_MULTIPLY, "maximum": OP_MAXIMUM, "minimum": OP_MINIMUM, "equal": OP_EQUAL,
    "not_equal": OP_NOT_EQUAL, "less": OP_LESS, "less_equal": OP_LESS_EQUAL, "greater": OP_GREATER,
    "greater_equal": OP_GREATER_EQUAL, "logical_and": OP_AND, "logical_or": OP_OR, "where": OP_WHERE,
    "divide": OP_DIVIDE, "sigmoid": OP_SIGMOID, "exp": OP_EXP, "expm1": OP_EXPM1, "log": OP_LOG, "log1p": OP_LOG1P,
    "sqrt": OP_SQRT, "floor": OP_FLOOR, "tanh": OP_TANH, "erf": OP_ERF, "power": OP_POWER, "isfinite": OP_ISFINITE,
    "sin": OP_SIN, "cos": OP_COS, "arctan2": OP_ARCTAN2, "round": OP_ROUND,
    "round_float16": OP_ROUND_F16, "round_bfloat16": OP_ROUND_BF16,
    "check_finite": OP_CHECK,
}
# What chains make of casts, and of several operations.
FUSED = {
    "copy": OP_COPY, "truth": OP_NOT_EQUAL, "gate": OP_GATE, "multiply_add": OP_MULTIPLY_ADD,
    "add_multiply": OP_ADD_MULTIPLY, "subtract_multiply": OP_SUBTRACT_MULTIPLY,
    "subtract_multiply_add": OP_SUBTRACT_MULTIPLY_ADD,
    "subtract_multiply_add_relu": OP_SUBTRACT_MULTIPLY_ADD_RELU, "add_relu": OP_ADD_RELU,
    "add_multiply_multiply": OP_ADD_MULTIPLY_MULTIPLY, "sigmoid_multiply": OP_SIGMOID_MULTIPLY,
    "multiply_erf": OP_MULTIPLY_ERF, "choose": OP_CHOOSE, "multiply_multiply": OP_MULTIPLY_MULTIPLY,
    "multiply_multiply_multiply": OP_MULTIPLY_MULTIPLY_MULTIPLY, "multiply_multiply_add": OP_MULTIPLY_MULTIPLY_ADD,
    "subtract_multiply_multiply": OP_SUBTRACT_MULTIPLY_MULTIPLY, "gelu": OP_GELU,
    "erf_add_multiply_multiply": OP_ERF_ADD_MULTIPLY_MULTIPLY, "multiply_negative": OP_MULTIPLY_NEGATIVE,
    "multiply_negative_exp": OP_MULTIPLY_NEGATIVE_EXP, "add_maximum": OP_ADD_MAXIMUM,
    "maximum_minimum": OP_MAXIMUM_MINIMUM, "add_maximum_minimum": OP_ADD_MAXIMUM_MINIMUM,
    "relu_minimum": OP_RELU_MINIMUM, "equal_where": OP_EQUAL_WHERE,
}
TYPES = {name: code for code, name in enumerate(
    ("float32", "float64", "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "int64"))}
# Instruction -> the same with operands of other kinds: V, a strip of vectors; H, the same vector throughout a strip; E,
# one number for each vector.
KINDS = {
    OP_SUBTRACT_MULTIPLY_ADD: {"VHHH": OP_SUBTRACT_MULTIPLY_ADD_HHH, "VHHV": OP_SUBTRACT_MULTIPLY_ADD_HH},
    OP_SUBTRACT_MULTIPLY_ADD_RELU: {"VHHH": OP_SUBTRACT_MULTIPLY_ADD_RELU_HHH},
    OP_SUBTRACT_MULTIPLY: {"VHH": OP_SUBTRACT_MULTIPLY_HH},
    OP_MULTIPLY_ADD: {"VHH": OP_MULTIPLY_ADD_HH, "VEE": OP_MULTIPLY_ADD_EE},
    OP_MULTIPLY: {"VE": OP_MULTIPLY_E},
    OP_SUBTRACT_MULTIPLY_MULTIPLY: {"VHHV": OP_SUBTRACT_MULTIPLY_MULTIPLY_HHV},
    OP_MULTIPLY_MULTIPLY_ADD: {"VEHH": OP_MULTIPLY_MULTIPLY_ADD_EHH},
}
SYMMETRIC = {OP_MULTIPLY, OP_MULTIPLY_ADD, OP_MULTIPLY_MULTIPLY_ADD}       # in the first two operands
MAX_REGISTERS, MAX_LOADS, MAX_DIMS, MAX_SUMS = REGISTERS, LOADS, DIMS, SUMS
ALIGNED = 128            # the least length of a last axis that strips keep to


cdef struct Load:
    Operand at
    int type, item, register
    int kind                 # 0: one number for all, 1: contiguous, 2: strided
    int few                  # one number for each vector, as it lies in memory
    int64_t strides[DIMS]    # in elements

cdef struct Store:
    Operand at
    int type, item, register
    int how                  # see `chain`

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
        n = min(STRIP, end - at)
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


def of_kinds(code, held, few):
    """The code with instructions for operands that are `held`, or of which there are `few`: registers.

    Returns it, and the registers of which a few are enough for all instructions that read them.
    """
    lines = [[int(i) for i in code[k:k + 6]] for k in range(0, code.shape[0], 6)]
    while True:
        found = []
        for op, to, *sources in lines:
            best, kinds = [op, to, *sources], KINDS.get(op, {})
            for pattern in kinds:
                count = len(pattern)
                for a, b, *rest in (sources, sources[1::-1] + sources[2:])[:1 + (op in SYMMETRIC)]:
                    order = [a, b, *rest[:count - 2]]
                    if best[0] == op and all(p == "E" if r in few else p == "V" or p == "H" and r in held
                                             for p, r in zip(pattern, order)):
                        best = [kinds[pattern], to, *order, *[a] * (4 - count)]
            found.append(best)
        wrong = {r for op, _, *sources in found for i, r in enumerate(sources) if r in few and not few_at(op, i)}
        if not wrong:
            break
        few = few - wrong
    out = code.copy()
    for k, line in enumerate(found):
        out[6 * k:6 * k + 6] = line
    return out, few


def few_at(op, i):
    """Whether an instruction takes one number for each vector as its i-th operand; beyond the last one are copies."""
    return any(code == op and (pattern + pattern[0] * 4)[i] == "E"
               for kinds in KINDS.values() for pattern, code in kinds.items())


def with_sums(code, held, sums, like, registers):
    """The code with products and their factors added up in one instruction, as normalizations' gradients need them.

    sums: (register, whether each vector has a result); like: the first of the same numbers, for each. Adds to the code
    in place, and returns the registers of those sums that it then has, which are new ones, from `registers` on.
    """
    lines, inside = code.reshape(-1, 6), {}
    for k, (op, to, a, b, c, _) in enumerate(lines.tolist()):
        product, factor = ([i for i, (r, each) in enumerate(sums) if r == register and (not each or r == to)
                            and like[i] == i] for register in (to, c))
        if op == OP_SUBTRACT_MULTIPLY and b in held and len(product) == len(factor) == 1 and not sums[product[0]][1] \
                and not {*product, *factor} & set(inside) and to not in lines[k + 1:, 2:]:
            inside[product[0]], inside[factor[0]] = registers + len(inside), registers + len(inside) + 1
            lines[k] = OP_GRADIENT_SUMS, inside[product[0]], a, b, c, inside[factor[0]]
    return inside


def chain(dtype, shape, loads, stores, code, *, registers, blocks=0, chunk=0, rest=0, failure=0, sums=()):
    """A fused chain over positions of `shape`.

    dtype: "float32", "float64" or "int64", the type that it computes in.
    loads: (operand, type, register, strides in elements per axis of shape; along the last axis -1 means the same vector
    again and again, and -1 - s one number for each vector, s elements from the next).
    stores: (operand, type, register, how). How a strip is written: 0 as it is computed; 1 when it is all done, as a
    load reads the same array; 2 the same, past the caches, as nobody reads it soon. Each has a register of its own;
    loads and stores have the first ones.
    code: six ints per instruction. blocks: number of tasks in the lanes layout, or of blocks of rows, which have `rest`
    positions together; else ranges of `chunk` positions.
    failure: message (index plus one) of check_finite.
    sums: (operand, register, results, strides in results per axis of shape, samples), in the lanes layout, whose last
    axis is that of the lanes or joined with others; samples is 0 if each lane keeps its own sums. Results None: each
    vector has one, the sum of its lanes.
    """
    cdef Chain p
    cdef int i, d, lanes = LANES_F32 if dtype == "float32" else LANES_F64
    cdef bint periodic, apart
    items = {"float32": 4, "float64": 8, "bool": 1, "uint8": 1, "int8": 1, "uint16": 2, "int16": 2, "uint32": 4,
             "int32": 4, "int64": 8}
    if len(loads) > LOADS or len(stores) > LOADS or registers > REGISTERS or len(shape) > DIMS \
            or len(sums) > SUMS:
        raise ValueError("the chain is too long")
    p.total = 1
    p.dims, p.far = len(shape), 0
    contiguous, periodic, apart = [], False, False
    for n in reversed(shape):
        contiguous.insert(0, p.total)
        p.total *= n
    for d in range(p.dims):
        p.shape[d] = shape[d]
    p.loads, p.stores, p.registers, p.failure = len(loads), len(stores), registers, failure
    for i, (at, type_, register, strides) in enumerate(loads):
        p.load[i].at, p.load[i].type, p.load[i].item = operand(at), TYPES[type_], items[type_]
        p.load[i].register = register
        strides = [0 if n == 1 else s for s, n in zip(strides, shape)]
        dense = [0 if n == 1 else s for s, n in zip(contiguous, shape)]
        p.load[i].kind = 0 if not any(strides) else 1 if strides == dense else 2
        apart = apart or p.load[i].kind == 2
        for d in range(p.dims):
            p.load[i].strides[d] = strides[d]
            periodic = periodic or p.load[i].strides[d] < 0
    for i, (at, type_, register, how) in enumerate(stores):
        p.store[i].at, p.store[i].type, p.store[i].item = operand(at), TYPES[type_], items[type_]
        p.store[i].register, p.store[i].how = register, WHEN_DONE if how == PAST_CACHES and type_ != dtype else how
    p.aligned = p.dims > 0 and (periodic or p.shape[p.dims - 1] >= ALIGNED and (apart or len(sums) > 0))
    p.sums = len(sums)
    results = 0
    for i, (at, register, count, strides, samples) in enumerate(sums):
        p.sum[i].each, count = count is None, count or 0
        p.sum[i].at, p.sum[i].register, p.sum[i].count, p.sum[i].samples = operand(at), register, count, samples
        results += count
        for d in range(p.dims):
            p.sum[i].strides[d] = strides[d]
    held, few, inside, like = set(), set(), {}, []
    for i in range(p.loads if dtype != "int64" else 0):
        d = p.load[i].strides[p.dims - 1] if p.dims else 0
        if p.load[i].kind == 0 or p.aligned and p.load[i].kind == 2 and d in (0, -1):
            held.add(p.load[i].register)
        elif p.aligned and p.load[i].kind == 2 and d == -2 and loads[i][1] == dtype:
            few.add(p.load[i].register)
    if held or few:
        code, few = of_kinds(code, held, few - {register for _, register, *_ in sums})
    for i, one in enumerate(sums):
        like.append(next((j for j in range(i) if one[2] is not None and sums[j][1] == one[1]
                          and sums[j][2:4] == one[2:4]), i))
    if p.aligned and held and registers + len(sums) <= REGISTERS:
        inside = with_sums(code, held, [(s[1], s[2] is None) for s in sums], like, registers)
        registers += len(inside)
        p.registers = registers
    for i in range(p.sums):
        p.sum[i].like, p.sum[i].inside = like[i], i in inside
        p.sum[i].register = inside.get(i, p.sum[i].register)
    p.few = 0
    for i in range(p.loads):
        p.load[i].few = p.load[i].register in few
        p.few |= <long>p.load[i].few << p.load[i].register
    p.code, p.count = <const int32_t *>elements(code, 4), code.shape[0] // 6
    p.chunk, p.rest = chunk, rest
    cdef long tasks = blocks
    # With the widest vectors the processor itself asks in time for what is only added up, and for a single stream.
    streams = sum([1 for i in range(p.loads) if p.load[i].kind and p.load[i].strides[p.dims - 1] == 1])
    alone = lanes == 16 and (not stores or streams == 1 and all(how == AT_ONCE for *_, how in stores))
    if p.total * (tasks if tasks else 1) * (p.loads + p.stores) >= FAR // 4 and not alone:
        p.far = p.loads + p.stores
    if not tasks:
        tasks = ceil_div(p.total, p.chunk) if p.total else 0
    kernel = {"float32": 0, "float64": 1, "int64": 2}[dtype]
    cdef size_t scratch = (registers * STRIP + results * (LANES_F32 if kernel == 0 else LANES_F64)) \
        * (4 if kernel == 0 else 8)
    return instruction(chain_f32 if kernel == 0 else chain_f64 if kernel == 1 else chain_i64, &p, sizeof(p), tasks,
                       scratch, (code,))
