/* Winograd's transforms on whole vectors. Included once per element type with T, V, LANES, NAME(x) defined.
 *
 * Input tiles of 6 x 6 with the points 0, 1, -1, 2, -2 and infinity: 4 x 4 outputs of a 3 x 3 kernel, or 2 x 2 of a
 * 5 x 5 one. Y = A' [ (G g G') * (B' d B) ] A (Lavin and Gray, Fast algorithms for convolutional neural
 * networks, 2016).
 * B is the same for both; A and G are powers of the points, cut to the sizes. */

/* One line of B' d: 6 values, s elements apart, to 6 values, t apart. */
INLINE void NAME(input_line)(const T *d, long s, T *o, long t) {
    const V d0 = *(const V *)d, d1 = *(const V *)(d + s), d2 = *(const V *)(d + 2 * s);
    const V d3 = *(const V *)(d + 3 * s), d4 = *(const V *)(d + 4 * s), d5 = *(const V *)(d + 5 * s);
    const V a = d4 - 4 * d2, b = d3 - 4 * d1, c = d4 - d2, e = 2 * (d3 - d1);
    *(V *)o = 4 * d0 - 5 * d2 + d4;
    *(V *)(o + t) = a + b;
    *(V *)(o + 2 * t) = a - b;
    *(V *)(o + 3 * t) = c + e;
    *(V *)(o + 4 * t) = c - e;
    *(V *)(o + 5 * t) = 4 * d1 - 5 * d3 + d5;
}

/* The tile whose corner is (y, x) of a plane of h x w pixels, zeros outside of it; value k goes to out + k * step. */
static void NAME(input_tile)(const T *plane, long h, long w, long y, long x, T *out, long step) {
    T part[36 * LANES], tile[36 * LANES];
    const T *d = plane + (y * w + x) * LANES;
    long row = w * LANES;
    if (y < 0 || x < 0 || y + 6 > h || x + 6 > w) {
        for (long i = 0; i < 6; i++)
            for (long j = 0; j < 6; j++) {
                const int inside = y + i >= 0 && y + i < h && x + j >= 0 && x + j < w;
                *(V *)(tile + (i * 6 + j) * LANES) = inside ? *(const V *)(d + i * row + j * LANES) : (V){0};
            }
        d = tile;
        row = 6 * LANES;
    }
    for (int j = 0; j < 6; j++) NAME(input_line)(d + j * LANES, row, part + j * LANES, 6 * LANES);
    for (int i = 0; i < 6; i++) NAME(input_line)(part + i * 6 * LANES, LANES, out + i * 6 * step, step);
}

/* One line of A' m: 6 values to 4, or to 2. */
INLINE void NAME(output_line_4)(const T *m, long s, T *o, long t) {
    const V m1 = *(const V *)(m + s), m2 = *(const V *)(m + 2 * s), m3 = *(const V *)(m + 3 * s);
    const V m4 = *(const V *)(m + 4 * s), p = m1 + m2, q = m1 - m2, r = m3 + m4, u = m3 - m4;
    *(V *)o = *(const V *)m + p + r;
    *(V *)(o + t) = q + 2 * u;
    *(V *)(o + 2 * t) = p + 4 * r;
    *(V *)(o + 3 * t) = q + 8 * u + *(const V *)(m + 5 * s);
}

INLINE void NAME(output_line_2)(const T *m, long s, T *o, long t) {
    const V m1 = *(const V *)(m + s), m2 = *(const V *)(m + 2 * s), m3 = *(const V *)(m + 3 * s);
    const V m4 = *(const V *)(m + 4 * s);
    *(V *)o = *(const V *)m + (m1 + m2) + (m3 + m4);
    *(V *)(o + t) = (m1 - m2) + 2 * (m3 - m4) + *(const V *)(m + 5 * s);
}

/* The outputs of a tile: value k at m + k * step; `rows` x `cols` of them lie inside the plane. */
static void NAME(output_tile)(const T *m, long step, int size, T bias, int relu, T *y, long row, long rows, long cols) {
    T part[24 * LANES], out[16 * LANES];
    if (size == 4) {
        for (int j = 0; j < 6; j++) NAME(output_line_4)(m + j * step, 6 * step, part + j * LANES, 6 * LANES);
        for (int i = 0; i < 4; i++) NAME(output_line_4)(part + i * 6 * LANES, LANES, out + i * 4 * LANES, LANES);
    } else {
        for (int j = 0; j < 6; j++) NAME(output_line_2)(m + j * step, 6 * step, part + j * LANES, 6 * LANES);
        for (int i = 0; i < 2; i++) NAME(output_line_2)(part + i * 6 * LANES, LANES, out + i * 2 * LANES, LANES);
    }
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < cols; j++) {
            const V v = *(const V *)(out + (i * size + j) * LANES) + bias;
            *(V *)(y + i * row + j * LANES) = relu ? NAME(relu)(v) : v;
        }
}

/* G g G' of LANES kernels of size x size (3 or 5) that lie side by side: `step` elements from tap to tap in a row,
 * `line` from row to row. Value k of all of them goes to out + k * LANES. */
static void NAME(weights)(const T *g, long line, long step, int size, T *out) {
    static const T points[5] = {0, 1, -1, 2, -2};
    static const T scale[5] = {(T)1 / 4, -(T)1 / 6, -(T)1 / 6, (T)1 / 24, (T)1 / 24};
    V part[6][5];
    for (int c = 0; c < size; c++) {
        for (int j = 0; j < 5; j++) {
            V sum = (V){0};
            for (int k = size - 1; k >= 0; k--) sum = sum * points[j] + *(const V *)(g + k * line + c * step);
            part[j][c] = sum * scale[j];
        }
        part[5][c] = *(const V *)(g + (size - 1) * line + c * step);
    }
    for (int i = 0; i < 6; i++) {
        for (int j = 0; j < 5; j++) {
            V sum = (V){0};
            for (int k = size - 1; k >= 0; k--) sum = sum * points[j] + part[i][k];
            *(V *)(out + (i * 6 + j) * LANES) = sum * scale[j];
        }
        *(V *)(out + (i * 6 + 5) * LANES) = part[i][size - 1];
    }
}
