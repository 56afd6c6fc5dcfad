// Products of many matrices, and of two small ones. (That of two large ones is cuBLAS's.)
//
// a: (m, k), or (k, m) with TA; b: (k, n), or (n, k) with TB; c: (m, n). Matrix z of c is made of those at offsets[z]
// of a and offsets[batch + z] of b. A block of 256 threads computes 64 x 64 elements, 16 products of each at a time
// from shared memory; a thread adds up 4 x 4 of them in registers.

#include "epilogue.cu"

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

// One product, so small that it takes the time of a launch and of the way to memory: the epilogue is worth more then
// than tiles. A block computes ROWS x 32 elements; lane l of each of its eight warps has column l, and adds up the
// warp's eighth of the inner axis for all rows in registers. The warps' sums are added in order. All lanes read
// the same elements of a; 16 bytes at once if VECTORS (k, or m with TA, is a multiple of four).
enum { ROWS = 16 };

template <typename T, bool TA, bool TB, bool VECTORS>
__global__ void __launch_bounds__(256, 2) small_matmul(const T* __restrict__ a, const T* __restrict__ b,
                                                       T* __restrict__ result, int m, int n, int k EPILOGUE_PARAMETERS)
{
    enum { WIDE = VECTORS ? 16 / sizeof(T) : 1 };
    enum { STEP = TA ? 1 : WIDE, ALONG = TA ? WIDE : 1, AT_ONCE = STEP > 1 ? 1 : 4 };
    __shared__ T part[8][ROWS][32];
    const int t = threadIdx.x, lane = t % 32, row0 = blockIdx.x * ROWS, column0 = blockIdx.y * 32;
    const int own = column0 + lane < n ? column0 + lane : n - 1;        // what is beyond the edges is not stored
    const int share = ((k + 7) / 8 + 3) / 4 * 4, first = t / 32 * share, last = first + share < k ? first + share : k;
    T sum[ROWS];
#pragma unroll
    for (int i = 0; i < ROWS; ++i) sum[i] = (T)0;
#pragma unroll AT_ONCE
    for (int p = first; p < last; p += STEP) {
        Some<T, STEP> v;
        if constexpr (TB) v = *(const Some<T, STEP>*)(b + own * k + p);
        else
#pragma unroll
            for (int q = 0; q < STEP; ++q) v.v[q] = b[(p + q) * n + own];
#pragma unroll
        for (int i = 0; i < ROWS; i += ALONG) {
            const int row = row0 + i < m ? row0 + i : m - ALONG;
            const Some<T, STEP * ALONG> u = *(const Some<T, STEP * ALONG>*)(a + (TA ? p * m + row : row * k + p));
#pragma unroll
            for (int q = 0; q < STEP; ++q)
#pragma unroll
                for (int j = 0; j < ALONG; ++j) sum[i + j] += u.v[q + j] * v.v[q];
        }
    }
#pragma unroll
    for (int i = 0; i < ROWS; ++i) part[t / 32][i][lane] = sum[i];
    __syncthreads();
#pragma unroll
    for (int i = t / 32; i < ROWS; i += 8) {
        T total = part[0][i][lane];
#pragma unroll
        for (int w = 1; w < 8; ++w) total += part[w][i][lane];
        if (row0 + i < m && column0 + lane < n) EPILOGUE((row0 + i) * n + column0 + lane, total)
    }
}
