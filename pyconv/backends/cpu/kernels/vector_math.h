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

/* exp(r) - 1 for |r| <= ln 2 / 2. With many registers terms are paired, so that few of them wait for others. */
INLINE vf32 small_expm1(vf32 r) {
    const vf32 s = r * r;
#if defined(__AVX512F__)
    const vf32 q = ((r * 0.00138825161f + 0.00836654715f) * r + 0.0416672007f) * s + (r * 0.166665434f + 0.499999981f);
#else
    vf32 q = (r * 0.00138825161f + 0.00836654715f) * r + 0.0416672007f;
    q = (q * r + 0.166665434f) * r + 0.499999981f;
#endif
    return q * s + r;
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
#if defined(__AVX512F__)
/* Powers of two by sixteenths, from 1 / 2 on: what is left is so small that three terms of the series will do. */
static const float SIXTEENTHS[16] = {
    0.5f, 0.522136867f, 0.545253873f, 0.56939429f, 0.594603539f, 0.620928884f,
    0.648419797f, 0.677127779f, 0.707106769f, 0.738413095f, 0.771105409f, 0.805245161f,
    0.840896428f, 0.878126085f, 0.917004049f, 0.957603276f
};
INLINE vf32 sigmoid_times_f32(vf32 x, vf32 y) {
    const vf32 v = AT_MOST(89.5f, AT_LEAST(-80.0f, -x));
    const vf32 number = v * 1.44269504088896341f + MAGIC / 16, n = number - MAGIC / 16;
    const vf32 r = (v - n * 0.693359375f) + n * 2.12194440e-4f, power = picked(SIXTEENTHS, (vi32)number);
    const vf32 more = (r * 0.166666672f + 0.5f) * (r * r) + r;
    return y * 0.5f / ((vf32)_mm512_scalef_ps((__m512)(power * more + power), (__m512)n) + 0.5f);
}
#else
INLINE vf32 sigmoid_times_f32(vf32 x, vf32 y) {
    vf32 k, r = reduce_exp(-AT_MOST(80.0f, AT_LEAST(-89.5f, x)), 126, &k);
    const vf32 power = power_of_two((vi32)k);
    return y * 0.5f / (small_expm1(r) * power + (power + 0.5f));
}
#endif

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
    const vi32 tiny = x < 1.17549435e-38f;
    const vf32 v = PICK_F32(tiny, x * 8388608.0f, x);
    vi32 bits = (vi32)v - 0x3f3504f3;
    const vf32 e = __builtin_convertvector((bits >> 23) - (tiny & 23), vf32);
    const vf32 f = (vf32)((bits & 0x7fffff) + 0x3f3504f3) - 1.0f, z = f * f, w = z * z;
    const vf32 high = w * 0.0691549703f + ((f * -0.117898248f + 0.118729234f) * z + (f * -0.123843417f + 0.142186657f));
    const vf32 p = high * w + ((f * -0.16669251f + 0.200022265f) * z + (f * -0.249999866f + 0.333333105f));
    vf32 y = ((p * f * z - e * 2.12194440e-4f) - 0.5f * z) + f + e * 0.693359375f;
    y = PICK_F32(x == 0, ALL_F32(-INFINITY), y);
    y = PICK_F32(x == INFINITY, x, y);
    return (vf32)((vi32)y | ~(x >= 0));     /* all bits set: not a number */
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
/* x times a polynomial about the nearest multiple of a quarter, the highest power first. It is 1 at the limit, as which
 * all beyond it counts. The second has one power fewer, within 1.5e-7. */
static const float ERF[6][16] = {
    {-0.00998557638f, -0.0356786363f, -0.0497776046f, -0.0376186706f, -0.0124789579f, 0.00852587447f,
     0.0169838592f, 0.0149653852f, 0.008857999f, 0.0034886091f, 0.000447154132f, -0.000703998725f,
     -0.000878156803f, -0.000717638875f, -0.000514190644f, -0.000355286145f},
    {0.114235818f, 0.0886062533f, 0.0323598161f, -0.0245321598f, -0.056299299f, -0.0577499457f,
     -0.0404914804f, -0.0197513904f, -0.00473101251f, 0.00278751622f, 0.00501624774f, 0.00471193157f,
     0.00366321998f, 0.00265144603f, 0.00188360817f, 0.00134615379f},
    {-9.03539258e-05f, 0.104719654f, 0.166897893f, 0.169339165f, 0.125882611f, 0.0663251206f,
     0.0161922909f, -0.0136776222f, -0.0251791049f, -0.0255047027f, -0.0212389547f, -0.0162383094f,
     -0.0120308334f, -0.00889316201f, -0.00665013213f, -0.00505439052f},
    {-0.376123756f, -0.335348696f, -0.229913875f, -0.100219384f, 0.0124834599f, 0.0846288353f,
     0.114464976f, 0.114094824f, 0.0985821262f, 0.0791103244f, 0.0614473224f, 0.0474155545f,
     0.0368814878f, 0.029098535f, 0.0233177412f, 0.0189620052f},
    {-2.71266121e-08f, -0.181165725f, -0.32443434f, -0.407035261f, -0.427593291f, -0.40143919f,
     -0.350093216f, -0.292021364f, -0.238497078f, -0.194067568f, -0.159063578f, -0.132004902f,
     -0.111062236f, -0.0946651697f, -0.0816310495f, -0.071110867f},
    {1.12837923f, 1.10530555f, 1.04099977f, 0.948207498f, 0.842700779f, 0.738320112f,
     0.644070089f, 0.563812375f, 0.497661144f, 0.44379434f, 0.399837226f, 0.363599777f,
     0.333325982f, 0.307690978f, 0.28571406f, 0.266666651f}
}, ROUGH_ERF[5][16] = {
    {0.111089952f, 0.0884943977f, 0.0322431624f, -0.0246009026f, -0.056285046f, -0.0576759651f,
     -0.0404159725f, -0.0197054986f, -0.00471419934f, 0.00278875954f, 0.00501269288f, 0.00470870873f,
     0.00366118248f, 0.00265028817f, 0.00188295287f, 0.00135022064f},
    {0.000257289037f, 0.10402257f, 0.165925398f, 0.16860421f, 0.125638694f, 0.0664914101f,
     0.016523825f, -0.0133854235f, -0.025006121f, -0.0254365578f, -0.0212302096f, -0.016252052f,
     -0.0120479809f, -0.00890717655f, -0.00666017411f, -0.00506103598f},
    {-0.376139492f, -0.335346967f, -0.229912058f, -0.100218311f, 0.0124832382f, 0.0846276805f,
     0.114463791f, 0.114094108f, 0.0985818654f, 0.079110302f, 0.0614473782f, 0.0474156067f,
     0.0368815176f, 0.0290985536f, 0.0233177505f, 0.0189619604f},
    {2.23809366e-07f, -0.181162998f, -0.324430555f, -0.407032371f, -0.427592337f, -0.401439846f,
     -0.350094497f, -0.292022496f, -0.238497749f, -0.194067836f, -0.159063607f, -0.132004857f,
     -0.111062169f, -0.0946651101f, -0.0816310123f, -0.0711108446f},
    {1.12837923f, 1.10530555f, 1.04099977f, 0.948207498f, 0.842700779f, 0.738320112f,
     0.644070089f, 0.563812375f, 0.497661144f, 0.44379434f, 0.399837226f, 0.363599777f,
     0.333325982f, 0.307690978f, 0.28571406f, 0.266666651f}
};
INLINE vf32 quarters_erf(vf32 x, float limit, const float (*table)[16], int powers) {
    x = AT_MOST(limit, AT_LEAST(-limit, x));
    const vf32 a = (vf32)((vi32)x & INT32_MAX), number = a + MAGIC / 4, t = a - (number - MAGIC / 4);
    vf32 p = picked(table[0], (vi32)number);            /* which only looks at the last four bits */
    for (int i = 1; i <= powers; i++) p = p * t + picked(table[i], (vi32)number);
    return p * x;
}
INLINE vf32 verf_f32(vf32 x) { return quarters_erf(x, 3.7265141f, ERF, 5); }
INLINE vf32 rough_erf_f32(vf32 x) { return quarters_erf(x, 3.7283621f, ROUGH_ERF, 4); }
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

/* The same within 3e-7, which is enough where 1 is added to it: 1 less the fourth power of a polynomial in |x|. */
INLINE vf32 rough_erf_f32(vf32 x) {
    const vf32 a = AT_MOST(4.0f, (vf32)((vi32)x & INT32_MAX)), s = a * a;
    const vf32 p = ((a * 6.51163427e-05f - 0.00079013349f) * s + (a * 0.00294116535f + 0.000204473967f)) * (s * s)
        + ((a * -0.0180207938f - 0.0156592466f) * s + (a * 0.119396582f + 0.282093227f));
    vf32 g = 1.0f - p * a;
    g = g * g;
    return (vf32)((vi32)(1.0f - g * g) | ((vi32)x & INT32_MIN));
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
