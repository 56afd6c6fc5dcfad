/* Small matrix products in registers, and the transpose of a square of vectors. Included once per element type, with
 * T, V, VI, LANES, NAME(x) defined.
 *
 * product: y[c][j] (+)= sum over t of w[c] * x[j], with w scalars and x vectors, for `rows` rows (any number) and
 * XB vectors; `add`: to what y holds. packed: the scalars of a step t lie side by side, at w + t * ws. strided: those
 * of a row do, at w + c * ws. Step t's vectors are at x + t * xs, side by side, as are those of a row of y, at
 * y + c * yc.
 *
 * Several modules call these: one, which defines PRODUCTS_HERE, has them for all. */

/* strided, any number of rows, and of vectors. */
SHARED void NAME(strided_product)(const T *w, long ws, const T *x, long xs, long n, T *y, long yc, int add,
                                  long rows, long vectors);

/* The transpose of LANES vectors `from` elements apart (the last one again where there are fewer `rows`), written
 * `to` elements apart. ahead: where, from the vectors, those of a later call lie; 0 if it is not known. */
SHARED void NAME(transposed)(const T *x, long from, long rows, T *y, long to, long ahead);

/* A copy of rows of `vectors` vectors, `from` elements apart, to rows `to` apart. ahead: as above. (Weights are copied
 * together tap by tap before they are transformed: their taps are often powers of two apart, and would push each other
 * out of a cache.) */
SHARED void NAME(copy_rows)(const T *x, long from, long rows, long vectors, T *y, long to, long ahead);

/* Of rows of `vectors` vectors, n apart, `size` vectors at a time: [vectors / size][row][size]. */
SHARED void NAME(copy_columns)(const T *x, long n, long rows, long vectors, long size, T *y);

#ifdef PRODUCTS_HERE

/* kind: packed or strided; a step's scalars are at w, the next one's `next` elements further, those of rows `apart`.
 * `tiles` times RB rows, as a call for each would take longer than what few steps need. */
#define ONE_PRODUCT(kind, RB, XB, next, apart, FETCH) \
static void NAME(kind##_product_##RB##_##XB)(const T *w, long ws, const T *x, long xs, long n, T *y, long yc, \
                                             int add, long tiles) { \
    for (; tiles > 0; tiles--, w += RB * (apart)) { \
        V acc[RB][XB]; \
        T *row = y; \
        if (add) \
            _Pragma("GCC unroll 8") for (int c = 0; c < RB; c++, row += yc) { \
                WALK(row); \
                _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) acc[c][j] = *(const V *)(row + j * LANES); } \
        else \
            _Pragma("GCC unroll 8") for (int c = 0; c < RB; c++) \
                _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) acc[c][j] = (V){0}; \
        const T *wt = w, *xt = x; \
        for (long t = 0; t < n; t++, wt += next, xt += xs) { \
            V v[XB]; \
            FETCH \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) v[j] = *(const V *)(xt + j * LANES); \
            _Pragma("GCC unroll 8") for (int c = 0; c < RB; c++) { \
                const V s = wt[c * (apart)] - (V){0}; \
                _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) MULTIPLY_ADD(acc[c][j], s, v[j]) } } \
        _Pragma("GCC unroll 8") for (int c = 0; c < RB; c++, y += yc) { \
            WALK(y); \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) *(V *)(y + j * LANES) = acc[c][j]; } } \
}
/* Strided: of single images the vectors are weights, which come from afar in large networks, and each for few rows. */
#if ACCUMULATORS < 24
#  define FROM_AFAR __builtin_prefetch(xt + 64 * xs, 0, 2);
#else
#  define FROM_AFAR
#endif
#define PRODUCT(RB, XB) ONE_PRODUCT(packed, RB, XB, ws, 1,) ONE_PRODUCT(strided, RB, XB, 1, ws, FROM_AFAR)
PRODUCT(1, 1) PRODUCT(2, 1) PRODUCT(3, 1) PRODUCT(4, 1) PRODUCT(5, 1) PRODUCT(6, 1) PRODUCT(7, 1) PRODUCT(8, 1)
PRODUCT(1, 2) PRODUCT(2, 2) PRODUCT(3, 2) PRODUCT(4, 2) PRODUCT(5, 2) PRODUCT(6, 2)
PRODUCT(1, 3) PRODUCT(2, 3) PRODUCT(3, 3) PRODUCT(4, 3)
#if ACCUMULATORS >= 24
PRODUCT(7, 2) PRODUCT(8, 2) PRODUCT(5, 3) PRODUCT(6, 3) PRODUCT(7, 3) PRODUCT(8, 3)
#endif

typedef void (*NAME(Product))(const T *, long, const T *, long, long, T *, long, int, long);

#define FIRST_4(kind, XB) NAME(kind##_product_1_##XB), NAME(kind##_product_2_##XB), NAME(kind##_product_3_##XB), \
    NAME(kind##_product_4_##XB)
#define FIRST_6(kind, XB) FIRST_4(kind, XB), NAME(kind##_product_5_##XB), NAME(kind##_product_6_##XB)
#define FIRST_8(kind, XB) FIRST_6(kind, XB), NAME(kind##_product_7_##XB), NAME(kind##_product_8_##XB)
#if ACCUMULATORS >= 24
#  define MOST_ROWS(vectors) 8
#  define ALL(kind) {{FIRST_8(kind, 1)}, {FIRST_8(kind, 2)}, {FIRST_8(kind, 3)}}
#else
#  define MOST_ROWS(vectors) ((vectors) == 1 ? 8 : (vectors) == 2 ? 6 : 4)
#  define ALL(kind) {{FIRST_8(kind, 1)}, {FIRST_6(kind, 2)}, {FIRST_4(kind, 3)}}
#endif
static const NAME(Product) NAME(packed_products)[3][8] = ALL(packed), NAME(strided_products)[3][8] = ALL(strided);
#define UP(rows, k) (((rows) + MOST_ROWS(k) - 1) / MOST_ROWS(k))

/* In tiles of nearly equal size, as small ones have too few sums to keep the arithmetic busy. (Without divisions, which
 * take as long as a small product.) */
INLINE void NAME(product)(const NAME(Product) products[3][8], const T *w, long ws, long apart, const T *x, long xs,
                          long n, T *y, long yc, int add, long rows, long vectors) {
    const long parts = (vectors + 2) / 3;
    const long lacking = 3 * parts - vectors;               /* to three vectors in each part */
    for (long i = 0, k; i < parts; i++, x += k * LANES, y += k * LANES) {
        k = parts == 1 ? vectors : i < lacking ? 2 : 3;
        long size = MOST_ROWS(k), tiles = k == 1 ? UP(rows, 1) : k == 2 ? UP(rows, 2) : UP(rows, 3);
        long smaller = size * tiles - rows;                 /* by a row each */
        for (; smaller && smaller >= tiles; smaller -= tiles) size--;
        const NAME(Product) *of_size = products[k - 1] + size - 1;
        const long larger = tiles - smaller;
        of_size[0](w, ws, x, xs, n, y, yc, add, larger);
        if (smaller)
            of_size[-1](w + larger * size * apart, ws, x, xs, n, y + larger * size * yc, yc, add, smaller);
    }
}

static void NAME(packed_product)(const T *w, long ws, const T *x, long xs, long n, T *y, long yc, int add,
                                 long rows, long vectors) {
    NAME(product)(NAME(packed_products), w, ws, 1, x, xs, n, y, yc, add, rows, vectors);
}

void NAME(strided_product)(const T *w, long ws, const T *x, long xs, long n, T *y, long yc, int add,
                           long rows, long vectors) {
    NAME(product)(NAME(strided_products), w, ws, ws, x, xs, n, y, yc, add, rows, vectors);
}

/* Strided, of one or two vectors, and nothing to add to. Single images call it for each value of their few tiles, where
 * the longer way would take a tenth of the time. */
static void NAME(narrow_product)(const T *w, long ws, const T *x, long xs, long n, T *y, long yc, long rows,
                                 long vectors) {
    long size = MOST_ROWS(2), tiles = UP(rows, 2), smaller = size * tiles - rows;
    for (; smaller && smaller >= tiles; smaller -= tiles) size--;
    const NAME(Product) *of_size = NAME(strided_products)[vectors - 1] + size - 1;
    const long larger = tiles - smaller;
    of_size[0](w, ws, x, xs, n, y, yc, 0, larger);
    if (smaller) of_size[-1](w + larger * size * ws, ws, x, xs, n, y + larger * size * yc, yc, 0, smaller);
}
#undef ONE_PRODUCT
#undef FROM_AFAR
#undef PRODUCT
#undef FIRST_4
#undef FIRST_6
#undef FIRST_8
#undef MOST_ROWS
#undef UP
#undef ALL

/* Of two vectors: elements in turns, and pairs of them in turns, each of the first and of the second half of every
 * four; and those fours that are first, and second, of two. */
#if LANES == 16
#  define LOW_ONES   0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29
#  define HIGH_ONES  2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31
#  define LOW_TWOS   0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#  define HIGH_TWOS  2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#  define EVEN_FOURS 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27
#  define ODD_FOURS  4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31
#elif LANES == 8
#  define LOW_ONES   0, 8, 1, 9, 4, 12, 5, 13
#  define HIGH_ONES  2, 10, 3, 11, 6, 14, 7, 15
#  define LOW_TWOS   0, 1, 8, 9, 4, 5, 12, 13
#  define HIGH_TWOS  2, 3, 10, 11, 6, 7, 14, 15
#  define EVEN_FOURS 0, 1, 2, 3, 8, 9, 10, 11
#  define ODD_FOURS  4, 5, 6, 7, 12, 13, 14, 15
#elif LANES == 4
#  define LOW_ONES   0, 4, 1, 5
#  define HIGH_ONES  2, 6, 3, 7
#  define LOW_TWOS   0, 1, 4, 5
#  define HIGH_TWOS  2, 3, 6, 7
#else
#  define LOW_ONES   0, 2
#  define HIGH_ONES  1, 3
#endif
#ifdef __clang__
#  define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#  define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (VI){__VA_ARGS__})
#endif

/* LANES vectors as the rows of a square, to its columns: squares of four in every four elements first, as processors
 * have instructions for, then the fours as wholes. */
INLINE void NAME(transpose)(V *r) {
#if LANES == 2
    const V low = SHUFFLE(r[0], r[1], LOW_ONES);
    r[1] = SHUFFLE(r[0], r[1], HIGH_ONES), r[0] = low;
#else
    _Pragma("GCC unroll 4") for (int i = 0; i < LANES; i += 4) {
        const V a = SHUFFLE(r[i], r[i + 1], LOW_ONES), b = SHUFFLE(r[i], r[i + 1], HIGH_ONES);
        const V c = SHUFFLE(r[i + 2], r[i + 3], LOW_ONES), d = SHUFFLE(r[i + 2], r[i + 3], HIGH_ONES);
        r[i] = SHUFFLE(a, c, LOW_TWOS), r[i + 1] = SHUFFLE(a, c, HIGH_TWOS);
        r[i + 2] = SHUFFLE(b, d, LOW_TWOS), r[i + 3] = SHUFFLE(b, d, HIGH_TWOS); }
#  if LANES > 4
    V s[LANES];
    _Pragma("GCC unroll 2") for (int step = 4; step < LANES; step *= 2) {
        /* Row i begins with the fours of the rows from 2 i on: the lowest bit of their number becomes the highest. */
        _Pragma("GCC unroll 8") for (int i = 0; i < LANES / 2; i++) {
            const int from = i / 4 * 8 + i % 4;
            s[i] = SHUFFLE(r[from], r[from + 4], EVEN_FOURS);
            s[i + LANES / 2] = SHUFFLE(r[from], r[from + 4], ODD_FOURS); }
        _Pragma("GCC unroll 16") for (int i = 0; i < LANES; i++) r[i] = s[i]; }
#  endif
#endif
}
#undef LOW_ONES
#undef HIGH_ONES
#undef LOW_TWOS
#undef HIGH_TWOS
#undef EVEN_FOURS
#undef ODD_FOURS
#undef SHUFFLE

void NAME(transposed)(const T *x, long from, long rows, T *y, long to, long ahead) {
    V r[LANES];
    _Pragma("GCC unroll 16") for (long i = 0; i < LANES; i++) {
        r[i] = *(const V *)x;
        if (ahead) __builtin_prefetch(x + ahead);
        if (i + 1 < rows) x += from;
    }
    NAME(transpose)(r);
    _Pragma("GCC unroll 16") for (long i = 0; i < LANES; i++) *(V *)(y + i * to) = r[i];
}

void NAME(copy_rows)(const T *x, long from, long rows, long vectors, T *y, long to, long ahead) {
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < vectors; j++) {
            *(V *)(y + i * to + j * LANES) = *(const V *)(x + i * from + j * LANES);
            __builtin_prefetch(x + i * from + j * LANES + ahead);
        }
}

#define COPY_COLUMNS(SIZE) \
    for (; size == SIZE && vectors >= SIZE; vectors -= SIZE, x += SIZE * LANES, y += rows * SIZE * LANES) \
        for (long i = 0; i < rows; i++) \
            _Pragma("GCC unroll 8") for (long j = 0; j < SIZE; j++) \
                *(V *)(y + (i * SIZE + j) * LANES) = *(const V *)(x + i * n + j * LANES);

void NAME(copy_columns)(const T *x, long n, long rows, long vectors, long size, T *y) {
    COPY_COLUMNS(3) COPY_COLUMNS(4)
    for (long v = 0, k; v < vectors; v += k, x += k * LANES, y += rows * size * LANES) {
        k = vectors - v < size ? vectors - v : size;
        for (long i = 0; i < rows; i++)
            for (long j = 0; j < k; j++) *(V *)(y + (i * size + j) * LANES) = *(const V *)(x + i * n + j * LANES);
    }
}
#undef COPY_COLUMNS
#endif
