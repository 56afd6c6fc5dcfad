/* Softmax cross-entropy and its gradient. Included once per type with T, V, M, LANES, NAME(x) defined.
 *
 * With `out` the gradient is written, g * (softmax - one_hot), and the result means nothing; else it is the loss. */

INLINE V NAME(larger)(V a, V b) {
    const M wins = b > a;
    return (V)((wins & (M)b) | (~wins & (M)a));
}

/* One sample, whose classes lie side by side. The last vector is read whole; what lies beyond is not counted. */
static T NAME(cross_entropy_row)(const T *x, long classes, long label, T g, T *out) {
    const long whole = classes / LANES * LANES, rest = classes - whole;
    T part[LANES], top = x[0];
    if (whole) {
        V best = *(const V *)x;
        for (long c = LANES; c < whole; c += LANES) best = NAME(larger)(best, *(const V *)(x + c));
        *(V *)part = best;
        for (long l = 0; l < LANES; l++) if (part[l] > top) top = part[l];
    }
    for (long c = whole; c < classes; c++) if (x[c] > top) top = x[c];
    V sum = (V){0};
    for (long c = 0; c < whole; c += LANES) {
        const V e = NAME(vexp)(*(const V *)(x + c) - top);
        if (out) *(V *)(out + c) = e;
        sum += e;
    }
    T total = NAME(sum_lanes)(sum, LANES);
    if (rest) {
        *(V *)part = NAME(vexp)(*(const V *)(x + whole) - top);
        for (long l = 0; l < rest; l++) {
            if (out) out[whole + l] = part[l];
            total += part[l];
        }
    }
    if (!out) return NAME(log)(total) + top - x[label];
    const T scale = g / total;
    for (long c = 0; c < whole; c += LANES) *(V *)(out + c) *= scale;
    for (long c = whole; c < classes; c++) out[c] *= scale;
    out[label] -= g;
    return 0;
}

/* A block of samples in the lanes, of which the first `valid` exist. Losses go to `losses`. */
static void NAME(cross_entropy_block)(const T *x, long classes, const int64_t *label, long valid, const T *g, T *out,
                                      T *losses) {
    V top = *(const V *)x, sum = (V){0};
    for (long c = 1; c < classes; c++) top = NAME(larger)(top, *(const V *)(x + c * LANES));
    for (long c = 0; c < classes; c++) {
        const V e = NAME(vexp)(*(const V *)(x + c * LANES) - top);
        if (out) *(V *)(out + c * LANES) = e;
        sum += e;
    }
    if (!out) {
        const V loss = NAME(vlog)(sum) + top;
        for (long l = 0; l < valid; l++) losses[l] = loss[l] - x[label[l] * LANES + l];
        return;
    }
    const V scale = *(const V *)g / sum;
    for (long c = 0; c < classes; c++) *(V *)(out + c * LANES) *= scale;
    for (long l = 0; l < valid; l++) out[label[l] * LANES + l] -= g[l];
}
