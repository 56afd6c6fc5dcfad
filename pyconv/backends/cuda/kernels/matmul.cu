// Products of many matrices. (That of two matrices is cuBLAS's.)
//
// a: (m, k), or (k, m) with TA; b: (k, n), or (n, k) with TB; c: (m, n). Matrix z of c is made of those at offsets[z]
// of a and offsets[batch + z] of b. A block of 256 threads computes 64 x 64 elements, 16 products of each at a time
// from shared memory; a thread adds up 4 x 4 of them in registers.

template <typename T, bool TA, bool TB>
__global__ void __launch_bounds__(256, 2) matmul(const T* __restrict__ a, const T* __restrict__ b, T* __restrict__ c,
                                              const i64* __restrict__ offsets, int batch, int m, int n, int k)
{
    __shared__ T left[16][64 + 4];
    __shared__ T right[16][64 + 4];
    const int t = threadIdx.x, row0 = blockIdx.x * 64, column0 = blockIdx.y * 64;
    for (int z = blockIdx.z; z < batch; z += gridDim.z) {
        const T* x = a + offsets[z];
        const T* y = b + offsets[batch + z];
        T sum[4][4];
#pragma unroll
        for (int i = 0; i < 16; ++i) sum[i / 4][i % 4] = (T)0;
        for (int k0 = 0; k0 < k; k0 += 16) {
            __syncthreads();
#pragma unroll
            for (int l = 0; l < 4; ++l) {
                // Neighbouring threads load neighbours in memory.
                const int e = t + l * 256;
                const int p = TA ? e / 64 : e % 16, i = TA ? e % 64 : e / 16;
                const int q = TB ? e % 16 : e / 64, j = TB ? e / 16 : e % 64;
                left[p][i] = k0 + p < k && row0 + i < m
                    ? x[TA ? (i64)(k0 + p) * m + row0 + i : (i64)(row0 + i) * k + k0 + p] : (T)0;
                right[q][j] = k0 + q < k && column0 + j < n
                    ? y[TB ? (i64)(column0 + j) * k + k0 + q : (i64)(k0 + q) * n + column0 + j] : (T)0;
            }
            __syncthreads();
#pragma unroll
            for (int p = 0; p < 16; ++p)
#pragma unroll
                for (int i = 0; i < 4; ++i)
#pragma unroll
                    for (int j = 0; j < 4; ++j) sum[i][j] += left[p][t / 16 + i * 16] * right[p][t % 16 + j * 16];
        }
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                const int r = row0 + t / 16 + i * 16, s = column0 + t % 16 + j * 16;
                if (r < m && s < n) c[((i64)z * m + r) * n + s] = sum[i][j];
            }
    }
}
