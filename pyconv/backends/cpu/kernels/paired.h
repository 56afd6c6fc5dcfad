/* Products of matrices with two thirds of the multiplications, in single precision, for processors whose additions take
 * none of the multiplications' time (Zen 3, Zen 4: each cycle as many of both; the variants zen3, zen4).
 *
 * S. Winograd, A new algorithm for inner products (1968):
 *
 *     w0 * x0 + w1 * x1 = (x0 + w1) * (x1 + w0) - x0 * x1 - w1 * w0
 *
 * The last two terms depend on x or w alone, and are summed once for all rows, or pixels. That are two additions for
 * each multiplication; so of every three steps two are a pair, and the third is plain: 2 multiplications, 2 additions.
 *
 * What is subtracted is as large as the squares of x and w. So both are brought to the same magnitude first, by powers
 * of two, for each pixel and sample, and each row of w: their largest is then from 1 to 2. The error is two to three
 * times that of plain sums. Where all of x is positive it would grow with the number of steps; so sums are subtracted
 * every STEPS_PAIRED steps, and it stays below 5e-6. Where all of a row or a pixel is zero so is the result, as the
 * inverse of its scale is.
 *
 * With AVX-512 scalars come from memory with each operation: no other way leaves both kinds of arithmetic free. */
#ifndef PYCONV_PAIRED_H
#define PYCONV_PAIRED_H
#include "pointwise.h"

#define STEPS_PAIRED 240        /* whole threes, and vectors */
#define SUMS_PAIRED(steps) (((steps) + STEPS_PAIRED - 1) / STEPS_PAIRED)

/* The power of two that brings a largest absolute value to 1 or more and less than 2, and its inverse; both finite. */
#define EXPONENT(v) ((v) >> 23 & 255)
#define CLAMPED(e) ((e) < 1 ? 1 : (e) > 253 ? 253 : (e))

#if VECTOR_BYTES >= 32
/* Of three steps a pair and a plain one: `acc` gets the products of the vectors at xa, xb and xd, each XB of them xj
 * elements apart, with the scalars at w0, w1 and w2, each SWEEP_ROWS of them wc apart. LONE_STEP: a plain one. */
#if VECTOR_BYTES == 64
/* x + *at, sum += x * *at, as one operation each, which the compiler may not take apart to load *at but once. */
#define PLUS(x, at) ({ vf32 r_; __asm__("vaddps %2%{1to16%}, %1, %0" : "=v"(r_) : "v"(x), "m"(*(at))); r_; })
#define TIMES(sum, x, at) __asm__("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(x), "m"(*(at)))
/* sum += a * b where sum stays: left to the compiler, sums change registers, and are copied back in each step. */
#define ADD_PRODUCT(sum, a, b) __asm__("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b))

#define THREE_STEPS(XB, xa, xb, xd, xj, w0, w1, w2, wc) \
    _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) { \
        const vf32 a = *(const vf32 *)((xa) + j * (xj)), b = *(const vf32 *)((xb) + j * (xj)); \
        const vf32 d = *(const vf32 *)((xd) + j * (xj)); \
        _Pragma("GCC unroll 8") for (int c = 0; c < SWEEP_ROWS; c++) { \
            const vf32 t = PLUS(a, (w1) + c * (wc)), u = PLUS(b, (w0) + c * (wc)); \
            TIMES(acc[c][j], d, (w2) + c * (wc)); \
            ADD_PRODUCT(acc[c][j], t, u); } }
#define LONE_STEP(XB, xd, xj, w, wc) \
    _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) { \
        const vf32 d = *(const vf32 *)((xd) + j * (xj)); \
        _Pragma("GCC unroll 8") for (int c = 0; c < SWEEP_ROWS; c++) TIMES(acc[c][j], d, (w) + c * (wc)); }

INLINE vi32 larger_bits(vi32 a, vi32 b) { return (vi32)_mm512_max_epi32((__m512i)a, (__m512i)b); }
#else
/* A scalar serves two vectors, once it is in a register: 18 loads for 16 multiplications and as many additions. The
 * compiler, left alone, has all of them at once, and puts sums aside instead. */
#define PAIR_1(sum, a, b, w0, w1) sum[0] += (a[0] + *(w1)) * (b[0] + *(w0))
#define PAIR_2(sum, a, b, w0, w1) do { \
    vf32 t_, u_, v_, w_; \
    __asm__("vbroadcastss %11, %2\n\tvbroadcastss %10, %3\n\tvaddps %2, %6, %4\n\tvaddps %3, %7, %5\n\t" \
            "vaddps %2, %8, %2\n\tvaddps %3, %9, %3\n\tvfmadd231ps %4, %5, %0\n\tvfmadd231ps %2, %3, %1" \
            : "+x"(sum[0]), "+x"(sum[1]), "=&x"(t_), "=&x"(u_), "=&x"(v_), "=&x"(w_) \
            : "x"(a[0]), "x"(b[0]), "x"(a[1]), "x"(b[1]), "m"(*(w0)), "m"(*(w1))); } while (0)
#define LONE_1(sum, d, w) sum[0] += d[0] * *(w)
#define LONE_2(sum, d, w) do { \
    vf32 t_; \
    __asm__("vbroadcastss %5, %2\n\tvfmadd231ps %2, %3, %0\n\tvfmadd231ps %2, %4, %1" \
            : "+x"(sum[0]), "+x"(sum[1]), "=&x"(t_) : "x"(d[0]), "x"(d[1]), "m"(*(w))); } while (0)

#define THREE_STEPS(XB, xa, xb, xd, xj, w0, w1, w2, wc) { \
        vf32 a[XB], b[XB]; \
        _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) \
            a[j] = *(const vf32 *)((xa) + j * (xj)), b[j] = *(const vf32 *)((xb) + j * (xj)); \
        _Pragma("GCC unroll 8") for (int c = 0; c < SWEEP_ROWS; c++) \
            PAIR_##XB(acc[c], a, b, (w0) + c * (wc), (w1) + c * (wc)); } \
    LONE_STEP(XB, xd, xj, w2, wc)
#define LONE_STEP(XB, xd, xj, w, wc) { \
        vf32 d[XB]; \
        _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) d[j] = *(const vf32 *)((xd) + j * (xj)); \
        _Pragma("GCC unroll 8") for (int c = 0; c < SWEEP_ROWS; c++) LONE_##XB(acc[c], d, (w) + c * (wc)); }

INLINE vi32 larger_bits(vi32 a, vi32 b) { return (vi32)_mm256_max_epi32((__m256i)a, (__m256i)b); }
#endif

/* The larger absolute value, as bits: these take a cycle to compare, values four. */
INLINE vi32 most_bits(vi32 most, const float *at) { return larger_bits(most, *(const vi32 *)at & 0x7fffffff); }
INLINE vi32 scale_exponents(vi32 most) {
    const vi32 e = EXPONENT(most), high = e > 253, low = e < 1;
    return (e & ~(high | low)) | (253 & high) | (1 & low);
}
INLINE vf32 scales(vi32 most) { return (vf32)((254 - scale_exponents(most)) << 23); }
INLINE vf32 scale_inverses(vi32 most) { return (vf32)((scale_exponents(most) << 23) & (most != 0)); }

/* Rows of w as sweeps by pairs read them, a tile of SWEEP_ROWS: the inverses of their scales, the sums of pairs, then
 * w, scaled, step by step. */
static void pair_rows(const float *w, long ws, long wc, long steps, float *out) {
    typedef float R __attribute__((vector_size(4 * SWEEP_ROWS), aligned(4), may_alias));
    typedef int32_t M __attribute__((vector_size(4 * SWEEP_ROWS), aligned(4), may_alias));
    float *to = out + (1 + SUMS_PAIRED(steps)) * SWEEP_ROWS;
    if (wc == 1)
        for (long k = 0; k < steps; k++) *(R *)(to + k * SWEEP_ROWS) = *(const R *)(w + k * ws);
    else
        for (int c = 0; c < SWEEP_ROWS; c++)
            for (long k = 0; k < steps; k++) to[k * SWEEP_ROWS + c] = w[k * ws + c * wc];
    M most = {0};
    for (long k = 0; k < steps; k++) {
        const M v = *(const M *)(to + k * SWEEP_ROWS) & 0x7fffffff, more = v > most;
        most = (v & more) | (most & ~more);
    }
    const M some = most != 0;
    for (int c = 0; c < SWEEP_ROWS; c++) most[c] = CLAMPED(EXPONENT(most[c]));
    const R scale = (R)((254 - most) << 23);
    for (long k = 0; k < steps; k++) *(R *)(to + k * SWEEP_ROWS) *= scale;
    *(R *)out = (R)(most << 23 & some);
    for (long b = 0; b < SUMS_PAIRED(steps); b++) {
        R sum = {0};
        for (long k = b * STEPS_PAIRED; k + 3 <= steps && k < (b + 1) * STEPS_PAIRED; k += 3)
            sum += *(const R *)(to + k * SWEEP_ROWS) * *(const R *)(to + (k + 1) * SWEEP_ROWS);
        *(R *)(out + (1 + b) * SWEEP_ROWS) = sum;
    }
}

/* Asks for a step of what the next call reads, one with each three steps: together they would have to wait for each
 * other, as more than can be under way. */
#define ASK(XB) \
    if (asked < all) { \
        _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) __builtin_prefetch(ahead + j * xj, 0, 2); \
        asked++, ahead += xs; }

/* The vectors are copied to the panel first, and scaled there when the largest are known: planes push each other out of
 * the first-level cache, and would be waited for twice. */
#define PAIRED_SWEEP(XB) \
static void paired_sweep_##XB(const Sweep *p) { \
    const long yc = p->yc, yj = p->yj, steps = p->steps, whole = steps / 3 * 3, xs = p->xs, xj = p->xj; \
    const int relu = p->relu, past = p->past && VECTOR_BYTES == 64; \
    const long parts = SUMS_PAIRED(steps), share = (steps * SWEEP_ROWS + p->rows - 1) / p->rows; \
    long asked = 0; \
    const float *ahead = p->ahead; \
    float *const sums = p->panel + steps * XB * LANES_F32;      /* of each part */ \
    float inverse[XB * LANES_F32]; \
    { \
        vi32 most[XB]; \
        vf32 scale[XB]; \
        const float *x = p->x; \
        float *panel = p->panel; \
        _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) most[j] = (vi32){0}; \
        long at = 0; \
        for (; at < whole; at += 3, panel += 3 * XB * LANES_F32) \
            _Pragma("GCC unroll 8") for (int i = 0; i < 3; i++, x += xs) \
                _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) { \
                    const vf32 v = *(const vf32 *)(x + j * xj); \
                    most[j] = most_bits(most[j], (const float *)&v); \
                    *(vf32 *)(panel + (3 * j + i) * LANES_F32) = v; } \
        for (; at < steps; at++, x += xs, panel += XB * LANES_F32) \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) { \
                const vf32 v = *(const vf32 *)(x + j * xj); \
                most[j] = most_bits(most[j], (const float *)&v); \
                *(vf32 *)(panel + j * LANES_F32) = v; } \
        panel = p->panel; \
        _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) { \
            scale[j] = scales(most[j]); \
            *(vf32 *)(inverse + j * LANES_F32) = scale_inverses(most[j]); } \
        for (long part = 0, k = 0; part < parts; part++) { \
            vf32 sum[XB]; \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) sum[j] = (vf32){0}; \
            const long end = (part + 1) * STEPS_PAIRED < whole ? (part + 1) * STEPS_PAIRED : whole; \
            for (; k < end; k += 3, panel += 3 * XB * LANES_F32) \
                _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) { \
                    vf32 *to = (vf32 *)(panel + 3 * j * LANES_F32); \
                    const vf32 a = scale[j] * to[0], b = scale[j] * to[1]; \
                    sum[j] -= a * b; \
                    to[0] = a, to[1] = b, to[2] *= scale[j]; } \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) \
                *(vf32 *)(sums + (part * XB + j) * LANES_F32) = sum[j]; } \
        for (long k = whole; k < steps; k++, panel += XB * LANES_F32) \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) *(vf32 *)(panel + j * LANES_F32) *= scale[j]; \
    } \
    for (long r = 0; r < p->rows; r += SWEEP_ROWS) { \
        const float *row = p->w + r * p->wr, *w = row + (1 + parts) * SWEEP_ROWS, *x = p->panel; \
        float *y = p->y + r * yc; \
        vf32 acc[SWEEP_ROWS][XB]; \
        _Pragma("GCC unroll 8") for (int c = 0; c < SWEEP_ROWS; c++) \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) \
                acc[c][j] = *(const vf32 *)(sums + j * LANES_F32) - row[SWEEP_ROWS + c]; \
        const long all = asked + share < steps ? asked + share : steps; \
        const float *of_x = sums, *of_w = row + SWEEP_ROWS; \
        long k = 0; \
        for (long part = 1;; part++) { \
            const long end = part * STEPS_PAIRED < whole ? part * STEPS_PAIRED : whole; \
            for (; k < end; k += 3, w += 3 * SWEEP_ROWS, x += 3 * XB * LANES_F32) { \
                ASK(XB) \
                THREE_STEPS(XB, x, x + LANES_F32, x + 2 * LANES_F32, 3 * LANES_F32, w, w + SWEEP_ROWS, \
                            w + 2 * SWEEP_ROWS, 1) } \
            if (k == whole) break; \
            of_x += XB * LANES_F32, of_w += SWEEP_ROWS; \
            _Pragma("GCC unroll 8") for (int c = 0; c < SWEEP_ROWS; c++) \
                _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) \
                    acc[c][j] += *(const vf32 *)(of_x + j * LANES_F32) - of_w[c]; } \
        for (long k = whole; k < steps; k++, w += SWEEP_ROWS, x += XB * LANES_F32) { \
            LONE_STEP(XB, x, LANES_F32, w, 1) } \
        while (asked < all) ASK(XB) \
        const float *last = inverse; \
        WALK(last);         /* in memory: the sums take all registers */ \
        STORE_SWEEP(XB, acc[c][j] * row[c] * *(const vf32 *)(last + j * LANES_F32) + (p->bias ? p->bias[r + c] : 0)) } \
}

PAIRED_SWEEP(1)
PAIRED_SWEEP(2)
#if SWEEP_PIXELS > 2
PAIRED_SWEEP(3)
#endif
#undef PAIRED_SWEEP
static void (*const paired_sweeps[4])(const Sweep *) = {0, paired_sweep_1, paired_sweep_2,
#if SWEEP_PIXELS > 2
    paired_sweep_3,
#endif
};

#else
static void pair_rows(const float *w, long ws, long wc, long steps, float *out) {}
static void (*const paired_sweeps[4])(const Sweep *) = {0};
#endif

#if VECTOR_BYTES == 64          /* With AVX2 the following gain nothing. */
/* The gradient for the kernel: sums over n pixels and their first `valid` lanes. Pairs are those of two pixels, each
 * lane's, of every three; a panel of a few vectors has what goes together side by side, [three pixels][lane][3], then
 * the other pixels. */
#define PIXELS_PAIRED 32
#define ROW_PAIRED ((PIXELS_PAIRED + 1) * LANES_F32)    /* elements: the rows lie in different lines of a cache */

/* Scales a panel's vector of columns in place; inverse: of the scales; sums: of the pairs. */
static void paired_columns(float *panel, long step, long n, long valid, float *inverse, float *sums) {
    vi32 most = {0};
    vf32 sum = {0};
    const long whole = n / 3 * 3, line = LANES_F32 * step;
    for (long k = 0; k < whole; k += 3)
        for (long l = 0; l < 3 * valid; l++) most = most_bits(most, panel + k * line + l * step);
    for (long k = whole; k < n; k++)
        for (long l = 0; l < valid; l++) most = most_bits(most, panel + k * line + l * step);
    const vf32 scale = scales(most);
    for (long k = 0; k < whole; k += 3)
        for (long l = 0; l < valid; l++) {
            float *x = panel + k * line + 3 * l * step;
            const vf32 a = *(vf32 *)x * scale, b = *(vf32 *)(x + step) * scale;
            *(vf32 *)x = a, *(vf32 *)(x + step) = b, *(vf32 *)(x + 2 * step) *= scale, sum += a * b; }
    for (long k = whole; k < n; k++)
        for (long l = 0; l < valid; l++) *(vf32 *)(panel + k * line + l * step) *= scale;
    *(vf32 *)inverse = scale_inverses(most), *(vf32 *)sums = sum;
}

/* A scaled copy of up to SWEEP_ROWS rows; copy: those, then the inverses of the scales, then the sums of the pairs. */
static void paired_rows(const float *g, long plane, long rows, long n, long valid, float *copy) {
    float *inverse = copy + SWEEP_ROWS * ROW_PAIRED, *sums = inverse + LANES_F32;
    const __mmask16 lanes = (1u << valid) - 1;
    for (long c = 0; c < SWEEP_ROWS; c++, copy += ROW_PAIRED) {
        const float *row = g + (c < rows ? c : rows - 1) * plane;
        vi32 most = {0};
        for (long k = 0; k < n; k++) most = most_bits(most, row + k * LANES_F32);
        const int32_t all = _mm512_mask_reduce_max_epi32(lanes, (__m512i)most), e = CLAMPED(EXPONENT(all));
        const vf32 scale = (vf32)((vi32){0} + ((254 - e) << 23));
        vf32 sum = {0};
        long k = 0;
        for (; k + 3 <= n; k += 3) {
            const vf32 *from = (const vf32 *)(row + k * LANES_F32);
            vf32 *to = (vf32 *)(copy + k * LANES_F32);
            const vf32 a = from[0] * scale, b = from[1] * scale;
            to[0] = a, to[1] = b, to[2] = from[2] * scale, sum += a * b; }
        for (; k < n; k++) *(vf32 *)(copy + k * LANES_F32) = *(const vf32 *)(row + k * LANES_F32) * scale;
        ((int32_t *)inverse)[c] = all ? e << 23 : 0;
        sums[c] = sum_lanes_f32(sum, valid);
    }
}

/* Adds the products of such rows with a panel of XB vectors to `out`, whose rows are `wide` elements apart, and asks
 * for `asked` rows of the next ones, `plane` elements apart. */
#define PAIRED_DOT(XB) \
static void paired_dot_##XB(const float *rows, long count, const float *panel, const float *inverse, \
                            const float *sums, long n, long valid, float *out, long wide, \
                            const float *ahead, long plane, long asked) { \
    vf32 acc[SWEEP_ROWS][XB]; \
    _Pragma("GCC unroll 8") for (int c = 0; c < SWEEP_ROWS; c++) \
        _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) acc[c][j] = (vf32){0}; \
    const float *w = rows; \
    long k = 0; \
    for (; k + 3 <= n; k += 3, w += 3 * LANES_F32, panel += 3 * XB * LANES_F32 * LANES_F32) { \
        const float *x = panel, *s = w; \
        for (long i = 0; i < asked; i++) \
            for (long j = 0; j < 3; j++) __builtin_prefetch(ahead + i * plane + (k + j) * LANES_F32, 0, 2); \
        for (long l = 0; l < valid; l++, s++, x += 3 * XB * LANES_F32) { \
            THREE_STEPS(XB, x, x + XB * LANES_F32, x + 2 * XB * LANES_F32, LANES_F32, s, s + LANES_F32, \
                        s + 2 * LANES_F32, ROW_PAIRED) } } \
    for (; k < n; k++, w += LANES_F32, panel += XB * LANES_F32 * LANES_F32) { \
        const float *x = panel, *s = w; \
        for (long i = 0; i < asked; i++) __builtin_prefetch(ahead + i * plane + k * LANES_F32, 0, 2); \
        for (long l = 0; l < valid; l++, s++, x += XB * LANES_F32) { \
            LONE_STEP(XB, x, LANES_F32, s, ROW_PAIRED) } } \
    const float *inverses = rows + SWEEP_ROWS * ROW_PAIRED, *pairs = inverses + LANES_F32; \
    _Pragma("GCC unroll 8") for (int c = 0; c < SWEEP_ROWS; c++) \
        if (c < count) \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) \
                *(vf32 *)(out + c * wide + j * LANES_F32) += \
                    (acc[c][j] - *(const vf32 *)(sums + j * LANES_F32) - pairs[c]) \
                    * *(const vf32 *)(inverse + j * LANES_F32) * inverses[c]; \
}
PAIRED_DOT(1)
PAIRED_DOT(2)
PAIRED_DOT(3)
#undef PAIRED_DOT
#define ROWS_PAIRED (SWEEP_ROWS * ROW_PAIRED + 2 * LANES_F32)    /* elements of the copy */
static void (*const paired_dots[4])(const float *, long, const float *, const float *, const float *, long, long,
                                    float *, long, const float *, long, long) = {
    0, paired_dot_1, paired_dot_2, paired_dot_3};

/* Small batches, channels last: w has the filters in the lanes, a tile of PLAIN_PAIRED vectors as the inverses of their
 * scales, the sums of pairs, then w, scaled, [channel][filter]. */
#define PLAIN_PAIRED 2
#define MATRIX_PAIRED(steps) (((steps) + 1 + SUMS_PAIRED(steps)) * PLAIN_PAIRED * LANES_F32)  /* of such a tile */
#define PIXEL_PAIRED 1280       /* elements of a copy: 1024 at most, in a fourth of the first-level cache's sets */
#define PIXELS_COPIED (SWEEP_ROWS * PIXEL_PAIRED + (1 + SUMS_PAIRED(1024)) * LANES_F32)   /* of a tile of pixels */

static void paired_matrix(const float *w, long ws, long steps, float *out) {
    for (long j = 0; j < PLAIN_PAIRED; j++, w += LANES_F32, out += LANES_F32) {
        const long step = PLAIN_PAIRED * LANES_F32;
        vi32 most = {0};
        float *to = out + (1 + SUMS_PAIRED(steps)) * step;
        for (long k = 0; k < steps; k++) most = most_bits(most, w + k * ws);
        const vf32 scale = scales(most);
        for (long k = 0; k < steps; k++) *(vf32 *)(to + k * step) = *(const vf32 *)(w + k * ws) * scale;
        *(vf32 *)out = scale_inverses(most);
        for (long b = 0; b < SUMS_PAIRED(steps); b++) {
            vf32 sum = {0};
            for (long k = b * STEPS_PAIRED; k + 3 <= steps && k < (b + 1) * STEPS_PAIRED; k += 3)
                sum += *(vf32 *)(to + k * step) * *(vf32 *)(to + (k + 1) * step);
            *(vf32 *)(out + (1 + b) * step) = sum; }
    }
}

/* A scaled copy of up to SWEEP_ROWS pixels, of a multiple of a vector of channels each; then as paired_rows has it.
 * All at a time, as each of their sums over lanes takes long, but not longer together. */
static void paired_pixels(const float *x, long rows, long steps, float *copy) {
    static const __mmask16 first[3] = {0x9249, 0x4924, 0x2492};     /* those of every three */
    const float *row[SWEEP_ROWS];
    int32_t *inverse = (int32_t *)(copy + SWEEP_ROWS * PIXEL_PAIRED);
    float *sums = copy + SWEEP_ROWS * PIXEL_PAIRED + LANES_F32;
    vi32 most[SWEEP_ROWS];
    vf32 scale[SWEEP_ROWS];
    __m512 sum[SWEEP_ROWS];
    _Pragma("GCC unroll 8") for (long c = 0; c < SWEEP_ROWS; c++)
        row[c] = x + (c < rows ? c : rows - 1) * steps, most[c] = (vi32){0}, sum[c] = _mm512_setzero_ps();
    for (long k = 0; k < steps; k += LANES_F32)
        _Pragma("GCC unroll 8") for (long c = 0; c < SWEEP_ROWS; c++) most[c] = most_bits(most[c], row[c] + k);
    _Pragma("GCC unroll 8") for (long c = 0; c < SWEEP_ROWS; c++) {
        const int32_t all = _mm512_reduce_max_epi32((__m512i)most[c]), e = CLAMPED(EXPONENT(all));
        inverse[c] = all ? e << 23 : 0, scale[c] = (vf32)((vi32){0} + ((254 - e) << 23)); }
    for (long k = 0, third = 0; k < steps; k += LANES_F32, third = third == 2 ? 0 : third + 1) {
        const long left = steps / 3 * 3 - k;
        const __mmask16 kept = first[third] & (left < LANES_F32 ? (1u << (left < 0 ? 0 : left)) - 1 : 0xffff);
        _Pragma("GCC unroll 8") for (long c = 0; c < SWEEP_ROWS; c++) {
            const vf32 v = *(const vf32 *)(row[c] + k) * scale[c];
            /* The next channel; past the last none is kept. */
            const vf32 next = (vf32)_mm512_maskz_loadu_ps(kept, row[c] + k + 1) * scale[c];
            *(vf32 *)(copy + c * PIXEL_PAIRED + k) = v;
            sum[c] = _mm512_mask3_fmadd_ps((__m512)v, (__m512)next, sum[c], kept); }
        if ((k + LANES_F32) % STEPS_PAIRED == 0 || k + LANES_F32 == steps) {
            _Pragma("GCC unroll 8") for (long c = 0; c < SWEEP_ROWS; c++)
                sums[c] = _mm512_reduce_add_ps(sum[c]), sum[c] = _mm512_setzero_ps();
            sums += LANES_F32; } }
}

/* Their products with such a tile of w; y and other: from pixel to pixel `apart` elements. */
static void paired_plain(const float *rows, long count, const float *w, long steps, const float *bias,
                         const float *other, float *y, long apart, int relu) {
    vf32 acc[SWEEP_ROWS][PLAIN_PAIRED];
    const long step = PLAIN_PAIRED * LANES_F32;
    const float *inverses = rows + SWEEP_ROWS * PIXEL_PAIRED, *pairs = inverses + LANES_F32, *sums = w + step;
    const float *x = sums + SUMS_PAIRED(steps) * step, *s = rows;
    _Pragma("GCC unroll 8") for (int c = 0; c < SWEEP_ROWS; c++)
        _Pragma("GCC unroll 8") for (int j = 0; j < PLAIN_PAIRED; j++)
            acc[c][j] = -*(const vf32 *)(sums + j * LANES_F32) - pairs[c];
    const long whole = steps / 3 * 3;
    long k = 0;
    for (long part = 1;; part++) {
        const long end = part * STEPS_PAIRED < whole ? part * STEPS_PAIRED : whole;
        for (; k < end; k += 3, s += 3, x += 3 * step) {
            THREE_STEPS(2, x, x + step, x + 2 * step, LANES_F32, s, s + 1, s + 2, PIXEL_PAIRED) }
        if (k == whole) break;
        sums += step, pairs += LANES_F32;
        _Pragma("GCC unroll 8") for (int c = 0; c < SWEEP_ROWS; c++)
            _Pragma("GCC unroll 8") for (int j = 0; j < PLAIN_PAIRED; j++)
                acc[c][j] -= *(const vf32 *)(sums + j * LANES_F32) + pairs[c]; }
    for (; k < steps; k++, s++, x += step) { LONE_STEP(2, x, LANES_F32, s, PIXEL_PAIRED) }
    _Pragma("GCC unroll 8") for (int c = 0; c < SWEEP_ROWS; c++)
        if (c < count)
            _Pragma("GCC unroll 8") for (int j = 0; j < PLAIN_PAIRED; j++) {
                vf32 v = acc[c][j] * *(const vf32 *)(w + j * LANES_F32) * inverses[c];
                if (bias) v += *(const vf32 *)(bias + j * LANES_F32);
                if (other) v += *(const vf32 *)(other + c * apart + j * LANES_F32);
                *(vf32 *)(y + c * apart + j * LANES_F32) = relu ? relu_f32(v) : v; }
}
#else
#define ROWS_PAIRED 0
static void (*const paired_dots[4])(const float *, long, const float *, const float *, const float *, long, long,
                                    float *, long, const float *, long, long) = {0};
static void paired_columns(float *panel, long step, long n, long valid, float *inverse, float *sums) {}
static void paired_rows(const float *g, long plane, long rows, long n, long valid, float *copy) {}
#define PLAIN_PAIRED 2
#define MATRIX_PAIRED(steps) 0
#define PIXELS_COPIED 0
static void paired_matrix(const float *w, long ws, long steps, float *out) {}
static void paired_pixels(const float *x, long rows, long steps, float *copy) {}
static void paired_plain(const float *rows, long count, const float *w, long steps, const float *bias,
                         const float *other, float *y, long apart, int relu) {}
#endif
#endif
