/* Tiles of depthwise convolution. Included once per element type, with T, V, VI, LANES, NAME(x) and SUM defined; the
 * arguments of both types are in depthwise_f32_f64.h.
 *
 * A tile computes 8, 4 or 1 results of a row: acc[i] += w[k] * x[i * S + k], over rows of K taps. The tiles of 8 read
 * inside of the row only; those of 4 and 1 take what lies beyond its ends as zero. With K and S known each vector of
 * x is loaded once for all taps that meet it. In the lanes layout a vector is a pixel of 16 samples and the weights are
 * scalars; in the plain layout it is 16 channels of a pixel, and so are the weights.
 *
 * A dot adds up x * g over all pixels, for KY rows of KX taps at once; rows beyond the input are read from a row of
 * zeros. */

#define PIXEL_BLOCKED LANES
#define PIXEL_PLAIN p->xp
#define WEIGHT_BLOCKED(k) (w[k] - (V){0})
#define WEIGHT_PLAIN(k) *(const V *)(w + (k) * p->wp)
#define LAST_BLOCKED LANES
#define LAST_PLAIN p->last
#define BIAS_BLOCKED(b) (V)(*(const T *)(b) - (V){0})
#define BIAS_PLAIN(b) (V)*(const V *)(b)

/* The first `last` lanes of n vectors. */
static __attribute__((noinline)) void NAME(store_parts)(T *y, long step, const V *v, long n, long last) {
    for (long i = 0; i < n; i++) memcpy(y + i * step, v + i, last * sizeof(T));
}

#define EACH_ROW(BODY) \
    for (long a = 0; a < p->n[0]; a++) for (long b = 0; b < p->n[1]; b++) for (long r = 0; r < p->n[2]; r++) { \
        const T *x = (const T *)p->x + a * p->xs[0] + b * p->xs[1] + r * p->xs[2] + column * pixel; \
        const T *w = (const T *)p->w + a * p->ws[0] + b * p->ws[1] + r * p->ws[2]; \
        BODY }

#define INSIDE(EDGE, j) (!(EDGE) || (unsigned long)(column + (j)) < (unsigned long)p->columns)

#define BEGIN_TILE(XB, LAYOUT) \
    V acc[XB]; \
    const long pixel = PIXEL_##LAYOUT; \
    _Pragma("GCC unroll 8") for (int i = 0; i < XB; i++) acc[i] = p->bias ? BIAS_##LAYOUT(p->bias) : (V){0};

#define END_TILE(XB, LAYOUT) \
    if (p->relu) { \
        _Pragma("GCC unroll 8") for (int i = 0; i < XB; i++) acc[i] = (V)((VI)acc[i] & ~(acc[i] <= 0)); } \
    if (LAST_##LAYOUT == LANES) { \
        _Pragma("GCC unroll 8") for (int i = 0; i < XB; i++) *(V *)(y + i * p->yp) = acc[i]; \
    } else { \
        V parts[XB]; \
        _Pragma("GCC unroll 8") for (int i = 0; i < XB; i++) parts[i] = acc[i]; \
        NAME(store_parts)(y, p->yp, parts, XB, p->last); }

#define DEPTHWISE_TILE(LAYOUT, layout, K, S, XB, EDGE) \
static void NAME(layout##_##K##_##S##_##XB)(const Depthwise *p, long column, void *out) { \
    T *y = out; \
    BEGIN_TILE(XB, LAYOUT) \
    EACH_ROW( \
        V s[K]; \
        _Pragma("GCC unroll 8") for (int k = 0; k < K; k++) s[k] = WEIGHT_##LAYOUT(k); \
        _Pragma("GCC unroll 32") for (int j = 0; j < (XB - 1) * S + K; j++) { \
            const V v = INSIDE(EDGE, j) ? (V)*(const V *)(x + j * pixel) : (V){0}; \
            _Pragma("GCC unroll 8") for (int i = 0; i < XB; i++) \
                if (j - i * S >= 0 && j - i * S < K) acc[i] += s[j - i * S] * v; }) \
    END_TILE(XB, LAYOUT) \
}

/* Any number of taps, any distance between them, any stride. */
#define DEPTHWISE_ANY(LAYOUT, layout, XB, EDGE) \
static void NAME(layout##_any_##XB)(const Depthwise *p, long column, void *out) { \
    T *y = out; \
    BEGIN_TILE(XB, LAYOUT) \
    EACH_ROW( \
        for (long t = 0; t < p->taps; t++) { \
            const V s = WEIGHT_##LAYOUT(t); \
            const long at = t * p->apart; \
            _Pragma("GCC unroll 8") for (int i = 0; i < XB; i++) \
                acc[i] += s * (INSIDE(EDGE, at + i * p->stride) ? (V)*(const V *)(x + (at + i * p->stride) * pixel) \
                                                                 : (V){0}); }) \
    END_TILE(XB, LAYOUT) \
}

#define DEPTHWISE_TILES(LAYOUT, layout, K, S) \
    DEPTHWISE_TILE(LAYOUT, layout, K, S, 8, 0) DEPTHWISE_TILE(LAYOUT, layout, K, S, 4, 1)

DEPTHWISE_ANY(BLOCKED, lanes, 8, 0) DEPTHWISE_ANY(BLOCKED, lanes, 4, 1) DEPTHWISE_ANY(BLOCKED, lanes, 1, 1)
DEPTHWISE_ANY(PLAIN, plain, 8, 0) DEPTHWISE_ANY(PLAIN, plain, 4, 1) DEPTHWISE_ANY(PLAIN, plain, 1, 1)
#ifdef SPECIALISED
DEPTHWISE_TILES(BLOCKED, lanes, 2, 1) DEPTHWISE_TILES(BLOCKED, lanes, 3, 1) DEPTHWISE_TILES(BLOCKED, lanes, 3, 2)
DEPTHWISE_TILES(BLOCKED, lanes, 5, 1) DEPTHWISE_TILES(BLOCKED, lanes, 5, 2)
DEPTHWISE_TILES(PLAIN, plain, 3, 1) DEPTHWISE_TILES(PLAIN, plain, 3, 2)
DEPTHWISE_TILES(PLAIN, plain, 5, 1) DEPTHWISE_TILES(PLAIN, plain, 5, 2)
#define CHOICE(layout, K, S) {NAME(layout##_##K##_##S##_8), NAME(layout##_##K##_##S##_4), NAME(layout##_any_1)}
#endif
#define ANY(layout) {NAME(layout##_any_8), NAME(layout##_any_4), NAME(layout##_any_1)}

/* The tiles of 8, 4 and 1 results for rows of `taps` taps, side by side, and this stride. */
static const DepthwiseTile *NAME(depthwise_tiles)(int plain, long taps, long apart, long stride) {
    static const DepthwiseTile any[2][3] = {ANY(lanes), ANY(plain)};
#ifdef SPECIALISED
    static const DepthwiseTile lanes[5][3] = {CHOICE(lanes, 2, 1), CHOICE(lanes, 3, 1), CHOICE(lanes, 3, 2),
                                              CHOICE(lanes, 5, 1), CHOICE(lanes, 5, 2)};
    static const DepthwiseTile channels[4][3] = {CHOICE(plain, 3, 1), CHOICE(plain, 3, 2), CHOICE(plain, 5, 1),
                                                 CHOICE(plain, 5, 2)};
    if (apart == 1 && stride <= 2) {
        if (taps == 3 || taps == 5)
            return plain ? channels[(taps == 5) * 2 + stride - 1] : lanes[1 + (taps == 5) * 2 + stride - 1];
        if (taps == 2 && stride == 1 && !plain) return lanes[0];
    }
#endif
    return any[plain];
}

#define DOT_STEP(KY, KX, S, XB, EDGE) { \
    V gv[XB]; \
    _Pragma("GCC unroll 8") for (int i = 0; i < XB; i++) gv[i] = *(const V *)(g + (o + i) * LANES); \
    const long column = o * S - p->low; \
    _Pragma("GCC unroll 8") for (int k = 0; k < KY; k++) \
        _Pragma("GCC unroll 32") for (int j = 0; j < (XB - 1) * S + KX; j++) { \
            const V v = INSIDE(EDGE, j) ? (V)*(const V *)(rows[k] + (column + j) * LANES) : (V){0}; \
            _Pragma("GCC unroll 8") for (int i = 0; i < XB; i++) \
                if (j - i * S >= 0 && j - i * S < KX) acc[k][j - i * S] += gv[i] * v; } \
}

#define DEPTHWISE_DOT(KY, KX, S) \
static void NAME(depthwise_dot_##KY##_##KX##_##S)(const DepthwiseDot *p) { \
    V acc[KY][KX]; \
    const long count = p->outputs[2]; \
    _Pragma("GCC unroll 8") for (int k = 0; k < KY; k++) \
        _Pragma("GCC unroll 8") for (int i = 0; i < KX; i++) acc[k][i] = (V){0}; \
    for (long z = p->first; z < p->end; z++) for (long r = 0; r < p->outputs[1]; r++) { \
        const T *g = (const T *)p->g + (z * p->outputs[1] + r) * count * LANES; \
        const T *rows[KY]; \
        int met = 0; \
        _Pragma("GCC unroll 8") for (int k = 0; k < KY; k++) { \
            const long at = r * p->ystep + p->y + k * p->yapart; \
            const int inside = at >= 0 && at < p->rows; \
            met |= inside; \
            rows[k] = inside ? (const T *)p->x + (z * p->zs + at) * p->columns * LANES : (const T *)p->zeros; } \
        if (!met) continue; \
        long o = 0; \
        for (; o < p->lo; o++) DOT_STEP(KY, KX, S, 1, 1) \
        for (; o + 4 <= p->hi; o += 4) DOT_STEP(KY, KX, S, 4, 0) \
        for (; o < count; o++) DOT_STEP(KY, KX, S, 1, 1) } \
    V sums[KY][KX]; \
    _Pragma("GCC unroll 8") for (int k = 0; k < KY; k++) \
        _Pragma("GCC unroll 8") for (int i = 0; i < KX; i++) sums[k][i] = acc[k][i]; \
    _Pragma("GCC unroll 1") for (int k = 0; k < KY; k++) \
        _Pragma("GCC unroll 1") for (int i = 0; i < KX; i++) \
            ((T *)p->out)[(k * KX + i) * p->os] = SUM(sums[k][i], p->lanes); \
}

/* One tap: the results that meet the input, and no others. */
static void NAME(depthwise_dot_any)(const DepthwiseDot *p) {
    V a = {0}, b = {0};
    for (long z = p->first; z < p->end; z++) for (long r = 0; r < p->outputs[1]; r++) {
        const T *g = (const T *)p->g + (z * p->outputs[1] + r) * p->outputs[2] * LANES;
        const long at = r * p->ystep + p->y, step = p->stride * LANES;
        if (at < 0 || at >= p->rows) continue;
        const T *x = (const T *)p->x + ((z * p->zs + at) * p->columns - p->low) * LANES;
        long o = p->lo;
        for (; o + 2 <= p->hi; o += 2) {
            a += *(const V *)(g + o * LANES) * *(const V *)(x + o * step);
            b += *(const V *)(g + (o + 1) * LANES) * *(const V *)(x + (o + 1) * step); }
        if (o < p->hi) a += *(const V *)(g + o * LANES) * *(const V *)(x + o * step); }
    *(T *)p->out = SUM(a + b, p->lanes);
}

#ifdef SPECIALISED
DEPTHWISE_DOT(1, 3, 1) DEPTHWISE_DOT(1, 3, 2) DEPTHWISE_DOT(3, 3, 1) DEPTHWISE_DOT(3, 3, 2)
DEPTHWISE_DOT(1, 5, 1) DEPTHWISE_DOT(1, 5, 2)
#endif

/* The dot for a kernel whose rows have `taps` taps, `apart` from each other; *ky, *kx: rows and taps that it takes. */
static DepthwiseDotTile NAME(depthwise_dot)(long rows, long taps, long apart, long stride, long *ky, long *kx) {
#ifdef SPECIALISED
    static const DepthwiseDotTile tiles[3][2] = {{NAME(depthwise_dot_1_3_1), NAME(depthwise_dot_1_3_2)},
                                                 {NAME(depthwise_dot_3_3_1), NAME(depthwise_dot_3_3_2)},
                                                 {NAME(depthwise_dot_1_5_1), NAME(depthwise_dot_1_5_2)}};
    if (apart == 1 && stride <= 2 && (taps == 3 || taps == 5)) {
        *ky = taps == 3 && rows % 3 == 0 ? 3 : 1;
        *kx = taps;
        return tiles[taps == 5 ? 2 : *ky == 3][stride - 1];
    }
#endif
    *ky = *kx = 1;
    return NAME(depthwise_dot_any);
}

#undef CHOICE
#undef ANY
#undef DEPTHWISE_TILE
#undef DEPTHWISE_TILES
#undef DEPTHWISE_ANY
#undef DEPTHWISE_DOT
#undef DOT_STEP
#undef BEGIN_TILE
#undef END_TILE
#undef EACH_ROW
#undef INSIDE
#undef PIXEL_BLOCKED
#undef PIXEL_PLAIN
#undef WEIGHT_BLOCKED
#undef WEIGHT_PLAIN
#undef LAST_BLOCKED
#undef LAST_PLAIN
#undef BIAS_BLOCKED
#undef BIAS_PLAIN
