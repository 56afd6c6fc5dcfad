# cython: language_level=3, cdivision=True
from libc.stdint cimport int64_t, uint8_t

# Where an instruction finds an array. `stride` bytes are added per task, so that a task can be a block of samples; in
# the memory of the thread, per slice.
cdef enum Place:
    FIXED = 0      # base is an address
    LOCAL = 1      # base is an offset into the memory of the thread: arrays that live within one task
    SLOT = 2       # base is the address of a pointer: the program's inputs, which change from run to run

ctypedef struct Operand:
    char *base
    Py_ssize_t stride
    int place

# The last error that a kernel met, e.g. a label out of range. Later steps are not run.
ctypedef struct Failure:
    int code           # index into the program's messages plus one; 0: none
    int64_t value      # the offending value, for the message

# What a thread works with.
ctypedef struct Context:
    char *local
    char *scratch
    Failure *failure
    int slice, slices  # to be computed: range number `slice` of `slices` equal ones of the channels

cdef inline void fail(const Context *context, int code, int64_t value) noexcept nogil:
    context.failure.value = value
    context.failure.code = code

ctypedef void (*Kernel)(const void *params, long task, const Context *context) noexcept nogil

cdef inline char *address(const Operand *o, long task, const Context *context) noexcept nogil:
    if o.place == 0:
        return o.base + task * o.stride
    if o.place == 1:
        return context.local + <size_t>o.base + context.slice * o.stride       # one block at a time
    return (<char **>o.base)[0] + task * o.stride

cdef inline long ceil_div(long a, long b) noexcept nogil:
    return (a + b - 1) // b

cdef inline long row_start(long row, const long *n, const long *steps) noexcept nogil:
    """Where a row begins of samples of n[0] x n[1] rows; steps: elements along both, ..., and from sample to sample."""
    return row // (n[0] * n[1]) * steps[3] + row // n[1] % n[0] * steps[0] + row % n[1] * steps[1]

cdef class Instruction:
    cdef Kernel kernel
    cdef void *params
    cdef readonly long tasks
    cdef readonly size_t scratch
    cdef object keep          # the arrays that params point into

cdef Instruction instruction(Kernel kernel, const void *params, size_t size, long tasks, size_t scratch, object keep)

cdef Operand operand(object description) except *

# The elements of a contiguous array, `item` bytes each. The caller keeps the array alive. (Typed memoryviews would do
# the same, but each module that has one is larger by more than its kernels.)
cdef const void *elements(object array, size_t item) except? NULL
