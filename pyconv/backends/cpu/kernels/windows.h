/* Convolution of a small batch and max pooling by windows of two by two, side by side, as one: as the strided tiles of
 * tiles.h, for PB pooled pixels x XB vectors of filters, single precision. p->xj: elements from a row of pixels to the
 * next. */
#ifndef PYCONV_WINDOWS_H
#define PYCONV_WINDOWS_H
#include "pooled.h"
#include "tiles_f32_f64.h"

#define WINDOWS(PB, XB) \
static void windows_##PB##_##XB(const Outer *p) { \
    const float *x = p->x, *w = p->w, *bias = p->bias; \
    const long wc = p->wc, below = p->xj; \
    float *y = p->y; \
    for (long i = p->tiles; i > 0; i--, w += 2 * PB * wc) { \
        vf32 acc[2][2 * PB][XB]; \
        _Pragma("GCC unroll 16") for (int c = 0; c < 2 * PB; c++) \
            _Pragma("GCC unroll 2") for (int j = 0; j < XB; j++) \
                acc[0][c][j] = acc[1][c][j] = bias ? *(const vf32 *)(bias + j * LANES_F32) : (vf32){0}; \
        for (long t = 0; t < p->taps; t++) { \
            const float *wt = w + p->wo[t]; \
            vf32 v[XB]; \
            _Pragma("GCC unroll 2") for (int j = 0; j < XB; j++) v[j] = *(const vf32 *)(x + p->xo[t] + j * LANES_F32); \
            _Pragma("GCC unroll 2") for (int r = 0; r < 2; r++, wt += below) \
                _Pragma("GCC unroll 16") for (int c = 0; c < 2 * PB; c++) { \
                    const vf32 s = wt[c * wc] - (vf32){0}; \
                    _Pragma("GCC unroll 2") for (int j = 0; j < XB; j++) acc[r][c][j] += s * v[j]; } } \
        _Pragma("GCC unroll 8") for (int c = 0; c < PB; c++, y += p->yc) \
            _Pragma("GCC unroll 2") for (int j = 0; j < XB; j++) { \
                vf32 v = larger(larger(acc[0][2 * c][j], acc[0][2 * c + 1][j]), \
                                larger(acc[1][2 * c][j], acc[1][2 * c + 1][j])); \
                if (p->relu) v = relu_f32(v); \
                store_part_f32(y + j * LANES_F32, v, j < XB - 1 ? LANES_F32 : p->last); } } \
}
WINDOWS(1, 1) WINDOWS(2, 1) WINDOWS(3, 1) WINDOWS(1, 2)
#if ACCUMULATORS >= 24
WINDOWS(4, 1) WINDOWS(5, 1) WINDOWS(2, 2)
#endif
#undef WINDOWS

/* [pooled pixels][vectors]; NULL where there is no such tile */
static void (*const windows[9][9])(const Outer *) = {
    [1][1] = windows_1_1, [2][1] = windows_2_1, [3][1] = windows_3_1, [1][2] = windows_1_2,
#if ACCUMULATORS >= 24
    [4][1] = windows_4_1, [5][1] = windows_5_1, [2][2] = windows_2_2,
#endif
};
#endif
