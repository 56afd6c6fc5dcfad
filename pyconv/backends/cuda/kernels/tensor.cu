// Products of matrices of half precision numbers in the tensor cores, with sums in float32: convolution and its two
// gradients (channels last), and the products of matrices that are not cuBLAS's.
//
// The matrices are those of convolution.cu: FORWARD, INPUT and KERNEL are the same implicit products. A block of 256
// threads computes SM x SN elements, each of its eight warps WM x WN of them, in steps of INNER along the inner axis. A
// piece of each matrix lies in shared memory as it lies in global memory, eight neighbours (16 bytes) at a time; one
// such vector more in each row puts the eight rows that ldmatrix reads into different banks. There are two places for a
// piece: while one is multiplied, the next is on its way from global memory, and one barrier a step is enough.
// `ldmatrix` hands a warp 8 x 8 numbers per register, transposed for the matrix whose inner axis is not the contiguous
// one; `mma` multiplies 16 x 16 by 16 x 8.
//
// Fragments (PTX ISA, Warp Level Matrix Multiply-Accumulate): lane l has g = l / 4 and q = l % 4. Left: rows g and
// g + 8, columns 2q, 2q + 1, and these + 8. Right: the same of the transposed matrix, rows g. Sums: rows g and g + 8,
// columns 2q, 2q + 1.
//
// VA, VB: whether eight neighbours of the left and right matrix are one aligned vector, because channels, or the
// contiguous side of a matrix, divide by 8; otherwise they are loaded one by one. Nothing is added atomically.

// The macro EPILOGUE, where the planner defines it: see convolution.cu.
#ifdef EPILOGUE
#define HOSTING true
#else
#define HOSTING false
#endif
#include "convolution.cu"

enum { INNER = 32 };

// Blocks that a multiprocessor is to hold at once: sm_75 has shared memory for one, and more registers for it then.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#define RESIDENT 1
#else
#define RESIDENT 2
#endif

#ifndef PYCONV_EMULATED         // the tests' emulator has its own
// Four 8 x 8 matrices: lanes 8j to 8j + 7 give the addresses of the rows of matrix j.
template <bool TRANSPOSED> INLINE void ldmatrix(unsigned (&r)[4], const int4* row)
{
    unsigned at;
    asm("{ .reg .u64 a; cvta.to.shared.u64 a, %1; cvt.u32.u64 %0, a; }" : "=r"(at) : "l"(row));
    if (TRANSPOSED)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
}

// d += a b. sm_75 has no product of 16 inner places, but two of 8.
INLINE void mma(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, f16)
{
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};" : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[0]), "r"(a[1]), "r"(b0));
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(a[2]), "r"(a[3]), "r"(b1));
#endif
}

INLINE void mma(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, bf16)
{
#if __CUDA_ARCH__ >= 800                // earlier ones are not asked
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};" : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}
#endif

INLINE int4 packed(const unsigned short (&h)[8])
{
    int4 v;
    v.x = (int)(h[0] | (unsigned)h[1] << 16);
    v.y = (int)(h[2] | (unsigned)h[3] << 16);
    v.z = (int)(h[4] | (unsigned)h[5] << 16);
    v.w = (int)(h[6] | (unsigned)h[7] << 16);
    return v;
}

// sum += left x right over the inner places from `first` to `last`. `load` gives vectors of the two matrices: vector e
// of a piece that begins at inner place k, see below. LEFT_ALONG: the left matrix is contiguous along its rows, not
// along the inner axis; RIGHT_ALONG: the right one along its columns. sum: [16 rows][8 columns][fragment] of this warp.
template <typename T, int SM, int SN, int WM, int WN, bool LEFT_ALONG, bool RIGHT_ALONG, typename Load>
INLINE void multiply(Load& load, int first, int last, float (&sum)[WM / 16][WN / 8][4])
{
    enum { NA = (SM * INNER / 8 + 255) / 256, NB = (SN * INNER / 8 + 255) / 256 };
    __shared__ int4 a[2][LEFT_ALONG ? INNER : SM][(LEFT_ALONG ? SM : INNER) / 8 + 1];
    __shared__ int4 b[2][RIGHT_ALONG ? INNER : SN][(RIGHT_ALONG ? SN : INNER) / 8 + 1];
    const int wide_a = (LEFT_ALONG ? SM : INNER) / 8, wide_b = (RIGHT_ALONG ? SN : INNER) / 8;
    const int t = threadIdx.x, lane = t % 32, warp = t / 32;
    const int m0 = warp % (SM / WM) * WM, n0 = warp / (SM / WM) * WN;
    int4 next_a[NA], next_b[NB];
#pragma unroll
    for (int i = 0; i < WM / 16; ++i)
#pragma unroll
        for (int j = 0; j < WN / 8; ++j)
#pragma unroll
            for (int r = 0; r < 4; ++r) sum[i][j][r] = 0.0f;
    load.prepare(0, first);
    load.prepare(1, first + INNER);
    __syncthreads();

    // Piece `step` is multiplied, the one after it loaded; before the first there is nothing to multiply.
    for (int step = first - INNER, slot = 1; step < last; step += INNER, slot ^= 1) {
        const int k0 = step + INNER;
        if (k0 < last) {
#pragma unroll
            for (int l = 0; l < NA; ++l)
                if (SM * INNER / 8 % 256 == 0 || t + l * 256 < SM * INNER / 8)
                    next_a[l] = load.left_at(slot ^ 1, k0, t + l * 256);
#pragma unroll
            for (int l = 0; l < NB; ++l)
                if (SN * INNER / 8 % 256 == 0 || t + l * 256 < SN * INNER / 8)
                    next_b[l] = load.right_at(slot ^ 1, k0, t + l * 256);
        }
        if (step >= first) {
#pragma unroll
            for (int k = 0; k < INNER; k += 16) {
                unsigned x[WM / 16][4], y[4];
#pragma unroll
                for (int i = 0; i < WM / 16; ++i) {
                    const int m = m0 + i * 16;
                    if (LEFT_ALONG)
                        ldmatrix<true>(x[i], &a[slot][k + lane % 8 + lane / 16 * 8][m / 8 + lane / 8 % 2]);
                    else ldmatrix<false>(x[i], &a[slot][m + lane % 16][k / 8 + lane / 16]);
                }
#pragma unroll
                for (int j = 0; j < WN / 8; j += 2) {
                    const int n = n0 + j * 8;
                    if (RIGHT_ALONG) ldmatrix<true>(y, &b[slot][k + lane % 16][n / 8 + lane / 16]);
                    else ldmatrix<false>(y, &b[slot][n + lane % 8 + lane / 16 * 8][k / 8 + lane / 8 % 2]);
#pragma unroll
                    for (int i = 0; i < WM / 16; ++i) {
                        mma(sum[i][j], x[i], y[0], y[1], T());
                        mma(sum[i][j + 1], x[i], y[2], y[3], T());
                    }
                }
            }
        }
        if (k0 < last) {
#pragma unroll
            for (int l = 0; l < NA; ++l) {
                const int e = t + l * 256;
                if (SM * INNER / 8 % 256 == 0 || e < SM * INNER / 8) a[slot ^ 1][e / wide_a][e % wide_a] = next_a[l];
            }
#pragma unroll
            for (int l = 0; l < NB; ++l) {
                const int e = t + l * 256;
                if (SN * INNER / 8 % 256 == 0 || e < SN * INNER / 8) b[slot ^ 1][e / wide_b][e % wide_b] = next_b[l];
            }
            // The spots of `slot` were last used for the piece before this one, and are next for the one after it.
            if (step >= first) load.prepare(slot, k0 + INNER);
            __syncthreads();
        }
    }
}

// Gives each pair of neighbouring sums to `store(row, column, v, w)`, counted within the block.
template <int SM, int WM, int WN, typename Store>
INLINE void store_pairs(const float (&sum)[WM / 16][WN / 8][4], const Store& store)
{
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int m0 = warp % (SM / WM) * WM + lane / 4, n0 = warp / (SM / WM) * WN + lane % 4 * 2;
#pragma unroll
    for (int i = 0; i < WM / 16; ++i)
#pragma unroll
        for (int j = 0; j < WN / 8; ++j) {
            store(m0 + i * 16, n0 + j * 8, sum[i][j][0], sum[i][j][1]);
            store(m0 + i * 16 + 8, n0 + j * 8, sum[i][j][2], sum[i][j][3]);
        }
}

// Two neighbours of a row of results, the second only if there is one; `even`: both lie in one 32-bit word.
INLINE void put(float* at, float v, float w, bool both, bool even)
{
    at[0] = v;
    if (both) at[1] = w;
}
template <typename T> INLINE void put(T* at, float v, float w, bool both, bool even)
{
    const T a(v), b(w);
    if (both && even) *(unsigned*)at = a.bits | (unsigned)b.bits << 16;
    else {
        at[0] = a;
        if (both) at[1] = b;
    }
}

// The vectors of a convolution. slot: which of the two sets of inner spots is that of the piece.
template <typename T, int MODE, int SM, int SN, bool VA, bool VB> struct Gather {
    const T* left;
    const T* right;
    const Geometry& g;
    const Spot* row_spots;
    Spot (*inner_spots)[INNER];
    int rows, columns, row0, column0, last, group, own, filters, outs;

    INLINE void prepare(int slot, int k0)
    {
        const int t = threadIdx.x;
        if (t < INNER && k0 + t < last) inner_spots[slot][t] = MODE == KERNEL ? pixel_spot<MODE>(k0 + t, g)
                                                                              : tap_spot<MODE>(k0 + t, g);
    }

    INLINE int left_place(int slot, int k, int m) const
    {
        const Spot& inner = inner_spots[slot][k];
        const Spot& row = row_spots[m];
        return gathered_at<MODE>(g, MODE == KERNEL ? inner : row, MODE == KERNEL ? row : inner, group * own,
                                 own * g.groups);
    }

    INLINE int4 left_at(int slot, int k0, int e) const
    {
        const int k = MODE == KERNEL ? e / (SM / 8) : e % (INNER / 8) * 8;
        const int m = MODE == KERNEL ? e % (SM / 8) * 8 : e / (INNER / 8);
        unsigned short h[8] = {};
        if (VA) {
            const int at = k0 + k < last && row0 + m < rows ? left_place(slot, k, m) : -1;
            if (at >= 0) return *(const int4*)(left + at);
        } else
#pragma unroll
            for (int j = 0; j < 8; ++j) {
                const int kj = MODE == KERNEL ? k : k + j, mj = MODE == KERNEL ? m + j : m;
                const int at = k0 + kj < last && row0 + mj < rows ? left_place(slot, kj, mj) : -1;
                if (at >= 0) h[j] = left[at].bits;
            }
        return packed(h);
    }

    INLINE int right_place(int slot, int k0, int k, int n) const
    {
        const int c = column0 + n;
        if (MODE == FORWARD) return (k0 + k) * filters + group * g.each + c;
        const Spot& s = inner_spots[slot][k];
        return MODE == INPUT ? (s.index * g.depth + c) * filters + group * g.each + s.n
                             : (s.n * outs + s.index) * filters + group * g.each + c;
    }

    INLINE int4 right_at(int slot, int k0, int e) const
    {
        const int k = MODE == INPUT ? e % (INNER / 8) * 8 : e / (SN / 8);
        const int n = MODE == INPUT ? e / (INNER / 8) : e % (SN / 8) * 8;
        unsigned short h[8] = {};
        if (VB) {
            if (k0 + k < last && column0 + n < columns) return *(const int4*)(right + right_place(slot, k0, k, n));
        } else
#pragma unroll
            for (int j = 0; j < 8; ++j) {
                const int kj = MODE == INPUT ? k + j : k, nj = MODE == INPUT ? n : n + j;
                if (k0 + kj < last && column0 + nj < columns) h[j] = right[right_place(slot, k0, kj, nj)].bits;
            }
        return packed(h);
    }
};

// R: the type of the results: T, or float for the parts of a kernel's gradient, which are added afterwards.
template <typename T, int MODE, bool VA, bool VB, int SM, int SN, int WM, int WN, typename R>
__global__ void __launch_bounds__(256, RESIDENT) convolve(const T* __restrict__ left,
                                                          const T* __restrict__ right, R* __restrict__ result,
                                                          const int* __restrict__ table, int parts, int part_size
                                                          EPILOGUE_PARAMETERS)
{
    __shared__ Spot row_spots[SM];
    __shared__ Spot inner_spots[2][INNER];
    const Geometry& g = *(const Geometry*)table;
    const int t = threadIdx.x, group = blockIdx.z / parts, part = blockIdx.z % parts;
    const int outs = volume(g.out), sizes = volume(g.size), taps = volume(g.window), filters = g.each * g.groups;
    const int rows = MODE == FORWARD ? g.batch * outs : MODE == INPUT ? g.batch * sizes : taps * g.depth;
    const int columns = MODE == INPUT ? g.depth : g.each, own = MODE == INPUT ? g.each : g.depth;
    const int inner = MODE == KERNEL ? g.batch * outs : taps * own;
    const int first = part * part_size, last = first + part_size < inner ? first + part_size : inner;
    const int row0 = blockIdx.x * SM, column0 = blockIdx.y * SN;
    if (t < SM && row0 + t < rows) row_spots[t] = MODE == KERNEL ? tap_spot<MODE>(row0 + t, g)
                                                                 : pixel_spot<MODE>(row0 + t, g);
    Gather<T, MODE, SM, SN, VA, VB> load = {left, right, g, row_spots, inner_spots, rows, columns, row0, column0, last,
                                            group, own, filters, outs};
    float sum[WM / 16][WN / 8][4];
    multiply<T, SM, SN, WM, WN, MODE == KERNEL, MODE != INPUT>(load, first, last, sum);

    const int wide = MODE == KERNEL ? filters : columns * g.groups, pixels = MODE == INPUT ? sizes : outs;
    const bool even = wide % 2 == 0 && columns % 2 == 0;
    store_pairs<SM, WM, WN>(sum, [&](int m, int n, float v, float w) {
        const int c = column0 + n;
        if (row0 + m >= rows || c >= columns) return;
        const int line = MODE == KERNEL ? part * rows + row0 + m : row_spots[m].n * pixels + row_spots[m].index;
        const int at = line * wide + group * columns + c;
        if constexpr (MODE == KERNEL || !HOSTING) put(result + at, v, w, c + 1 < columns, even);
        else {
            EPILOGUE(at, (float)T(v))
            if (c + 1 < columns) EPILOGUE(at + 1, (float)T(w))
        }
    });
}

// The vectors of two matrices. a: (m, k), or (k, m) with TA; b: (k, n), or (n, k) with TB.
template <typename T, bool TA, bool TB, int SM, int SN, bool VA, bool VB> struct Plain {
    const T* left;
    const T* right;
    int m, n, k, row0, column0;

    INLINE void prepare(int, int) {}

    template <bool VECTOR> INLINE static int4 vector(const T* from, int i, int j, int lines, int length)
    {
        unsigned short h[8] = {};
        const T* at = from + (i * length + j);          // a matrix has fewer than 2**31 elements
        if (VECTOR) {
            if (i < lines && j < length) return *(const int4*)at;
        } else
#pragma unroll
            for (int c = 0; c < 8; ++c)
                if (i < lines && j + c < length) h[c] = at[c].bits;
        return packed(h);
    }

    INLINE int4 left_at(int, int k0, int e) const
    {
        if (TA) return vector<VA>(left, k0 + e / (SM / 8), row0 + e % (SM / 8) * 8, k, m);
        return vector<VA>(left, row0 + e / (INNER / 8), k0 + e % (INNER / 8) * 8, m, k);
    }

    INLINE int4 right_at(int, int k0, int e) const
    {
        if (TB) return vector<VB>(right, column0 + e / (INNER / 8), k0 + e % (INNER / 8) * 8, n, k);
        return vector<VB>(right, k0 + e / (SN / 8), column0 + e % (SN / 8) * 8, k, n);
    }
};

// Matrix z of c is made of those at offsets[z] of a and offsets[batch + z] of b, as in matmul.cu.
template <typename T, bool TA, bool TB, bool VA, bool VB, int SM, int SN, int WM, int WN>
__global__ void __launch_bounds__(256, RESIDENT) product(const T* __restrict__ a, const T* __restrict__ b,
                                                         T* __restrict__ c, const i64* __restrict__ offsets, int batch,
                                                         int m, int n, int k)
{
    const int row0 = blockIdx.x * SM, column0 = blockIdx.y * SN;
    for (int z = blockIdx.z; z < batch; z += gridDim.z) {
        Plain<T, TA, TB, SM, SN, VA, VB> load = {a + offsets[z], b + offsets[batch + z], m, n, k, row0, column0};
        float sum[WM / 16][WN / 8][4];
        multiply<T, SM, SN, WM, WN, TA, !TB>(load, 0, k, sum);
        store_pairs<SM, WM, WN>(sum, [&](int i, int j, float v, float w) {
            const int row = row0 + i, column = column0 + j;
            if (row < m && column < n)
                put(c + ((i64)z * m + row) * n + column, v, w, column + 1 < n, n % 2 == 0);
        });
        __syncthreads();                // before the next matrix overwrites the last piece
    }
}
