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

/* `n` <= LANES neighbouring results: each lane goes over all positions of the reduced axes. */
static void NAME(reduce_lanes)(const Axes *r, int op, const T *x, T *out, long n) {
    V acc = NAME(neutral)(op) - (V){0};
    long index[MAX_AXES] = {0};
    for (long k = 0; k < r->count; k++) {
        acc = NAME(join)(op, acc, *(const V *)x);
        for (int d = r->axes - 1; d >= 0; d--) {
            x += r->stride[d];
            if (++index[d] < r->shape[d]) break;
            x -= r->stride[d] * r->shape[d];
            index[d] = 0;
        }
    }
    if (n == LANES) *(V *)out = acc;
    else { T a[LANES]; *(V *)a = acc; for (long l = 0; l < n; l++) out[l] = a[l]; }
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
        for (int d = r->axes - 1; d >= 0; d--) {
            x += r->stride[d];
            if (++index[d] < r->shape[d]) break;
            x -= r->stride[d] * r->shape[d];
            index[d] = 0;
        }
    }
    T a[LANES];
    *(V *)a = acc;
    for (long l = 0; l < valid; l++) rest = NAME(join_scalar)(op, rest, a[l]);
    return rest;
}

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
