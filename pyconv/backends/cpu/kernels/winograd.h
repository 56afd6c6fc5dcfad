/* Winograd's transforms on whole vectors. Included once per element type with T, V, VI, LANES, NAME(x) defined.
 *
 * Input tiles of 6 x 6 with the points 0, 1, -1, 2, -2 and infinity: 4 x 4 outputs of a 3 x 3 kernel, or 2 x 2 of a
 * 5 x 5 one. Y = A' [ (G g G') * (B' d B) ] A (Lavin and Gray, Fast algorithms for convolutional neural
 * networks, 2016).
 * B is the same for both; A and G are powers of the points, cut to the sizes. The gradient for the kernel is the same
 * form read from its end: G' [ (B' d B) * (A dY A') ] G. Lines of a transform are made row by row from the columns, so
 * that what is between stays in registers. */

#define AT(p, i) (*(const V *)((p) + (i)))

/* One line of B' d: 6 values in registers, to 6 values `step` elements apart. */
INLINE void NAME(input_line)(const V *d, T *o, long step) {
    const V a = d[4] - 4 * d[2], b = d[3] - 4 * d[1], c = d[4] - d[2], e = d[3] - d[1];
    *(V *)o = 4 * d[0] - 5 * d[2] + d[4];
    *(V *)(o + step) = a + b;
    *(V *)(o + 2 * step) = a - b;
    *(V *)(o + 3 * step) = c + 2 * e;
    *(V *)(o + 4 * step) = c - 2 * e;
    *(V *)(o + 5 * step) = 4 * d[1] - 5 * d[3] + d[5];
}

/* Where the 6 x 6 tile with the corner (y, x) of a plane of h x w pixels, `pixel` elements apart, can be read, with
 * zeros outside of the plane (everywhere, if it is NULL): in place, or copied to `tile`. row, column: elements from one
 * row and column to the next there. */
INLINE const T *NAME(tile_at)(const T *plane, long pixel, long h, long w, long y, long x, T *tile, long *row,
                              long *column) {
    if (plane && y >= 0 && x >= 0 && y + 6 <= h && x + 6 <= w) {
        *row = w * pixel, *column = pixel;
        return plane + (y * w + x) * pixel;
    }
    const long left = x < 0 ? -x : 0, right = !plane || w <= x ? left : w - x < 6 ? w - x : 6;
    for (long i = 0; i < 6; i++) {
        T *line = tile + i * 6 * LANES;
        const int inside = plane && y + i >= 0 && y + i < h;
        for (long j = 0; j < 6; j++)
            *(V *)(line + j * LANES) = inside && j >= left && j < right ? AT(plane, ((y + i) * w + x + j) * pixel)
                                                                        : (V){0};
    }
    *row = 6 * LANES, *column = LANES;
    return tile;
}

/* B' d B of a tile at d; value k goes to out + k * step. */
INLINE void NAME(input_square)(const T *d, long s, long column, T *out, long step) {
    V p[6], q[6];
    for (int j = 0; j < 6; j++) {
        const T *c = d + j * column;
        p[j] = 4 * AT(c, 0) - 5 * AT(c, 2 * s) + AT(c, 4 * s);
    }
    NAME(input_line)(p, out, step);
    for (int j = 0; j < 6; j++) {
        const T *c = d + j * column;
        const V a = AT(c, 4 * s) - 4 * AT(c, 2 * s), b = AT(c, 3 * s) - 4 * AT(c, s);
        p[j] = a + b, q[j] = a - b;
    }
    NAME(input_line)(p, out + 6 * step, step);
    NAME(input_line)(q, out + 12 * step, step);
    for (int j = 0; j < 6; j++) {
        const T *c = d + j * column;
        const V a = AT(c, 4 * s) - AT(c, 2 * s), b = AT(c, 3 * s) - AT(c, s);
        p[j] = a + 2 * b, q[j] = a - 2 * b;
    }
    NAME(input_line)(p, out + 18 * step, step);
    NAME(input_line)(q, out + 24 * step, step);
    for (int j = 0; j < 6; j++) {
        const T *c = d + j * column;
        p[j] = 4 * AT(c, s) - 5 * AT(c, 3 * s) + AT(c, 5 * s);
    }
    NAME(input_line)(p, out + 30 * step, step);
}

static void NAME(input_tile)(const T *plane, long h, long w, long y, long x, T *out, long step) {
    T tile[36 * LANES];
    long row, column;
    const T *d = NAME(tile_at)(plane, LANES, h, w, y, x, tile, &row, &column);
    NAME(input_square)(d, row, LANES, out, step);
}

/* The same for LANES channels that lie side by side, pixels being further apart. */
static void NAME(input_tile_plain)(const T *plane, long pixel, long h, long w, long y, long x, T *out, long step) {
    T tile[36 * LANES];
    long row, column;
    const T *d = NAME(tile_at)(plane, pixel, h, w, y, x, tile, &row, &column);
    NAME(input_square)(d, row, column, out, step);
}

/* Row i of B' d B alone. */
static void NAME(input_row)(int i, const T *plane, long h, long w, long y, long x, T *out, long step) {
    T tile[36 * LANES];
    long s, column;
    const T *d = NAME(tile_at)(plane, LANES, h, w, y, x, tile, &s, &column);
    V p[6];
    if (i == 0 || i == 5)
        for (int j = 0; j < 6; j++) {
            const T *c = d + j * LANES + (i == 5 ? s : 0);
            p[j] = 4 * AT(c, 0) - 5 * AT(c, 2 * s) + AT(c, 4 * s);
        }
    else {
        const T k = i < 3 ? 4 : 1, m = i == 1 ? 1 : i == 2 ? -1 : i == 3 ? 2 : -2;
        for (int j = 0; j < 6; j++) {
            const T *c = d + j * LANES;
            p[j] = AT(c, 4 * s) - k * AT(c, 2 * s) + m * (AT(c, 3 * s) - k * AT(c, s));
        }
    }
    NAME(input_line)(p, out, step);
}

/* Where the outputs of a tile go: to y, `row` and `pixel` elements apart; rows x cols of them lie inside the plane, and
 * `lanes` of each vector count. */
typedef struct { T *y; long row, pixel, rows, cols, lanes; V bias; int relu; } NAME(Outputs);

INLINE void NAME(store)(const NAME(Outputs) *o, int whole, long i, long j, V v) {
    T *y = o->y + i * o->row + j * (whole ? LANES : o->pixel);
    v += o->bias;
    if (o->relu) v = (V)((VI)v & ~(v <= 0));        /* NaN stays */
    if (whole || o->lanes == LANES) *(V *)y = v;
    else {
        T part[LANES];
        *(V *)part = v;
        for (long l = 0; l < o->lanes; l++) y[l] = part[l];
    }
}

/* One line of A' m: 6 values to 4, or to 2, those of row i. */
INLINE void NAME(output_line_4)(const NAME(Outputs) *o, int whole, long i, const V *m) {
    const V p = m[1] + m[2], q = m[1] - m[2], r = m[3] + m[4], u = m[3] - m[4];
    NAME(store)(o, whole, i, 0, m[0] + p + r);
    if (o->cols > 1) NAME(store)(o, whole, i, 1, q + 2 * u);
    if (o->cols > 2) NAME(store)(o, whole, i, 2, p + 4 * r);
    if (o->cols > 3) NAME(store)(o, whole, i, 3, q + 8 * u + m[5]);
}

INLINE void NAME(output_line_2)(const NAME(Outputs) *o, int whole, long i, const V *m) {
    NAME(store)(o, whole, i, 0, m[0] + (m[1] + m[2]) + (m[3] + m[4]));
    if (o->cols > 1) NAME(store)(o, whole, i, 1, (m[1] - m[2]) + 2 * (m[3] - m[4]) + m[5]);
}

/* The outputs of a tile of size x size: value k at m + k * step. */
INLINE void NAME(output_square)(const T *m, long step, int size, const NAME(Outputs) *o, int whole) {
    V a[6], b[6];
    const long s = 6 * step;
    if (size == 2) {
        for (int j = 0; j < 6; j++) {
            const T *c = m + j * step;
            a[j] = AT(c, 0) + (AT(c, s) + AT(c, 2 * s)) + (AT(c, 3 * s) + AT(c, 4 * s));
            b[j] = (AT(c, s) - AT(c, 2 * s)) + 2 * (AT(c, 3 * s) - AT(c, 4 * s)) + AT(c, 5 * s);
        }
        NAME(output_line_2)(o, whole, 0, a);
        if (o->rows > 1) NAME(output_line_2)(o, whole, 1, b);
        return;
    }
    for (int j = 0; j < 6; j++) {
        const T *c = m + j * step;
        const V p = AT(c, s) + AT(c, 2 * s), r = AT(c, 3 * s) + AT(c, 4 * s);
        a[j] = AT(c, 0) + p + r, b[j] = p + 4 * r;
    }
    NAME(output_line_4)(o, whole, 0, a);
    if (o->rows > 2) NAME(output_line_4)(o, whole, 2, b);
    if (o->rows == 1) return;
    for (int j = 0; j < 6; j++) {
        const T *c = m + j * step;
        const V q = AT(c, s) - AT(c, 2 * s), u = AT(c, 3 * s) - AT(c, 4 * s);
        a[j] = q + 2 * u, b[j] = q + 8 * u + AT(c, 5 * s);
    }
    NAME(output_line_4)(o, whole, 1, a);
    if (o->rows > 3) NAME(output_line_4)(o, whole, 3, b);
}

static void NAME(output_tile)(const T *m, long step, int size, T bias, int relu, T *y, long row, long rows, long cols) {
    const NAME(Outputs) o = {y, row, LANES, rows, cols, LANES, bias - (V){0}, relu};
    NAME(output_square)(m, step, size, &o, 1);
}

/* The same for LANES filters side by side, of which `lanes` count; bias: NULL or one number each. */
static void NAME(output_tile_plain)(const T *m, long step, int size, const T *bias, int relu, T *y, long row,
                                    long pixel, long rows, long cols, long lanes) {
    const NAME(Outputs) o = {y, row, pixel, rows, cols, lanes, bias ? AT(bias, 0) : (V){0}, relu};
    NAME(output_square)(m, step, size, &o, 0);
}

/* One line of G g: 3 or 5 values to 6. */
INLINE void NAME(weights_line)(const V *g, int size, V *o) {
    const T c4 = (T)1 / 4, c6 = -(T)1 / 6, c24 = (T)1 / 24;
    V even = g[0] + g[2], odd = g[1], wide = g[0] + 4 * g[2], tilt = 2 * g[1];
    if (size == 5) even += g[4], odd = odd + g[3], wide += 16 * g[4], tilt += 8 * g[3];
    o[0] = c4 * g[0];
    o[1] = c6 * (even + odd);
    o[2] = c6 * (even - odd);
    o[3] = c24 * (wide + tilt);
    o[4] = c24 * (wide - tilt);
    o[5] = g[size - 1];
}

/* G g G' of LANES kernels of size x size (3 or 5) that lie side by side: `step` elements from tap to tap in a row,
 * `line` from row to row. Value k of all of them goes to out + k * to. */
INLINE void NAME(weights_of)(const T *g, long line, long step, int size, T *out, long to) {
    V part[5][6], in[5], o[6];
    _Pragma("GCC unroll 5") for (int c = 0; c < size; c++) {
        _Pragma("GCC unroll 5") for (int k = 0; k < size; k++) in[k] = AT(g, k * line + c * step);
        NAME(weights_line)(in, size, part[c]);
    }
    _Pragma("GCC unroll 6") for (int i = 0; i < 6; i++) {
        _Pragma("GCC unroll 5") for (int c = 0; c < size; c++) in[c] = part[c][i];
        NAME(weights_line)(in, size, o);
        for (int j = 0; j < 6; j++) *(V *)(out + (i * 6 + j) * to) = o[j];
    }
}

/* The sizes as constants, so that all loops unroll; apart from each other, so that neither spills for the other. */
static __attribute__((noinline)) void NAME(weights_3)(const T *g, long line, long step, T *out, long to) {
    NAME(weights_of)(g, line, step, 3, out, to);
}

static __attribute__((noinline)) void NAME(weights_5)(const T *g, long line, long step, T *out, long to) {
    NAME(weights_of)(g, line, step, 5, out, to);
}

INLINE void NAME(weights)(const T *g, long line, long step, int size, T *out, long to) {
    if (size == 3) NAME(weights_3)(g, line, step, out, to);
    else NAME(weights_5)(g, line, step, out, to);
}

/* Row i of A g A' for the gradients of LANES filters, `plane` elements apart, with the filters in the lanes
 * afterwards: value j of sample l goes to out + j * step + l * line. rows, cols: how many of the size x size gradients
 * there are, `row` elements from row to row; filters: how many filters. The others count as zeros. */
static void NAME(gradient_row)(int i, int size, const T *g, long plane, long row, long rows, long cols, long filters,
                               T *out, long step, long line) {
    static const T power[5][4] = {{1, 0, 0, 0}, {1, 1, 1, 1}, {1, -1, 1, -1}, {1, 2, 4, 8}, {1, -2, 4, -8}};
    V u[4][LANES];
    for (int x = 0; x < 4; x++) {
        for (int f = 0; f < LANES; f++) {
            const T *from = g + f * plane + x * LANES;
            V sum = (V){0};
            if (x < cols && f < filters) {
                if (i == 5) {
                    if (rows == size) sum = AT(from, (size - 1) * row);
                } else {
                    sum = AT(from, 0);
                    if (i > 0) for (int k = 1; k < rows; k++) sum += power[i][k] * AT(from, k * row);
                }
            }
            u[x][f] = sum;
        }
        if (x < cols) NAME(transpose)(u[x]);
    }
    for (int l = 0; l < LANES; l++, out += line) {
        const V a = u[0][l], b = u[1][l], c = u[2][l], d = u[3][l];
        const V even = a + c, odd = b + d, wide = a + 4 * c, tilt = 2 * b + 8 * d;
        *(V *)out = a;
        *(V *)(out + step) = even + odd;
        *(V *)(out + 2 * step) = even - odd;
        *(V *)(out + 3 * step) = wide + tilt;
        *(V *)(out + 4 * step) = wide - tilt;
        *(V *)(out + 5 * step) = size == 4 ? d : b;
    }
}

/* The part of G' p G that row i of p has: 6 values `step` elements apart, added to size x size ones, `to` apart. */
INLINE void NAME(weights_back_of)(int i, int size, const T *p, long step, T *out, long to) {
    static const T point[5] = {0, 1, -1, 2, -2};
    const T c4 = (T)1 / 4, c6 = -(T)1 / 6, c24 = (T)1 / 24;
    const T scale[6] = {c4, c6, c6, c24, c24, 1};
    const V a = c6 * (AT(p, step) + AT(p, 2 * step)), b = c6 * (AT(p, step) - AT(p, 2 * step));
    const V c = c24 * (AT(p, 3 * step) + AT(p, 4 * step)), d = c24 * (AT(p, 3 * step) - AT(p, 4 * step));
    V o[5];
    o[0] = c4 * AT(p, 0) + a + c;
    o[1] = b + 2 * d;
    o[2] = a + 4 * c;
    o[3] = b + 8 * d;
    o[4] = a + 16 * c;
    if (size == 3) o[2] += AT(p, 5 * step);
    else o[4] += AT(p, 5 * step);
    T w = i == 5 ? 1 : scale[i];
    for (int r = i == 5 ? size - 1 : 0; r < size; r++) {
        for (int s = 0; s < size; s++) *(V *)(out + (r * size + s) * to) += w * o[s];
        if (i == 0) break;
        if (i < 5) w *= point[i];
    }
}

static __attribute__((noinline)) void NAME(weights_back_3)(int i, const T *p, long step, T *out, long to) {
    NAME(weights_back_of)(i, 3, p, step, out, to);
}

static __attribute__((noinline)) void NAME(weights_back_5)(int i, const T *p, long step, T *out, long to) {
    NAME(weights_back_of)(i, 5, p, step, out, to);
}

INLINE void NAME(weights_back)(int i, int size, const T *p, long step, T *out, long to) {
    if (size == 3) NAME(weights_back_3)(i, p, step, out, to);
    else NAME(weights_back_5)(i, p, step, out, to);
}
#undef AT
