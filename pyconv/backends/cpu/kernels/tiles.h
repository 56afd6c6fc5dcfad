/* Register tiles. Included once per element type, with T, V, LANES, NAME(x) and SUM defined; the arguments
 * of both types are in tiles_f32_f64.h.
 *
 * outer: acc[c][j] += w[c] * x[j] over taps: w scalars that are spread over a vector, x vectors.
 *   The operand of tap t lies at x + xo[t] + j * xj; its scalars at w + t * wc + c (packed: all of a tile together),
 *   or at w + wo[t] + c * wc (strided).
 * dot: acc[t][c] += x[t] * g[c] over pixels, all vectors; the lanes are summed at the end.
 *
 * The sizes CB (rows of scalars) and XB (vectors) are compile-time constants, so that the sums stay in registers.
 * Several modules call outer tiles: one of them, which defines TILES_HERE, has the tiles for all. */

/* acc[c][j] += S * VECTOR, which are expressions of c and of j: the fewer of both stay in registers meanwhile. */
#define ADD_PRODUCTS(CB, XB, S, VECTOR) \
    if (CB == 1) { \
        const int c = 0; \
        const V s = S; \
        _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) { acc[0][j] += s * VECTOR; HOLD(acc[0][j]); } \
    } else if (CB < XB) { \
        V s[CB]; \
        _Pragma("GCC unroll 8") for (int c = 0; c < CB; c++) s[c] = S; \
        _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) { \
            const V v = VECTOR; \
            _Pragma("GCC unroll 8") for (int c = 0; c < CB; c++) MULTIPLY_ADD(acc[c][j], s[c], v) } \
    } else { \
        V v[XB]; \
        _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) v[j] = VECTOR; \
        _Pragma("GCC unroll 8") for (int c = 0; c < CB; c++) { \
            const V s = S; \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) MULTIPLY_ADD(acc[c][j], s, v[j]) } }

/* What a later tap reads is asked for, every vector or every other one and the last: with eight lanes, a tap that
 * finds its vectors in the second-level cache waited for them for up to half of the time. */
#if VECTOR_BYTES == 32
#  define TAPS_AHEAD(CB, XB, xj, step) \
    if (sizeof(T) == 4 && CB > 1) { \
        const T *next = x + xo[t + PACKED_AHEAD]; \
        _Pragma("GCC unroll 8") for (int j = 0; j < XB - 1; j += step) __builtin_prefetch(next + j * xj); \
        __builtin_prefetch(next + (XB - 1) * xj); }
#else
#  define TAPS_AHEAD(CB, XB, xj, step)
#endif

#define PACKED_TILE(CB, XB) \
static void NAME(packed_##CB##_##XB)(const Outer *p) { \
    V acc[CB][XB]; \
    const T *x = p->x, *w = p->w, *bias = p->bias; T *y = p->y; const int32_t *xo = p->xo; \
    const long xj = p->xj, wc = p->wc, taps = p->taps, ahead_step = p->ahead_step; \
    const char *ahead = p->ahead ? p->ahead : p->x; \
    if (p->accumulate) { \
        T *row = y; \
        _Pragma("GCC unroll 8") for (int c = 0; c < CB; c++, row += p->yc) { \
            WALK(row); \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) \
                acc[c][j] = c < p->rows ? *(const V *)(row + j * p->yj) : (V){0}; } \
    } else { \
        _Pragma("GCC unroll 8") for (int c = 0; c < CB; c++) { \
            const V b = (bias && c < p->rows ? bias[c] : 0) - (V){0}; \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) acc[c][j] = b; } \
    } \
    if (xj == LANES && sizeof(T) == 4) {        /* double does without, for the size of the code */ \
        for (long t = 0; t < taps; t++, w += wc) { \
            const T *xt = x + xo[t]; \
            TAPS_AHEAD(CB, XB, LANES, 2) \
            ADD_PRODUCTS(CB, XB, w[c] - (V){0}, *(const V *)(xt + j * LANES)) } \
    } else { \
        for (long t = 0; t < taps; t++, w += wc, ahead += ahead_step) { \
            const T *xt = x + xo[t]; \
            __builtin_prefetch(ahead, 0, 2); \
            TAPS_AHEAD(CB, XB, xj, 1) \
            ADD_PRODUCTS(CB, XB, w[c] - (V){0}, *(const V *)(xt + j * xj)) } \
    } \
    if (p->relu) { \
        _Pragma("GCC unroll 8") for (int c = 0; c < CB; c++) \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) acc[c][j] = NAME(relu)(acc[c][j]); } \
    _Pragma("GCC unroll 8") for (int c = 0; c < CB; c++, y += p->yc) { \
        WALK(y); \
        if (c < p->rows) \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) *(V *)(y + j * p->yj) = acc[c][j]; } \
}

/* The first n lanes. (Loads may read a whole vector: every buffer has that much room after its end.) */
#ifdef STORE_MASKED
INLINE void NAME(store_part)(T *p, V v, long n) { STORE_MASKED(p, (1u << n) - 1, v); }
#else
static __attribute__((noinline, cold)) void NAME(store_rest)(T *p, V v, long n) {
    T a[LANES];
    *(V *)a = v;
    for (long i = 0; i < n; i++) p[i] = a[i];
}

INLINE void NAME(store_part)(T *p, V v, long n) {
    if (n == LANES) *(V *)p = v;
    else NAME(store_rest)(p, v, n);
}
#endif

/* Here x is contiguous (xj is a vector), the scalars are strided, and only p->last lanes of the last vector count. The
 * tile goes over p->tiles times its rows: a call for each would take a tenth of the time where the taps are few. */
#define STRIDED_TILE(CB, XB) \
static void NAME(strided_##CB##_##XB)(const Outer *p) { \
    V acc[CB][XB]; \
    const T *x = p->x, *w = p->w; T *y = p->y; \
    const int32_t *xo = p->xo, *wo = p->wo; const long wc = p->wc, taps = p->taps, ahead_step = p->ahead_step; \
    const char *ahead = p->ahead ? p->ahead : p->x; \
    for (long i = p->tiles; i > 0; i--, w += CB * wc) { \
        const T *from = p->accumulate ? y : p->bias; \
        const long apart = p->accumulate ? p->yc : 0; \
        if (from) \
            _Pragma("GCC unroll 8") for (int c = 0; c < CB; c++, from += apart) { \
                WALK(from); \
                _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) acc[c][j] = *(const V *)(from + j * LANES); } \
        else \
            _Pragma("GCC unroll 8") for (int c = 0; c < CB; c++) \
                _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) acc[c][j] = (V){0}; \
        for (long t = 0; t < taps; t++, ahead += ahead_step) { \
            const T *xt = x + xo[t], *wt = w + wo[t]; \
            V v[XB]; \
            __builtin_prefetch(ahead, 0, 2); \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) v[j] = *(const V *)(xt + j * LANES); \
            _Pragma("GCC unroll 8") for (int c = 0; c < CB; c++) { \
                const V s = wt[c * wc] - (V){0}; \
                _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) MULTIPLY_ADD(acc[c][j], s, v[j]) } } \
        if (p->other) { \
            const T *z = (const T *)p->other + (y - (T *)p->y); \
            _Pragma("GCC unroll 8") for (int c = 0; c < CB; c++, z += p->yc) { \
                WALK(z); \
                _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) acc[c][j] += *(const V *)(z + j * LANES); } } \
        if (p->relu) { \
            _Pragma("GCC unroll 8") for (int c = 0; c < CB; c++) \
                _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) acc[c][j] = NAME(relu)(acc[c][j]); } \
        _Pragma("GCC unroll 8") for (int c = 0; c < CB; c++) { \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB - 1; j++) *(V *)(y + j * LANES) = acc[c][j]; \
            NAME(store_part)(y + (XB - 1) * LANES, acc[c][XB - 1], p->last); \
            y += p->yc; \
            WALK(y); } } \
}

#define DOT_TILE(TB, CB) \
static void NAME(dot_##TB##_##CB)(const Dot *p) { \
    V acc[TB][CB]; \
    const long gc = p->gc, cols = p->cols, xstep = p->xstep; \
    long xo[TB]; \
    _Pragma("GCC unroll 8") for (int t = 0; t < TB; t++) { \
        xo[t] = p->xo[t]; \
        _Pragma("GCC unroll 8") for (int c = 0; c < CB; c++) acc[t][c] = (V){0}; } \
    for (long r = 0; r < p->rows; r++) { \
        const T *x = (const T *)p->x + p->xrow[r], *g = (const T *)p->g + p->grow[r]; \
        for (long i = 0; i < cols; i++, x += xstep, g += LANES) { \
            ADD_PRODUCTS(TB, CB, *(const V *)(x + xo[c]), *(const V *)(g + j * gc)) } } \
    V sums[TB][CB]; \
    _Pragma("GCC unroll 8") for (int t = 0; t < TB; t++) \
        _Pragma("GCC unroll 8") for (int c = 0; c < CB; c++) sums[t][c] = acc[t][c]; \
    _Pragma("GCC unroll 1") for (int t = 0; t < TB; t++) \
        _Pragma("GCC unroll 1") for (int c = 0; c < CB; c++) { \
            T *out = (T *)p->out + t * p->ot + c * p->oc; \
            const T s = SUM(sums[t][c], p->lanes); \
            *out = p->accumulate ? *out + s : s; } \
}

/* [rows][vectors]; NULL where there is no such tile */
SHARED extern void (*const NAME(packed_tiles)[9][9])(const Outer *);
SHARED extern void (*const NAME(strided_tiles)[9][9])(const Outer *);

#ifdef TILES_HERE
PACKED_TILE(1, 1) PACKED_TILE(1, 2) PACKED_TILE(1, 3) PACKED_TILE(1, 4) PACKED_TILE(1, 5) PACKED_TILE(1, 6)
PACKED_TILE(1, 7) PACKED_TILE(1, 8) PACKED_TILE(2, 1) PACKED_TILE(2, 2) PACKED_TILE(2, 3) PACKED_TILE(2, 4)
PACKED_TILE(2, 5) PACKED_TILE(2, 6) PACKED_TILE(3, 1) PACKED_TILE(3, 2) PACKED_TILE(3, 3) PACKED_TILE(3, 4)
PACKED_TILE(4, 1) PACKED_TILE(4, 2) PACKED_TILE(4, 3) PACKED_TILE(6, 1) PACKED_TILE(6, 2) PACKED_TILE(8, 1)
#if ACCUMULATORS >= 24
PACKED_TILE(2, 7) PACKED_TILE(2, 8) PACKED_TILE(3, 5) PACKED_TILE(3, 6) PACKED_TILE(3, 7) PACKED_TILE(3, 8)
PACKED_TILE(4, 4) PACKED_TILE(4, 5) PACKED_TILE(4, 6) PACKED_TILE(6, 3) PACKED_TILE(6, 4) PACKED_TILE(8, 2)
PACKED_TILE(8, 3)
#endif
#if ACCUMULATORS >= 28
PACKED_TILE(4, 7)
#endif

/* A step holds its vectors and a scalar, too: with 16 registers that is too much for 2 x 6 and 3 x 4 tiles. */
STRIDED_TILE(1, 1) STRIDED_TILE(1, 2) STRIDED_TILE(1, 3) STRIDED_TILE(1, 4) STRIDED_TILE(1, 5) STRIDED_TILE(1, 6)
STRIDED_TILE(1, 7) STRIDED_TILE(1, 8) STRIDED_TILE(2, 1) STRIDED_TILE(2, 2) STRIDED_TILE(2, 3) STRIDED_TILE(2, 4)
STRIDED_TILE(2, 5) STRIDED_TILE(3, 1) STRIDED_TILE(3, 2) STRIDED_TILE(3, 3) STRIDED_TILE(4, 1) STRIDED_TILE(4, 2)
STRIDED_TILE(4, 3) STRIDED_TILE(5, 1) STRIDED_TILE(5, 2) STRIDED_TILE(6, 1) STRIDED_TILE(6, 2) STRIDED_TILE(7, 1)
STRIDED_TILE(8, 1)
#if ACCUMULATORS >= 24
STRIDED_TILE(2, 6) STRIDED_TILE(2, 7) STRIDED_TILE(2, 8) STRIDED_TILE(3, 4) STRIDED_TILE(4, 4) STRIDED_TILE(5, 3)
STRIDED_TILE(5, 4) STRIDED_TILE(6, 3) STRIDED_TILE(6, 4) STRIDED_TILE(7, 2) STRIDED_TILE(7, 3) STRIDED_TILE(8, 2)
STRIDED_TILE(8, 3)
#endif
#if ACCUMULATORS >= 28
STRIDED_TILE(7, 4)
#endif

void (*const NAME(packed_tiles)[9][9])(const Outer *) = {
    [1][1] = NAME(packed_1_1), [1][2] = NAME(packed_1_2), [1][3] = NAME(packed_1_3),
    [1][4] = NAME(packed_1_4), [1][5] = NAME(packed_1_5), [1][6] = NAME(packed_1_6),
    [1][7] = NAME(packed_1_7), [1][8] = NAME(packed_1_8), [2][1] = NAME(packed_2_1),
    [2][2] = NAME(packed_2_2), [2][3] = NAME(packed_2_3), [2][4] = NAME(packed_2_4),
    [2][5] = NAME(packed_2_5), [2][6] = NAME(packed_2_6), [3][1] = NAME(packed_3_1),
    [3][2] = NAME(packed_3_2), [3][3] = NAME(packed_3_3), [3][4] = NAME(packed_3_4),
    [4][1] = NAME(packed_4_1), [4][2] = NAME(packed_4_2), [4][3] = NAME(packed_4_3),
    [6][1] = NAME(packed_6_1), [6][2] = NAME(packed_6_2), [8][1] = NAME(packed_8_1),
#if ACCUMULATORS >= 24
    [2][7] = NAME(packed_2_7), [2][8] = NAME(packed_2_8), [3][5] = NAME(packed_3_5),
    [3][6] = NAME(packed_3_6), [3][7] = NAME(packed_3_7), [3][8] = NAME(packed_3_8),
    [4][4] = NAME(packed_4_4), [4][5] = NAME(packed_4_5), [4][6] = NAME(packed_4_6),
    [6][3] = NAME(packed_6_3), [6][4] = NAME(packed_6_4), [8][2] = NAME(packed_8_2),
    [8][3] = NAME(packed_8_3),
#endif
#if ACCUMULATORS >= 28
    [4][7] = NAME(packed_4_7),
#endif
};

void (*const NAME(strided_tiles)[9][9])(const Outer *) = {
    [1][1] = NAME(strided_1_1), [1][2] = NAME(strided_1_2), [1][3] = NAME(strided_1_3),
    [1][4] = NAME(strided_1_4), [1][5] = NAME(strided_1_5), [1][6] = NAME(strided_1_6),
    [1][7] = NAME(strided_1_7), [1][8] = NAME(strided_1_8), [2][1] = NAME(strided_2_1),
    [2][2] = NAME(strided_2_2), [2][3] = NAME(strided_2_3), [2][4] = NAME(strided_2_4),
    [2][5] = NAME(strided_2_5), [3][1] = NAME(strided_3_1), [3][2] = NAME(strided_3_2),
    [3][3] = NAME(strided_3_3), [4][1] = NAME(strided_4_1), [4][2] = NAME(strided_4_2),
    [4][3] = NAME(strided_4_3), [5][1] = NAME(strided_5_1), [5][2] = NAME(strided_5_2),
    [6][1] = NAME(strided_6_1), [6][2] = NAME(strided_6_2), [7][1] = NAME(strided_7_1),
    [8][1] = NAME(strided_8_1),
#if ACCUMULATORS >= 24
    [2][6] = NAME(strided_2_6), [3][4] = NAME(strided_3_4),
    [2][7] = NAME(strided_2_7), [2][8] = NAME(strided_2_8), [4][4] = NAME(strided_4_4),
    [5][3] = NAME(strided_5_3), [5][4] = NAME(strided_5_4), [6][3] = NAME(strided_6_3),
    [6][4] = NAME(strided_6_4), [7][2] = NAME(strided_7_2), [7][3] = NAME(strided_7_3),
    [8][2] = NAME(strided_8_2), [8][3] = NAME(strided_8_3),
#endif
#if ACCUMULATORS >= 28
    [7][4] = NAME(strided_7_4),
#endif
};
#endif

DOT_TILE(1, 1) DOT_TILE(1, 2) DOT_TILE(1, 3) DOT_TILE(1, 4) DOT_TILE(1, 5) DOT_TILE(2, 1)
DOT_TILE(2, 2) DOT_TILE(2, 3) DOT_TILE(2, 4) DOT_TILE(2, 5) DOT_TILE(3, 1) DOT_TILE(3, 2)
DOT_TILE(3, 3) DOT_TILE(3, 4) DOT_TILE(4, 1) DOT_TILE(4, 2) DOT_TILE(4, 3) DOT_TILE(5, 1)
DOT_TILE(5, 2) DOT_TILE(6, 1) DOT_TILE(6, 2) DOT_TILE(7, 1)
#if ACCUMULATORS >= 24
DOT_TILE(3, 5) DOT_TILE(4, 4) DOT_TILE(4, 5) DOT_TILE(5, 3) DOT_TILE(5, 4) DOT_TILE(6, 3)
DOT_TILE(6, 4) DOT_TILE(7, 2) DOT_TILE(7, 3)
#endif
#if ACCUMULATORS >= 28
DOT_TILE(5, 5) DOT_TILE(7, 4)
#endif

/* [taps][filters]; NULL where there is no such tile */
static void (*const NAME(dot_tiles)[9][9])(const Dot *) = {
    [1][1] = NAME(dot_1_1), [1][2] = NAME(dot_1_2), [1][3] = NAME(dot_1_3),
    [1][4] = NAME(dot_1_4), [1][5] = NAME(dot_1_5), [2][1] = NAME(dot_2_1),
    [2][2] = NAME(dot_2_2), [2][3] = NAME(dot_2_3), [2][4] = NAME(dot_2_4),
    [2][5] = NAME(dot_2_5), [3][1] = NAME(dot_3_1), [3][2] = NAME(dot_3_2),
    [3][3] = NAME(dot_3_3), [3][4] = NAME(dot_3_4), [4][1] = NAME(dot_4_1),
    [4][2] = NAME(dot_4_2), [4][3] = NAME(dot_4_3), [5][1] = NAME(dot_5_1),
    [5][2] = NAME(dot_5_2), [6][1] = NAME(dot_6_1), [6][2] = NAME(dot_6_2),
    [7][1] = NAME(dot_7_1),
#if ACCUMULATORS >= 24
    [3][5] = NAME(dot_3_5), [4][4] = NAME(dot_4_4), [4][5] = NAME(dot_4_5),
    [5][3] = NAME(dot_5_3), [5][4] = NAME(dot_5_4), [6][3] = NAME(dot_6_3),
    [6][4] = NAME(dot_6_4), [7][2] = NAME(dot_7_2), [7][3] = NAME(dot_7_3),
#endif
#if ACCUMULATORS >= 28
    [5][5] = NAME(dot_5_5), [7][4] = NAME(dot_7_4),
#endif
};

#undef ADD_PRODUCTS
#undef PACKED_TILE
#undef STRIDED_TILE
#undef DOT_TILE
