/* Convolutions in groups of few channels, plain layout, channels last, single precision: several groups lie side by
 * side in a vector, as they do in memory. For channel c of every group the inputs are picked from the vector that holds
 * them all, each for all filters of its group, and multiplied by the weights, which are read as they lie.
 *
 * Taps go in runs of K columns side by side, with results S columns apart, so that what is picked meets all taps of the
 * run. (To pick takes as long as a product.) */
#ifndef PYCONV_GROUPED_H
#define PYCONV_GROUPED_H
#include "tiles_f32_f64.h"

/* Lanes of v by number. */
INLINE vf32 picked(vf32 v, vi32 lanes) {
#if VECTOR_BYTES == 64
    return (vf32)_mm512_permutexvar_ps((__m512i)lanes, (__m512)v);
#elif VECTOR_BYTES == 32 && defined(__AVX2__)
    return (vf32)_mm256_permutevar8x32_ps((__m256)v, (__m256i)lanes);
#elif VECTOR_BYTES == 16 && defined(__SSSE3__)
    return (vf32)_mm_shuffle_epi8((__m128i)v, (__m128i)(lanes * 0x04040404 + 0x03020100));      /* bytes by number */
#else
    vf32 all;
    for (int i = 0; i < LANES_F32; i++) all[i] = v[lanes[i]];
    return all;
#endif
}

/* Elements of x and y from one result to the next are S * column and yc. Tap t's inputs begin at x + xo[t], its weights
 * for channel c at w + wo[t] + c * wc; `lanes` has LANES_F32 numbers for each channel. The tile goes over `tiles` times
 * its results. */
typedef struct {
    const float *x; const int32_t *xo; long column;
    const float *w; const int32_t *wo; long wc;
    const int32_t *lanes;
    long taps, channels;
    float *y; long yc, last, tiles;                 /* last: lanes to store */
    const float *bias, *other;                      /* NULL, or what is added: bias, and an array like y */
    int relu;
} Grouped;

#define GROUPED_TILE(K, S, CB) \
static void grouped_##K##_##S##_##CB(const Grouped *p) { \
    const float *x = p->x, *other = p->other; \
    float *y = p->y; \
    const long column = p->column, wc = p->wc, yc = p->yc; \
    const vf32 bias = p->bias ? *(const vf32 *)p->bias : (vf32){0}; \
    for (long n = p->tiles; n > 0; n--, x += CB * S * column) { \
        vf32 acc[CB]; \
        _Pragma("GCC unroll 16") for (int i = 0; i < CB; i++) acc[i] = bias; \
        for (long t = 0; t < p->taps; t += K) \
            for (long c = 0; c < p->channels; c++) { \
                const vi32 lanes = *(const vi32 *)(p->lanes + c * LANES_F32); \
                const float *xt = x + p->xo[t]; \
                vf32 w[K]; \
                _Pragma("GCC unroll 4") for (int k = 0; k < K; k++) \
                    w[k] = *(const vf32 *)(p->w + p->wo[t + k] + c * wc); \
                _Pragma("GCC unroll 32") for (int j = 0; j < (CB - 1) * S + K; j++, xt += column) { \
                    const vf32 v = picked(*(const vf32 *)xt, lanes); \
                    WALK(xt); \
                    _Pragma("GCC unroll 16") for (int i = 0; i < CB; i++) \
                        if (j - i * S >= 0 && j - i * S < K) acc[i] += w[j - i * S] * v; } } \
        _Pragma("GCC unroll 16") for (int i = 0; i < CB; i++, y += yc) { \
            vf32 v = acc[i]; \
            if (other) v += *(const vf32 *)other, other += yc; \
            store_part_f32(y, p->relu ? relu_f32(v) : v, p->last); } } \
}

#define MOST_GROUPED 7
#define GROUPED_TILES(K, S) \
    GROUPED_TILE(K, S, 1) GROUPED_TILE(K, S, 2) GROUPED_TILE(K, S, 3) GROUPED_TILE(K, S, 4) GROUPED_TILE(K, S, 5) \
    GROUPED_TILE(K, S, 6) GROUPED_TILE(K, S, 7)
#define ALL_TILES(K, S) {grouped_##K##_##S##_1, grouped_##K##_##S##_2, grouped_##K##_##S##_3, grouped_##K##_##S##_4, \
    grouped_##K##_##S##_5, grouped_##K##_##S##_6, grouped_##K##_##S##_7}
GROUPED_TILES(1, 1) GROUPED_TILES(3, 1) GROUPED_TILES(3, 2) GROUPED_TILES(2, 1)

/* Single taps, runs of three with strides of 1 and of 2, and of two. */
static void (*const grouped_tiles[4][MOST_GROUPED])(const Grouped *) = {ALL_TILES(1, 1), ALL_TILES(3, 1),
                                                                        ALL_TILES(3, 2), ALL_TILES(2, 1)};

/* The gradient for the kernel: sums over `rows` rows of `count` pixels for K taps and up to Q channels of each group.
 * Columns of the input go by; each is multiplied with the gradients of the last results, which are in registers. */
typedef struct {
    const float *x; const int64_t *xrow; long column;
    const float *g; long gc;
    const int32_t *lanes;
    long rows, count, channels;
    float *out; long to, co, last;                  /* tap k's sums for channel c: out + k * to + c * co */
} GroupedGradient;

#define GRADIENT_STEP(Q, K, S, LAST, MET) { \
    now[0] = LAST; \
    _Pragma("GCC unroll 2") for (int s = 0; s < S; s++, x += column) \
        if (MET) { \
            const vf32 v = *(const vf32 *)x; \
            _Pragma("GCC unroll 8") for (int c = 0; c < Q; c++) { \
                const vf32 one = picked(v, *(const vi32 *)(lanes + c * LANES_F32)); \
                _Pragma("GCC unroll 4") for (int i = s; i < K; i += S) acc[i][c] += now[i / S] * one; } } \
    _Pragma("GCC unroll 2") for (int i = (K - 1) / S; i > 0; i--) now[i] = now[i - 1]; }

#define GROUPED_GRADIENT(Q, K, S) \
static void grouped_gradient_##Q##_##K##_##S(const GroupedGradient *p) { \
    vf32 acc[K][Q]; \
    const long column = p->column, gc = p->gc, count = p->count; \
    const int32_t *lanes = p->lanes; \
    _Pragma("GCC unroll 4") for (int k = 0; k < K; k++) \
        _Pragma("GCC unroll 8") for (int c = 0; c < Q; c++) acc[k][c] = (vf32){0}; \
    const float *g = p->g; \
    for (long r = 0; r < p->rows; r++) { \
        const float *x = p->x + p->xrow[r]; \
        vf32 now[(K - 1) / S + 1]; \
        _Pragma("GCC unroll 4") for (int i = 0; i <= (K - 1) / S; i++) now[i] = (vf32){0}; \
        for (long o = 0; o < count; o++, g += gc) GRADIENT_STEP(Q, K, S, *(const vf32 *)g, 1) \
        _Pragma("GCC unroll 4") for (int o = 0; o < (K - 1) / S; o++) \
            GRADIENT_STEP(Q, K, S, (vf32){0}, o * S + s < K - S) } \
    _Pragma("GCC unroll 4") for (int k = 0; k < K; k++) \
        _Pragma("GCC unroll 8") for (int c = 0; c < Q; c++) \
            if (c < p->channels) store_part_f32(p->out + k * p->to + c * p->co, acc[k][c], p->last); \
}
#define GROUPED_GRADIENTS(Q) GROUPED_GRADIENT(Q, 1, 1) GROUPED_GRADIENT(Q, 3, 1) GROUPED_GRADIENT(Q, 3, 2)
GROUPED_GRADIENTS(2) GROUPED_GRADIENTS(4) GROUPED_GRADIENTS(8)

/* [2, 4 or 8 channels][single taps, runs of three with strides of 1 and of 2] */
static void (*const grouped_gradients[3][3])(const GroupedGradient *) = {
    {grouped_gradient_2_1_1, grouped_gradient_2_3_1, grouped_gradient_2_3_2},
    {grouped_gradient_4_1_1, grouped_gradient_4_3_1, grouped_gradient_4_3_2},
    {grouped_gradient_8_1_1, grouped_gradient_8_3_1, grouped_gradient_8_3_2}};

#undef GROUPED_TILE
#undef GROUPED_TILES
#undef ALL_TILES
#undef GRADIENT_STEP
#undef GROUPED_GRADIENT
#undef GROUPED_GRADIENTS
#endif
