/* Products of matrices of which a side is so small that the other one's memory is what takes time, single precision.
 *
 * row_product: one row times a matrix: y[j] = bias[j] + sum over i of a[i] * b[i * step + j]. So few columns would
 * leave too few sums to keep the arithmetic busy: each has several, of every S-th product, which are added at the end.
 *
 * XB vectors of columns, of which the last counts in its first `last` lanes. */
#ifndef PYCONV_ROW_H
#define PYCONV_ROW_H
#include "vector.h"
#include "winograd_f32_f64.h"

#define ROW_PRODUCT(XB, S) \
static void row_product_##XB(const float *a, const float *b, long step, long n, const float *bias, int relu, float *y, \
                             long last) { \
    vf32 acc[S][XB]; \
    _Pragma("GCC unroll 8") for (int s = 0; s < S; s++) \
        _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) \
            acc[s][j] = bias && s == 0 ? *(const vf32 *)(bias + j * LANES_F32) : (vf32){0}; \
    long i = 0; \
    for (; i + S <= n; i += S, b += S * step) \
        _Pragma("GCC unroll 8") for (int s = 0; s < S; s++) \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) \
                acc[s][j] += a[i + s] * *(const vf32 *)(b + s * step + j * LANES_F32); \
    for (; i < n; i++, b += step) \
        _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) acc[0][j] += a[i] * *(const vf32 *)(b + j * LANES_F32); \
    _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) { \
        _Pragma("GCC unroll 8") for (int s = 1; s < S; s++) acc[0][j] += acc[s][j]; \
        if (relu) acc[0][j] = relu_f32(acc[0][j]); \
        if (j < XB - 1) *(vf32 *)(y + j * LANES_F32) = acc[0][j]; } \
    memcpy(y + (XB - 1) * LANES_F32, &acc[0][XB - 1], last * sizeof(float)); \
}
ROW_PRODUCT(1, 8) ROW_PRODUCT(2, 4) ROW_PRODUCT(3, 3) ROW_PRODUCT(4, 2)

static void (*const row_products[])(const float *, const float *, long, long, const float *, int, float *, long) = {
    0, row_product_1, row_product_2, row_product_3, row_product_4};
#undef ROW_PRODUCT

/* Some rows times a matrix whose rows lie n apart, S of these at a time: y[i][j] = from[i][j] + sum over s of
 * a[i][taps[s]] * b[s][j], row by row; from: bias (no row), what y holds, or NULL. Vectors of which the last counts in
 * its first `last` lanes. far: the matrix is in no cache. */
#define THIN_PRODUCT(S) \
static void thin_product_##S(const float *a, long a_row, const int32_t *taps, const float *b, long n, \
                             const float *from, long from_row, float *y, long y_row, long rows, long vectors, \
                             long last, int relu, int far) { \
    for (long i = 0; i < rows; i++, a += a_row, y += y_row) { \
        vf32 scalar[S]; \
        _Pragma("GCC unroll 8") for (int s = 0; s < S; s++) scalar[s] = a[taps[s]] - (vf32){0}; \
        for (long j = 0; j < vectors; j++) { \
            vf32 acc = from ? *(const vf32 *)(from + i * from_row + j * LANES_F32) : (vf32){0}; \
            _Pragma("GCC unroll 8") for (int s = 0; s < S; s++) { \
                acc += scalar[s] * *(const vf32 *)(b + s * n + j * LANES_F32); \
                if (far) __builtin_prefetch(b + (S + s) * n + j * LANES_F32, 0, 2); } \
            if (relu) acc = relu_f32(acc); \
            if (j < vectors - 1) *(vf32 *)(y + j * LANES_F32) = acc; \
            else memcpy(y + j * LANES_F32, &acc, last * sizeof(float)); } } \
}
THIN_PRODUCT(1) THIN_PRODUCT(2) THIN_PRODUCT(4) THIN_PRODUCT(8)
#undef THIN_PRODUCT

static void thin_product(const float *a, long a_row, const int32_t *taps, const float *b, long n, long k,
                         const float *bias, float *y, long y_row, long rows, long vectors, long last, int relu,
                         int far) {
    const float *from = bias;
    for (long t = 0, s; t < k; t += s, from = y) {
        s = k - t >= 8 ? 8 : k - t >= 4 ? 4 : k - t >= 2 ? 2 : 1;
        (s == 8 ? thin_product_8 : s == 4 ? thin_product_4 : s == 2 ? thin_product_2 : thin_product_1)(
            a, a_row, taps + t, b + t * n, n, from, t ? y_row : 0, y, y_row, rows, vectors, last, relu && t + s == k,
            far);
    }
}

/* A few rows of a times rows of b, n long both: M rows with R, whose products' lanes are summed at the end. */
#if ACCUMULATORS >= 24
#  define DOT_ROWS 8
#else
#  define DOT_ROWS 4
#endif
#define DOT_PRODUCT(M, R) \
static void dot_product_##M##_##R(const float *a, long a_row, const float *b, long n, const float *bias, int relu, \
                                  float *y, long y_row, int far) { \
    vf32 acc[M * R]; \
    _Pragma("GCC unroll 16") for (int i = 0; i < M * R; i++) acc[i] = (vf32){0}; \
    long t = 0; \
    for (; t + LANES_F32 <= n; t += LANES_F32) \
        _Pragma("GCC unroll 8") for (int j = 0; j < R; j++) { \
            const vf32 v = *(const vf32 *)(b + j * n + t); \
            if (far) __builtin_prefetch(b + (R + j) * n + t, 0, 2); \
            _Pragma("GCC unroll 2") for (int i = 0; i < M; i++) \
                acc[i * R + j] += *(const vf32 *)(a + i * a_row + t) * v; } \
    if (t < n) {                        /* the last whole vector again, without the lanes that were there already */ \
        vi32 fresh; \
        _Pragma("GCC unroll 16") for (int l = 0; l < LANES_F32; l++) fresh[l] = -(n - LANES_F32 + l >= t); \
        _Pragma("GCC unroll 8") for (int j = 0; j < R; j++) { \
            const vf32 v = (vf32)(*(const vi32 *)(b + j * n + n - LANES_F32) & fresh); \
            _Pragma("GCC unroll 2") for (int i = 0; i < M; i++) \
                acc[i * R + j] += (vf32)(*(const vi32 *)(a + i * a_row + n - LANES_F32) & fresh) * v; } } \
    for (int i = 0; i < M * R; i += LANES_F32) {        /* the sums of a square's rows are one vector */ \
        float square[LANES_F32 * LANES_F32], sums[LANES_F32]; \
        const long rows = M * R - i < LANES_F32 ? M * R - i : LANES_F32; \
        for (int j = 0; j < rows; j++) *(vf32 *)(square + j * LANES_F32) = acc[i + j]; \
        transposed_f32(square, LANES_F32, rows, square, LANES_F32, 0); \
        vf32 sum = *(const vf32 *)square; \
        _Pragma("GCC unroll 16") for (int l = 1; l < LANES_F32; l++) sum += *(const vf32 *)(square + l * LANES_F32); \
        *(vf32 *)sums = sum; \
        for (int j = 0; j < rows; j++) { \
            const float all = sums[j] + (bias ? bias[(i + j) % R] : 0); \
            y[(i + j) / R * y_row + (i + j) % R] = relu && all <= 0 ? 0 : all; } } \
}
DOT_PRODUCT(1, 1) DOT_PRODUCT(2, 1)
#if ACCUMULATORS >= 24
DOT_PRODUCT(1, 8) DOT_PRODUCT(2, 8)
#  define DOT_PRODUCTS(M) dot_product_##M##_8
#else
DOT_PRODUCT(1, 4) DOT_PRODUCT(2, 4)
#  define DOT_PRODUCTS(M) dot_product_##M##_4
#endif
#undef DOT_PRODUCT

/* n >= LANES_F32. Which rows of b go together does not change a result. */
static void dot_products(const float *a, long a_row, long m, const float *b, long rows, long n, const float *bias,
                         int relu, float *y, long y_row, int far) {
    for (long j = 0, each; j < rows; j += each, b += each * n, y += each, bias = bias ? bias + each : bias) {
        each = rows - j >= DOT_ROWS ? DOT_ROWS : 1;
        for (long i = 0; i < m; i += 2) {
            if (i + 1 < m) (each > 1 ? DOT_PRODUCTS(2) : dot_product_2_1)(a + i * a_row, a_row, b, n, bias, relu,
                                                                          y + i * y_row, y_row, far && !i);
            else (each > 1 ? DOT_PRODUCTS(1) : dot_product_1_1)(a + i * a_row, a_row, b, n, bias, relu,
                                                                y + i * y_row, y_row, far && !i);
        }
    }
}
#undef DOT_PRODUCTS
#undef DOT_ROWS
#endif
