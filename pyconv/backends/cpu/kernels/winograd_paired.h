/* Products of transformed tiles and weights by pairs, see paired.h. What is transformed is scaled where it lies: the
 * weights once, for each value and filter over all channels that are summed; tiles when all of their channels are
 * there, for each value, tile and sample. */
#ifndef PYCONV_WINOGRAD_PAIRED_H
#define PYCONV_WINOGRAD_PAIRED_H
#include "paired.h"

#if VECTOR_BYTES == 64
/* Weights of one value, n channels of `rows` filters, `group` apart; behind them, inverse scales and sums of
 * pairs, of up to STEPS_PAIRED each. */
static void pair_weights(float *u, long group, long n, long rows) {
    for (long f = 0; f < rows; f += LANES_F32, u += LANES_F32) {
        vi32 most = {0};
        for (long k = 0; k < n; k++) most = most_bits(most, u + k * group);
        const vf32 scale = scales(most);
        for (long k = 0; k < n; k++) *(vf32 *)(u + k * group) *= scale;
        *(vf32 *)(u + n * group) = scale_inverses(most);
        for (long b = 0; b < SUMS_PAIRED(n); b++) {
            vf32 sum = {0};
            for (long k = b * STEPS_PAIRED; k + 3 <= n && k < (b + 1) * STEPS_PAIRED; k += 3)
                sum += *(vf32 *)(u + k * group) * *(vf32 *)(u + (k + 1) * group);
            *(vf32 *)(u + (n + 1 + b) * group) = sum; }
    }
}

INLINE void paired_columns_of(int count, float *v, long line, long n, float *inverse) {
    vi32 most[3];
    vf32 scale[3];
    float *x = v;
    _Pragma("GCC unroll 3") for (int j = 0; j < count; j++) most[j] = (vi32){0};
    for (long k = 0; k < n; k++, x += line)
        _Pragma("GCC unroll 3") for (int j = 0; j < count; j++) most[j] = most_bits(most[j], x + j * LANES_F32);
    _Pragma("GCC unroll 3") for (int j = 0; j < count; j++) {
        const vi32 e = scale_exponents(most[j]);
        scale[j] = (vf32)((254 - e) << 23), *(vf32 *)(inverse + j * LANES_F32) = (vf32)(e << 23); }
    x = v;
    long k = 0;
    for (float *sums = inverse + line; k + 3 <= n; sums += line) {
        vf32 sum[3];
        _Pragma("GCC unroll 3") for (int j = 0; j < count; j++) sum[j] = (vf32){0};
        for (const long end = k + STEPS_PAIRED; k + 3 <= n && k < end; k += 3, x += 3 * line)
            _Pragma("GCC unroll 3") for (int j = 0; j < count; j++) {
                vf32 *to = (vf32 *)(x + j * LANES_F32), *next = (vf32 *)(x + line + j * LANES_F32);
                const vf32 a = *to * scale[j], b = *next * scale[j];
                *to = a, *next = b, *(vf32 *)(x + 2 * line + j * LANES_F32) *= scale[j], sum[j] += a * b; }
        _Pragma("GCC unroll 3") for (int j = 0; j < count; j++) *(vf32 *)(sums + j * LANES_F32) = sum[j];
    }
    for (; k < n; k++, x += line)
        _Pragma("GCC unroll 3") for (int j = 0; j < count; j++) *(vf32 *)(x + j * LANES_F32) *= scale[j];
}

/* Tiles of one value, n channels `line` apart; sums of pairs, of up to STEPS_PAIRED, follow the
 * inverse scales, each `line` elements further. */
static void pair_tiles(float *v, long line, long n, long tiles, float *inverse) {
    for (; tiles >= 3; tiles -= 3, v += 3 * LANES_F32, inverse += 3 * LANES_F32)
        paired_columns_of(3, v, line, n, inverse);
    for (; tiles > 0; tiles--, v += LANES_F32, inverse += LANES_F32)
        paired_columns_of(1, v, line, n, inverse);
}

#define PAIRED_PRODUCT(XB) \
static void paired_product_##XB(const float *w, long ws, const float *x, long xs, long n, float *y, long yc, int add, \
                                long rows, const float *inverse) { \
    const float *of_w = w + n * ws; \
    for (long r = 0; r < rows; r += SWEEP_ROWS, w += SWEEP_ROWS, of_w += SWEEP_ROWS) { \
        vf32 acc[SWEEP_ROWS][XB]; \
        const float *w0 = w, *w1 = w + ws, *w2 = w1 + ws, *x0 = x, *x1 = x + xs, *x2 = x1 + xs; \
        _Pragma("GCC unroll 8") for (int c = 0; c < SWEEP_ROWS; c++) \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) acc[c][j] = (vf32){0}; \
        long k = 0; \
        for (const float *sums = inverse + xs, *pairs = of_w + ws; k + 3 <= n; sums += xs, pairs += ws) { \
            for (const long end = k + STEPS_PAIRED; k + 3 <= n && k < end; k += 3) { \
                WALK(w0); WALK(w1); WALK(w2); WALK(x0); WALK(x1); WALK(x2); \
                _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) { \
                    const vf32 a = *(const vf32 *)(x0 + j * LANES_F32), b = *(const vf32 *)(x1 + j * LANES_F32); \
                    const vf32 d = *(const vf32 *)(x2 + j * LANES_F32); \
                    _Pragma("GCC unroll 8") for (int c = 0; c < SWEEP_ROWS; c++) { \
                        const vf32 t = PLUS(a, w1 + c), u = PLUS(b, w0 + c); \
                        TIMES(acc[c][j], d, w2 + c); \
                        acc[c][j] += t * u; } } \
                w0 += 3 * ws, w1 += 3 * ws, w2 += 3 * ws, x0 += 3 * xs, x1 += 3 * xs, x2 += 3 * xs; } \
            _Pragma("GCC unroll 8") for (int c = 0; c < SWEEP_ROWS; c++) \
                _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) \
                    acc[c][j] -= *(const vf32 *)(sums + j * LANES_F32) + pairs[c]; } \
        for (; k < n; k++, w0 += ws, x0 += xs) \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) { \
                const vf32 d = *(const vf32 *)(x0 + j * LANES_F32); \
                _Pragma("GCC unroll 8") for (int c = 0; c < SWEEP_ROWS; c++) TIMES(acc[c][j], d, w0 + c); } \
        _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) { \
            const vf32 scale = *(const vf32 *)(inverse + j * LANES_F32); \
            _Pragma("GCC unroll 8") for (int c = 0; c < SWEEP_ROWS; c++) { \
                vf32 *to = (vf32 *)(y + (r + c) * yc + j * LANES_F32); \
                const vf32 v = acc[c][j] * scale * of_w[c]; \
                if (add) *to += v; else *to = v; } } } \
}
PAIRED_PRODUCT(1)
PAIRED_PRODUCT(2)
PAIRED_PRODUCT(3)
#undef PAIRED_PRODUCT

/* As packed_product, of weights and tiles that are scaled; rows: filled up to whole tiles. */
static void paired_product(const float *w, long ws, const float *x, long xs, long n, float *y, long yc, int add,
                           long rows, long vectors, const float *inverse) {
    while (vectors > 0) {
        const long k = vectors == 4 ? 2 : vectors < 3 ? vectors : 3;
        (k == 3 ? paired_product_3 : k == 2 ? paired_product_2 : paired_product_1)(
            w, ws, x, xs, n, y, yc, add, rows, inverse);
        vectors -= k, x += k * LANES_F32, y += k * LANES_F32, inverse += k * LANES_F32;
    }
}
#else
static void pair_weights(float *u, long group, long n, long rows) {}
static void pair_tiles(float *v, long line, long n, long tiles, float *inverse) {}
static void paired_product(const float *w, long ws, const float *x, long xs, long n, float *y, long yc, int add,
                           long rows, long vectors, const float *inverse) {}
#endif
#endif
