/* Functions of whole vectors. In single precision they are within 3 units in the last place (the polynomials are
 * minimax fits), but for sine and cosine of numbers beyond WIDEST, which go to the C library one by one. In double
 * precision all go there. Values that are not finite give what the C library gives. */
#ifndef PYCONV_VECTOR_MATH_H
#define PYCONV_VECTOR_MATH_H
#include "vector.h"

#define PICK_F32(mask, a, b) ((vf32)(((mask) & (vi32)(a)) | (~(mask) & (vi32)(b))))
#define ALL_F32(x) ((vf32){0} + (x))
#define MAGIC 12582912.0f       /* 1.5 * 2**23: x + MAGIC - MAGIC rounds x to an integer */
#define WIDEST 8192.0f

typedef float half_f32 __attribute__((vector_size(VECTOR_BYTES / 2)));

/* Whether a mask is set in any lane. */
INLINE int any_f32(vi32 mask) {
    const vi64 m = (vi64)mask;
    int64_t any = 0;
    for (int l = 0; l < LANES_F64; l++) any |= m[l];
    return any != 0;
}

/* 2**k for -126 <= k <= 127 */
INLINE vf32 power_of_two(vi32 k) { return (vf32)((k + 127) << 23); }

/* x from above as n ln 2 + r with |r| <= ln 2 / 2: returns r, and n. */
INLINE vf32 reduce_exp(vf32 x, vf32 *n) {
    *n = (x * 1.44269504088896341f + MAGIC) - MAGIC;
    return (x - *n * 0.693359375f) + *n * 2.12194440e-4f;
}

/* exp(r) - 1 for |r| <= ln 2 / 2 */
INLINE vf32 small_expm1(vf32 r) {
    vf32 q = r * 0.000199156246f + 0.00139420456f;
    q = q * r + 0.00833327044f;
    q = q * r + 0.0416663438f;
    q = q * r + 0.166666672f;
    q = q * r + 0.5f;
    return q * r * r + r;
}

/* 2**n is applied in two halves, so that results below the smallest normal number come out right. */
INLINE vf32 vexp_f32(vf32 x) {
    x = PICK_F32(x < -104.0f, ALL_F32(-104.0f), x);
    x = PICK_F32(x > 89.0f, ALL_F32(89.0f), x);
    vf32 n, p = small_expm1(reduce_exp(x, &n)) + 1.0f;
    const vi32 k = __builtin_convertvector(n, vi32), half = k >> 1;       /* anything, for NaN */
    return p * power_of_two(half) * power_of_two(k - half);
}

/* exp(x) - 1 as 2**n (exp(r) - 1) + 2**n - 1, with 2**n in two halves, so that it does not overflow before the result
 * does. */
INLINE vf32 expm1_within(vf32 x) {          /* -20 <= x <= 89 */
    vf32 n, p = small_expm1(reduce_exp(x, &n));
    const vi32 k = __builtin_convertvector(n, vi32), half = k >> 1;
    const vf32 h = power_of_two(k - half);
    return power_of_two(half) * (p * h + (h - power_of_two(-half)));
}

INLINE vf32 vexpm1_f32(vf32 x) {
    vf32 v = PICK_F32(x < -20.0f, ALL_F32(-20.0f), x);
    v = PICK_F32(v > 89.0f, ALL_F32(89.0f), v);
    return PICK_F32(x == 0, x, expm1_within(v));
}

/* x = m 2**e with m between the roots of 1/2 and of 2; log(m) by a series in m - 1. */
INLINE vf32 vlog_f32(vf32 x) {
    const vi32 tiny = (x > 0) & (x < 1.17549435e-38f);
    const vf32 v = PICK_F32(tiny, x * 8388608.0f, x);
    vi32 bits = (vi32)v - 0x3f3504f3;
    const vf32 e = __builtin_convertvector((bits >> 23) - (tiny & 23), vf32);
    const vf32 f = (vf32)((bits & 0x7fffff) + 0x3f3504f3) - 1.0f, z = f * f;
    vf32 p = f * 0.0691549703f - 0.117898248f;
    p = p * f + 0.118729234f;
    p = p * f - 0.123843417f;
    p = p * f + 0.142186657f;
    p = p * f - 0.16669251f;
    p = p * f + 0.200022265f;
    p = p * f - 0.249999866f;
    p = p * f + 0.333333105f;
    vf32 y = ((p * f * z - e * 2.12194440e-4f) - 0.5f * z) + f + e * 0.693359375f;
    y = PICK_F32(x == 0, ALL_F32(-INFINITY), y);
    y = PICK_F32((x < 0) | (x != x), ALL_F32(NAN), y);
    return PICK_F32(x == INFINITY, x, y);
}

INLINE vf32 vlog1p_f32(vf32 x) {
    const vf32 u = x + 1.0f;
    /* what rounding took from u, and what that means for the logarithm */
    const vf32 lost = (x - (u - 1.0f)) / u;
    return vlog_f32(u) + PICK_F32((u > 0) & (u < INFINITY), lost, ALL_F32(0));
}

INLINE vf32 vtanh_f32(vf32 x) {
    const vi32 sign = (vi32)x & INT32_MIN;
    vf32 a = (vf32)((vi32)x ^ sign);
    a = PICK_F32(a > 10.0f, ALL_F32(10.0f), a);
    const vf32 t = expm1_within(a + a);
    return (vf32)((vi32)(t / (t + 2.0f)) | sign);
}

/* x times a polynomial in x**2 below 0.92; above, 1 - exp(-q(x)). */
INLINE vf32 verf_f32(vf32 x) {
    const vi32 sign = (vi32)x & INT32_MIN;
    vf32 a = (vf32)((vi32)x ^ sign);
    a = PICK_F32(a > 4.0f, ALL_F32(4.0f), a);
    const vf32 z = a * a;
    vf32 p = z * 8.31677535e-05f - 0.000813001243f;
    p = p * z + 0.00519990688f;
    p = p * z - 0.0268589407f;
    p = p * z + 0.112836875f;
    p = p * z - 0.376126319f;
    p = p * z + 0.128379226f;
    p = p * a + a;
    vf32 q = a * 2.10949638e-05f - 0.00043446169f;
    q = q * a + 0.00417105854f;
    q = q * a - 0.0251194164f;
    q = q * a + 0.10828007f;
    q = q * a + 0.633346915f;
    q = q * a + 1.12951493f;
    q = q * a - 0.000174683184f;
    vf32 n, e = small_expm1(reduce_exp(-q, &n)) + 1.0f;
    const vf32 far = 1.0f - e * power_of_two(__builtin_convertvector(n, vi32));
    return (vf32)((vi32)PICK_F32(a > 0.92f, far, p) | sign);
}

/* Sine (turn 0) or cosine (turn 1): x less a multiple of pi / 2, in parts of few bits, so that products are exact. */
INLINE vf32 wave_f32(vf32 x, int turn) {
    const vi32 wide = ~((x <= WIDEST) & (x >= -WIDEST));
    const vf32 v = PICK_F32(wide, ALL_F32(0), x), q = (v * 0.636619772f + MAGIC) - MAGIC;
    vf32 r = v - q * 1.5703125f;
    r = r - q * 0.0004837513f;
    r = r - q * 0.000000075495336f;
    r = r - q * 0.000000000002563344f;
    const vi32 k = __builtin_convertvector(q, vi32) + turn;
    const vf32 z = r * r;
    vf32 s = z * 2.71823728e-06f - 0.000198393274f;
    s = s * z + 0.00833332911f;
    s = s * z - 0.166666672f;
    s = s * z * r + r;
    vf32 c = z * -2.72095491e-07f + 2.47995122e-05f;
    c = c * z - 0.00138888834f;
    c = c * z + 0.0416666679f;
    c = c * z * z - 0.5f * z + 1.0f;
    vf32 y = PICK_F32(-(k & 1), c, s);
    y = (vf32)((vi32)y ^ ((k & 2) << 30));
    if (any_f32(wide)) for (int l = 0; l < LANES_F32; l++) if (wide[l]) y[l] = turn ? cosf(x[l]) : sinf(x[l]);
    return y;
}
INLINE vf32 vsin_f32(vf32 x) { return wave_f32(x, 0); }
INLINE vf32 vcos_f32(vf32 x) { return wave_f32(x, 1); }

/* exp(y log(x)) in double precision, half a vector after the other, where x is positive and normal. */
INLINE vf64 power_f64(vf64 x, vf64 y) {
    const vi64 bits = (vi64)x - 0x3fe6a09e667f3bccLL;
    const vi64 e = bits >> 52;
    const vf64 m = (vf64)((bits & 0xfffffffffffffLL) + 0x3fe6a09e667f3bccLL);
    const vf64 s = (m - 1) / (m + 1), z = s * s;
    vf64 p = z * (2.0 / 13) + 2.0 / 11;
    p = p * z + 2.0 / 9;
    p = p * z + 2.0 / 7;
    p = p * z + 2.0 / 5;
    p = p * z + 2.0 / 3;
    const vf64 magic = (vf64){0} + 6755399441055744.0;
    vf64 t = (__builtin_convertvector(e, vf64) * 0.69314718055994531 + (p * z * s + s * 2)) * y;
    const vi64 low = t < -110.0, high = t > 95.0;
    t = (vf64)((low & (vi64)((vf64){0} - 110.0)) | (~low & (vi64)t));
    t = (vf64)((high & (vi64)((vf64){0} + 95.0)) | (~high & (vi64)t));
    const vf64 shifted = t * 1.4426950408889634 + magic, n = shifted - magic, r = t - n * 0.69314718055994531;
    vf64 q = r * (1 / 362880.0) + 1 / 40320.0;
    q = q * r + 1 / 5040.0;
    q = q * r + 1 / 720.0;
    q = q * r + 1 / 120.0;
    q = q * r + 1 / 24.0;
    q = q * r + 1 / 6.0;
    q = q * r + 0.5;
    q = q * r * r + r + 1.0;
    return (vf64)((vi64)q + (((vi64)shifted - (vi64)magic) << 52));
}

INLINE vf32 vpow_f32(vf32 x, vf32 y) {
    const vi32 plain = (x >= 1.17549435e-38f) & (x < INFINITY) & (y - y == 0);
    const vf32 a = PICK_F32(plain, x, ALL_F32(1.0f)), b = PICK_F32(plain, y, ALL_F32(0));
    union { vf32 whole; half_f32 part[2]; } u = {a}, v = {b}, r;
    for (int h = 0; h < 2; h++)
        r.part[h] = __builtin_convertvector(power_f64(__builtin_convertvector(u.part[h], vf64),
                                                      __builtin_convertvector(v.part[h], vf64)), half_f32);
    if (any_f32(~plain)) for (int l = 0; l < LANES_F32; l++) if (!plain[l]) r.whole[l] = powf(x[l], y[l]);
    return r.whole;
}

#define ONE_BY_ONE(name) \
    INLINE vf64 v##name##_f64(vf64 x) { \
        vf64 y = {0}; \
        for (int i = 0; i < LANES_F64; i++) y[i] = name(x[i]); \
        return y; \
    }
ONE_BY_ONE(exp) ONE_BY_ONE(expm1) ONE_BY_ONE(log) ONE_BY_ONE(log1p) ONE_BY_ONE(tanh) ONE_BY_ONE(erf) ONE_BY_ONE(sin)
ONE_BY_ONE(cos)
#undef ONE_BY_ONE
INLINE vf64 vpow_f64(vf64 x, vf64 y) {
    vf64 z = {0};
    for (int i = 0; i < LANES_F64; i++) z[i] = pow(x[i], y[i]);
    return z;
}

#undef PICK_F32
#undef ALL_F32
#undef MAGIC
#undef WIDEST
#endif
