/* Sums of products over pixels, samples in the lanes, single precision: sums[t][f] += x[t] * g[f], for TB taps and CB
 * filters at a time in registers. Unlike the dot tiles of tiles.h these leave the lanes apart, and go on with sums that
 * are in memory, so that few pixels may go by at a time. */
#ifndef PYCONV_DOTS_H
#define PYCONV_DOTS_H
#include "vector.h"

typedef struct {
    const float *x; const int32_t *xo;              /* one offset per tap of the tile */
    const float *g; long gc;                        /* gradients: g + f * gc */
    const int32_t *xrow, *grow; long rows;          /* where each row of pixels begins */
    long cols, xstep;                               /* pixels in a row; elements between two in x (in g: a vector) */
    float *sums; long line;                         /* vectors, sums + t * line + f * LANES_F32 */
    const char *ahead[2]; long ahead_step[2];       /* what is asked for, with each pixel so many bytes on */
} Dots;

#define DOTS(TB, CB) \
static void dots_##TB##_##CB(const Dots *p) { \
    vf32 acc[TB][CB]; \
    const long gc = p->gc, cols = p->cols, xstep = p->xstep; \
    const char *later = p->ahead[0], *input = p->ahead[1]; \
    long xo[TB]; \
    _Pragma("GCC unroll 8") for (int t = 0; t < TB; t++) { \
        xo[t] = p->xo[t]; \
        _Pragma("GCC unroll 4") for (int f = 0; f < CB; f++) \
            acc[t][f] = *(const vf32 *)(p->sums + t * p->line + f * LANES_F32); } \
    for (long r = 0; r < p->rows; r++) { \
        const float *x = p->x + p->xrow[r], *g = p->g + p->grow[r]; \
        for (long i = 0; i < cols; i++, x += xstep, g += LANES_F32) { \
            vf32 v[CB]; \
            __builtin_prefetch(later, 0, 2), later += p->ahead_step[0]; \
            __builtin_prefetch(input, 0, 2), input += p->ahead_step[1]; \
            _Pragma("GCC unroll 4") for (int f = 0; f < CB; f++) v[f] = *(const vf32 *)(g + f * gc); \
            _Pragma("GCC unroll 8") for (int t = 0; t < TB; t++) { \
                const vf32 s = *(const vf32 *)(x + xo[t]); \
                _Pragma("GCC unroll 4") for (int f = 0; f < CB; f++) MULTIPLY_ADD(acc[t][f], s, v[f]) } } } \
    _Pragma("GCC unroll 8") for (int t = 0; t < TB; t++) \
        _Pragma("GCC unroll 4") for (int f = 0; f < CB; f++) \
            *(vf32 *)(p->sums + t * p->line + f * LANES_F32) = acc[t][f]; \
}
#define DOTS_4(TB) DOTS(TB, 1) DOTS(TB, 2) DOTS(TB, 3) DOTS(TB, 4)
#define ROW_OF_DOTS(TB) {dots_##TB##_1, dots_##TB##_2, dots_##TB##_3, dots_##TB##_4}
DOTS_4(1) DOTS_4(2)
#if ACCUMULATORS >= 28
#  define MOST_TAPS 7
DOTS_4(3) DOTS_4(4) DOTS_4(5) DOTS_4(6) DOTS_4(7)
static void (*const dots[MOST_TAPS][4])(const Dots *) = {
    ROW_OF_DOTS(1), ROW_OF_DOTS(2), ROW_OF_DOTS(3), ROW_OF_DOTS(4), ROW_OF_DOTS(5), ROW_OF_DOTS(6), ROW_OF_DOTS(7)};
#else
#  define MOST_TAPS 2
static void (*const dots[MOST_TAPS][4])(const Dots *) = {ROW_OF_DOTS(1), ROW_OF_DOTS(2)};
#endif
#undef DOTS
#undef DOTS_4
#undef ROW_OF_DOTS
#endif
