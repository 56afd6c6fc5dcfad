/* Products of matrices with two thirds of the multiplications, in single precision, for processors with AVX-512 whose
 * additions take none of the multiplications' time (Zen 4: each cycle one of both).
 *
 * S. Winograd, A new algorithm for inner products (1968):
 *
 *     w0 * x0 + w1 * x1 = (x0 + w1) * (x1 + w0) - x0 * x1 - w1 * w0
 *
 * The last two terms depend on x or w alone, and are summed once for all rows, or pixels. That are two additions for
 * each multiplication; so of every three steps two are a pair, and the third is plain: 2 multiplications, 2 additions.
 *
 * What is subtracted is as large as the squares of x and w. So both are brought to the same magnitude first, by powers
 * of two, for each pixel and sample, and each row of w: their largest is then from 1 to 2. The error is two to four
 * times that of plain sums. Where x or w is zero so is the result, as sums of pairs of the other are then subtracted
 * from themselves, summed in the same order.
 *
 * The scalars come from memory with each operation, as no other way leaves both kinds of arithmetic free. */
#ifndef PYCONV_PAIRED_H
#define PYCONV_PAIRED_H
#include "pointwise.h"

/* Whether this processor gains by it: AMD's family 25 with AVX-512, which is Zen 4. */
static int pairs_pay(void) {
#if VECTOR_BYTES == 64 && defined(__GNUC__)
    unsigned a = 0, b = 0, c = 0, d = 0;
    __asm__("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "0"(0), "2"(0));
    if (b != 0x68747541) return 0;                          /* "Auth" of AuthenticAMD */
    __asm__("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "0"(1), "2"(0));
    return (a >> 8 & 15) == 15 && (a >> 20 & 255) == 10;
#else
    return 0;
#endif
}

/* The power of two that brings a largest absolute value to 1 or more and less than 2, and its inverse; both finite. */
#define EXPONENT(v) ((v) >> 23 & 255)
#define CLAMPED(e) ((e) < 1 ? 1 : (e) > 253 ? 253 : (e))

/* Rows of w as sweeps by pairs read them, a tile of SWEEP_ROWS: the inverses of their scales, the sums of pairs, then
 * w, scaled, step by step. */
static void pair_rows(const float *w, long ws, long wc, long steps, float *out) {
    typedef float R __attribute__((vector_size(4 * SWEEP_ROWS), aligned(4), may_alias));
    typedef int32_t M __attribute__((vector_size(4 * SWEEP_ROWS), aligned(4), may_alias));
    float *to = out + 2 * SWEEP_ROWS;
    for (int c = 0; c < SWEEP_ROWS; c++)
        for (long k = 0; k < steps; k++) to[k * SWEEP_ROWS + c] = w[k * ws + c * wc];
    M most = {0};
    for (long k = 0; k < steps; k++) {
        const M v = *(const M *)(to + k * SWEEP_ROWS) & 0x7fffffff, more = v > most;
        most = (v & more) | (most & ~more);
    }
    for (int c = 0; c < SWEEP_ROWS; c++) most[c] = CLAMPED(EXPONENT(most[c]));
    const R scale = (R)((254 - most) << 23);
    R sum = {0};
    for (long k = 0; k < steps; k++) *(R *)(to + k * SWEEP_ROWS) *= scale;
    for (long k = 0; k + 3 <= steps; k += 3)
        sum += *(const R *)(to + k * SWEEP_ROWS) * *(const R *)(to + (k + 1) * SWEEP_ROWS);
    *(R *)out = (R)(most << 23);
    *(R *)(out + SWEEP_ROWS) = sum;
}

#if VECTOR_BYTES == 64
/* x + *at, sum += x * *at, as one operation each, which the compiler may not take apart to load *at but once. */
#define PLUS(x, at) ({ vf32 r_; __asm__("vaddps %2%{1to16%}, %1, %0" : "=v"(r_) : "v"(x), "m"(*(at))); r_; })
#define TIMES(sum, x, at) __asm__("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(x), "m"(*(at)))

#define PAIRED_SWEEP(XB) \
static void paired_sweep_##XB(const Sweep *p) { \
    const long yc = p->yc, yj = p->yj, steps = p->steps, whole = steps / 3 * 3, xs = p->xs, xj = p->xj; \
    long asked = 0; \
    vf32 inverse[XB], sums[XB]; \
    { \
        __m512 most[XB], scale[XB]; \
        const float *x = p->x; \
        float *panel = p->panel; \
        _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) most[j] = _mm512_setzero_ps(); \
        for (long k = 0; k < steps; k++, x += xs) \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) \
                most[j] = _mm512_range_ps(most[j], *(const __m512_u *)(x + j * xj), 11); /* of absolute values */ \
        _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) { \
            const vi32 e = EXPONENT((vi32)most[j]), high = e > 253, low = e < 1; \
            const vi32 kept = (e & ~(high | low)) | (253 & high) | (1 & low); \
            scale[j] = (__m512)((254 - kept) << 23), inverse[j] = (vf32)(kept << 23), sums[j] = (vf32){0}; } \
        x = p->x; \
        for (long k = 0; k < whole; k += 3, x += 3 * xs, panel += 3 * XB * LANES_F32) \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) { \
                const vf32 a = (vf32)scale[j] * *(const vf32 *)(x + j * xj); \
                const vf32 b = (vf32)scale[j] * *(const vf32 *)(x + xs + j * xj); \
                vf32 *to = (vf32 *)(panel + 3 * j * LANES_F32); \
                sums[j] += a * b; \
                to[0] = a, to[1] = b, to[2] = (vf32)scale[j] * *(const vf32 *)(x + 2 * xs + j * xj); } \
        for (long k = whole; k < steps; k++, x += xs, panel += XB * LANES_F32) \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) \
                *(vf32 *)(panel + j * LANES_F32) = (vf32)scale[j] * *(const vf32 *)(x + j * xj); \
    } \
    for (long r = 0; r < p->rows; r += SWEEP_ROWS) { \
        const float *row = p->w + r * p->wr, *w = row + 2 * SWEEP_ROWS, *x = p->panel; \
        float *y = p->y + r * yc; \
        vf32 acc[SWEEP_ROWS][XB]; \
        _Pragma("GCC unroll 8") for (int c = 0; c < SWEEP_ROWS; c++) \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) acc[c][j] = (vf32){0}; \
        for (const long all = steps * (r + SWEEP_ROWS) / p->rows; asked < all; asked++) \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) \
                __builtin_prefetch(p->ahead + asked * xs + j * xj, 0, 2); \
        for (long k = 0; k < whole; k += 3, w += 3 * SWEEP_ROWS) \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++, x += 3 * LANES_F32) { \
                const vf32 a = *(const vf32 *)x, b = *(const vf32 *)(x + LANES_F32); \
                const vf32 d = *(const vf32 *)(x + 2 * LANES_F32); \
                _Pragma("GCC unroll 8") for (int c = 0; c < SWEEP_ROWS; c++) { \
                    const vf32 t = PLUS(a, w + SWEEP_ROWS + c), u = PLUS(b, w + c); \
                    TIMES(acc[c][j], d, w + 2 * SWEEP_ROWS + c); \
                    acc[c][j] += t * u; } } \
        for (long k = whole; k < steps; k++, w += SWEEP_ROWS) \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++, x += LANES_F32) { \
                const vf32 d = *(const vf32 *)x; \
                _Pragma("GCC unroll 8") for (int c = 0; c < SWEEP_ROWS; c++) TIMES(acc[c][j], d, w + c); } \
        _Pragma("GCC unroll 8") for (int c = 0; c < SWEEP_ROWS; c++) { \
            const float bias = p->bias ? p->bias[r + c] : 0; \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) { \
                vf32 v = (acc[c][j] - sums[j] - row[SWEEP_ROWS + c]) * inverse[j] * row[c] + bias; \
                if (p->relu) v = relu_f32(v); \
                if (p->past) STREAM(y + c * yc + j * yj, v); else *(vf32 *)(y + c * yc + j * yj) = v; } } } \
}

PAIRED_SWEEP(1)
PAIRED_SWEEP(2)
PAIRED_SWEEP(3)
#undef PAIRED_SWEEP
static void (*const paired_sweeps[4])(const Sweep *) = {0, paired_sweep_1, paired_sweep_2, paired_sweep_3};
#else
static void (*const paired_sweeps[4])(const Sweep *) = {0};
#endif
#endif
