# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Images read at places between their pixels, and the gradients of that.

All arrays are plain: images [sample][row][column][channel] or [sample][channel][row][column], places
[sample][row][column]. A task has some rows of the places of one sample and goes through them in order; all channels of
a place are read at once, since to find its pixels takes longer than to read them. In the gradient for the images a task
has all places of a sample: nobody else adds to its pixels, and the order of the sums is fixed.

Where all places of a row or column are the same for all, matrices with few numbers in each row say what is read:
`resize`, for one axis or two that lie side by side, in the plain layout and that of lanes. A task is a block of
samples, or some rows; each is first made of rows of what is read, and then, while it is in the cache, its columns.
"""

from libc.stdint cimport int32_t
from libc.string cimport memset

from pyconv.backends.cpu.executor cimport (Context, Instruction, Operand, address, ceil_div, elements, instruction,
                                           operand)

cdef extern from "sampling.h" nogil:
    ctypedef struct Place_f32:
        pass
    ctypedef struct Place_f64:
        pass
    Place_f32 place_f32(float, float, long, long, int, int)
    Place_f64 place_f64(double, double, long, long, int, int)
    void read_f32(const float *, const Place_f32 *, int, long, long, float, long, float *, long)
    void read_f64(const double *, const Place_f64 *, int, long, long, double, long, double *, long)
    void spread_f32(float *, const Place_f32 *, int, long, long, long, const float *, long)
    void spread_f64(double *, const Place_f64 *, int, long, long, long, const double *, long)
    void slopes_f32(const float *, const Place_f32 *, long, long, float, long, const float *, long, float *, float *)
    void slopes_f64(const double *, const Place_f64 *, long, long, double, long, const double *, long, double *,
                    double *)

ctypedef fused real:
    float
    double

FILL_MODES = {"constant": 0, "nearest": 1, "wrap": 2, "mirror": 3, "reflect": 4}
OPS = {"sample_images": 0, "sample_images_gradient": 1, "sample_places_gradient": 2}

cdef struct Sample:
    Operand images, y, x, grad, to_y, to_x     # images: read, or added to; grad: also the result of reading
    int op, bilinear, fill_mode
    double fill
    long height, width, channels, rows, columns, chunk, chunks
    long pixel, step, out_pixel, out_step      # elements from one pixel and one channel to the next

cdef void sample_task(const Sample *p, long task, const Context *context, real *tag) noexcept nogil:
    cdef long sample = task // p.chunks, places = p.rows * p.columns
    cdef long i, first = task % p.chunks * p.chunk * p.columns
    cdef long end = min(places, first + p.chunk * p.columns)
    cdef long size = p.height * p.width * p.channels
    cdef real *images = <real *>address(&p.images, 0, context) + sample * size
    cdef const real *y = <const real *>address(&p.y, 0, context) + sample * places
    cdef const real *x = <const real *>address(&p.x, 0, context) + sample * places
    cdef real *grad = <real *>address(&p.grad, 0, context) + sample * places * p.channels
    cdef real *to_y = NULL
    cdef real *to_x = NULL
    cdef Place_f32 f32
    cdef Place_f64 f64
    if p.op == 1:
        memset(images, 0, size * sizeof(real))
    elif p.op == 2:
        to_y = <real *>address(&p.to_y, 0, context) + sample * places
        to_x = <real *>address(&p.to_x, 0, context) + sample * places
    for i in range(first, end):
        if real is float:
            f32 = place_f32(y[i], x[i], p.height, p.width, p.bilinear, p.fill_mode)
            if p.op == 0:
                read_f32(images, &f32, p.bilinear, p.pixel, p.step, <float>p.fill, p.channels, grad + i * p.out_pixel,
                         p.out_step)
            elif p.op == 1:
                spread_f32(images, &f32, p.bilinear, p.pixel, p.step, p.channels, grad + i * p.out_pixel, p.out_step)
            else:
                slopes_f32(images, &f32, p.pixel, p.step, <float>p.fill, p.channels, grad + i * p.out_pixel, p.out_step,
                           to_y + i, to_x + i)
        else:
            f64 = place_f64(y[i], x[i], p.height, p.width, p.bilinear, p.fill_mode)
            if p.op == 0:
                read_f64(images, &f64, p.bilinear, p.pixel, p.step, p.fill, p.channels, grad + i * p.out_pixel,
                         p.out_step)
            elif p.op == 1:
                spread_f64(images, &f64, p.bilinear, p.pixel, p.step, p.channels, grad + i * p.out_pixel, p.out_step)
            else:
                slopes_f64(images, &f64, p.pixel, p.step, p.fill, p.channels, grad + i * p.out_pixel, p.out_step,
                           to_y + i, to_x + i)

cdef void sample_f32(const void *p, long task, const Context *c) noexcept nogil:
    sample_task[float](<const Sample *>p, task, c, NULL)
cdef void sample_f64(const void *p, long task, const Context *c) noexcept nogil:
    sample_task[double](<const Sample *>p, task, c, NULL)


def sample(op, dtype, reads, writes, *, batch, height, width, channels, rows, columns, chunk, bilinear, fill_mode,
           fill_value, channels_last):
    """The op of that name: `reads` and `writes` are its inputs and results, `chunk` the rows of places of a task."""
    cdef Sample p
    p.op = OPS[op]
    images, grad = {0: (reads[0], writes[0]), 1: (writes[0], reads[0]), 2: (reads[0], reads[len(reads) - 1])}[p.op]
    p.images, p.y, p.x, p.grad = operand(images), operand(reads[1]), operand(reads[2]), operand(grad)
    if p.op == 2:
        p.to_y, p.to_x = operand(writes[0]), operand(writes[1])
    p.bilinear, p.fill_mode, p.fill = bilinear, FILL_MODES[fill_mode], fill_value
    p.height, p.width, p.channels, p.rows, p.columns = height, width, channels, rows, columns
    p.chunk, p.chunks = chunk, ceil_div(rows, chunk)
    p.pixel, p.step = (channels, 1) if channels_last else (1, height * width)
    p.out_pixel, p.out_step = (channels, 1) if channels_last else (1, rows * columns)
    return instruction(sample_f32 if dtype == "float32" else sample_f64, &p, sizeof(p), batch * p.chunks, 0, None)


cdef extern from "mixing_types.h" nogil:
    const int LANES_F32
    void mix_f32(const float *, long, const float *, long, long, float *)
    void mix_f64(const double *, long, const double *, long, long, double *)
    void mix_columns_f32(const float *, const int32_t *, const float *, long, long, long, float *)
    void mix_columns_f64(const double *, const int32_t *, const double *, long, long, long, double *)

cdef struct Bands:
    long inputs, outputs, taps     # taps: numbers in a row of the matrix; 0: the axis stays as it is
    const int32_t *first           # where they begin
    const void *weights

cdef struct Resize:
    Operand x, y
    Bands rows, columns
    long outer, inner              # elements before, and after, the axes; with samples in lanes of a block
    long chunk, chunks             # rows of a task, and tasks of what is outside; 0: a task is a block

cdef void resize_task(const Resize *p, long task, const Context *context, real *tag) noexcept nogil:
    cdef const Bands *rows = &p.rows
    cdef const Bands *columns = &p.columns
    cdef long line = columns.inputs * p.inner, out_line = columns.outputs * p.inner, o, r
    cdef long first = 0, end = p.outer * rows.outputs
    cdef const real *x = <const real *>address(&p.x, task, context)
    cdef real *y = <real *>address(&p.y, task, context)
    cdef const real *source
    cdef const real *weights
    cdef real *row = <real *>context.scratch
    if p.chunks:
        first = task // p.chunks * rows.outputs + task % p.chunks * p.chunk
        end = min(first + p.chunk, (task // p.chunks + 1) * rows.outputs)
    for o in range(first, end):
        r = o % rows.outputs
        source = x + (o // rows.outputs * rows.inputs + rows.first[r]) * line
        weights = <const real *>rows.weights + r * rows.taps
        if not columns.taps:
            row = y + o * line
        if real is float:
            mix_f32(source, line, weights, rows.taps, line, row)
            if columns.taps:
                mix_columns_f32(row, columns.first, <const real *>columns.weights, columns.taps, columns.outputs,
                                p.inner, y + o * out_line)
        else:
            mix_f64(source, line, weights, rows.taps, line, row)
            if columns.taps:
                mix_columns_f64(row, columns.first, <const real *>columns.weights, columns.taps, columns.outputs,
                                p.inner, y + o * out_line)

cdef void resize_f32(const void *p, long task, const Context *c) noexcept nogil:
    resize_task[float](<const Resize *>p, task, c, NULL)
cdef void resize_f64(const void *p, long task, const Context *c) noexcept nogil:
    resize_task[double](<const Resize *>p, task, c, NULL)

cdef int set_bands(Bands *b, bands) except -1:
    inputs, first, weights = bands
    b.inputs, b.outputs, b.taps = inputs, weights.shape[0], weights.shape[1]
    b.first, b.weights = <const int32_t *>elements(first, 4), elements(weights, weights.itemsize)
    return 0


def resize(x, y, bands, *, blocks, outer, inner, chunk):
    """y: x with its rows, and the columns of these, each the sum of some weighted ones.

    bands: for the rows, and perhaps the columns: (how many of x, where the first that counts is, the weights of it and
    those after it). outer, inner: elements before, and after. chunk: rows of a task, if there are no `blocks`.
    """
    cdef Resize p
    cdef size_t item = bands[0][2].itemsize
    p.x, p.y, p.outer, p.inner, p.chunk = operand(x), operand(y), outer, inner, chunk
    set_bands(&p.rows, bands[0])
    p.columns.inputs, p.columns.outputs, p.columns.taps = 1, 1, 0
    if len(bands) > 1:
        set_bands(&p.columns, bands[1])
    p.chunks = 0 if blocks else ceil_div(p.rows.outputs, p.chunk)
    return instruction(resize_f32 if item == 4 else resize_f64, &p, sizeof(p), blocks or p.outer * p.chunks,
                       (p.columns.inputs * p.inner + LANES_F32) * item, bands)
