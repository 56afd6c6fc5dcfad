/* Winograd's transforms on whole vectors. Included once per element type with T, V, VI, LANES, NAME(x) defined.
 *
 * Y = A' [ (G g G') * (B' d B) ] A (Lavin and Gray, Fast algorithms for convolutional neural networks, 2016). A kernel
 * of 3 x 3 takes tiles of 6 x 6 inputs with the points 0, 1, -1, 2, -2 and infinity, those of 4 x 4 and 5 x 5 tiles of
 * 8 x 8 with 1/2 and -1/2 besides, those of 2 x 2 tiles of 5 x 5 without -2; a tile has 4 x 4 outputs, 5 x 5 with 4
 * taps. A and G are powers of the points, cut to the sizes, G divided by the products of their differences. The
 * gradient for the kernel is the same form read from its end: G' [ (B' d B) * (A dY A') ] G. With one line, for kernels
 * of 1 x 3 to 1 x 5, the rows are left as they are, and all have 8 points: with 3 taps, 6 outputs take 8 products
 * instead of 18.
 *
 * `taps`: 2 to 5; `points`: 5, 6 or 8; `lines`: as many, or 1; `side`: outputs in a row of a tile. All are constants
 * where functions are inlined, so that loops unroll. */
/* Once for each line: what up to 6 points or one line have stays in registers; 8 x 8 do not, in much more code. */
#define EACH(i, n, ...) \
    if (points < 8 || lines == 1) { UNROLL for (int i = 0; i < (n); i++) { __VA_ARGS__ } } \
    else { _Pragma("GCC unroll 1") for (int i = 0; i < (n); i++) { __VA_ARGS__ } }
#define POINTS(taps, lines) ((lines) == 1 || (taps) > 3 ? 8 : (taps) + 3)
#define SIDE(taps, lines) (POINTS(taps, lines) + 1 - (taps))

#define AT(p, i) (*(const V *)((p) + (i)))
#define APART static __attribute__((noinline, noclone)) void
/* For arrays of vectors on the stack: half of those of 32 bytes would lie across two lines of the cache otherwise. */
#define ALIGNED __attribute__((aligned(64)))
#if LANES == LANES_F32
/* The sizes as constants, and apart from each other, so that none spills registers for another. */
#  define UNROLL _Pragma("GCC unroll 8")
#  define SIZED INLINE void
#  define SQUARES(MAKE) MAKE(6, 3) MAKE(8, 5)
#  define FEW(MAKE) MAKE(1, 3) MAKE(1, 5) MAKE(5, 2) SQUARES(MAKE)
#  define SIZES(MAKE) MAKE(1, 4) MAKE(8, 4) FEW(MAKE)
#  define BY_SQUARE(name, taps, lines, ...) (taps == 3 ? NAME(name##_6_3) : NAME(name##_8_5))(__VA_ARGS__)
#  define BY_FEW(name, taps, lines, ...) \
    (lines > 1 ? taps == 2 ? NAME(name##_5_2) : taps == 3 ? NAME(name##_6_3) : NAME(name##_8_5) \
               : taps == 3 ? NAME(name##_1_3) : NAME(name##_1_5))(__VA_ARGS__)
#  define BY_SIZE(name, taps, lines, ...) \
    (lines > 1 ? taps == 2 ? NAME(name##_5_2) : taps == 3 ? NAME(name##_6_3) \
               : taps == 4 ? NAME(name##_8_4) : NAME(name##_8_5) \
               : taps == 3 ? NAME(name##_1_3) : taps == 4 ? NAME(name##_1_4) : NAME(name##_1_5))(__VA_ARGS__)
#else
/* float64 goes this way only when it is asked to: one function for all sizes, and a tenth of the code. */
#  define UNROLL _Pragma("GCC unroll 1")
#  define SIZED APART
#  define SQUARES(MAKE)
#  define SIZES(MAKE)
#  define BY_SIZE(name, taps, lines, ...) NAME(name)(taps, lines, __VA_ARGS__)
#  define BY_SQUARE BY_SIZE
#  define BY_FEW(name, taps, lines, ...) NAME(name)(taps == 4 ? 5 : taps, lines, __VA_ARGS__)
#  define FEW(MAKE)
#endif

/* Reads, and writes, a line of values `step` elements apart; returns where the next one begins. */
INLINE const T *NAME(read_line)(int points, const T *from, long step, V *line) {
    UNROLL for (int j = 0; j < points; j++, from += step) {
        line[j] = AT(from, 0);
        if (!__builtin_constant_p(step)) WALK(from);
    }
    return from;
}

INLINE T *NAME(write_line)(int points, const V *line, T *to, long step) {
    UNROLL for (int j = 0; j < points; j++, to += step) {
        *(V *)to = line[j];
        if (!__builtin_constant_p(step)) WALK(to);
    }
    return to;
}

/* Part of a line of B' d: the value of the point 0 (part 0), of infinity (the last), or those of a point and of its
 * negative; of 5 points, 2 and infinity are the last. Of 6, half of the steps are additions, which processors do
 * beside multiplications. */
INLINE void NAME(input_part)(int points, int part, const V *d, V *p, V *q) {
    V a, b;
    if (points == 5) {
        const V u = d[3] - d[1];
        if (part == 0) *p = u + 2 * (d[0] - d[2]);
        else if (part == 1) *p = u - (d[1] + d[2]), *q = u + 3 * (d[1] - d[2]);
        else *p = u, *q = d[4] - d[2] - 2 * u;
    } else if (part == 0) *p = points == 6 ? (d[4] - d[2]) - 4 * (d[2] - d[0]) : d[0] - d[6] + (T)5.25 * (d[4] - d[2]);
    else if (2 * part == points) *p = points == 6 ? (d[5] - d[3]) - 4 * (d[3] - d[1])
                                                  : d[7] - d[1] + (T)5.25 * (d[3] - d[5]);
    else {
        const T x = part == 3 ? (T)0.5 : part;
        if (points == 6) {
            const T c = part == 1 ? 4 : 1;
            a = d[4] - c * d[2], b = d[3] - c * d[1];
        } else {
            const T c = part == 1 ? (T)4.25 : part == 2 ? (T)1.25 : 5, e = part == 1 ? 1 : part == 2 ? (T)0.25 : 4;
            a = d[6] - c * d[4] + e * d[2], b = d[5] - c * d[3] + e * d[1];
        }
        *p = a + x * b, *q = a - x * b;
    }
}

/* A line of B' d, to values `step` elements apart. */
INLINE void NAME(input_line)(int points, const V *d, T *out, long step) {
    V o[8], unused;
    UNROLL for (int part = 0; 2 * part <= points; part++)
        NAME(input_part)(points, part, d, o + (part ? 2 * part - 1 : 0),
                         part && 2 * part < points ? o + 2 * part : &unused);
    /* Three from where a pointer is: an address has room for one and for two steps. */
    UNROLL for (int j = 0; j < points; j++) {
        *(V *)(out + j % 3 * step) = o[j];
        if (j % 3 == 2) {
            out += 3 * step;
            if (!__builtin_constant_p(step)) WALK(out);
        }
    }
}

#if ACCUMULATORS >= 24
/* Part of B' d of column x of a plane with w columns, whose pixels are `at` elements from its lines at `rows`; zeros
 * outside. With one line, the pixel itself. */
INLINE void NAME(column_part)(int points, int lines, int part, const T *const *rows, long at, long x, long w, V *p,
                              V *q) {
    V d[8];
    *p = *q = (V){0};
    if ((unsigned long)x >= (unsigned long)w) return;
    UNROLL for (int i = 0; i < lines; i++) d[i] = AT(rows[i], at);
    if (lines == 1) *p = d[0];
    else NAME(input_part)(points, part, d, p, q);
}

/* B' d B of n tiles side by side, from column x on: value k of tile t goes to out + k * step + t * tile. Two lines of
 * values at a time, so that the columns that a tile shares with the next one stay in registers. ahead: as below. */
SIZED NAME(input_run)(int taps, int lines, const T *const *rows, long pixel, long w, long x, long n, T *out,
                            long step, long tile, long ahead) {
    const int points = POINTS(taps, lines), side = SIDE(taps, lines);
    V p[8], q[8];
    const int parts = lines == 1 ? 1 : points / 2 + 1;
    const T *from[8];
    UNROLL for (int i = 0; i < lines; i++) from[i] = rows[i];
    UNROLL for (int part = 0; part < parts; part++) {
        T *to = out + (part ? 2 * part - 1 : 0) * points * step;
        const int before = points == 2 * side;  /* what tiles share is as much as each of them brings: one more */
        if (!before)
            UNROLL for (int j = 0; j < points - side; j++)
                NAME(column_part)(points, lines, part, from, (x + j) * pixel, x + j, w, p + j, q + j);
        long place = (x - before * side + points - side) * pixel;
        for (long t = -before, at = x - before * side; t < n; t++, at += side) {
            if (part == 0 && ahead)
                for (int i = lines == 1 ? 0 : points - side; i < lines; i++)
                    UNROLL for (int j = points - side; j < points; j++)
                        __builtin_prefetch(rows[i] + ahead + (at + j) * pixel);
            UNROLL for (int j = points - side; j < points; j++, place += pixel) {
                NAME(column_part)(points, lines, part, from, place, at + j, w, p + j, q + j);
                WALK(place);
            }
            if (t >= 0) {
                NAME(input_line)(points, p, to, step);
                if (part && 2 * part < points) NAME(input_line)(points, q, to + points * step, step);
                to += tile;
            }
            UNROLL for (int j = 0; j < points - side; j++) p[j] = p[j + side], q[j] = q[j + side];
        }
    }
}
#else
/* The same with 16 registers, which do not hold two lines of values: the columns of some tiles first, which stay in the
 * nearest cache, then their rows. */
SIZED NAME(input_run)(int taps, int lines, const T *const *rows, long pixel, long w, long x, long n, T *out,
                            long step, long tile, long ahead) {
    enum { MOST = 3, WIDTH = (6 * MOST + 4) * LANES };
    const int points = POINTS(taps, lines), side = SIDE(taps, lines);
    T columns[8 * WIDTH] ALIGNED;
    const T *from_rows[8];
    UNROLL for (int i = 0; i < lines; i++) from_rows[i] = rows[i];
    for (long some; n > 0; n -= some, x += side * some, out += tile * some) {
        some = n < MOST ? n : MOST;
        const long end = x + side * some + points - side;
        if (ahead)
            for (long at = x + points - side; at < end; at += 64 / VECTOR_BYTES)
                UNROLL for (int i = lines == 1 ? 0 : points - side; i < lines; i++)
                    __builtin_prefetch(rows[i] + ahead + at * pixel);
        const int inside = lines == 1 && x >= 0 && end <= w;
        for (long at = x; at < end && !inside; at++) {
            V d[8];
            UNROLL for (int i = 0; i < lines; i++) d[i] = (V){0};
            if (at >= 0 && at < w) UNROLL for (int i = 0; i < lines; i++) d[i] = AT(from_rows[i], at * pixel);
            if (lines > 1) NAME(input_line)(points, d, columns + (at - x) * LANES, WIDTH);
            else *(V *)(columns + (at - x) * LANES) = d[0];
        }
        const long apart = inside ? pixel : LANES;
        for (long i = 0; i < lines; i++) {
            const T *from = inside ? rows[0] + x * pixel : columns + i * WIDTH;
            T *to = out + i * points * step;
            for (long t = 0; t < some; t++, from += side * apart, to += tile) {
                V d[8];
                NAME(read_line)(points, from, apart, d);
                NAME(input_line)(points, d, to, step);
            }
        }
    }
}
#endif

#define INPUT(lines, taps) \
APART NAME(input_run_##lines##_##taps)(const T *const *rows, long pixel, long w, long x, long n, T *out, long step, \
                                         long tile, long ahead) { \
    NAME(input_run)(taps, lines, rows, pixel, w, x, n, out, step, tile, ahead); \
}
FEW(INPUT)
#undef INPUT

/* B' d B of n tiles side by side, with samples, or channels side by side, in the lanes; the first one has its corner at
 * (y, x) of a plane, of which it takes each dy-th row and dx-th column. Outside of the plane, and everywhere if it is
 * NULL, it reads `zeros`, a row of them. The same for `channels` planes, `apart` elements from each other, and `line`
 * in the result. ahead: elements from here to where later tiles lie, of which those pixels are asked for that no tile
 * has before; 0: none. */
static void NAME(input_tiles)(int taps, int lines, const T *plane, const T *zeros, const Planes *p, long y, long x,
                              long n, T *out, long step, long tile, long channels, long apart, long line,
                              long ahead) {
    const T *rows[8];
    long moves[8];
    const long phase = p->dx == 1 ? 0 : (x + 64 * p->dx) % p->dx, width = p->w * p->pixel;
    for (int i = 0; i < lines; i++, y += p->dy) {
        const int inside = plane && y >= 0 && y < p->h;
        rows[i] = inside ? plane + y * width + phase * p->pixel : zeros, moves[i] = inside ? apart : 0;
    }
    /* Tiles of 4 taps, which are 5 pixels apart, one by one: less code, for a few columns read twice. */
    const long w = p->dx == 1 ? p->w : (p->w - phase + p->dx - 1) / p->dx, each = taps == 4 ? 1 : n;
    x = p->dx == 1 ? x : (x - phase) / p->dx;
    for (long c = 0; c < channels; c++, out += line) {
        for (long t = 0; t < n; t += each)
            BY_FEW(input_run, taps, lines, rows, p->dx * p->pixel, w, x + 5 * t, each, out + t * tile, step, tile,
                   ahead);
        for (int i = 0; i < lines; i++) rows[i] += moves[i];
    }
}

/* A line of A' m. */
INLINE void NAME(output_line)(int points, int side, const V *m, V *o) {
    const V p = m[1] + m[2], q = m[1] - m[2];
    if (points == 5) {
        o[0] = m[0] + p + m[3], o[1] = q + 2 * m[3], o[2] = p + 4 * m[3], o[3] = q + 8 * m[3] + m[4];
        return;
    }
    const V r = m[3] + m[4], u = m[3] - m[4];
    o[0] = m[0] + p + r, o[1] = q + 2 * u, o[2] = p + 4 * r, o[3] = q + 8 * u;
    if (side > 4) o[4] = p + 16 * r;
    if (side > 5) o[5] = q + 32 * u;
    o[side - 1] += m[points - 1];
    if (points == 6) return;
    const V s = m[5] + m[6], v = m[5] - m[6];
    o[0] += s, o[1] += (T)0.5 * v, o[2] += (T)0.25 * s, o[3] += (T)0.125 * v;
    if (side > 4) o[4] += (T)0.0625 * s;
    if (side > 5) o[5] += (T)0.03125 * v;
}

/* The outputs of n tiles side by side: value k of tile t at m + k * step + t * tile; all to y, `row` and `pixel`
 * elements apart. The bias is added once: to the value of the point 1, which every output takes as it is. other: NULL,
 * or like y, to be added. past: they go past the caches. */
SIZED NAME(output_run)(int taps, int lines, const T *m, long step, long tile, V bias, const T *other, int relu,
                       int past, T *y, long row, long pixel, long n) {
    const int points = POINTS(taps, lines), side = SIDE(taps, lines), rows = lines == 1 ? 1 : side;
    const int one = lines == 1 ? 1 : points + 1;
    for (; n > 0; n--, m += tile, y += side * pixel, other += other ? side * pixel : 0) {
        V z[8][6] ALIGNED, line[8], o[6];
        const T *from = m;
        T *to = y;
        EACH(i, lines,
            from = NAME(read_line)(points, from, step, line);
            if (i == one / points) line[1] += bias;
            NAME(output_line)(points, side, line, z[i]);)
        EACH(j, side,
            UNROLL for (int i = 0; i < lines; i++) line[i] = z[i][j];
            if (lines == 1) o[0] = line[0];
            else NAME(output_line)(points, side, line, o);
            if (other) UNROLL for (int i = 0; i < rows; i++) o[i] += AT(other, to - y + i * row);
            if (relu) UNROLL for (int i = 0; i < rows; i++) o[i] = NAME(relu)(o[i]);
            if (past) {
                T *at = to;
                UNROLL for (int i = 0; i < rows; i++, at += row) {
                    STREAM(at, o[i]);
                    WALK(at);
                }
            } else NAME(write_line)(rows, o, to, row);
            to += pixel;)
    }
}

#define OUTPUT(lines, taps) \
APART NAME(output_run_##lines##_##taps)(const T *m, long step, long tile, V bias, const T *other, int relu, int past, \
                                        T *y, long row, long pixel, long n) { \
    NAME(output_run)(taps, lines, m, step, tile, bias, other, relu, past, y, row, pixel, n); \
}
SIZES(OUTPUT)
#undef OUTPUT

/* A tile of which rows x cols outputs, and the first `lanes` of each, are to be written. */
static void NAME(output_part)(int taps, int lines, const T *m, long step, V bias, const T *other, int relu, T *y,
                              long row, long pixel, long rows, long cols, long lanes) {
    const long side = SIDE(taps, lines);
    T part[25 * LANES] ALIGNED;
    BY_SIZE(output_run, taps, lines, m, step, 0, bias, NULL, relu && !other, 0, part, side * LANES, LANES, 1);
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < cols; j++) {
            V v = AT(part, (side * i + j) * LANES);
            if (other) v += AT(other, i * row + j * pixel);
            if (other && relu) v = NAME(relu)(v);
            if (lanes == LANES) *(V *)(y + i * row + j * pixel) = v;
            else {
                *(V *)part = v;             /* its first element has been read: rows and columns go upwards */
                memcpy(y + i * row + j * pixel, part, lanes * sizeof(T));
            }
        }
}

/* The same as output_run, with samples in the lanes, for tiles of which rows x cols outputs altogether lie inside of a
 * plane. ahead: elements to where later outputs go, whose places are asked for; 0: none; less: they go past the
 * caches. */
static void NAME(output_tiles)(int taps, int lines, const T *m, long step, T bias, const T *other, int relu, T *y,
                               long row, long pixel, long rows, long cols, long n, long ahead) {
    const long side = SIDE(taps, lines), height = lines == 1 ? 1 : side;
    const long whole = rows < height ? 0 : cols < side * n ? cols / side : n;
    const V b = bias - (V){0};
    if (rows > height) rows = height;
    if (cols > side * n) cols = side * n;
    if (ahead > 0)
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < cols; j += 64 / VECTOR_BYTES) __builtin_prefetch(y + ahead + i * row + j * pixel, 1);
    BY_SIZE(output_run, taps, lines, m, step, LANES, b, other, relu, ahead < 0, y, row, pixel, whole);
    for (long t = whole; t < n; t++) {
        const long at = side * t * pixel, rest = cols - side * t;
        NAME(output_part)(taps, lines, m + t * LANES, step, b, other ? other + at : NULL, relu, y + at, row, pixel,
                          rows, rest < side ? rest : side, LANES);
    }
}

/* The outputs of a tile for LANES filters side by side, of which `lanes` count; bias: NULL or one number each. */
static void NAME(output_tile_plain)(int taps, int lines, const T *m, long step, const T *bias, const T *other,
                                    int relu, T *y, long row, long pixel, long rows, long cols, long lanes) {
    const long side = SIDE(taps, lines), height = lines == 1 ? 1 : side;
    const V b = bias ? AT(bias, 0) : (V){0};
    if (rows >= height && cols >= side && lanes == LANES)
        BY_SIZE(output_run, taps, lines, m, step, 0, b, other, relu, 0, y, row, pixel, 1);
    else
        NAME(output_part)(taps, lines, m, step, b, other, relu, y, row, pixel, rows < height ? rows : height,
                          cols < side ? cols : side, lanes);
}

/* G's divisors. */
#define DIVISORS const T c0 = points == 6 ? (T)1 / 4 : 1, c1 = points == 6 ? -(T)1 / 6 : -(T)2 / 9, \
    c2 = points == 6 ? (T)1 / 24 : (T)1 / 90, c3 = (T)32 / 45

/* A line of G g. */
INLINE void NAME(weights_line)(int points, int taps, const V *g, V *o) {
    if (points == 5) {
        o[0] = (T)0.5 * g[0], o[1] = -(T)0.5 * (g[0] + g[1]), o[2] = (T)1 / 6 * (g[1] - g[0]);
        o[3] = (T)1 / 6 * (g[0] + 2 * g[1]), o[4] = g[1];
        return;
    }
    DIVISORS;
    V even = g[0] + g[2], odd = g[1], wide = g[0] + 4 * g[2], tilt = 2 * g[1];
    if (points == 8) {
        V near = g[0] + (T)0.25 * g[2], slope = (T)0.5 * g[1];
        if (taps > 3) odd += g[3], tilt += 8 * g[3], slope += (T)0.125 * g[3];
        if (taps == 5) even += g[4], wide += 16 * g[4], near += (T)0.0625 * g[4];
        o[5] = c3 * (near + slope);
        o[6] = c3 * (near - slope);
    }
    o[0] = c0 * g[0];
    o[1] = c1 * (even + odd);
    o[2] = c1 * (even - odd);
    o[3] = c2 * (wide + tilt);
    o[4] = c2 * (wide - tilt);
    o[points - 1] = g[taps - 1];
}

/* G g G' of LANES kernels that lie side by side: `step` elements from tap to tap in a row, `line` from row to row.
 * Value k of all of them goes to out + k * to. */
SIZED NAME(weights_square)(int taps, int lines, const T *g, long line, long step, T *out, long to) {
    const int points = POINTS(taps, lines);
    V part[5][8] ALIGNED, in[5], o[8];
    UNROLL for (int c = 0; c < taps; c++) {
        UNROLL for (int k = 0; k < taps; k++) if (k == 0 || lines > 1) in[k] = AT(g, k * line + c * step);
        if (lines == 1) part[c][0] = in[0];
        else NAME(weights_line)(points, taps, in, part[c]);
    }
    UNROLL for (int i = 0; i < lines; i++) {
        UNROLL for (int c = 0; c < taps; c++) in[c] = part[c][i];
        NAME(weights_line)(points, taps, in, o);
        out = NAME(write_line)(points, o, out, to);
    }
}

#define WEIGHTS(lines, taps) \
APART NAME(weights_square_##lines##_##taps)(const T *g, long line, long step, T *out, long to) { \
    NAME(weights_square)(taps, lines, g, line, step, out, to); \
}
SIZES(WEIGHTS)
#undef WEIGHTS

INLINE void NAME(weights)(int taps, int lines, const T *g, long line, long step, T *out, long to) {
    BY_SIZE(weights_square, taps, lines, g, line, step, out, to);
}

/* A line of A g: 4 to 6 gradients to the values of all points. */
INLINE void NAME(gradient_line)(int points, int side, const V *g, V *o) {
    V even = g[0] + g[2], wide = g[0] + 4 * g[2], odd = g[1] + g[3], tilt = 2 * g[1] + 8 * g[3];
    if (side > 4) even += g[4], wide += 16 * g[4];
    if (side > 5) odd += g[5], tilt += 32 * g[5];
    o[0] = g[0], o[1] = even + odd, o[2] = even - odd, o[3] = wide + tilt;
    if (points > 5) o[4] = wide - tilt;
    o[points - 1] = g[side - 1];
    if (points == 8) {
        V near = g[0] + (T)0.25 * g[2], slope = (T)0.5 * g[1] + (T)0.125 * g[3];
        if (side > 4) near += (T)0.0625 * g[4];
        if (side > 5) slope += (T)0.03125 * g[5];
        o[5] = near + slope, o[6] = near - slope;
    }
}

/* For the gradient for the input where that has more tiles than the results: the transpose of all. A g A' of a tile of
 * gradients, rows x cols of which are there, `row` elements from row to row; value k goes to out + k * step. */
SIZED NAME(spread_square)(int taps, int lines, const T *g, long row, T *out, long step) {
    const int points = POINTS(taps, lines);
    V z[4][8] ALIGNED, in[4], o[8];
    UNROLL for (int x = 0; x < 4; x++) {
        UNROLL for (int y = 0; y < 4; y++) in[y] = AT(g, y * row + x * LANES);
        NAME(gradient_line)(points, 4, in, z[x]);
    }
    UNROLL for (int i = 0; i < points; i++) {
        UNROLL for (int x = 0; x < 4; x++) in[x] = z[x][i];
        NAME(gradient_line)(points, 4, in, o);
        out = NAME(write_line)(points, o, out, step);
    }
}

#define SPREAD(lines, taps) \
APART NAME(spread_square_##lines##_##taps)(const T *g, long row, T *out, long step) { \
    NAME(spread_square)(taps, lines, g, row, out, step); \
}
SQUARES(SPREAD)
#undef SPREAD

static void NAME(spread_tile)(int taps, const T *g, long row, long rows, long cols, T *out, long step) {
    T tile[16 * LANES] ALIGNED;
    if (!g || rows < 4 || cols < 4) {
        for (int i = 0; i < 16; i++)
            *(V *)(tile + i * LANES) = g && i / 4 < rows && i % 4 < cols ? AT(g, i / 4 * row + i % 4 * LANES) : (V){0};
        g = tile, row = 4 * LANES;
    }
    BY_SQUARE(spread_square, taps, 8, g, row, out, step);
}

/* A line of B m. */
INLINE void NAME(gather_line)(int points, const V *m, V *d) {
    const V first = m[0], last = m[points - 1], s1 = m[1] + m[2], r1 = m[1] - m[2], s2 = m[3] + m[4];
    const V r2 = 2 * (m[3] - m[4]);
    if (points == 6) {
        d[0] = 4 * first, d[1] = 4 * (last - r1) - r2, d[2] = -5 * first - 4 * s1 - s2;
        d[3] = r1 + r2 - 5 * last, d[4] = first + s1 + s2;
    } else {
        const V s3 = m[5] + m[6], r3 = (T)0.5 * (m[5] - m[6]);
        d[0] = first, d[1] = r1 + (T)0.25 * r2 + 4 * r3 - last, d[2] = s1 + (T)0.25 * s2 + 4 * s3 - (T)5.25 * first;
        d[3] = (T)5.25 * last - (T)4.25 * r1 - (T)1.25 * r2 - 5 * r3;
        d[4] = (T)5.25 * first - (T)4.25 * s1 - (T)1.25 * s2 - 5 * s3;
        d[5] = r1 + r2 + r3 - (T)5.25 * last, d[6] = s1 + s2 + s3 - first;
    }
    d[points - 1] = last;
}

/* B m B' of a tile, value k at m + k * step, added to the pixels from (y, x) on that lie inside of a plane of h x w. */
SIZED NAME(gather_square)(int taps, int lines, const T *m, long step, T *plane, long h, long w, long y,
                          long x) {
    const int points = POINTS(taps, lines);
    V z[8][8] ALIGNED, in[8], o[8];
    const long left = x < 0 ? -x : 0, right = w - x < points ? w - x : points;
    UNROLL for (int j = 0; j < points; j++) {
        NAME(read_line)(points, m + j * step, points * step, in);
        NAME(gather_line)(points, in, z[j]);
    }
    for (long i = y < 0 ? -y : 0; i < points && y + i < h; i++) {
        UNROLL for (int j = 0; j < points; j++) in[j] = z[j][i];
        NAME(gather_line)(points, in, o);
        T *to = plane + ((y + i) * w + x) * LANES;
        if (left == 0 && right == points) UNROLL for (int j = 0; j < points; j++) *(V *)(to + j * LANES) += o[j];
        else for (long j = left; j < right; j++) *(V *)(to + j * LANES) += o[j];
    }
}

#define GATHER(lines, taps) \
APART NAME(gather_square_##lines##_##taps)(const T *m, long step, T *plane, long h, long w, long y, long x) { \
    NAME(gather_square)(taps, lines, m, step, plane, h, w, y, x); \
}
SQUARES(GATHER)
#undef GATHER

static void NAME(gather_tile)(int taps, const T *m, long step, T *plane, long h, long w, long y, long x) {
    BY_SQUARE(gather_square, taps, 8, m, step, plane, h, w, y, x);
}

/* A g A' of the gradients g[pixel][sample][filter] of a tile: value k of sample l goes to out + k * step + l * line. */
SIZED NAME(gradient_square)(int taps, int lines, const T *g, T *out, long step, long line) {
    const int points = POINTS(taps, lines), side = SIDE(taps, lines);
    V z[6][8] ALIGNED, in[6], o[8];
    for (long l = 0; l < LANES; l++, g += LANES, out += line) {
        T *to = out;
        EACH(x, side,
            UNROLL for (int y = 0; y < side; y++)
                if (y == 0 || lines > 1) in[y] = AT(g, (side * y + x) * LANES * LANES);
            if (lines == 1) z[x][0] = in[0];
            else NAME(gradient_line)(points, side, in, z[x]);)
        EACH(i, lines,
            UNROLL for (int x = 0; x < side; x++) in[x] = z[x][i];
            NAME(gradient_line)(points, side, in, o);
            to = NAME(write_line)(points, o, to, step);)
    }
}

#define GRADIENT(lines, taps) \
APART NAME(gradient_square_##lines##_##taps)(const T *g, T *out, long step, long line) { \
    NAME(gradient_square)(taps, lines, g, out, step, line); \
}
SIZES(GRADIENT)
#undef GRADIENT

/* A g A' for the gradients of LANES filters, `plane` elements apart, with the filters in the lanes afterwards: value k
 * of sample l goes to out + k * step + l * line. rows, cols: how many of the tile's gradients there are, `row` elements
 * from row to row; the others count as zeros. filters: how many filters; the other lanes may hold anything. ahead:
 * elements to the gradients of a later call, which are asked for; 0: none. */
static void NAME(gradient_tile)(int taps, int lines, const T *g, long plane, long row, long rows, long cols,
                                long filters, T *out, long step, long line, long ahead) {
    const int side = SIDE(taps, lines);
    T turned[25 * LANES * LANES] ALIGNED;               /* [pixel][sample][filter] */
    for (long y = 0; y < (lines == 1 ? 1 : side); y++)
        for (long x = 0; x < side; x++) {
            T *to = turned + (side * y + x) * LANES * LANES;
            if (y < rows && x < cols) NAME(transposed)(g + y * row + x * LANES, plane, filters, to, LANES, ahead);
            else for (int f = 0; f < LANES; f++) *(V *)(to + f * LANES) = (V){0};
        }
    BY_SIZE(gradient_square, taps, lines, turned, out, step, line);
}

/* A line of G' p. */
INLINE void NAME(back_line)(int points, int taps, const V *p, V *o) {
    if (points == 5) {
        const V b = (T)1 / 6 * p[2], c = (T)1 / 6 * p[3];
        o[0] = (T)0.5 * (p[0] - p[1]) - b + c, o[1] = b - (T)0.5 * p[1] + 2 * c + p[4];
        return;
    }
    DIVISORS;
    const V a = c1 * (p[1] + p[2]), b = c1 * (p[1] - p[2]), c = c2 * (p[3] + p[4]), d = c2 * (p[3] - p[4]);
    o[0] = c0 * p[0] + a + c, o[1] = b + 2 * d, o[2] = a + 4 * c;
    if (points == 8) {
        const V e = c3 * (p[5] + p[6]), f = c3 * (p[5] - p[6]);
        o[0] += e, o[1] += (T)0.5 * f, o[2] += (T)0.25 * e;
        if (taps > 3) o[3] = b + 8 * d + (T)0.125 * f;
        if (taps == 5) o[4] = a + 16 * c + (T)0.0625 * e;
    }
    o[taps - 1] += p[points - 1];
}

/* Where taps go: `line` elements from row to row, `tap` within one; rows x cols of them are there. */
typedef struct { T *out; long line, tap, rows, cols; } NAME(Taps);

/* G' p G: value k at p + k * step. (Once per task: no need to unroll it all.) */
SIZED NAME(back_square)(int taps, int lines, const T *p, long step, const NAME(Taps) *to) {
    const int points = POINTS(taps, lines), most = lines == 1 ? 1 : taps, rows = to->rows < most ? to->rows : most;
    V z[8][5] ALIGNED, in[8], o[5] = {{0}};
    for (int i = 0; i < lines; i++) {
        p = NAME(read_line)(points, p, step, in);
        NAME(back_line)(points, taps, in, o);
        UNROLL for (int x = 0; x < taps; x++) z[i][x] = o[x];
    }
    for (int x = 0; x < taps && x < to->cols; x++) {
        UNROLL for (int i = 0; i < lines; i++) in[i] = z[i][x];
        if (lines == 1) o[0] = in[0];
        else NAME(back_line)(points, taps, in, o);
        for (int y = 0; y < rows; y++) *(V *)(to->out + y * to->line + x * to->tap) = o[y];
    }
}

#define BACK(lines, taps) \
APART NAME(back_square_##lines##_##taps)(const T *p, long step, const NAME(Taps) *to) { \
    NAME(back_square)(taps, lines, p, step, to); \
}
SIZES(BACK)
#undef BACK

/* The same for the first `lanes` of LANES filters. */
static void NAME(weights_back)(int taps, int lines, const T *p, long step, T *out, long line, long tap, long rows,
                               long cols, long lanes) {
    T part[25 * LANES] ALIGNED;
    const int whole = lanes >= LANES;
    const NAME(Taps) to = {whole ? out : part, whole ? line : taps * LANES, whole ? tap : LANES, rows, cols};
    BY_SIZE(back_square, taps, lines, p, step, &to);
    for (long y = 0; !whole && y < rows && y < taps; y++)
        for (long x = 0; x < cols && x < taps; x++)
            memcpy(out + y * line + x * tap, part + (y * taps + x) * LANES, lanes * sizeof(T));
}
#undef AT
#undef UNROLL
#undef APART
#undef ALIGNED
#undef BY_SIZE
#undef BY_SQUARE
#undef SIZES
#undef SQUARES
#undef FEW
#undef BY_FEW
#undef SIZED
#undef DIVISORS
#undef POINTS
#undef SIDE
#undef EACH
