/* Sum, max and min. Included once per type with T, V, M, LANES, NAME(x) defined. */

INLINE V NAME(join)(int op, V acc, V v) {
    M wins;
    if (op == REDUCE_SUM) return acc + v;
    wins = op == REDUCE_MAX ? (M)(v > acc) : (M)(v < acc);
    wins |= IS_NAN(v);
    return (V)((wins & (M)v) | (~wins & (M)acc));
}

INLINE T NAME(join_scalar)(int op, T acc, T v) {
    if (op == REDUCE_SUM) return acc + v;
    if (IS_NAN(v)) return v;
    return op == REDUCE_MAX ? (v > acc ? v : acc) : (v < acc ? v : acc);
}

INLINE T NAME(neutral)(int op) { return op == REDUCE_SUM ? 0 : op == REDUCE_MAX ? LOWEST : HIGHEST; }

/* Goes on to the next position of all axes but the last `skip`. */
INLINE const T *NAME(next)(const Axes *r, const T *x, long *index, int skip) {
    for (int d = r->axes - 1 - skip; d >= 0; d--) {
        x += r->stride[d];
        if (++index[d] < r->shape[d]) break;
        x -= r->stride[d] * r->shape[d];
        index[d] = 0;
    }
    return x;
}

INLINE void NAME(put)(T *out, V v, long n) {
    if (n == LANES) *(V *)out = v;
    else { T a[LANES]; *(V *)a = v; for (long l = 0; l < n; l++) out[l] = a[l]; }
}

/* Each lane over all positions of the reduced axes, with four chains of results, so that additions need not wait for
 * each other. WHAT is done with an accumulator `acc` and a vector at `at`. */
#define OVER_LANES(START, WHAT, JOIN) \
    const long n_ = r->axes ? r->shape[r->axes - 1] : 1, s_ = r->axes ? r->stride[r->axes - 1] : 0; \
    V acc0 = START, acc1 = START, acc2 = START, acc3 = START; \
    long index_[MAX_AXES] = {0}; \
    for (long k_ = 0; n_ > 0 && k_ < r->count; k_ += n_, x = NAME(next)(r, x, index_, 1)) { \
        long i_ = 0; \
        for (; i_ + 4 <= n_; i_ += 4) { \
            acc0 = WHAT(acc0, *(const V *)(x + i_ * s_)); \
            acc1 = WHAT(acc1, *(const V *)(x + (i_ + 1) * s_)); \
            acc2 = WHAT(acc2, *(const V *)(x + (i_ + 2) * s_)); \
            acc3 = WHAT(acc3, *(const V *)(x + (i_ + 3) * s_)); \
        } \
        for (; i_ < n_; i_++) acc0 = WHAT(acc0, *(const V *)(x + i_ * s_)); \
    } \
    const V acc = JOIN(JOIN(acc0, acc1), JOIN(acc2, acc3));

/* `n` <= LANES neighbouring results. */
static void NAME(reduce_lanes)(const Axes *r, int op, const T *x, T *out, long n) {
#define ADD(a, v) ((a) + (v))
#define TOP(a, v) NAME(join)(op, a, v)
    if (op == REDUCE_SUM) { OVER_LANES((V){0}, ADD, ADD) NAME(put)(out, acc, n); }
    else { const V start = NAME(neutral)(op) - (V){0}; OVER_LANES(start, TOP, TOP) NAME(put)(out, acc, n); }
#undef TOP
}

/* The first n lanes of a vector, the others being those of `otherwise`. */
INLINE V NAME(head)(const T *x, long n, V otherwise) {
    const M kept = *(const M *)(first_bytes + VECTOR_BYTES - n * sizeof(T));
    return (V)((kept & *(const M *)x) | (~kept & (M)otherwise));
}

/* One result: over the reduced axes, each position of which is `run` elements apart by `step`. With step 1 the sums
 * are kept per lane of a vector; only the first `valid` lanes count. */
static T NAME(reduce_run)(const Axes *r, int op, const T *x, long run, long step, long valid) {
    const V start = NAME(neutral)(op) - (V){0};
    V acc = start, more[3] = {start, start, start};
    T rest = NAME(neutral)(op), a[LANES];
    long index[MAX_AXES] = {0};
    for (long k = 0; k < r->count; k++) {
        long i = 0;
        if (step == 1) for (; i + 4 * LANES <= run; i += 4 * LANES) {
            acc = NAME(join)(op, acc, *(const V *)(x + i));
            _Pragma("GCC unroll 3") for (int j = 0; j < 3; j++)
                more[j] = NAME(join)(op, more[j], *(const V *)(x + i + (j + 1) * LANES));
        }
        if (step == 1) for (; i + LANES <= run; i += LANES) acc = NAME(join)(op, acc, *(const V *)(x + i));
        if (step == 1 && i < run) acc = NAME(join)(op, acc, NAME(head)(x + i, run - i, start));
        else for (; i < run; i++) rest = NAME(join_scalar)(op, rest, x[i * step]);
        x = NAME(next)(r, x, index, 0);
    }
    acc = NAME(join)(op, NAME(join)(op, acc, more[0]), NAME(join)(op, more[1], more[2]));
    if (valid < LANES) { *(V *)a = acc; acc = NAME(head)(a, valid, start); }
    M turn;
    for (int l = 0; l < LANES; l++) turn[l] = l;
    _Pragma("GCC unroll 4") for (int half = LANES / 2; half; half /= 2)
        acc = NAME(join)(op, acc, __builtin_shuffle(acc, turn + half));
    return NAME(join_scalar)(op, rest, acc[0]);
}

#if FLOAT
/* Per lane the mean and the sum of squares of the differences from it, over all positions. The first piece is read
 * twice, the second time less its mean, from the first-level cache; the others once, less the mean c of all before.
 * With D and E the sums of their differences from c and of those' squares, the sum of squares grows by
 * E - D * D / (all positions so far), and by Cauchy's inequality the second of these is at most n / all of the first:
 * as long as a piece has no more positions than those before it, little cancels, whatever the data.
 * rest: what c, rounded, lacks of the mean. */
static void NAME(moments_lanes)(const Axes *r, const T *x, T *mean, T *squares) {
    const long inner = r->axes ? r->shape[r->axes - 1] : 1, s = r->axes ? r->stride[r->axes - 1] : 0;
    enum { PIECE = 128 };
    V c = (V){0}, rest = (V){0}, q = (V){0};
    long seen = 0, index[MAX_AXES] = {0};
    for (long k = 0; inner > 0 && k < r->count; k += inner, x = NAME(next)(r, x, index, 1))
        for (long from = 0, n; from < inner; from += n, seen += n) {
            n = inner - from < PIECE ? inner - from : PIECE;
            const T *at = x + from * s;
            V d[4] = {(V){0}}, e[4] = {(V){0}}, shift = c;
            long i = 0;
            if (seen == 0) {
                for (; i + 4 <= n; i += 4)
                    _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++) d[j] += *(const V *)(at + (i + j) * s);
                for (; i < n; i++) d[0] += *(const V *)(at + i * s);
                shift = ((d[0] + d[1]) + (d[2] + d[3])) / (T)n;
                _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++) d[j] = (V){0};
            }
            for (i = 0; i + 4 <= n; i += 4)
                _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++) {
                    const V v = *(const V *)(at + (i + j) * s) - shift;
                    d[j] += v;
                    e[j] += v * v;
                }
            for (; i < n; i++) { const V v = *(const V *)(at + i * s) - shift; d[0] += v; e[0] += v * v; }
            const V all = ((d[0] + d[1]) + (d[2] + d[3])) + rest * (T)seen, step = all / (T)(seen + n);
            q += ((e[0] + e[1]) + (e[2] + e[3])) + (rest * rest * (T)seen - step * all);
            c = shift + step;
            rest = step - (c - shift);
        }
    *(V *)mean = c + rest;
    *(V *)squares = (V)((M)q & ~(M)(q < 0));        /* rounding may leave less than nothing of equal numbers */
}

/* The same over all positions of the first `valid` lanes together. */
static void NAME(moments_block)(const Axes *r, const T *x, long valid, T *mean, T *squares) {
    V m, q;
    NAME(moments_lanes)(r, x, (T *)&m, (T *)&q);
    const T c = NAME(sum_lanes)(m, valid) / (T)valid;
    *squares = NAME(sum_lanes)(q + (m - c) * (m - c) * (T)r->count, valid);
    *mean = c;
}

/* The same over reduced axes of which the innermost is `run` elements, `step` apart. */
static void NAME(moments_run)(const Axes *r, const T *x, long run, long step, T *mean, T *squares) {
    const T m = NAME(reduce_run)(r, REDUCE_SUM, x, run, step, LANES) / (T)(r->count * run);
    V acc = (V){0};
    T rest = 0;
    long index[MAX_AXES] = {0};
    for (long k = 0; k < r->count; k++, x = NAME(next)(r, x, index, 0)) {
        long i = 0;
        if (step == 1) for (; i + LANES <= run; i += LANES) {
            const V d = *(const V *)(x + i) - m;
            acc += d * d;
        }
        if (step == 1 && i < run) {
            const V d = NAME(head)(x + i, run - i, m - (V){0}) - m;
            acc += d * d;
        }
        else for (; i < run; i++) rest += (x[i * step] - m) * (x[i * step] - m);
    }
    rest += NAME(sum_lanes)(acc, LANES);
    *mean = m; *squares = rest;
}

/* Moments of `parts` groups of samples into those of all, in order (Chan, Golub and LeVeque, 1983). Each part has
 * `each` numbers, the last one `last`; their means and sums of squares are `step` elements apart. */
static void NAME(moments_join)(const T *means, const T *squares, long parts, long step, double each, double last,
                               double *mean, double *total) {
    double m = 0, s = 0, n = 0;
    for (long i = 0; i < parts; i++) {
        const double k = i < parts - 1 ? each : last, d = means[i * step] - m;
        n += k;
        m += d * (k / n);
        s += squares[i * step] + d * d * (k * (n - k) / n);
    }
    *mean = m; *total = s;
}
#endif
#undef OVER_LANES
#undef ADD

/* The index of the first extremum among `count` elements; the first NaN counts as one. */
static int32_t NAME(arg)(int op, const T *x, long count, long step) {
    long best = 0;
    for (long i = 1; i < count; i++) {
        const T v = x[i * step], b = x[best * step];
        if (IS_NAN(b)) break;
        if (IS_NAN(v) || (op == REDUCE_MAX ? v > b : v < b)) best = i;
    }
    return (int32_t)best;
}
