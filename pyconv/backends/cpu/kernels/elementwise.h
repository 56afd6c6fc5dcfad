/* The arithmetic of fused elementwise chains: a small machine whose registers are strips of numbers.
 *
 * Included once per type, with T, V (vector), M (mask vector), LANES, NAME(x), FLOAT and, for floats, DIGITS (binary
 * ones of the mantissa) defined. An instruction is six ints: operation, destination, and up to four sources.
 * Registers are whole vectors long: what lies after the last number is computed too and never used. */

/* Loads from an array of any type, `stride` elements apart. */
static void NAME(load)(T *out, const char *src, int type, long stride, long n) {
#define LOAD(CODE, TYPE) case CODE: { const TYPE *s = (const TYPE *)src; \
        if (stride == 1) { for (long i = 0; i < n; i++) out[i] = (T)s[i]; } \
        else if (stride == 0) { const T v = (T)s[0]; for (long i = 0; i < n; i++) out[i] = v; } \
        else { for (long i = 0; i < n; i++) out[i] = (T)s[i * stride]; } \
        break; }
    switch (type) {
        LOAD(TYPE_F32, float) LOAD(TYPE_F64, double) LOAD(TYPE_BOOL, uint8_t) LOAD(TYPE_U8, uint8_t)
        LOAD(TYPE_I8, int8_t) LOAD(TYPE_U16, uint16_t) LOAD(TYPE_I16, int16_t) LOAD(TYPE_U32, uint32_t)
        LOAD(TYPE_I32, int32_t) LOAD(TYPE_I64, int64_t)
    }
#undef LOAD
}

static void NAME(store)(char *dst, int type, const T *in, long n) {
#define STORE(CODE, TYPE) case CODE: { \
        TYPE *d = (TYPE *)dst; \
        for (long i = 0; i < n; i++) { d[i] = (TYPE)in[i]; } \
        break; }
/* Small integers wrap, as in NumPy: through int64, since a direct conversion would be undefined. */
#define STORE_INT(CODE, TYPE) case CODE: { \
        TYPE *d = (TYPE *)dst; \
        for (long i = 0; i < n; i++) { d[i] = (TYPE)(int64_t)in[i]; } \
        break; }
    switch (type) {
        STORE(TYPE_F32, float) STORE(TYPE_F64, double) STORE(TYPE_I64, int64_t)
        STORE_INT(TYPE_U8, uint8_t) STORE_INT(TYPE_I8, int8_t) STORE_INT(TYPE_U16, uint16_t)
        STORE_INT(TYPE_I16, int16_t) STORE_INT(TYPE_U32, uint32_t) STORE_INT(TYPE_I32, int32_t)
        case TYPE_BOOL: {
            uint8_t *d = (uint8_t *)dst;
            for (long i = 0; i < n; i++) { d[i] = in[i] != 0; }
            break; }
    }
#undef STORE
#undef STORE_INT
}

/* Adds the vectors of a strip to acc. */
static void NAME(accumulate)(T *acc, const T *in, long n) {
    V a = *(V *)acc, b = (V){0}, c = (V){0}, d = (V){0};
    long i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
        a += *(const V *)(in + i);
        b += *(const V *)(in + i + LANES);
        c += *(const V *)(in + i + 2 * LANES);
        d += *(const V *)(in + i + 3 * LANES);
    }
    for (; i < n; i += LANES) a += *(const V *)(in + i);
    *(V *)acc = (a + b) + (c + d);
}

#if FLOAT
/* Sum over the first n lanes. */
static T NAME(total)(const T *in, long n) { return NAME(sum_lanes)(*(const V *)in, n); }

/* The same of each of `count` vectors, LANES of them at a time: the upper half of the lanes is added to the lower half,
 * two vectors side by side, and so on, as sum_lanes adds. */
static void NAME(totals)(T *out, const T *in, long count, long n) {
    M kept = (M){0};
    for (long l = 0; l < n; l++) kept[l] = -1;
    long i = 0;
#define AT(h, e) ((e) / (h) * 2 * (h) + (e) % (h))
#if LANES == 16
#define EVERY(h, d) {AT(h, 0) + d, AT(h, 1) + d, AT(h, 2) + d, AT(h, 3) + d, AT(h, 4) + d, AT(h, 5) + d, AT(h, 6) + d, \
    AT(h, 7) + d, AT(h, 8) + d, AT(h, 9) + d, AT(h, 10) + d, AT(h, 11) + d, AT(h, 12) + d, AT(h, 13) + d, \
    AT(h, 14) + d, AT(h, 15) + d}
#elif LANES == 4
#define EVERY(h, d) {AT(h, 0) + d, AT(h, 1) + d, AT(h, 2) + d, AT(h, 3) + d}
#else
#define EVERY(h, d) {AT(h, 0) + d, AT(h, 1) + d}
#endif
#define HALVE(h) _Pragma("GCC unroll 16") for (int k = 0; k < h; k++) \
        v[k] = __builtin_shuffle(v[2 * k], v[2 * k + 1], (M)EVERY(h, 0)) \
            + __builtin_shuffle(v[2 * k], v[2 * k + 1], (M)EVERY(h, h));
#define PAIR(x, y, a, b, c, d, e, f, g, h, o) __builtin_shuffle(x, y, (M){a, b, c, d, e, f, g, h}) \
        + __builtin_shuffle(x, y, (M){a + o, b + o, c + o, d + o, e + o, f + o, g + o, h + o})
    for (; i + LANES <= count; i += LANES, in += LANES * LANES) {
        V v[LANES];
        _Pragma("GCC unroll 16") for (int k = 0; k < LANES; k++) v[k] = (V)(*(const M *)(in + k * LANES) & kept);
#if LANES == 8
        /* Within halves of a vector shuffles take half as long. */
        _Pragma("GCC unroll 4") for (int k = 0; k < 4; k++) v[k] = PAIR(v[k], v[k + 4], 0, 1, 2, 3, 8, 9, 10, 11, 4);
        _Pragma("GCC unroll 4") for (int k = 0; k < 2; k++)
            v[k] = PAIR(v[2 * k], v[2 * k + 1], 0, 1, 8, 9, 4, 5, 12, 13, 2);
        v[0] = PAIR(v[0], v[1], 0, 2, 8, 10, 4, 6, 12, 14, 1);
#else
#if LANES == 16
        HALVE(8)
        HALVE(4)
#endif
#if LANES >= 4
        HALVE(2)
#endif
        HALVE(1)
#endif
        *(V *)(out + i) = v[0];
    }
#undef PAIR
#undef HALVE
#undef EVERY
#undef AT
    for (; i < count; i++, in += LANES) out[i] = NAME(total)(in, n);
}
#endif

/* Each of `count` numbers of any type, `step` elements apart, in all lanes of a vector of its own. */
static void NAME(spread)(T *out, const char *src, int type, long step, long count) {
    const int own = FLOAT ? sizeof(T) == 4 ? TYPE_F32 : TYPE_F64 : TYPE_I64;
    T some[64];
    for (long i = 0; i < count; i += 64) {
        const long n = count - i < 64 ? count - i : 64;
        const T *from = (const T *)src;
        if (type != own || step != 1) NAME(load)(some, src, type, step, n), from = some;
        _Pragma("GCC unroll 4") for (long k = 0; k < n; k++, out += LANES) *(V *)out = (V){0} + from[k];
        src += 64 * step * type_bytes(type);
    }
}

/* mask ? a : b */
INLINE V NAME(pick)(M mask, V a, V b) { return (V)((mask & (M)a) | (~mask & (M)b)); }

#if FLOAT
/* The nearest numbers of a smaller format, ties to even: `drop` bits of the mantissa fewer. Numbers below `least`, its
 * smallest normal one, are rounded to the last place that a number next to `magic` has; those above `most` become
 * infinite. */
INLINE V NAME(narrow)(V x, int drop, T least, T magic, T most) {
    const V zero = (V){0};
    const M one = (M)(zero == zero) & 1, bits = (M)NAME(pick)(x < 0, -x, x), sign = (M)x & (M)-zero;
    const V size = (V)bits;
    V y = (V)((bits + ((one << (drop - 1)) - one) + (bits >> drop & one)) >> drop << drop);
    y = NAME(pick)(size < least, (size + magic) - magic, y);
    y = NAME(pick)(y > most, zero + (T)INFINITY, y);
    return NAME(pick)(x != x, x, (V)((M)y | sign));
}
#endif

/* Returns 1 if CHECK met a number that is not finite. Between the instructions the first `fetched` registers are
 * fetched as they will be `ahead` numbers further on, but for bits of `few` and strips of their own at `own`. */
static int NAME(execute)(const int32_t *code, long count, T *const *r, long n, const T *own, long fetched, long ahead,
                         long few) {
    const V one = (V){0} + 1, zero = (V){0};
    int bad = 0;
    long f = 0;
    for (long k = 0; k < count; k++, code += 6) {
        for (; f * count < fetched * (k + 1); f++)
            if (r[f] != own + f * STRIP && !(few >> f & 1)) fetch((const char *)(r[f] + ahead), n * sizeof(T));
        T *d = r[code[1]];
        const T *a = r[code[2]], *b = r[code[3]], *c = r[code[4]], *e = r[code[5]];
        (void)e;
#define EACH(CODE, EXPR) case CODE: for (long i = 0; i < n; i += LANES) { \
            const V x = *(const V *)(a + i), y = *(const V *)(b + i); (void)y; *(V *)(d + i) = EXPR; } break;
/* Of the commonest, which take little longer than their loop; then those of more operands, read by AT. */
#define SHORT(CODE, EXPR) LONG(CODE, const V x = AT(a); const V y = AT(b); (void)y, EXPR)
#define LONG(CODE, READ, EXPR) case CODE: _Pragma("GCC unroll 4") for (long i = 0; i < n; i += LANES) { \
            READ; *(V *)(d + i) = EXPR; } break;
#define AT(p) (*(const V *)((p) + i))
#define ERF(CODE, OF, PLUS, TIMES) case CODE: for (long i = 0; i < n; i += LANES) { \
            *(V *)(d + i) = (NAME(rough_erf)(OF) + PLUS) * (TIMES); } break;
#define EVERY(p) ((V){0} + (p)[i / LANES])
#define HELD(CODE, FIRST, READ, EXPR) case CODE: { \
            FIRST; \
            _Pragma("GCC unroll 4") for (long i = 0; i < n; i += LANES) { READ; *(V *)(d + i) = EXPR; } \
            break; }
#define ONE(p) const V p##_ = *(const V *)p
#define SCALAR(CODE, EXPR) case CODE: for (long i = 0; i < n; i++) { \
            const T x = a[i], y = b[i]; (void)y; d[i] = EXPR; } break;
#define RELU NAME(pick)(x <= 0, zero, x)
#define LARGER NAME(pick)((x > y) | (x != x), x, y)
#define SMALLER NAME(pick)((x < y) | (x != x), x, y)
#define CLIPPED(X, Y) const V t = X; const V u = Y; const V x = NAME(pick)((t > u) | (t != t), t, u); const V y
#define TRUTH(MASK) NAME(pick)(MASK, one, zero)
        switch (code[0]) {
            EACH(OP_COPY, x)
            EACH(OP_NEGATIVE, -x)
            SHORT(OP_SQUARE, x * x)
            EACH(OP_ABSOLUTE, NAME(pick)(x < 0, -x, NAME(pick)(x == 0, zero, x)))
            EACH(OP_SIGN, NAME(pick)(x > 0, one, NAME(pick)(x < 0, -one, x)))
            SHORT(OP_RELU, RELU)
            EACH(OP_NOT, TRUTH(x == 0))
            SHORT(OP_ADD, x + y)
            SHORT(OP_SUBTRACT, x - y)
            SHORT(OP_MULTIPLY, x * y)
            SHORT(OP_MAXIMUM, LARGER)
            SHORT(OP_MINIMUM, SMALLER)
            EACH(OP_EQUAL, TRUTH(x == y))
            EACH(OP_NOT_EQUAL, TRUTH(x != y))
            EACH(OP_LESS, TRUTH(x < y))
            EACH(OP_LESS_EQUAL, TRUTH(x <= y))
            EACH(OP_GREATER, TRUTH(x > y))
            EACH(OP_GREATER_EQUAL, TRUTH(x >= y))
            EACH(OP_AND, TRUTH((x != 0) & (y != 0)))
            EACH(OP_OR, TRUTH((x != 0) | (y != 0)))
            SHORT(OP_GATE, (V)((M)(x > 0) & (M)y))
            LONG(OP_WHERE, , NAME(pick)(AT(a) != 0, AT(b), AT(c)))
#if FLOAT
            LONG(OP_CHOOSE, , NAME(pick)(AT(a) > 0, AT(b), AT(c)))
            LONG(OP_MULTIPLY_ADD, , AT(a) * AT(b) + AT(c))
            LONG(OP_MULTIPLY_MULTIPLY, , AT(a) * AT(b) * AT(c))
            LONG(OP_MULTIPLY_MULTIPLY_MULTIPLY, , (AT(a) * AT(b)) * (AT(c) * AT(e)))
            LONG(OP_MULTIPLY_MULTIPLY_ADD, , AT(a) * AT(b) * AT(c) + AT(e))
            LONG(OP_ADD_MULTIPLY, , (AT(a) + AT(b)) * AT(c))
            LONG(OP_ADD_MULTIPLY_MULTIPLY, , (AT(a) + AT(b)) * (AT(c) * AT(e)))
            LONG(OP_SUBTRACT_MULTIPLY, , (AT(a) - AT(b)) * AT(c))
            LONG(OP_SUBTRACT_MULTIPLY_MULTIPLY, , (AT(a) - AT(b)) * (AT(c) * AT(e)))
            LONG(OP_SUBTRACT_MULTIPLY_ADD, , (AT(a) - AT(b)) * AT(c) + AT(e))
            LONG(OP_SUBTRACT_MULTIPLY_ADD_RELU, const V x = (AT(a) - AT(b)) * AT(c) + AT(e), RELU)
            HELD(OP_SUBTRACT_MULTIPLY_ADD_HHH, ONE(b); ONE(c); ONE(e), , (AT(a) - b_) * c_ + e_)
            HELD(OP_SUBTRACT_MULTIPLY_ADD_RELU_HHH, ONE(b); ONE(c); ONE(e), const V x = (AT(a) - b_) * c_ + e_, RELU)
            HELD(OP_SUBTRACT_MULTIPLY_ADD_HH, ONE(b); ONE(c), , (AT(a) - b_) * c_ + AT(e))
            HELD(OP_SUBTRACT_MULTIPLY_HH, ONE(b); ONE(c), , (AT(a) - b_) * c_)
            HELD(OP_SUBTRACT_MULTIPLY_MULTIPLY_HHV, ONE(b); ONE(c), , (AT(a) - b_) * (c_ * AT(e)))
            HELD(OP_MULTIPLY_ADD_HH, ONE(b); ONE(c), , AT(a) * b_ + c_)
            LONG(OP_MULTIPLY_ADD_EE, , AT(a) * EVERY(b) + EVERY(c))
            LONG(OP_MULTIPLY_E, , AT(a) * EVERY(b))
            HELD(OP_MULTIPLY_MULTIPLY_ADD_EHH, ONE(c); ONE(e), , AT(a) * EVERY(b) * c_ + e_)
            LONG(OP_ADD_MAXIMUM, const V x = AT(a) + AT(b); const V y = AT(c), LARGER)
            LONG(OP_MAXIMUM_MINIMUM, CLIPPED(AT(a), AT(b)) = AT(c), SMALLER)
            LONG(OP_ADD_MAXIMUM_MINIMUM, CLIPPED(AT(a) + AT(b), AT(c)) = AT(e), SMALLER)
            LONG(OP_RELU_MINIMUM, CLIPPED(AT(a), zero) = AT(b), SMALLER)
            LONG(OP_EQUAL_WHERE, , NAME(pick)(AT(a) == AT(b), AT(c), AT(e)))
            LONG(OP_ADD_RELU, const V x = AT(a) + AT(b), RELU)
            case OP_GRADIENT_SUMS: {
                V s[4] = {zero, zero, zero, zero}, t[4] = {zero, zero, zero, zero};
                const V b_ = *(const V *)b;
                long i = 0;
#define ADD(k, at) { \
                    const V x = *(const V *)(a + (at)), y = *(const V *)(c + (at)); \
                    s[k] += (x - b_) * y; \
                    t[k] += y; \
                }
                for (; i + 4 * LANES <= n; i += 4 * LANES)
                    _Pragma("GCC unroll 4") for (int k = 0; k < 4; k++) ADD(k, i + k * LANES)
                for (; i < n; i += LANES) ADD(0, i)
#undef ADD
                *(V *)d += (s[0] + s[1]) + (s[2] + s[3]);
                *(V *)r[code[5]] += (t[0] + t[1]) + (t[2] + t[3]);
                break;
            }
            EACH(OP_DIVIDE, x / y)
            EACH(OP_SIGMOID, NAME(sigmoid_times)(x, one))
            EACH(OP_SIGMOID_MULTIPLY, NAME(sigmoid_times)(x, y))
            EACH(OP_EXP, NAME(vexp)(x))
            EACH(OP_MULTIPLY_NEGATIVE, -(x * y))
            EACH(OP_MULTIPLY_NEGATIVE_EXP, NAME(vexp)(-(x * y)))
            EACH(OP_EXPM1, NAME(vexpm1)(x))
            EACH(OP_LOG, NAME(vlog)(x))
            EACH(OP_LOG1P, NAME(vlog1p)(x))
            SCALAR(OP_SQRT, NAME(m_sqrt)(x))
            SCALAR(OP_FLOOR, NAME(m_floor)(x))
            SCALAR(OP_ROUND, NAME(m_rint)(x))
            EACH(OP_SIN, NAME(vsin)(x))
            EACH(OP_COS, NAME(vcos)(x))
            SCALAR(OP_ARCTAN2, NAME(m_atan2)(x, y))
            EACH(OP_TANH, NAME(vtanh)(x))
            EACH(OP_ERF, NAME(verf)(x))
            EACH(OP_MULTIPLY_ERF, NAME(verf)(x * y))
            ERF(OP_GELU, AT(a) * AT(b), AT(c), AT(e) * AT(a))
            ERF(OP_ERF_ADD_MULTIPLY_MULTIPLY, AT(a), AT(b), AT(c) * AT(e))
            EACH(OP_POWER, NAME(vpow)(x, y))
            EACH(OP_ISFINITE, TRUTH(x - x == 0))
            EACH(OP_ROUND_F16, NAME(narrow)(x, DIGITS - 11, 0x1p-14, (T)0x1.8p-25 * ((int64_t)1 << DIGITS), 65504))
            EACH(OP_ROUND_BF16, NAME(narrow)(x, DIGITS - 8, DIGITS == 24 ? 0 : (T)0x1p-126, DIGITS == 24 ? 0 :
                                             (T)0x1.8p-134 * ((int64_t)1 << DIGITS), (T)0x1.fep127))
            case OP_CHECK:
            {
                /* Whole vectors first: beyond the last number there may be anything. */
                long i = 0;
                M wrong = (M){0};
                for (; i + LANES <= n; i += LANES) {
                    const V x = *(const V *)(a + i);
                    wrong |= ~(x - x == 0);
                    *(V *)(d + i) = x;
                }
                for (int l = 0; l < LANES; l++) bad |= wrong[l] != 0;
                for (; i < n; i++) { bad |= !(a[i] - a[i] == 0); d[i] = a[i]; }
                break;
            }
#else
            SCALAR(OP_FLOOR, x)
#endif
        }
#undef EACH
#undef SHORT
#undef LONG
#undef AT
#undef ERF
#undef EVERY
#undef HELD
#undef ONE
#undef RELU
#undef LARGER
#undef SMALLER
#undef CLIPPED
#undef SCALAR
#undef TRUTH
    }
    return bad;
}
