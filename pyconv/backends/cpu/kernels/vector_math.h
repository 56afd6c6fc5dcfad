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

/* What the vector extension has no word for. AT_MOST, AT_LEAST: x, but not above or below a number; NaN stays.
 * scaled: x 2**n for a whole n from -252 to 254. picked: of a table's 16 numbers one for each lane. */
#if defined(__AVX512F__)
#  define AT_MOST(most, x) ((vf32)_mm512_min_ps((__m512)ALL_F32(most), (__m512)(x)))
#  define AT_LEAST(least, x) ((vf32)_mm512_max_ps((__m512)ALL_F32(least), (__m512)(x)))
INLINE vf32 picked(const float *table, vi32 k) {
    return (vf32)_mm512_permutexvar_ps((__m512i)k, _mm512_loadu_ps(table));
}
#elif defined(__AVX2__)
#  define AT_MOST(most, x) ((vf32)_mm256_min_ps((__m256)ALL_F32(most), (__m256)(x)))
#  define AT_LEAST(least, x) ((vf32)_mm256_max_ps((__m256)ALL_F32(least), (__m256)(x)))
#else
#  define AT_MOST(most, x) PICK_F32((x) > (most), ALL_F32(most), x)
#  define AT_LEAST(least, x) PICK_F32((x) < (least), ALL_F32(least), x)
#endif

/* x as n ln 2 + r with |r| <= ln 2 / 2: returns r, and n + add in the last places of a number. */
INLINE vf32 reduce_exp(vf32 x, float add, vf32 *number) {
    *number = x * 1.44269504088896341f + (MAGIC + add);
    const vf32 n = *number - (MAGIC + add);
    return (x - n * 0.693359375f) + n * 2.12194440e-4f;
}

/* 2**(n - 127) for the n in the last places of a number, from 0 (which gives 0) to 255 (infinity). */
INLINE vf32 power_of_two(vi32 number) { return (vf32)(number << 23); }

/* exp(r) - 1 for |r| <= ln 2 / 2. Terms are paired, so that few of them wait for others. */
INLINE vf32 small_expm1(vf32 r) {
    const vf32 s = r * r;
    const vf32 q = (r * 0.000199156246f + 0.00139420456f) * s + (r * 0.00833327044f + 0.0416663438f);
    return (q * s + (r * 0.166666672f + 0.5f)) * s + r;
}

INLINE vf32 vexp_f32(vf32 x) {
    vf32 k, r = reduce_exp(AT_MOST(89.0f, AT_LEAST(-104.0f, x)), 254, &k);
    const vf32 y = small_expm1(r) + 1.0f;
#if defined(__AVX512F__)
    return (vf32)_mm512_scalef_ps((__m512)y, (__m512)(k - (MAGIC + 254)));
#else
    /* In two halves, so that results below the smallest normal number come out right. */
    const vi32 half = (vi32)k >> 1;
    return y * power_of_two(half) * power_of_two((vi32)k - half);
#endif
}

/* y / (1 + exp(-x)). Of exp(-x) the half, since that stays a number as long as the result is one. */
INLINE vf32 sigmoid_times_f32(vf32 x, vf32 y) {
    vf32 k, r = reduce_exp(AT_MOST(89.5f, AT_LEAST(-80.0f, -x)), 126, &k);
    return y * 0.5f / ((small_expm1(r) + 1.0f) * power_of_two((vi32)k) + 0.5f);
}

/* (exp(x) - 1) / 2 as 2**(n - 1) (exp(r) - 1 + (1 - 2**-n)) */
INLINE vf32 half_expm1(vf32 x) {          /* -20 <= x <= 89 */
    vf32 k, r = reduce_exp(x, 126, &k);
    const vf32 half = power_of_two((vi32)k), over = power_of_two(254 - (vi32)k);
    return (small_expm1(r) + (1.0f - 0.5f * over)) * half;
}

INLINE vf32 vexpm1_f32(vf32 x) {
    return PICK_F32(x == 0, x, 2.0f * half_expm1(AT_MOST(89.0f, AT_LEAST(-20.0f, x))));
}

/* x = m 2**e with m between the roots of 1/2 and of 2; log(m) by a series in m - 1. */
INLINE vf32 vlog_f32(vf32 x) {
    const vi32 tiny = (x > 0) & (x < 1.17549435e-38f);
    const vf32 v = PICK_F32(tiny, x * 8388608.0f, x);
    vi32 bits = (vi32)v - 0x3f3504f3;
    const vf32 e = __builtin_convertvector((bits >> 23) - (tiny & 23), vf32);
    const vf32 f = (vf32)((bits & 0x7fffff) + 0x3f3504f3) - 1.0f, z = f * f, w = z * z;
    const vf32 high = w * 0.0691549703f + ((f * -0.117898248f + 0.118729234f) * z + (f * -0.123843417f + 0.142186657f));
    const vf32 p = high * w + ((f * -0.16669251f + 0.200022265f) * z + (f * -0.249999866f + 0.333333105f));
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
    const vf32 a = AT_MOST(10.0f, (vf32)((vi32)x ^ sign)), t = half_expm1(a + a);
    return (vf32)((vi32)(t / (t + 1.0f)) | sign);
}

#if defined(__AVX512F__)
/* x times a polynomial about the middle of each quarter between 0 and 4; it reaches 1 just before FULL. */
#define FULL 3.92f
static const float MIDDLES[16] = {0.125f, 0.375f, 0.625f, 0.875f, 1.125f, 1.375f, 1.625f, 1.875f,
                                  2.125f, 2.375f, 2.625f, 2.875f, 3.125f, 3.375f, 3.625f, 3.875f};
static const float ERF[6][16] = {          /* the highest power first */
    {-0.0194441974f, -0.0462021083f, -0.0464203209f, -0.0255043153f, -0.000650151749f, 0.0143846422f,
     0.016899446f, 0.0120439455f, 0.00591294467f, 0.0016779548f, -0.000305615104f, -0.000863714959f,
     -0.00081475859f, -0.000612894539f, -0.000427390245f, -0.000293173827f},
    {0.106054433f, 0.0626983568f, 0.00198034174f, -0.0444001444f, -0.0603374988f, -0.0504389629f,
     -0.0297867022f, -0.0112713967f, -0.000127361098f, 0.00437602447f, 0.00504130777f, 0.00421293033f,
     0.00313142198f, 0.00223550061f, 0.00158987381f, 0.00114451093f},
    {0.0553772375f, 0.142984897f, 0.17534402f, 0.151600838f, 0.0962298885f, 0.0390333869f,
     -0.0013737675f, -0.0213114228f, -0.0262708496f, -0.0236383229f, -0.018693205f, -0.0140004568f,
     -0.0103348251f, -0.00767579395f, -0.00578537956f, -0.00443425542f},
    {-0.365642309f, -0.288495272f, -0.16526486f, -0.0397309475f, 0.0541918091f, 0.104267411f,
     0.117074728f, 0.107401393f, 0.0888634846f, 0.069871515f, 0.0539598949f, 0.0417536981f,
     0.0326962695f, 0.0259983577f, 0.020990666f, 0.0171860252f},
    {-0.0931549445f, -0.259446084f, -0.373897403f, -0.424389422f, -0.419026196f, -0.377613425f,
     -0.32101351f, -0.264274955f, -0.215058103f, -0.175459579f, -0.144657627f, -0.120876245f,
     -0.102378264f, -0.0877875611f, -0.0760992467f, -0.0665972009f},
    {1.12252963f, 1.07764506f, 0.997185409f, 0.896085799f, 0.789678454f, 0.689578235f,
     0.602119207f, 0.529061377f, 0.469339281f, 0.420722961f, 0.380874157f, 0.347809434f,
     0.319996834f, 0.296295762f, 0.275861979f, 0.258064508f}
};
INLINE vf32 verf_f32(vf32 x) {
    x = AT_MOST(FULL, AT_LEAST(-FULL, x));
    const vf32 a = (vf32)((vi32)x & INT32_MAX);
    const vi32 k = __builtin_convertvector(a * 4.0f, vi32);
    const vf32 t = a - picked(MIDDLES, k);
    vf32 p = picked(ERF[0], k);
    for (int i = 1; i < 6; i++) p = p * t + picked(ERF[i], k);
    return p * x;
}
INLINE vf32 rough_erf_f32(vf32 x) { return verf_f32(x); }
#undef FULL
#else
/* x and x times a polynomial in x**2, or, where x is large, 1 less the eighth power of one in x: no tables, which take
 * two shuffles of vectors this narrow for each number. */
INLINE vf32 verf_f32(vf32 x) {
    const vf32 a = AT_MOST(4.0f, (vf32)((vi32)x & INT32_MAX)), z = x * x, w = z * z, t = a - 2.5f, s = t * t;
    vf32 near = w * 6.60931182e-05f + (z * -0.000759475399f + 0.00513610197f);
    near = (near * w + (z * -0.0268234517f + 0.112827852f)) * w + (z * -0.376125485f + 0.128379151f);
    vf32 far = s * 0.000167806968f + (t * -0.000148991603f - 0.0037920766f);
    far = (far * s + (t * 0.0104128076f + 0.0398999676f)) * s + (t * -0.252155006f + 0.376871467f);
    far = far * far;
    far = far * far;
    far = (vf32)((vi32)(1.0f - far * far) | ((vi32)x & INT32_MIN));
    return PICK_F32(a < 1.1875f, near * x + x, far);
}

/* The same within 4e-7, which is enough where 1 is added to it: x times a quotient, above 1 where that is 1. */
INLINE vf32 rough_erf_f32(vf32 x) {
    x = AT_MOST(4.0f, AT_LEAST(-4.0f, x));
    const vf32 z = x * x, s = z * z;
    const vf32 p = ((z * 2.08304823e-06f + 0.000285281044f) * s + (z * 0.00371199523f + 0.0525906533f)) * s
        + (z * 0.188946788f + 1.12837915f);
    const vf32 q = ((z * 3.84520810e-05f + 0.00115246633f) * s + (z * 0.0148612783f + 0.113537452f)) * s
        + (z * 0.500782551f + 1.0f);
    return AT_MOST(1.0f, AT_LEAST(-1.0f, p * x / q));
}
#endif

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
INLINE vf64 rough_erf_f64(vf64 x) { return verf_f64(x); }
INLINE vf64 sigmoid_times_f64(vf64 x, vf64 y) { return y / (1 + vexp_f64(-x)); }
INLINE vf64 vpow_f64(vf64 x, vf64 y) {
    vf64 z = {0};
    for (int i = 0; i < LANES_F64; i++) z[i] = pow(x[i], y[i]);
    return z;
}

#undef PICK_F32
#undef ALL_F32
#undef MAGIC
#undef WIDEST
#undef AT_MOST
#undef AT_LEAST
#endif
