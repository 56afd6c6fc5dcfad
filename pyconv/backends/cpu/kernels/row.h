/* One row times a matrix: y[j] = bias[j] + sum over i of a[i] * b[i * step + j], single precision. So few columns would
 * leave too few sums to keep the arithmetic busy: each has several, of every S-th product, which are added at the end.
 *
 * XB vectors of columns, of which the last counts in its first `last` lanes. */
#ifndef PYCONV_ROW_H
#define PYCONV_ROW_H
#include "vector.h"

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
#endif
