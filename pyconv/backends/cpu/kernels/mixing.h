/* Weighted sums of vectors: y[j] = sum over t of w[t] * x[t * step + j], for j < n. Up to a whole vector may be read
 * behind the end of x. Included with T, V, LANES and NAME defined. */
static void NAME(mix)(const T *x, long step, const T *w, long taps, long n, T *y) {
    long j = 0;
    for (; j + 4 * LANES <= n; j += 4 * LANES) {
        V sums[4];
        _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++) sums[i] = w[0] * *(const V *)(x + j + i * LANES);
        for (long t = 1; t < taps; t++)
            _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++)
                sums[i] += w[t] * *(const V *)(x + t * step + j + i * LANES);
        _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++) *(V *)(y + j + i * LANES) = sums[i];
    }
    for (; j < n; j += LANES) {
        V sum = w[0] * *(const V *)(x + j);
        for (long t = 1; t < taps; t++) sum += w[t] * *(const V *)(x + t * step + j);
        if (n - j >= LANES) *(V *)(y + j) = sum;
        else memcpy(y + j, &sum, (n - j) * sizeof(T));
    }
}

/* A row of `count` such results side by side, number c from x + first[c] * n on. Short ones are written as whole
 * vectors, and what is too much is written anew by the next, but for the last. */
static void NAME(mix_columns)(const T *x, const int32_t *first, const T *w, long taps, long count, long n, T *y) {
    const long wide = (n + LANES - 1) / LANES * LANES, last = count - (wide - n + n - 1) / n;
    for (long c = 0; c < count; c++, w += taps, y += n) {
        const T *from = x + first[c] * n;
        if (c >= last || n > 4 * LANES) {
            NAME(mix)(from, n, w, taps, n, y);
            continue;
        }
        for (long j = 0; j < n; j += LANES) {
            V sum = w[0] * *(const V *)(from + j);
            for (long t = 1; t < taps; t++) sum += w[t] * *(const V *)(from + t * n + j);
            *(V *)(y + j) = sum;
        }
    }
}
