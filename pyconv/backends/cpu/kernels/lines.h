/* Convolution with rows of 5 taps and few channels, and max pooling by windows of two by two, side by side, as one;
 * single precision, samples in the lanes. Winograd's algorithm along rows alone: 8 products for 4 results and 5 taps.
 *
 * The rows of all channels are transformed into V[channel][tile][8][row], then for a tile of columns and a few rows and
 * filters at a time: M[8][filter][row] = products of U[channel, kernel row][8][filter] with V, which are transformed
 * into two rows of four results, of which the maxima are stored. */
#ifndef PYCONV_LINES_H
#define PYCONV_LINES_H
#include "pooled.h"
#include "winograd_f32_f64.h"

enum { LINES_ROWS = 6, LINES_FILTERS = 8, LINES_STEP = ((LINES_ROWS * LINES_FILTERS) | 1) * LANES_F32 };

typedef struct {
    long low[2];                    /* rows and columns of zeros before the input */
    long h, w, channels, filters, wide, kernel_rows;    /* wide: filters of a row of U */
    long rows, cols;                /* pooled */
    long relu;
} Lines;

INLINE long lines_tiles(const Lines *p) { return (p->cols + 1) / 2; }
/* An odd number of vectors, so that values lie in different lines of a cache. */
INLINE long lines_step(const Lines *p) { return ((2 * p->rows + p->kernel_rows - 1) | 1) * LANES_F32; }

static long lines_scratch(const Lines *p) {
    return p->w * LANES_F32 + p->channels * lines_tiles(p) * 8 * lines_step(p) + 8 * LINES_STEP;
}

/* The maxima of two rows of M, of which value k is at m + k * LINES_STEP. */
static __attribute__((noinline)) void pooled_line(const float *m, float bias, long relu, float *y, long cols) {
    vf32 z[8], o[2][4];
    _Pragma("GCC unroll 2") for (int r = 0; r < 2; r++) {
        _Pragma("GCC unroll 8") for (int k = 0; k < 8; k++)
            z[k] = *(const vf32 *)(m + k * LINES_STEP + r * LANES_F32);
        z[1] += bias;               /* every result takes the value of the point 1 as it is */
        output_line_f32(8, 4, z, o[r]);
    }
    _Pragma("GCC unroll 2") for (int j = 0; j < 2; j++)
        if (j < cols) {
            const vf32 best = larger(larger(o[0][2 * j], o[0][2 * j + 1]), larger(o[1][2 * j], o[1][2 * j + 1]));
            *(vf32 *)(y + j * LANES_F32) = relu ? relu_f32(best) : best;
        }
}

static void pooled_lines(const Lines *p, const float *x, const float *u, const float *bias, float *y, float *zeros) {
    const long tiles = lines_tiles(p), step = lines_step(p), in_rows = 2 * p->rows + p->kernel_rows - 1;
    const Planes plane = {LANES_F32, p->h, p->w, 1, 1};
    float *v = zeros + p->w * LANES_F32, *m = v + p->channels * tiles * 8 * step;
    memset(zeros, 0, p->w * VECTOR_BYTES);
    for (long i = 0; i < in_rows; i++)
        input_tiles_f32(5, 1, x, zeros, &plane, i - p->low[0], -p->low[1], tiles, v + i * LANES_F32, step, 8 * step,
                        p->channels, p->h * p->w * LANES_F32, tiles * 8 * step, 0);
    for (long r = 0, n; r < p->rows; r += n) {
        n = p->rows - r < LINES_ROWS / 2 ? p->rows - r : LINES_ROWS / 2;
        for (long t = 0; t < tiles; t++)
            for (long f = 0; f < p->filters; f += LINES_FILTERS) {
                const long filters = p->filters - f < LINES_FILTERS ? p->filters - f : LINES_FILTERS;
                for (long k = 0; k < 8; k++)
                    for (long c = 0; c < p->channels; c++)
                        packed_product_f32(u + (c * p->kernel_rows * 8 + k) * p->wide + f, 8 * p->wide,
                                           v + ((c * tiles + t) * 8 + k) * step + 2 * r * LANES_F32, LANES_F32,
                                           p->kernel_rows, m + k * LINES_STEP, LINES_ROWS * LANES_F32, c > 0, filters,
                                           2 * n);
                for (long c = 0; c < filters; c++)
                    for (long i = 0; i < n; i++)
                        pooled_line(m + (c * LINES_ROWS + 2 * i) * LANES_F32, bias ? bias[f + c] : 0, p->relu,
                                    y + (((f + c) * p->rows + r + i) * p->cols + 2 * t) * LANES_F32, p->cols - 2 * t);
            }
    }
}
#endif
