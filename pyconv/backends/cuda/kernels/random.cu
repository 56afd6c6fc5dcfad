// Random numbers from a counter: Philox4x32-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011), the
// same words as on every backend. One thread a block of four words. state: (key, counter).

struct Words {
    unsigned w[4];
};

INLINE Words philox(unsigned block, const i64* __restrict__ state)
{
    unsigned k0 = (unsigned)(u64)state[0], k1 = (unsigned)((u64)state[0] >> 32);
    Words c = {{block, (unsigned)(u64)state[1], (unsigned)((u64)state[1] >> 32), 0u}};
    for (int round = 0; round < 10; ++round) {
        const u64 a = (u64)0xD2511F53u * c.w[0], b = (u64)0xCD9E8D57u * c.w[2];
        c = Words{{(unsigned)(b >> 32) ^ c.w[1] ^ k0, (unsigned)b, (unsigned)(a >> 32) ^ c.w[3] ^ k1, (unsigned)a}};
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return c;
}

template <typename T>
__global__ void __launch_bounds__(256) random_uniform(const i64* __restrict__ state, T* __restrict__ y, i64 n)
{
    for (i64 b = (i64)blockIdx.x * 256 + threadIdx.x; 4 * b < n; b += (i64)gridDim.x * 256) {
        const Words words = philox((unsigned)b, state);
        for (int j = 0; j < 4 && 4 * b + j < n; ++j) y[4 * b + j] = (T)(words.w[j] >> 8) * (T)5.9604644775390625e-8;
    }
}

// Pairs of words give pairs of numbers (Box and Muller), computed in double precision.
template <typename T>
__global__ void __launch_bounds__(256) random_normal(const i64* __restrict__ state, T* __restrict__ y, i64 n)
{
    for (i64 b = (i64)blockIdx.x * 256 + threadIdx.x; 4 * b < n; b += (i64)gridDim.x * 256) {
        const Words words = philox((unsigned)b, state);
        for (int j = 0; j < 4; j += 2) {
            const double radius = sqrt(-2.0 * log(((double)words.w[j] + 0.5) * 2.3283064365386963e-10));
            const double angle = 6.283185307179586 * (double)words.w[j + 1] * 2.3283064365386963e-10;
            if (4 * b + j < n) y[4 * b + j] = (T)(radius * cos(angle));
            if (4 * b + j + 1 < n) y[4 * b + j + 1] = (T)(radius * sin(angle));
        }
    }
}
