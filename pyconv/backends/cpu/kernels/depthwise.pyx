# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Depthwise convolution, each channel with kernels of its own: forward, and the gradients for input and kernel.

Nothing is copied and there is no border: rows and depths that lie beyond the input are left out, and the tiles at the
ends of a row take zeros for what lies beyond it. Windows of 3 x 3 in two dimensions, the commonest, have functions of
their own for whole planes, as has the gradient for their input if the stride is 2.

Lanes layout, [block][channel][depth][row][column][lane]: the task is a block, or a slice of one; loop order:
result's plane, depth, row, column, tap. The gradient for the input is the same sum: with stride s, the inputs of each
remainder modulo s are one phase, a convolution of stride 1 with the taps that reach them, and the `multiplier` planes
that come from one channel are added up. The gradient for the kernel is summed over the pixels of a block in registers,
then over its lanes; the blocks are added in their order elsewhere.

Plain layout, [sample][depth][row][column][channel]: the channels in the lanes; the task is a band of rows. Weights
are read where they are, [tap][channel]. Of the gradient for the kernel, a task is a vector of channels of a tap.
"""

from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from pyconv.backends.cpu.executor cimport (Context, Instruction, Operand, address, ceil_div, elements, instruction,
                                           operand)

cdef extern from "depthwise_f32_f64.h" nogil:
    const int LANES_F32, LANES_F64
    ctypedef struct Depthwise:
        const void *x
        const void *w
        long n[3]
        long xs[3]
        long ws[3]
        long columns, taps, apart, stride, xp, yp, wp
        const void *bias
        long last
        int relu, past
    void STREAMED()
    ctypedef void (*DepthwiseRow)(const Depthwise *, long, long, long, long, void *)
    DepthwiseRow depthwise_row_f32(int plain, long taps, long apart, long stride)
    DepthwiseRow depthwise_row_f64(int plain, long taps, long apart, long stride)
    ctypedef struct DepthwiseWindows:
        const void *x
        const void *w
        long ws, wp, rows, columns, line, xp, first, end, ylow, ystep, yapart, low, count
        void *y
        long yline, yp
        const void *bias
        int relu, past
    ctypedef void (*DepthwiseAll)(const DepthwiseWindows *)
    DepthwiseAll depthwise_windows_f32(int plain, long rows, long taps, long apart, long low, long stride)
    DepthwiseAll depthwise_windows_f64(int plain, long rows, long taps, long apart, long low, long stride)
    ctypedef struct DepthwiseSpread:
        const void *g
        const void *w
        void *y
        long rows, columns
        long counts[2]
        long low[2]
        int past
    void depthwise_spread_f32(const DepthwiseSpread *)
    void depthwise_spread_f64(const DepthwiseSpread *)
    ctypedef struct DepthwiseDot:
        const void *x
        const void *g
        const void *zeros
        long outputs[3]
        long first, end, zs, rows, columns, y, ystep, yapart, low, stride, lo, hi
        void *out
        long os, lanes, xp
    ctypedef void (*DepthwiseDotTile)(const DepthwiseDot *)
    DepthwiseDotTile depthwise_dot_f32(int plain, long rows, long taps, long apart, long stride, long *ky,
                                       long *kx)
    DepthwiseDotTile depthwise_dot_f64(int plain, long rows, long taps, long apart, long stride, long *ky,
                                       long *kx)
    void depthwise_sums_f32(const float *, long, const float *, long, long, float *)
    void depthwise_sums_f64(const double *, long, const double *, long, long, double *)

ctypedef fused real:
    float
    double


cdef struct Phase:
    int64_t axis                    # 0 to 2: depth, row, column
    int64_t first, count, step      # results: the first, how many, from one to the next
    int64_t taps
    int64_t low, apart              # where the first tap meets the input for the first result; from tap to tap
    int64_t k, next                 # the first tap in the kernel; from one to the next

cdef struct Conv:
    Operand x, w, y, bias
    int64_t n[3]                    # sizes of what is read
    int64_t outputs[3]
    int64_t strides[3]              # of the reading, from one result of a phase to the next
    int64_t window[3]
    int64_t phases[3]
    long results, sharing, summed   # planes of results; that share what they read; read for one
    long all_filters
    const Phase *phase              # of the depths, then of the rows, then of the columns
    int relu, past
    long bands                      # plain layout: tasks of the rows of a depth

cdef inline void met(const Phase *p, long o, long stride, long n, long *first, long *end) noexcept nogil:
    """The taps of result number o that meet an input of n."""
    cdef long at = o * stride + p.low
    first[0] = 0 if at >= 0 else ceil_div(-at, p.apart)
    end[0] = 0 if at >= n else min(p.taps, (n - 1 - at) // p.apart + 1)
    end[0] = max(first[0], end[0])

cdef inline void tested(const Phase *p, long stride, long n, long *lo, long *hi) noexcept nogil:
    """The results whose taps all lie inside of a row of n."""
    cdef long last = n - 1 - p.low - max(p.taps - 1, 0) * p.apart
    lo[0] = 0 if p.low >= 0 else ceil_div(-p.low, stride)
    hi[0] = 0 if last < 0 else min(p.count, last // stride + 1)

cdef void weights(const Conv *p, const Phase *c, const real *w, long filter, real *out) noexcept nogil:
    """The scalars that a plane of results takes for a phase of columns, [plane read][depth and row][tap]."""
    cdef long m, r, i
    for m in range(p.summed):
        for r in range(p.window[0] * p.window[1]):
            for i in range(c.taps):
                out[0] = w[(r * p.window[2] + c.k + i * c.next) * p.all_filters + filter + m]
                out += 1

cdef bint by_windows(const Conv *p, const Phase *a, const Phase *b, const Phase *c, const real *x, const real *w,
                     const real *bias, real *y) noexcept nogil:
    """Compute a plane of results in these phases from x, by the scalars w, if there is a function for such windows."""
    cdef long lanes = LANES_F32 if real is float else LANES_F64, out_line = p.outputs[2] * lanes, z, depth
    cdef DepthwiseAll windows = NULL
    cdef DepthwiseWindows t
    if a.taps == p.summed == 1:
        if real is float:
            windows = depthwise_windows_f32(0, b.taps, c.taps, c.apart, c.low, p.strides[2])
        else:
            windows = depthwise_windows_f64(0, b.taps, c.taps, c.apart, c.low, p.strides[2])
    if windows == NULL:
        return False
    t.w, t.ws = w + (a.k * p.window[1] + b.k) * c.taps, b.next * c.taps
    t.columns, t.line, t.yp, t.yline = p.n[2], p.n[2] * lanes, c.step * lanes, b.step * out_line
    t.first, t.end, t.ylow, t.ystep, t.yapart = 0, b.count, b.low, p.strides[1], b.apart
    t.low, t.count, t.bias, t.relu, t.past = c.low, c.count, bias, p.relu, p.past
    for z in range(a.count):
        depth = z * p.strides[0] + a.low
        t.rows = p.n[1] if 0 <= depth < p.n[0] else 0
        t.x, t.y = x + depth * p.n[1] * t.line, y + z * a.step * p.outputs[1] * out_line
        windows(&t)
    return True

cdef void conv_task(const Conv *p, long task, const Context *context, real *tag) noexcept nogil:
    cdef long lanes = LANES_F32 if real is float else LANES_F64
    cdef const real *x = <const real *>address(&p.x, task, context)
    cdef const real *w = <const real *>address(&p.w, 0, context)
    cdef real *bias = <real *>address(&p.bias, 0, context)
    cdef real *y = <real *>address(&p.y, task, context)
    cdef real *own = <real *>context.scratch
    cdef long line = p.n[2] * lanes, plane = p.n[0] * p.n[1] * line
    cdef long out_line = p.outputs[2] * lanes, out_plane = p.outputs[0] * p.outputs[1] * out_line
    cdef long f, h, i, j, z, r, z0, z1, r0, r1, lo, hi
    cdef const Phase *a
    cdef const Phase *b
    cdef const Phase *c
    cdef DepthwiseRow row
    cdef const real *source
    cdef real *target
    cdef Depthwise t
    t.relu, t.columns, t.n[0], t.xs[0] = p.relu, p.n[2], p.summed, plane
    t.last, t.past = lanes, p.past
    for f in range(p.results // context.slices * context.slice, p.results // context.slices * (context.slice + 1)):
        source = x + f // p.sharing * p.summed * plane
        t.bias = NULL if bias == NULL else bias + f
        for h in range(p.phases[2]):
            c = p.phase + p.phases[0] + p.phases[1] + h
            weights(p, c, w, f * p.summed, own)
            t.taps, t.apart, t.stride, t.yp = c.taps, c.apart, p.strides[2], c.step * lanes
            t.ws[0] = p.window[0] * p.window[1] * c.taps
            if real is float:
                row = depthwise_row_f32(0, t.taps, t.apart, t.stride)
            else:
                row = depthwise_row_f64(0, t.taps, t.apart, t.stride)
            tested(c, t.stride, t.columns, &lo, &hi)
            for i in range(p.phases[0]):
                a = p.phase + i
                t.xs[1], t.ws[1] = a.apart * p.n[1] * line, a.next * p.window[1] * c.taps
                for j in range(p.phases[1]):
                    b = p.phase + p.phases[0] + j
                    target = y + f * out_plane + c.first * lanes + (a.first * p.outputs[1] + b.first) * out_line
                    if by_windows(p, a, b, c, source, own, <real *>t.bias, target):
                        continue
                    t.xs[2], t.ws[2] = b.apart * line, b.next * c.taps
                    for z in range(a.count):
                        met(a, z, p.strides[0], p.n[0], &z0, &z1)
                        t.n[1] = z1 - z0
                        for r in range(b.count):
                            met(b, r, p.strides[1], p.n[1], &r0, &r1)
                            t.n[2] = r1 - r0
                            t.x = source + ((z * p.strides[0] + a.low + z0 * a.apart) * p.n[1]
                                            + r * p.strides[1] + b.low + r0 * b.apart) * line
                            t.w = own + ((a.k + z0 * a.next) * p.window[1] + b.k + r0 * b.next) * c.taps
                            row(&t, c.low, c.count, lo, hi,
                                target + (z * a.step * p.outputs[1] + r * b.step) * out_line)
    if p.past:
        STREAMED()

cdef void conv_f32(const void *p, long task, const Context *c) noexcept nogil:
    conv_task[float](<const Conv *>p, task, c, NULL)

cdef void conv_f64(const void *p, long task, const Context *c) noexcept nogil:
    conv_task[double](<const Conv *>p, task, c, NULL)


cdef Conv described(x, w, y, bias, sizes, phases, long all_filters, int relu) except *:
    cdef Conv p
    p.x, p.w, p.y, p.bias = operand(x), operand(w), operand(y), operand(bias)
    memcpy(p.n, elements(sizes, 8), 15 * sizeof(int64_t))
    p.phase, p.all_filters, p.relu = <const Phase *>elements(phases, 8), all_filters, relu
    return p


def conv(dtype, x, w, y, bias, sizes, phases, *, long blocks, long results, long sharing, long summed,
         int relu, int past):
    """y = x * w (+ bias, relu) in the lanes layout; a task is a block, or a slice of one. past: y past the caches.

    results: planes of y; plane f is the sum over the `summed` planes of x from f // sharing * summed on, by the weights
    [tap][f * summed and on]. sizes: int64 rows of what is read, the outputs, the strides, the window and the number of
    phases, three axes each; phases: int64 rows of `Phase`, sorted by axis.
    """
    cdef Conv p = described(x, w, y, bias, sizes, phases, results * summed, relu)
    cdef size_t item = 4 if dtype == "float32" else 8
    p.results, p.sharing, p.summed, p.past = results, sharing, summed, past
    return instruction(conv_f32 if dtype == "float32" else conv_f64, &p, sizeof(p), blocks,
                       p.window[0] * p.window[1] * p.window[2] * summed * item, phases)


cdef struct Spread:
    Operand g, w, y
    long channels
    DepthwiseSpread plane

cdef void spread_task(const Spread *p, long task, const Context *context, real *tag) noexcept nogil:
    cdef long lanes = LANES_F32 if real is float else LANES_F64, f, i
    cdef const real *g = <const real *>address(&p.g, task, context)
    cdef const real *w = <const real *>address(&p.w, 0, context)
    cdef real *y = <real *>address(&p.y, task, context)
    cdef real own[9]
    cdef DepthwiseSpread t = p.plane
    t.w = own
    for f in range(p.channels // context.slices * context.slice, p.channels // context.slices * (context.slice + 1)):
        for i in range(9):
            own[i] = w[i * p.channels + f]
        t.g, t.y = g + f * t.counts[0] * t.counts[1] * lanes, y + f * t.rows * t.columns * lanes
        if real is float:
            depthwise_spread_f32(&t)
        else:
            depthwise_spread_f64(&t)
    if t.past:
        STREAMED()

cdef void spread_f32(const void *p, long task, const Context *c) noexcept nogil:
    spread_task[float](<const Spread *>p, task, c, NULL)

cdef void spread_f64(const void *p, long task, const Context *c) noexcept nogil:
    spread_task[double](<const Spread *>p, task, c, NULL)


def spread(dtype, g, w, y, *, long blocks, long channels, sizes, counts, low, int past):
    """y: the gradient for an input of `sizes` rows and columns, in the lanes layout, of a convolution with windows of
    3 x 3, one filter a channel, and stride 2, from that for its results, `counts` rows and columns; low: zeros before
    the input's. A task is a block, or a slice of one."""
    cdef Spread p
    p.g, p.w, p.y, p.channels = operand(g), operand(w), operand(y), channels
    p.plane.rows, p.plane.columns, p.plane.past = sizes[0], sizes[1], past
    for i in range(2):
        p.plane.counts[i], p.plane.low[i] = counts[i], low[i]
    return instruction(spread_f32 if dtype == "float32" else spread_f64, &p, sizeof(p), blocks, 0, None)


cdef void plain_task(const Conv *p, long task, const Context *context, real *tag) noexcept nogil:
    cdef long lanes = LANES_F32 if real is float else LANES_F64, channels = p.results, line = p.n[2] * channels
    cdef long band = task % p.bands, z = task // p.bands % p.outputs[0], sample = task // (p.bands * p.outputs[0])
    cdef long first = p.outputs[1] * band // p.bands, end = p.outputs[1] * (band + 1) // p.bands
    cdef long whole = channels // lanes * lanes, out_line = p.outputs[2] * channels, v, r, z0, z1, r0, r1, lo, hi, depth
    cdef const real *x = <const real *>address(&p.x, 0, context) + sample * p.n[0] * p.n[1] * line
    cdef const real *w = <const real *>address(&p.w, 0, context)
    cdef real *bias = <real *>address(&p.bias, 0, context)
    cdef real *y = <real *>address(&p.y, 0, context) + (sample * p.outputs[0] + z) * p.outputs[1] * out_line
    cdef const Phase *a = p.phase
    cdef const Phase *b = p.phase + 1
    cdef const Phase *c = p.phase + 2
    cdef DepthwiseRow row
    cdef DepthwiseAll windows = NULL
    cdef Depthwise t
    cdef DepthwiseWindows all
    if real is float:
        row = depthwise_row_f32(1, c.taps, c.apart, p.strides[2])
        windows = depthwise_windows_f32(1, b.taps, c.taps, c.apart, c.low, p.strides[2])
    else:
        row = depthwise_row_f64(1, c.taps, c.apart, p.strides[2])
        windows = depthwise_windows_f64(1, b.taps, c.taps, c.apart, c.low, p.strides[2])
    if a.taps > 1 or windows == NULL:
        whole = 0
    depth = z * p.strides[0] + a.low
    all.ws, all.wp, all.xp, all.line = 3 * channels, channels, channels, line
    all.rows, all.columns = p.n[1] if 0 <= depth < p.n[0] else 0, p.n[2]
    all.first, all.end, all.ylow, all.ystep, all.yapart = first, end, b.low, p.strides[1], b.apart
    all.low, all.count, all.yp, all.yline, all.relu, all.past = c.low, c.count, channels, out_line, p.relu, 0
    for v from 0 <= v < whole by lanes:
        all.x, all.w, all.y = x + depth * p.n[1] * line + v, w + v, y + first * out_line + v
        all.bias = NULL if bias == NULL else bias + v
        windows(&all)
    if whole == channels:
        return
    t.relu, t.columns, t.stride, t.taps, t.apart = p.relu, p.n[2], p.strides[2], c.taps, c.apart
    tested(c, t.stride, t.columns, &lo, &hi)
    met(a, z, p.strides[0], p.n[0], &z0, &z1)
    t.xp = t.yp = t.wp = channels
    t.xs[0], t.xs[1], t.xs[2] = 0, a.apart * p.n[1] * line, b.apart * line
    t.ws[0], t.ws[1], t.ws[2] = 0, p.window[1] * p.window[2] * channels, p.window[2] * channels
    for r in range(first, end):
        met(b, r, p.strides[1], p.n[1], &r0, &r1)
        t.n[0], t.n[1], t.n[2] = 1, z1 - z0, r1 - r0
        for v from whole <= v < channels by lanes:
            t.x = x + ((depth + z0 * a.apart) * p.n[1] + r * p.strides[1] + b.low + r0 * b.apart) * line + v
            t.w, t.last = w + (z0 * p.window[1] + r0) * p.window[2] * channels + v, min(lanes, channels - v)
            t.bias = NULL if bias == NULL else bias + v
            row(&t, c.low, c.count, lo, hi, y + r * out_line + v)

cdef void plain_f32(const void *p, long task, const Context *c) noexcept nogil:
    plain_task[float](<const Conv *>p, task, c, NULL)

cdef void plain_f64(const void *p, long task, const Context *c) noexcept nogil:
    plain_task[double](<const Conv *>p, task, c, NULL)


def conv_plain(dtype, x, w, y, bias, sizes, phases, *, long samples, long channels, long bands, int relu):
    """y = x * w (+ bias, relu), one filter a channel, all in the plain layout, channels last. A task is one of `bands`
    of the rows."""
    cdef Conv p = described(x, w, y, bias, sizes, phases, channels, relu)
    p.results, p.sharing, p.summed, p.bands = channels, 1, 1, bands
    return instruction(plain_f32 if dtype == "float32" else plain_f64, &p, sizeof(p), samples * p.outputs[0] * bands, 0,
                       phases)


# Gradient for the kernel ------------------------------------------------------------------------------------------

cdef struct KernelGradient:
    Operand x, g, out
    int64_t n[3]
    int64_t outputs[3]
    int64_t window[3]
    int64_t strides[3]
    int64_t dilation[3]
    int64_t low[3]
    long filters, multiplier, samples
    long run                        # taps of a task, in the plain layout

cdef void kernel_gradient_task(const KernelGradient *p, long task, const Context *context, real *tag) noexcept nogil:
    cdef long lanes = LANES_F32 if real is float else LANES_F64
    cdef const real *x = <const real *>address(&p.x, task, context)
    cdef const real *g = <const real *>address(&p.g, task, context)
    cdef real *out = <real *>address(&p.out, task, context)
    cdef long line = p.n[2] * lanes, depth = p.n[1] * line, plane = p.n[0] * depth
    cdef long out_plane = p.outputs[0] * p.outputs[1] * p.outputs[2] * lanes
    cdef long ky, kx, i, j, k, at, last, f
    cdef DepthwiseDotTile tile
    cdef DepthwiseDot t
    if real is float:
        tile = depthwise_dot_f32(0, p.window[1], p.window[2], p.dilation[2], p.strides[2], &ky, &kx)
    else:
        tile = depthwise_dot_f64(0, p.window[1], p.window[2], p.dilation[2], p.strides[2], &ky, &kx)
    memset(context.scratch, 0, line * sizeof(real))
    t.zeros = context.scratch
    for i in range(3):
        t.outputs[i] = <long>p.outputs[i]
    t.rows, t.columns, t.zs, t.ystep, t.yapart = p.n[1], p.n[2], p.strides[0] * p.n[1], p.strides[1], p.dilation[1]
    t.stride, t.os, t.lanes = p.strides[2], p.filters, min(lanes, p.samples - task * lanes)
    for f in range(p.filters // context.slices * context.slice, p.filters // context.slices * (context.slice + 1)):
        t.g = g + f * out_plane
        for i in range(p.window[0]):
            at = i * p.dilation[0] - p.low[0]
            t.x = x + f // p.multiplier * plane + at * depth
            last = p.n[0] - 1 - at
            t.first = 0 if at >= 0 else ceil_div(-at, p.strides[0])
            t.end = 0 if last < 0 else min(p.outputs[0], last // p.strides[0] + 1)
            for j from 0 <= j < p.window[1] by ky:
                t.y = j * p.dilation[1] - p.low[1]
                for k from 0 <= k < p.window[2] by kx:
                    t.low = p.low[2] - k * p.dilation[2]
                    last = p.n[2] - 1 + t.low - (kx - 1) * p.dilation[2]
                    t.lo = min(p.outputs[2], max(0, ceil_div(t.low, t.stride)))
                    t.hi = 0 if last < 0 else min(p.outputs[2], last // t.stride + 1)
                    t.out = out + ((i * p.window[1] + j) * p.window[2] + k) * p.filters + f
                    tile(&t)

cdef void kernel_gradient_f32(const void *p, long task, const Context *c) noexcept nogil:
    kernel_gradient_task[float](<const KernelGradient *>p, task, c, NULL)

cdef void kernel_gradient_f64(const void *p, long task, const Context *c) noexcept nogil:
    kernel_gradient_task[double](<const KernelGradient *>p, task, c, NULL)


def kernel_gradient(dtype, x, g, out, sizes, *, long samples, long blocks, long filters, long multiplier):
    """Sums [tap][filter] of each block, in the lanes layout; a task is a block, or a slice of one.

    sizes: int64 rows of the input, the outputs, the window, the strides, the dilation and the padding before.
    """
    cdef KernelGradient p
    p.x, p.g, p.out = operand(x), operand(g), operand(out)
    memcpy(p.n, elements(sizes, 8), 18 * sizeof(int64_t))
    p.filters, p.multiplier, p.samples = filters, multiplier, samples
    return instruction(kernel_gradient_f32 if dtype == "float32" else kernel_gradient_f64, &p, sizeof(p), blocks,
                       p.n[2] * sizeof(double) * LANES_F64, None)


cdef void meeting(const KernelGradient *p, int axis, long k, long *first, long *end) noexcept nogil:
    """The results that tap k of an axis meets inside of the input."""
    cdef long at = k * p.dilation[axis] - p.low[axis], last = p.n[axis] - 1 - at
    first[0] = 0 if at >= 0 else ceil_div(-at, p.strides[axis])
    end[0] = 0 if last < 0 else min(p.outputs[axis], last // p.strides[axis] + 1)

cdef void plain_gradient_task(const KernelGradient *p, long task, const Context *context, real *tag) noexcept nogil:
    cdef long lanes = LANES_F32 if real is float else LANES_F64, channels = p.filters
    cdef long vectors = ceil_div(channels, lanes), v = task % vectors * lanes, tap = task // vectors * p.run
    cdef long kx = tap % p.window[2], ky = tap // p.window[2] % p.window[1], kz = tap // (p.window[2] * p.window[1])
    cdef const real *x = <const real *>address(&p.x, 0, context) + v
    cdef const real *g = <const real *>address(&p.g, 0, context) + v
    cdef real *out = <real *>address(&p.out, 0, context) + tap * channels + v
    cdef real sums[9 * 16]
    cdef real more[9 * 16]
    cdef long z0, z1, y0, y1, x0, x1, sample, z, y, row, at, i, columns, rows
    cdef DepthwiseDotTile tile
    cdef DepthwiseDot t
    meeting(p, 0, kz, &z0, &z1)
    memset(sums, 0, sizeof(sums))
    if real is float:
        tile = depthwise_dot_f32(1, p.window[1], p.window[2], p.dilation[2], p.strides[2], &rows, &columns)
    else:
        tile = depthwise_dot_f64(1, p.window[1], p.window[2], p.dilation[2], p.strides[2], &rows, &columns)
    if p.run > 1:
        # All columns of the kernel, and up to three rows.
        for i in range(3):
            t.outputs[i] = <long>p.outputs[i]
        t.rows, t.columns, t.zs, t.ystep, t.yapart = p.n[1], p.n[2], p.strides[0] * p.n[1], p.strides[1], p.dilation[1]
        t.y, t.low, t.first, t.end = ky * p.dilation[1] - p.low[1], p.low[2], z0, z1
        t.stride, t.xp, t.out, t.os = p.strides[2], channels, more, lanes
        for sample in range(p.samples):
            t.x = x + (sample * p.n[0] + kz * p.dilation[0] - p.low[0]) * p.n[1] * p.n[2] * channels
            t.g = g + sample * p.outputs[0] * p.outputs[1] * p.outputs[2] * channels
            tile(&t)
            for i in range(p.run * lanes):
                sums[i] += more[i]
    else:
        meeting(p, 1, ky, &y0, &y1)
        meeting(p, 2, kx, &x0, &x1)
        for sample in range(p.samples):
            for z in range(z0, z1):
                for y in range(y0, y1):
                    row = (sample * p.n[0] + z * p.strides[0] + kz * p.dilation[0] - p.low[0]) * p.n[1] \
                        + y * p.strides[1] + ky * p.dilation[1] - p.low[1]
                    row = row * p.n[2] + x0 * p.strides[2] + kx * p.dilation[2] - p.low[2]
                    at = ((sample * p.outputs[0] + z) * p.outputs[1] + y) * p.outputs[2] + x0
                    if real is float:
                        depthwise_sums_f32(x + row * channels, p.strides[2] * channels, g + at * channels, channels,
                                           x1 - x0, sums)
                    else:
                        depthwise_sums_f64(x + row * channels, p.strides[2] * channels, g + at * channels, channels,
                                           x1 - x0, sums)
    for i in range(p.run):
        memcpy(out + i * channels, sums + i * lanes, min(lanes, channels - v) * sizeof(real))

cdef void plain_gradient_f32(const void *p, long task, const Context *c) noexcept nogil:
    plain_gradient_task[float](<const KernelGradient *>p, task, c, NULL)

cdef void plain_gradient_f64(const void *p, long task, const Context *c) noexcept nogil:
    plain_gradient_task[double](<const KernelGradient *>p, task, c, NULL)


def kernel_gradient_plain(dtype, x, g, out, sizes, *, long samples, long channels, long taps):
    """The kernel's gradient [tap][channel] in the plain layout, channels last, one filter a channel. A task is some
    taps of a vector of channels."""
    cdef KernelGradient p
    cdef long rows, columns
    cdef long lanes = LANES_F32 if dtype == "float32" else LANES_F64
    p.x, p.g, p.out = operand(x), operand(g), operand(out)
    memcpy(p.n, elements(sizes, 8), 18 * sizeof(int64_t))
    p.filters, p.multiplier, p.samples = channels, 1, samples
    if dtype == "float32":
        depthwise_dot_f32(1, p.window[1], p.window[2], p.dilation[2], p.strides[2], &rows, &columns)
    else:
        depthwise_dot_f64(1, p.window[1], p.window[2], p.dilation[2], p.strides[2], &rows, &columns)
    p.run = rows * columns
    return instruction(plain_gradient_f32 if dtype == "float32" else plain_gradient_f64, &p, sizeof(p),
                       taps // p.run * ceil_div(channels, lanes), 0, None)
