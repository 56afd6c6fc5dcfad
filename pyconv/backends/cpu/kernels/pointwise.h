/* Products of a few pixels' channels with all rows of a matrix, in single precision.
 *
 * y[c][j] = sum over k of w[c][k] * x[k][j] (+ bias[c], relu), w scalars and x vectors, for XB vectors and any number
 * of rows from SWEEP_ROWS on: tiles of so many, the last of which begins where it still has all of its rows. While the
 * first tile goes over the vectors, it copies them side by side to `panel`, whence the others read them: channels lie
 * whole planes apart, often a power of two, and would push each other out of the first-level cache. Each tile asks for
 * its share of what the next call will read: all at once would be more than can be under way.
 *
 * SWEEP_PIXELS is how many vectors at most: as many as sums fit into registers; of 32 bytes, two, which are a line of a
 * cache, and lie in one if a pixel's number is even. Halves of lines would be written at different times.
 *
 * GRADIENT_ROWS are rows of scalars that the gradient for the kernel goes over together: whole tiles of products.h. */
#ifndef PYCONV_POINTWISE_H
#define PYCONV_POINTWISE_H
#include "vector.h"

#define SWEEP_ROWS (ACCUMULATORS >= 24 ? 8 : 4)
#define GRADIENT_ROWS (ACCUMULATORS >= 24 ? 8 : 12)
#define SWEEP_PIXELS (VECTOR_BYTES == 32 ? 2 : 3)

typedef struct {
    const float *x; long xs, xj;            /* step k's vectors: x + k * xs + j * xj */
    const float *w; long ws, wc, wr, steps; /* its scalars: w + k * ws + c * wc; from tile to tile, wr for each row */
    float *y; long yc, yj, rows;            /* y + c * yc + j * yj */
    const float *bias, *ahead;              /* ahead: x of the next call, or this */
    float *panel;
    int relu, past;                         /* past: the results go past the caches */
} Sweep;

/* Adds what the steps give, at x + k * XS + j * XJ; STEP is done with the vectors of each. */
#define STEPS(XB, XS, XJ, STEP) \
    for (long k = 0; k < steps; k++, w += ws, x += XS) { \
        vf32 v[XB]; \
        _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) v[j] = *(const vf32 *)(x + j * XJ); \
        STEP \
        _Pragma("GCC unroll 8") for (int c = 0; c < SWEEP_ROWS; c++) { \
            const vf32 s = w[c * wc] - (vf32){0}; \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) MULTIPLY_ADD(acc[c][j], s, v[j]) } }

#define KEEP(XB) \
    _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) *(vf32 *)(panel + j * LANES_F32) = v[j]; \
    panel += XB * LANES_F32;

/* A tile's end, common to sweeps of all kinds: VALUE, an expression of c and j, then relu, to y. Row by row: all at
 * once, they and their addresses would not have registers enough. */
#define STORE_SWEEP(XB, VALUE) \
    _Pragma("GCC unroll 8") for (int c = 0; c < SWEEP_ROWS; c++, y += yc) { \
        vf32 v[XB]; \
        _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) v[j] = VALUE; \
        if (relu) { _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) v[j] = relu_f32(v[j]); } \
        if (past) { /* whole lines */ \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) STREAM(y + j * yj, v[j]); \
        } else { \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) *(vf32 *)(y + j * yj) = v[j]; } \
        WALK(y); }

#define SWEEP(XB) \
static void sweep_##XB(const Sweep *p) { \
    const long ws = p->ws, wc = p->wc, yc = p->yc, yj = p->yj, steps = p->steps, most = p->rows - SWEEP_ROWS; \
    const long xs = p->xs, xj = p->xj; \
    const int relu = p->relu, past = p->past && VECTOR_BYTES == 64; \
    long asked = 0; \
    for (long r = 0; r < p->rows; r += SWEEP_ROWS) { \
        const long first = r < most ? r : most; \
        const float *w = p->w + first * p->wr; \
        vf32 acc[SWEEP_ROWS][XB]; \
        _Pragma("GCC unroll 8") for (int c = 0; c < SWEEP_ROWS; c++) { \
            const vf32 b = (p->bias ? p->bias[first + c] : 0) - (vf32){0}; \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) acc[c][j] = b; } \
        for (const long all = r < most ? steps * (r + SWEEP_ROWS) / p->rows : steps; asked < all; asked++) \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) \
                __builtin_prefetch(p->ahead + asked * xs + j * xj, 0, 2); \
        if (r == 0) { \
            const float *x = p->x; \
            float *panel = p->panel; \
            STEPS(XB, xs, xj, KEEP(XB)) \
        } else { \
            const float *x = p->panel; \
            STEPS(XB, XB * LANES_F32, LANES_F32, ) } \
        float *y = p->y + first * yc; \
        STORE_SWEEP(XB, acc[c][j]) } \
}

SWEEP(1)
SWEEP(2)
#if SWEEP_PIXELS > 2
SWEEP(3)
#endif
#undef SWEEP
#undef STEPS
#undef KEEP
static void (*const sweeps[4])(const Sweep *) = {0, sweep_1, sweep_2,
#if SWEEP_PIXELS > 2
    sweep_3,
#endif
};
#endif
