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

/* One result: over the reduced axes, each position of which is `run` elements apart by `step`. With step 1 the sums
 * are kept per lane of a vector; only the first `valid` lanes count. */
static T NAME(reduce_run)(const Axes *r, int op, const T *x, long run, long step, long valid) {
    const T start = NAME(neutral)(op);
    V acc = start - (V){0};
    T rest = start;
    long index[MAX_AXES] = {0};
    for (long k = 0; k < r->count; k++) {
        long i = 0;
        if (step == 1) for (; i + LANES <= run; i += LANES) acc = NAME(join)(op, acc, *(const V *)(x + i));
        for (; i < run; i++) rest = NAME(join_scalar)(op, rest, x[i * step]);
        x = NAME(next)(r, x, index, 0);
    }
    T a[LANES];
    *(V *)a = acc;
    for (long l = 0; l < valid; l++) rest = NAME(join_scalar)(op, rest, a[l]);
    return rest;
}

#if FLOAT
#define DEVIATION(a, v) ((a) + ((v) - m) * ((v) - m))

/* Per lane the mean and the sum of squares of the differences from it, over all positions: two passes. */
static void NAME(moments_lanes)(const Axes *r, const T *x, T *mean, T *squares) {
    V m;
    { const T *start = x; OVER_LANES((V){0}, ADD, ADD) m = acc / (T)r->count; x = start; }
    { OVER_LANES((V){0}, DEVIATION, ADD) *(V *)squares = acc; }
    *(V *)mean = m;
}

/* The same over all positions of the first `valid` lanes together. */
static void NAME(moments_block)(const Axes *r, const T *x, long valid, T *mean, T *squares) {
    T m;
    { const T *start = x; OVER_LANES((V){0}, ADD, ADD)
      m = NAME(sum_lanes)(acc, valid) / ((T)r->count * (T)valid); x = start; }
    { OVER_LANES((V){0}, DEVIATION, ADD) *squares = NAME(sum_lanes)(acc, valid); }
    *mean = m;
}
#undef DEVIATION

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
        for (; i < run; i++) rest += (x[i * step] - m) * (x[i * step] - m);
    }
    T a[LANES];
    *(V *)a = acc;
    for (long l = 0; l < LANES; l++) rest += a[l];
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
