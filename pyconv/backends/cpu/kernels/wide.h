/* Products of matrices with 8 lanes and 16 registers, single precision: a tile of 6 rows of scalars and 2 vectors,
 * which leaves a register for a scalar. With each step it loads 8 numbers or vectors for 12 products, from one address
 * for the vectors and two for the scalars, as tables of addresses would be loads, too. What is called should take its
 * vectors from the first-level cache: WIDE_DEPTH steps of two fill half of it, while all rows pass by. */
#ifndef PYCONV_WIDE_H
#define PYCONV_WIDE_H
#include "tiles_f32_f64.h"

#define WIDE_DEPTH 256
#if VECTOR_BYTES == 32
#define WIDE_ROWS 6

/* As the other tiles, but for the steps: t's vectors are at x + xo[0] + t * xs + j * xj, its scalars at w + wo[0] + t *
 * wt + c * wc, and after `period` steps ws further. */
static void wide_tile(const Outer *p, long xs, long wt, long ws, long period, int bias_in_lanes) {
    vf32 acc[WIDE_ROWS][2];
    const float *x = (const float *)p->x + p->xo[0], *w = (const float *)p->w + p->wo[0], *w3 = w + 3 * p->wc;
    const float *bias = p->bias;
    const long xj = p->xj, wc = p->wc, ahead_step = p->ahead_step;
    const char *ahead = p->ahead ? p->ahead : p->x;
    _Pragma("GCC unroll 8") for (int c = 0; c < WIDE_ROWS; c++) acc[c][0] = acc[c][1] = (vf32){0};
    for (long left = p->taps; left > 0; left -= period, w += ws, w3 += ws)
        for (long t = left < period ? left : period; t > 0; t--, w += wt, w3 += wt, x += xs, ahead += ahead_step) {
            const vf32 a = *(const vf32 *)x, b = *(const vf32 *)(x + xj);
            __builtin_prefetch(ahead, 0, 2);
            _Pragma("GCC unroll 8") for (int c = 0; c < WIDE_ROWS; c++) {
                const vf32 s = (c < 3 ? w[c * wc] : w3[(c - 3) * wc]) - (vf32){0};
                acc[c][0] += s * a;
                HOLD(acc[c][0]);
                acc[c][1] += s * b;
                HOLD(acc[c][1]); } }
    float *y = p->y;
    const long yj = p->yj;
    _Pragma("GCC unroll 8") for (int c = 0; c < WIDE_ROWS; c++, y += p->yc) {
        WALK(y);
        if (c < p->skip || c >= p->rows) continue;
        vf32 a = acc[c][0], b = acc[c][1];
        if (p->accumulate) a += *(const vf32 *)y, b += *(const vf32 *)(y + yj);
        if (bias && bias_in_lanes) a += *(const vf32 *)bias, b += *(const vf32 *)(bias + LANES_F32);
        else if (bias) a += bias[c], b += bias[c];
        if (p->relu) a = relu_f32(a), b = relu_f32(b);
        *(vf32 *)y = a;
        store_part_f32(y + yj, b, p->last); }
}

/* The scalars of tiles of rows that lie side by side in w, steps w_tap apart: [tile][step][row], a vector more apart.
 * What comes after a step's rows is written, too, before the next step's are. */
static void copy_tiles(const float *w, long w_tap, long steps, long tiles, float *out) {
    for (long t = 0; t < steps; t++, w += w_tap, out += WIDE_ROWS)
        for (long f = 0; f < tiles; f++)
            *(vf32 *)(out + f * (steps * WIDE_ROWS + LANES_F32)) = *(const vf32 *)(w + f * WIDE_ROWS);
}
#else
#define WIDE_ROWS 0
static void wide_tile(const Outer *p, long xs, long wt, long ws, long period, int bias_in_lanes) {}
static void copy_tiles(const float *w, long w_tap, long steps, long tiles, float *out) {}
#endif
#endif
