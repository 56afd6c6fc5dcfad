/* Rows of depthwise convolution. Included once per element type, with T, V, LANES, NAME(x) and SUM defined; the
 * arguments of both types are in depthwise_f32_f64.h.
 *
 * A row of results goes in tiles of 8 or 4: acc[i] += w[k] * x[i * S + k], over rows of K taps. Tiles inside of the row
 * test nothing; those at its ends (EDGE) take what lies beyond them as zero, and may store fewer results. With K and S
 * known each vector of x is loaded once for all taps that meet it. In the lanes layout a vector is a pixel of 16
 * samples and the weights are scalars; in the plain layout it is 16 channels of a pixel, and so are the weights.
 *
 * A dot adds up x * g over all pixels, for KY rows of KX taps at once; rows beyond the input are read from a row of
 * zeros. */

#define PIXEL_BLOCKED LANES
#define PIXEL_PLAIN p->xp
#define WEIGHT_BLOCKED(k) (w[k] - (V){0})
#define WEIGHT_PLAIN(k) *(const V *)(w + (k) * p->wp)
#define LAST_BLOCKED LANES
#define LAST_PLAIN p->last
#define PAST_BLOCKED p->past
#define PAST_PLAIN 0
#define BIAS_BLOCKED(b) (V)(*(const T *)(b) - (V){0})
#define BIAS_PLAIN(b) (V)*(const V *)(b)

/* The first `last` lanes of n vectors. */
static __attribute__((noinline)) void NAME(store_parts)(T *y, long step, const V *v, long n, long last) {
    for (long i = 0; i < n; i++) memcpy(y + i * step, v + i, last * sizeof(T));
}

/* Plain layout, the gradient for the kernel: adds x * g of n pixels of a row to sums. */
static void NAME(depthwise_sums)(const T *x, long xstep, const T *g, long gstep, long n, T *sums) {
    V acc[4] = {*(const V *)sums};
    for (; n >= 4; n -= 4, x += 4 * xstep, g += 4 * gstep)
        _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++)
            acc[i] += *(const V *)(x + i * xstep) * *(const V *)(g + i * gstep);
    for (; n > 0; n--, x += xstep, g += gstep) acc[0] += *(const V *)x * *(const V *)g;
    *(V *)sums = (acc[0] + acc[1]) + (acc[2] + acc[3]);
}

/* Windows of 3 x 3 taps go column by column of what they read, all three rows of taps at once: acc[j] is the result
 * that began j results ago. So the taps stay in registers, each vector is loaded once for a row of results, there are
 * no tiles that leave a rest, and but for the ends of a row nothing is tested. Rows beyond the input are a vector of
 * zeros. */
#define WINDOW_STEP(S, MET, DONE) { \
    acc[0] = bias; \
    _Pragma("GCC unroll 2") for (int s = 0; s < S; s++, column++) \
        if (MET) { \
            _Pragma("GCC unroll 3") for (int k = 0; k < 3; k++) { \
                const V v = *(const V *)x[k]; \
                x[k] += step[k]; \
                _Pragma("GCC unroll 3") for (int i = s; i < 3; i += S) acc[i / S] += tap[k][i] * v; } } \
    DONE \
    _Pragma("GCC unroll 2") for (int i = 2 / S; i > 0; i--) acc[i] = acc[i - 1]; }

#define WINDOW_DONE(S) { \
    const V v = relu ? NAME(relu)(acc[2 / S]) : acc[2 / S]; \
    if (past) STREAM(y, v); else *(V *)y = v; \
    y += yp; }

#define DEPTHWISE_WINDOWS(LAYOUT, layout, S) \
static void NAME(layout##_windows_##S)(const DepthwiseWindows *p) { \
    const long pixel = PIXEL_##LAYOUT, columns = p->columns, yp = p->yp, steps = p->count + 2 / S; \
    const long reach = (columns - p->low) / S, whole = reach < steps ? reach : steps; \
    const int relu = p->relu, past = PAST_##LAYOUT; \
    V tap[3][3]; \
    _Pragma("GCC unroll 3") for (int k = 0; k < 3; k++) { \
        const T *w = (const T *)p->w + k * p->ws; \
        _Pragma("GCC unroll 3") for (int i = 0; i < 3; i++) tap[k][i] = WEIGHT_##LAYOUT(i); } \
    const V zeros = (V){0}, bias = p->bias ? BIAS_##LAYOUT(p->bias) : zeros; \
    for (long r = p->first; r < p->end; r++) { \
        T *y = (T *)p->y + (r - p->first) * p->yline; \
        const T *x[3]; \
        long step[3], column = p->low, o = 0; \
        _Pragma("GCC unroll 3") for (int k = 0; k < 3; k++) { \
            const long at = r * p->ystep + p->ylow + k * p->yapart; \
            const int inside = (unsigned long)at < (unsigned long)p->rows; \
            x[k] = inside ? (const T *)p->x + at * p->line + (column > 0 ? column : 0) * pixel : (const T *)&zeros; \
            step[k] = inside ? pixel : 0; } \
        V acc[3] = {bias, bias, bias}; \
        _Pragma("GCC unroll 2") for (; o < 2 / S; o++) \
            WINDOW_STEP(S, (unsigned long)column < (unsigned long)columns, ) \
        for (; o < whole; o++) WINDOW_STEP(S, 1, WINDOW_DONE(S)) \
        for (; o < steps; o++) WINDOW_STEP(S, s < S - 1 && column < columns, WINDOW_DONE(S)) } \
}

#ifdef SPECIALISED
DEPTHWISE_WINDOWS(BLOCKED, lanes, 1) DEPTHWISE_WINDOWS(BLOCKED, lanes, 2)
DEPTHWISE_WINDOWS(PLAIN, plain, 1) DEPTHWISE_WINDOWS(PLAIN, plain, 2)
#endif

/* The function for windows of `rows` x `taps`, `apart` columns from tap to tap, the first of which meets column `low`
 * for the first result, and this stride along them, or NULL. */
static DepthwiseAll NAME(depthwise_windows)(int plain, long rows, long taps, long apart, long low, long stride) {
#ifdef SPECIALISED
    static const DepthwiseAll all[2][2] = {{NAME(lanes_windows_1), NAME(lanes_windows_2)},
                                           {NAME(plain_windows_1), NAME(plain_windows_2)}};
    if (rows == 3 && taps == 3 && apart == 1 && stride <= 2 && low >= -2) return all[plain][stride - 1];
#endif
    return 0;
}

/* The gradient for the input of windows of 3 x 3 with stride 2, a plane in the lanes layout. Along an axis the middle
 * tap alone reaches every other result, and the outer two those between, from neighbouring gradients. Results go in
 * pairs, so that each gradient is read once for a row of them: from g, and with `both` from h, by the taps w and u. */
INLINE void NAME(spread_row)(const DepthwiseSpread *p, T *y, const T *g, const T *h, const T *w, const T *u,
                             const int both) {
    const long first = (p->low[1] - 1) >> 1, count = p->counts[1];
    const int begun = (unsigned long)first < (unsigned long)count;
    V a = begun ? (V)*(const V *)(g + first * LANES) : (V){0}, c = begun ? (V)*(const V *)(h + first * LANES) : (V){0};
    for (long j = first, at = 2 * first + 1 - p->low[1]; at < p->columns; j++, at += 2) {
        V b = (V){0}, d = (V){0};
        if (j + 1 < count) {
            b = *(const V *)(g + (j + 1) * LANES);
            if (both) d = *(const V *)(h + (j + 1) * LANES);
        }
        V one = w[1] * a, two = w[2] * a + w[0] * b;
        if (both) one += u[1] * c, two += u[2] * c + u[0] * d;
        if (p->past) {
            if (at >= 0) STREAM(y + at * LANES, one);
            if (at + 1 < p->columns) STREAM(y + (at + 1) * LANES, two);
        } else {
            if (at >= 0) *(V *)(y + at * LANES) = one;
            if (at + 1 < p->columns) *(V *)(y + (at + 1) * LANES) = two;
        }
        a = b, c = d;
    }
}

static void NAME(depthwise_spread)(const DepthwiseSpread *p) {
    const T *w = p->w;
    T *y = p->y;
    const long line = p->counts[1] * LANES;
    for (long r = 0; r < p->rows; r++, y += p->columns * LANES) {
        /* Row k of the taps and row o of the gradients make row 2 * o + k - low. */
        const long at = r + p->low[0], o = at >> 1;
        const T *g = (const T *)p->g + o * line;
        const int here = o < p->counts[0], before = at % 2 == 0 && o > 0 && o <= p->counts[0];
        if (before && here) NAME(spread_row)(p, y, g, g - line, w, w + 6, 1);
        else if (before) NAME(spread_row)(p, y, g - line, g - line, w + 6, w, 0);
        else if (here) NAME(spread_row)(p, y, g, g, w + at % 2 * 3, w, 0);
        else memset(y, 0, p->columns * LANES * sizeof(T));
    }
}

#define EACH_ROW(BODY) \
    for (long a = 0; a < p->n[0]; a++) for (long b = 0; b < p->n[1]; b++) for (long r = 0; r < p->n[2]; r++) { \
        const T *x = (const T *)p->x + a * p->xs[0] + b * p->xs[1] + r * p->xs[2] + column * pixel; \
        const T *w = (const T *)p->w + a * p->ws[0] + b * p->ws[1] + r * p->ws[2]; \
        BODY }

#define INSIDE(EDGE, j) (!(EDGE) || (unsigned long)(column + (j)) < (unsigned long)p->columns)

/* XB results from number o on; `count` of them are stored. */
#define TILE(LAYOUT, XB, EDGE, BODY) { \
    V acc[XB]; \
    const long column = low + o * p->stride, count = !(EDGE) || n - o > XB ? XB : n - o; \
    T *y = (T *)out + o * p->yp; \
    _Pragma("GCC unroll 8") for (int i = 0; i < XB; i++) acc[i] = p->bias ? BIAS_##LAYOUT(p->bias) : (V){0}; \
    EACH_ROW(BODY) \
    if (p->relu) { \
        _Pragma("GCC unroll 8") for (int i = 0; i < XB; i++) acc[i] = NAME(relu)(acc[i]); } \
    if (PAST_##LAYOUT) { \
        _Pragma("GCC unroll 8") for (int i = 0; i < XB; i++) \
            if (!(EDGE) || i < count) STREAM(y + i * p->yp, acc[i]); \
    } else if (LAST_##LAYOUT == LANES) { \
        _Pragma("GCC unroll 8") for (int i = 0; i < XB; i++) \
            if (!(EDGE) || i < count) *(V *)(y + i * p->yp) = acc[i]; \
    } else { \
        V parts[XB]; \
        _Pragma("GCC unroll 8") for (int i = 0; i < XB; i++) parts[i] = acc[i]; \
        NAME(store_parts)(y, p->yp, parts, count, p->last); } }

#define KNOWN_TAPS(LAYOUT, K, S, XB, EDGE) \
    V s[K]; \
    _Pragma("GCC unroll 8") for (int k = 0; k < K; k++) s[k] = WEIGHT_##LAYOUT(k); \
    _Pragma("GCC unroll 32") for (int j = 0; j < (XB - 1) * S + K; j++) { \
        const V v = INSIDE(EDGE, j) ? (V)*(const V *)(x + j * pixel) : (V){0}; \
        _Pragma("GCC unroll 8") for (int i = 0; i < XB; i++) \
            if (j - i * S >= 0 && j - i * S < K) acc[i] += s[j - i * S] * v; }

#define ANY_TAPS(LAYOUT, XB, EDGE) \
    for (long t = 0; t < p->taps; t++) { \
        const V s = WEIGHT_##LAYOUT(t); \
        const long at = t * p->apart; \
        _Pragma("GCC unroll 8") for (int i = 0; i < XB; i++) \
            acc[i] += s * (INSIDE(EDGE, at + i * p->stride) ? (V)*(const V *)(x + (at + i * p->stride) * pixel) \
                                                             : (V){0}); }

/* n results, the first tap of the first of which meets column `low`; those from lo to hi need no test. Any number of
 * taps, any distance between them, any stride. */
#define DEPTHWISE_ANY(LAYOUT, layout) \
static void NAME(layout##_any)(const Depthwise *p, long low, long n, long lo, long hi, void *out) { \
    const long pixel = PIXEL_##LAYOUT; \
    for (long o = 0; o < n;) { \
        if (o >= lo && o + 8 <= hi) { TILE(LAYOUT, 8, 0, ANY_TAPS(LAYOUT, 8, 0)) o += 8; } \
        else { TILE(LAYOUT, 4, 1, ANY_TAPS(LAYOUT, 4, 1)) o += 4; } } \
}

/* The same for K taps side by side and stride S. (Seven taps of eight lanes take so long that all columns may be
 * tested meanwhile.) */
#define UNTESTED(K) (K < 7 || VECTOR_BYTES != 32)
#define DEPTHWISE_ROW(LAYOUT, layout, K, S) \
static void NAME(layout##_##K##_##S)(const Depthwise *p, long low, long n, long lo, long hi, void *out) { \
    const long pixel = PIXEL_##LAYOUT; \
    for (long o = 0; o < n;) { \
        if (UNTESTED(K) && o >= lo && o + 8 <= hi) { TILE(LAYOUT, 8, 0, KNOWN_TAPS(LAYOUT, K, S, 8, 0)) o += 8; } \
        else if (n - o > 4) { TILE(LAYOUT, 8, 1, KNOWN_TAPS(LAYOUT, K, S, 8, 1)) o += 8; } \
        else { NAME(layout##_any)(p, low + o * S, n - o, lo - o, hi - o, (T *)out + o * p->yp); return; } } \
}

DEPTHWISE_ANY(BLOCKED, lanes)
DEPTHWISE_ANY(PLAIN, plain)
#ifdef SPECIALISED
DEPTHWISE_ROW(BLOCKED, lanes, 3, 1)
DEPTHWISE_ROW(BLOCKED, lanes, 3, 2)
DEPTHWISE_ROW(BLOCKED, lanes, 5, 1)
DEPTHWISE_ROW(BLOCKED, lanes, 5, 2)
DEPTHWISE_ROW(PLAIN, plain, 3, 1)
DEPTHWISE_ROW(PLAIN, plain, 3, 2)
DEPTHWISE_ROW(PLAIN, plain, 5, 1)
DEPTHWISE_ROW(PLAIN, plain, 5, 2)
#if ACCUMULATORS >= 24 || VECTOR_BYTES == 32     /* seven taps beside eight sums */
DEPTHWISE_ROW(BLOCKED, lanes, 7, 1)
DEPTHWISE_ROW(PLAIN, plain, 7, 1)
#endif
#endif

/* The function for rows of `taps` taps, `apart` from each other, and this stride. */
static DepthwiseRow NAME(depthwise_row)(int plain, long taps, long apart, long stride) {
#ifdef SPECIALISED
    static const DepthwiseRow rows[2][2][2] = {
        {{NAME(lanes_3_1), NAME(lanes_3_2)}, {NAME(lanes_5_1), NAME(lanes_5_2)}},
        {{NAME(plain_3_1), NAME(plain_3_2)}, {NAME(plain_5_1), NAME(plain_5_2)}}};
    if (apart == 1 && stride <= 2 && (taps == 3 || taps == 5)) return rows[plain][taps == 5][stride - 1];
#if ACCUMULATORS >= 24 || VECTOR_BYTES == 32
    if (apart == 1 && stride == 1 && taps == 7) return plain ? NAME(plain_7_1) : NAME(lanes_7_1);
#endif
#endif
    return plain ? NAME(plain_any) : NAME(lanes_any);
}

/* Column by column, as the windows: a column is multiplied with the last gradients, which are in registers. Each sum
 * gets one product in turn, so that none waits for the one before. */
#define ZEROS_BLOCKED (const T *)p->zeros
#define ZEROS_PLAIN (const T *)&zeros
#define STEP_BLOCKED(inside) LANES
#define STEP_PLAIN(inside) ((inside) ? pixel : 0)
#define DOT_DONE_BLOCKED(KY, KX) \
    V number, sums[KY][KX]; \
    for (int i = 0; i < LANES; i++) number[i] = i; \
    const __typeof__(number < 0) kept = number < (T)p->lanes; \
    _Pragma("GCC unroll 8") for (int k = 0; k < KY; k++) \
        _Pragma("GCC unroll 8") for (int i = 0; i < KX; i++) \
            sums[k][i] = (V)((__typeof__(number < 0))acc[k][i] & kept); \
    _Pragma("GCC unroll 1") for (int k = 0; k < KY; k++) \
        _Pragma("GCC unroll 1") for (int i = 0; i < KX; i++) \
            ((T *)p->out)[(k * KX + i) * p->os] = SUM(sums[k][i], LANES);

#define DOT_DONE_PLAIN(KY, KX) \
    _Pragma("GCC unroll 8") for (int k = 0; k < KY; k++) \
        _Pragma("GCC unroll 8") for (int i = 0; i < KX; i++) *(V *)((T *)p->out + (k * KX + i) * p->os) = acc[k][i];

#define DOT_STEP(KY, KX, S, LAST, MET) { \
    now[0] = LAST; \
    _Pragma("GCC unroll 2") for (int s = 0; s < S; s++, column++) \
        if (MET) { \
            _Pragma("GCC unroll 8") for (int k = 0; k < KY; k++) { \
                const V v = *(const V *)x[k]; \
                x[k] += step[k]; \
                _Pragma("GCC unroll 8") for (int i = s; i < KX; i += S) acc[k][i] += now[i / S] * v; } } \
    _Pragma("GCC unroll 8") for (int i = (KX - 1) / S; i > 0; i--) now[i] = now[i - 1]; }

#define DEPTHWISE_DOT(LAYOUT, layout, KY, KX, S) \
static void NAME(layout##_dot_##KY##_##KX##_##S)(const DepthwiseDot *p) { \
    V acc[KY][KX]; \
    const long pixel = PIXEL_##LAYOUT; \
    const V zeros __attribute__((unused)) = (V){0}; \
    const long columns = p->columns, count = p->outputs[2], steps = count + (KX - 1) / S, low = p->low; \
    const long first = low > 0 ? (low + S - 1) / S : 0, before = first < count ? first : count; \
    const long reach = (columns + low) / S, whole = reach < count ? reach : count; \
    _Pragma("GCC unroll 8") for (int k = 0; k < KY; k++) \
        _Pragma("GCC unroll 8") for (int i = 0; i < KX; i++) acc[k][i] = (V){0}; \
    for (long z = p->first; z < p->end; z++) for (long r = 0; r < p->outputs[1]; r++) { \
        const T *g = (const T *)p->g + (z * p->outputs[1] + r) * count * pixel; \
        const T *x[KY]; \
        long step[KY]; \
        int met = 0; \
        _Pragma("GCC unroll 8") for (int k = 0; k < KY; k++) { \
            const long at = r * p->ystep + p->y + k * p->yapart; \
            const int inside = at >= 0 && at < p->rows; \
            met |= inside; \
            step[k] = STEP_##LAYOUT(inside); \
            x[k] = (inside ? (const T *)p->x + (z * p->zs + at) * columns * pixel : ZEROS_##LAYOUT) \
                + (low < 0 ? -low : 0) * step[k]; } \
        if (!met) continue; \
        V now[(KX - 1) / S + 1]; \
        _Pragma("GCC unroll 8") for (int i = 0; i <= (KX - 1) / S; i++) now[i] = (V){0}; \
        long o = 0, column = -low; \
        for (; o < before; o++) \
            DOT_STEP(KY, KX, S, *(const V *)(g + o * pixel), (unsigned long)column < (unsigned long)columns) \
        for (; o < whole; o++) DOT_STEP(KY, KX, S, *(const V *)(g + o * pixel), 1) \
        for (; o < steps; o++) \
            DOT_STEP(KY, KX, S, o < count ? (V)*(const V *)(g + o * pixel) : (V){0}, \
                     (unsigned long)column < (unsigned long)columns) } \
    DOT_DONE_##LAYOUT(KY, KX) \
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
#define DEPTHWISE_DOTS(LAYOUT, layout) \
    DEPTHWISE_DOT(LAYOUT, layout, 1, 3, 1) DEPTHWISE_DOT(LAYOUT, layout, 1, 3, 2) \
    DEPTHWISE_DOT(LAYOUT, layout, 3, 3, 1) DEPTHWISE_DOT(LAYOUT, layout, 3, 3, 2) \
    DEPTHWISE_DOT(LAYOUT, layout, 1, 5, 1) DEPTHWISE_DOT(LAYOUT, layout, 1, 5, 2)
DEPTHWISE_DOTS(BLOCKED, lanes) DEPTHWISE_DOTS(PLAIN, plain)
#undef DEPTHWISE_DOTS
#endif

/* The dot for a kernel whose rows have `taps` taps, `apart` from each other; *ky, *kx: rows and taps that it takes. In
 * the plain layout NULL if there is none, else it leaves its sums, as vectors of channels, `os` apart. */
static DepthwiseDotTile NAME(depthwise_dot)(int plain, long rows, long taps, long apart, long stride, long *ky,
                                            long *kx) {
#ifdef SPECIALISED
#  define TILES(layout) {{NAME(layout##_dot_1_3_1), NAME(layout##_dot_1_3_2)}, \
                         {NAME(layout##_dot_3_3_1), NAME(layout##_dot_3_3_2)}, \
                         {NAME(layout##_dot_1_5_1), NAME(layout##_dot_1_5_2)}}
    static const DepthwiseDotTile tiles[2][3][2] = {TILES(lanes), TILES(plain)};
#  undef TILES
    if (apart == 1 && stride <= 2 && (taps == 3 || taps == 5)) {
        *ky = taps == 3 && rows % 3 == 0 ? 3 : 1;
        *kx = taps;
        return tiles[plain][taps == 5 ? 2 : *ky == 3][stride - 1];
    }
#endif
    *ky = *kx = 1;
    return plain ? 0 : NAME(depthwise_dot_any);
}

#undef WINDOW_STEP
#undef WINDOW_DONE
#undef DEPTHWISE_WINDOWS
#undef DEPTHWISE_ANY
#undef DEPTHWISE_ROW
#undef TILE
#undef KNOWN_TAPS
#undef ANY_TAPS
#undef DEPTHWISE_DOT
#undef DOT_STEP
#undef ZEROS_BLOCKED
#undef ZEROS_PLAIN
#undef STEP_BLOCKED
#undef STEP_PLAIN
#undef DOT_DONE_BLOCKED
#undef DOT_DONE_PLAIN
#undef EACH_ROW
#undef INSIDE
#undef PIXEL_BLOCKED
#undef PIXEL_PLAIN
#undef WEIGHT_BLOCKED
#undef WEIGHT_PLAIN
#undef LAST_BLOCKED
#undef LAST_PLAIN
#undef PAST_BLOCKED
#undef PAST_PLAIN
#undef BIAS_BLOCKED
#undef BIAS_PLAIN
