/* Squares of 4-byte elements turned over in registers, for the way between the plain and the lanes layout. */
#ifndef PYCONV_LAYOUT_H
#define PYCONV_LAYOUT_H
#include "vector.h"

#if defined(__GNUC__) && !defined(__clang__)
#  define SHUFFLE(a, b, mask) __builtin_shuffle(a, b, mask)
#else
static inline vi32 pyconv_shuffle(vi32 a, vi32 b, vi32 mask) {
    vi32 out;
    for (int i = 0; i < LANES_F32; i++) out[i] = mask[i] < LANES_F32 ? a[mask[i]] : b[mask[i] - LANES_F32];
    return out;
}
#  define SHUFFLE(a, b, mask) pyconv_shuffle(a, b, mask)
#endif

/* Element j of row i and element i of row j change places: bit by bit of their numbers, smallest first. */
INLINE void transpose(vi32 r[LANES_F32]) {
#pragma GCC unroll 4
    for (int s = 1; s < LANES_F32; s *= 2) {
        vi32 low, high;
        for (int k = 0; k < LANES_F32; k++) {
            low[k] = k & s ? k - s + LANES_F32 : k;
            high[k] = k & s ? k + LANES_F32 : k + s;
        }
#pragma GCC unroll 16
        for (int i = 0; i < LANES_F32; i++) if (!(i & s)) {
            const vi32 a = r[i], b = r[i | s];
            r[i] = SHUFFLE(a, b, low);
            r[i | s] = SHUFFLE(a, b, high);
        }
    }
}

typedef int8_t bytes_of_lanes __attribute__((vector_size(LANES_F32), aligned(1), may_alias));

/* rows[l][i], i < n, to y[where(i)][l]; elements of `size` bytes, 4 or 1. where: the place of a feature, or NULL.
 * Bytes are turned over four at a time, and then taken apart. Returns how many features are done. */
static long to_lanes_squares(const void *const *rows, void *y, const int32_t *where, long n, int size) {
    const long each = LANES_F32 * 4 / size;
    long f = 0;
    for (; f + each <= n; f += each) {
        vi32 r[LANES_F32];
        for (int l = 0; l < LANES_F32; l++) r[l] = *(const vi32 *)((const char *)rows[l] + f * size);
        transpose(r);
        for (int i = 0; i < each; i++) {
            char *to = (char *)y + (where ? where[f + i] : f + i) * LANES_F32 * size;
            if (size == 4) *(vi32 *)to = r[i];
            else *(bytes_of_lanes *)to = __builtin_convertvector(r[i / 4] >> i % 4 * 8, bytes_of_lanes);
        }
    }
    return f;
}

/* The way back. */
static long from_lanes_squares(const int32_t *y, int32_t *const *rows, const int32_t *where, long n) {
    long f = 0;
    for (; f + LANES_F32 <= n; f += LANES_F32) {
        vi32 r[LANES_F32];
        for (int i = 0; i < LANES_F32; i++) r[i] = *(const vi32 *)(y + (where ? where[f + i] : f + i) * LANES_F32);
        transpose(r);
        for (int l = 0; l < LANES_F32; l++) *(vi32 *)(rows[l] + f) = r[l];
    }
    return f;
}
#endif
