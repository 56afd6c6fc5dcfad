/* Small matrix products in registers, and the transpose of a square of vectors. Included once per element type, with
 * T, V, VI, LANES, NAME(x) defined.
 *
 * product: y[c][j] (+)= sum over t of w[c] * x[j], with w scalars and x vectors, for `rows` rows (any number) and
 * XB vectors; `add`: to what y holds. packed: the scalars of a step t lie side by side, at w + t * ws. strided: those
 * of a row do, at w + c * ws. Step t's vectors are at x + t * xs, side by side, as are those of a row of y, at
 * y + c * yc. */

#define PACKED_PRODUCT(RB, XB) \
static void NAME(packed_product_##RB##_##XB)(const T *w, long ws, const T *x, long xs, long n, T *y, long yc, \
                                             int add) { \
    V acc[RB][XB]; \
    _Pragma("GCC unroll 8") for (int c = 0; c < RB; c++) \
        _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) \
            acc[c][j] = add ? *(const V *)(y + c * yc + j * LANES) : (V){0}; \
    for (long t = 0; t < n; t++, w += ws, x += xs) { \
        V v[XB]; \
        _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) v[j] = *(const V *)(x + j * LANES); \
        _Pragma("GCC unroll 8") for (int c = 0; c < RB; c++) { \
            const V s = w[c] - (V){0}; \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) acc[c][j] += s * v[j]; } } \
    _Pragma("GCC unroll 8") for (int c = 0; c < RB; c++) \
        _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) *(V *)(y + c * yc + j * LANES) = acc[c][j]; \
}

#define STRIDED_PRODUCT(RB, XB) \
static void NAME(strided_product_##RB##_##XB)(const T *w, long ws, const T *x, long xs, long n, T *y, long yc, \
                                             int add) { \
    V acc[RB][XB]; \
    _Pragma("GCC unroll 8") for (int c = 0; c < RB; c++) \
        _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) \
            acc[c][j] = add ? *(const V *)(y + c * yc + j * LANES) : (V){0}; \
    for (long t = 0; t < n; t++, w++, x += xs) { \
        V v[XB]; \
        _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) v[j] = *(const V *)(x + j * LANES); \
        _Pragma("GCC unroll 8") for (int c = 0; c < RB; c++) { \
            const V s = w[c * ws] - (V){0}; \
            _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) acc[c][j] += s * v[j]; } } \
    _Pragma("GCC unroll 8") for (int c = 0; c < RB; c++) \
        _Pragma("GCC unroll 8") for (int j = 0; j < XB; j++) *(V *)(y + c * yc + j * LANES) = acc[c][j]; \
}

#define PRODUCT(RB, XB) PACKED_PRODUCT(RB, XB) STRIDED_PRODUCT(RB, XB)
PRODUCT(1, 1) PRODUCT(1, 2) PRODUCT(1, 3) PRODUCT(2, 1) PRODUCT(2, 2) PRODUCT(2, 3) PRODUCT(4, 1) PRODUCT(4, 2)
PRODUCT(4, 3) STRIDED_PRODUCT(3, 1) STRIDED_PRODUCT(3, 2)
#if ACCUMULATORS >= 24
PRODUCT(8, 1) PRODUCT(8, 2) PRODUCT(8, 3) STRIDED_PRODUCT(5, 1) STRIDED_PRODUCT(5, 2) STRIDED_PRODUCT(6, 1)
STRIDED_PRODUCT(6, 2) STRIDED_PRODUCT(7, 1) STRIDED_PRODUCT(7, 2)
#endif

typedef void (*NAME(Product))(const T *, long, const T *, long, long, T *, long, int);

#define ROW(kind, RB) {NAME(kind##_product_##RB##_1), NAME(kind##_product_##RB##_2), NAME(kind##_product_##RB##_3)}
static const NAME(Product) NAME(packed_products)[][3] = {ROW(packed, 1), ROW(packed, 2), ROW(packed, 4),
#if ACCUMULATORS >= 24
    ROW(packed, 8),
#endif
};
static const NAME(Product) NAME(strided_products)[][3] = {ROW(strided, 1), ROW(strided, 2), ROW(strided, 4),
#if ACCUMULATORS >= 24
    ROW(strided, 8),
#endif
};
#undef ROW
#define ROW(RB) {NAME(strided_product_##RB##_1), NAME(strided_product_##RB##_2)}
static const NAME(Product) NAME(even_products)[][2] = {ROW(1), ROW(2), ROW(3), ROW(4),
#if ACCUMULATORS >= 24
    ROW(5), ROW(6), ROW(7), ROW(8),
#endif
};
#undef ROW
#undef PRODUCT
#undef PACKED_PRODUCT
#undef STRIDED_PRODUCT

#if ACCUMULATORS >= 24
#  define MOST_ROWS 3       /* log2 of the rows of the largest tile */
#else
#  define MOST_ROWS 2
#endif

/* Any number of rows, and of vectors (in parts of nearly equal size, at most 3). */
static void NAME(packed_product)(const T *w, long ws, const T *x, long xs, long n, T *y, long yc, int add,
                                 long rows, long vectors) {
    const long parts = (vectors + 2) / 3;
    for (long i = 0; i < parts; i++) {
        const long a = vectors * i / parts, b = vectors * (i + 1) / parts;
        long c = 0;
        for (int size = MOST_ROWS; size >= 0; size--)
            for (; rows - c >= 1 << size; c += 1 << size)
                NAME(packed_products)[size][b - a - 1](w + c, ws, x + a * LANES, xs, n, y + c * yc + a * LANES, yc,
                                                       add);
    }
}

static void NAME(strided_product)(const T *w, long ws, const T *x, long xs, long n, T *y, long yc, int add,
                                  long rows, long vectors) {
    const long parts = (vectors + 2) / 3;
    for (long i = 0; i < parts; i++) {
        const long a = vectors * i / parts, b = vectors * (i + 1) / parts;
        long c = 0;
        for (int size = MOST_ROWS; size >= 0; size--)
            for (; rows - c >= 1 << size; c += 1 << size)
                NAME(strided_products)[size][b - a - 1](w + c * ws, ws, x + a * LANES, xs, n, y + c * yc + a * LANES,
                                                        yc, add);
    }
}

/* strided, with one or two vectors, and few rows: in parts of nearly equal size, so that none has too few sums to keep
 * the arithmetic busy. */
static void NAME(even_product)(const T *w, long ws, const T *x, long xs, long n, T *y, long yc, long rows,
                               long vectors) {
    const long parts = (rows + (1 << MOST_ROWS) - 1) >> MOST_ROWS;
    for (long i = 0; i < parts; i++) {
        const long a = rows * i / parts, b = rows * (i + 1) / parts;
        NAME(even_products)[b - a - 1][vectors - 1](w + a * ws, ws, x, xs, n, y + a * yc, yc, 0);
    }
}
#undef MOST_ROWS

#if LANES == 16
#  define LOW_HALVES  0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#  define HIGH_HALVES 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif LANES == 8
#  define LOW_HALVES  0, 8, 1, 9, 2, 10, 3, 11
#  define HIGH_HALVES 4, 12, 5, 13, 6, 14, 7, 15
#elif LANES == 4
#  define LOW_HALVES  0, 4, 1, 5
#  define HIGH_HALVES 2, 6, 3, 7
#else
#  define LOW_HALVES  0, 2
#  define HIGH_HALVES 1, 3
#endif
#ifdef __clang__
#  define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#  define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (VI){__VA_ARGS__})
#endif

/* LANES vectors as the rows of a square, to its columns. A step moves the highest bit of an element's row to the end
 * of its column and that of the column to the end of its row; after all bits have moved, row and column have changed
 * places. */
INLINE void NAME(transpose)(V *r) {
    V s[LANES];
    _Pragma("GCC unroll 4") for (int step = 1; step < LANES; step *= 2) {
        _Pragma("GCC unroll 8") for (int i = 0; i < LANES / 2; i++) {
            s[2 * i] = SHUFFLE(r[i], r[i + LANES / 2], LOW_HALVES);
            s[2 * i + 1] = SHUFFLE(r[i], r[i + LANES / 2], HIGH_HALVES);
        }
        _Pragma("GCC unroll 16") for (int i = 0; i < LANES; i++) r[i] = s[i];
    }
}
#undef LOW_HALVES
#undef HIGH_HALVES
#undef SHUFFLE

/* The transpose of LANES vectors `from` elements apart (the last one again where there are fewer `rows`), written
 * `to` elements apart. ahead: where, from the vectors, those of a later call lie; 0 if it is not known. */
static void NAME(transposed)(const T *x, long from, long rows, T *y, long to, long ahead) {
    V r[LANES];
    for (long i = 0; i < LANES; i++) {
        const T *at = x + (i < rows ? i : rows - 1) * from;
        r[i] = *(const V *)at;
        if (ahead) __builtin_prefetch(at + ahead);
    }
    NAME(transpose)(r);
    for (long i = 0; i < LANES; i++) *(V *)(y + i * to) = r[i];
}

/* A copy of rows of `vectors` vectors, `from` elements apart, to rows `to` apart. ahead: as above. (Weights are copied
 * together tap by tap before they are transformed: their taps are often powers of two apart, and would push each other
 * out of a cache.) */
static void NAME(copy_rows)(const T *x, long from, long rows, long vectors, T *y, long to, long ahead) {
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < vectors; j++) {
            *(V *)(y + i * to + j * LANES) = *(const V *)(x + i * from + j * LANES);
            __builtin_prefetch(x + i * from + j * LANES + ahead);
        }
}
