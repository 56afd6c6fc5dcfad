// Convolution and its two gradients for the shapes that most layers have: float, channels last, one group, one or two
// axes (or a window of one), channels and filters in multiples of four.
//
// The three implicit products are those of convolution.cu. Here the window K x K and the stride S are constants, and
// the inner axis of FORWARD and INPUT goes in steps of SK that lie within one tap: what is to be loaded follows from
// coordinates in registers by additions and comparisons, and no number is divided in the loop (KERNEL: two divisions
// by multiplication for a pixel).
//
// 256 threads compute SM x SN results, each TM x TN of them. Both matrices are copied to shared memory as they lie in
// global memory, 16 bytes at a time, asynchronously from sm_80 on, else by way of registers: while one piece is
// multiplied, the next is on its way into the other of two places, and one barrier a piece is enough. Rows there have
// four numbers more than they need: so neighbouring threads read from different banks. A thread reads neighbours at
// once, along the inner axis or along its rows or columns, whichever the matrix has. The loop over a piece is not
// unrolled: the compiler would read all of it ahead, and have no registers left.
//
// Results go to the epilogue four columns at a time (INPUT: one, neighbouring threads have neighbours). blockIdx.z:
// KERNEL's part of the inner axis.

#include "convolution.cu"

#ifdef PYCONV_EMULATED          // the tests' emulator has its own
#ifndef PLAIN_COPIES
#define ASYNCHRONOUS
#endif
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define ASYNCHRONOUS
// Begin to copy 16 bytes to shared memory; zeros if not `valid`.
INLINE void copy_later(void* to, const void* from, bool valid)
{
    asm volatile("{ .reg .u64 a; .reg .u32 b; cvta.to.shared.u64 a, %0; cvt.u32.u64 b, a; "
                 "cp.async.cg.shared.global [b], [%1], 16, %2; }"
                 :: "l"(to), "l"(from), "r"(valid ? 16 : 0) : "memory");
}
// Wait for the copies that this thread began.
INLINE void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }
#endif

typedef Some<float, 4> Vector;

// N vectors of a piece of a matrix on their way to shared memory.
template <int N> struct Piece {
#ifdef ASYNCHRONOUS
    INLINE void load(int, float* to, const float* from, bool valid) { copy_later(to, from, valid); }
    INLINE void store(int, float*) {}
#else
    Vector next[N];
    INLINE void load(int l, float*, const float* from, bool valid)
    {
        next[l] = zeros<float, 4>();
        if (valid) next[l] = *(const Vector*)from;
    }
    INLINE void store(int l, float* to) { *(Vector*)to = next[l]; }
#endif
};

INLINE bool inside(int at, int size) { return (unsigned)at < (unsigned)size; }

template <int MODE, int K, int S, int SM, int SN, int SK, int TM, int TN>
__global__ void __launch_bounds__(256, TM * TN < 64 ? 3 : 2) implicit(
    const float* __restrict__ left, const float* __restrict__ right, float* __restrict__ result,
    const int* __restrict__ table, int part_size EPILOGUE_PARAMETERS)
{
    enum { TC = SN / TN, TR = 256 / TC, RV = TM < 4 ? TM : 4,
           KV = TM * TN < 64 ? 4 : 2, LA = SM * SK / 1024, LB = (SN * SK + 1023) / 1024 };
    static_assert(TR * TM == SM && TN % 4 == 0, "256 threads");
    // Whether a matrix is contiguous along the inner axis.
    constexpr bool A_INNER = MODE != KERNEL, B_INNER = MODE == INPUT;
    enum { WA = A_INNER ? SK : SM, WB = B_INNER ? SK : SN };
    __shared__ __align__(16) float a[2][A_INNER ? SM : SK][WA + 4];
    __shared__ __align__(16) float b[2][B_INNER ? SN : SK][WB + 4];
    const Geometry& g = *(const Geometry*)table;
    const int t = threadIdx.x, r = t / TC, c = t % TC, row0 = blockIdx.x * SM, column0 = blockIdx.y * SN;
    const int channels = g.depth, filters = g.each, height = g.size[1], width = g.size[2];
    const int pixels = g.batch * volume(MODE == INPUT ? g.size : g.out);
    const int rows = MODE == KERNEL ? K * K * channels : pixels, columns = MODE == INPUT ? channels : filters;
    const int own = MODE == INPUT ? filters : channels;                  // channels of the gathered image
    const int inner = MODE == KERNEL ? pixels : K * K * own;
    const int first = blockIdx.z * part_size, last = first + part_size < inner ? first + part_size : inner;

    // What this thread loads of the left matrix: vectors e, e + 256, ... of each piece. Coordinates of its rows
    // (FORWARD, INPUT: pixels, less the padding; KERNEL: of the tap, and the place of its channel).
    constexpr bool POINTS = K == 1 && S == 1;
    int base[LA], y[LA], x[LA];
#pragma unroll
    for (int l = 0; l < LA; ++l) {
        const int e = t + l * 256, m = row0 + (A_INNER ? e / (SK / 4) : e % (SM / 4) * 4);
        if (MODE == KERNEL) {
            const int tap = g.by_depth.split(m, x[l]);
            y[l] = tap / K;
            base[l] = (y[l] * width + tap % K) * channels + x[l];
            x[l] = tap % K;
        } else if (POINTS) base[l] = m * own;
        else {
            const Fast* by = MODE == INPUT ? g.by_size : g.by_out;
            const int n = by[1].split(by[2].split(m, x[l]), y[l]);
            y[l] = MODE == INPUT ? y[l] + g.pad[1] : y[l] * S - g.pad[1];
            x[l] = MODE == INPUT ? x[l] + g.pad[2] : x[l] * S - g.pad[2];
            base[l] = MODE == INPUT ? n * g.out[1] * g.out[2] * own : (n * height * width + y[l] * width + x[l]) * own;
        }
        if (m >= rows) {                // there is no such row
            if (POINTS) base[l] = (int)0x80000000;
            else y[l] = -(1 << 24);
        }
    }

    Piece<LA> next_a;
    Piece<LB> next_b;
    int ky = 0, kx = 0, c0 = 0;         // the tap of the piece that is loaded next, and its first channel
    const auto at_a = [&](int slot, int l) {
        const int e = t + l * 256;
        return &a[slot][e / (WA / 4)][e % (WA / 4) * 4];
    };
    const auto at_b = [&](int slot, int l) {
        const int e = t + l * 256;
        return &b[slot][e / (WB / 4)][e % (WB / 4) * 4];
    };
    const auto load = [&](int slot, int k0) {
#pragma unroll
        for (int l = 0; l < LA; ++l) {
            const int e = t + l * 256;
            int at = base[l];
            bool valid = !POINTS || at >= 0;
            if (MODE == KERNEL) {
                const int p = k0 + e / (SM / 4);
                valid = valid && p < last;
                if (POINTS) at += p * channels;
                else {
                    int py, px;
                    const int n = g.by_out[1].split(g.by_out[2].split(p, px), py);
                    py = py * S - g.pad[1];
                    px = px * S - g.pad[2];
                    at += (n * height * width + py * width + px) * channels;
                    valid = valid && inside(py + y[l], height) && inside(px + x[l], width);
                }
            } else {
                const int k = c0 + e % (SK / 4) * 4;
                if (POINTS) at += k;
                else if (MODE == FORWARD) {
                    at += (ky * width + kx) * own + k;
                    valid = valid && inside(y[l] + ky, height) && inside(x[l] + kx, width);
                } else {
                    const int qy = y[l] - ky, qx = x[l] - kx;
                    at += (qy / S * g.out[2] + qx / S) * own + k;
                    valid = valid && qy >= 0 && qx >= 0 && qy % S == 0 && qx % S == 0 && qy / S < g.out[1]
                        && qx / S < g.out[2];
                }
            }
            next_a.load(l, at_a(slot, l), valid ? left + at : left, valid);
        }
#pragma unroll
        for (int l = 0; l < LB; ++l) {
            const int e = t + l * 256, line = e / (WB / 4), along = e % (WB / 4) * 4;
            if (SN * SK < 1024 && e >= SN * SK / 4) continue;
            const int column = column0 + (B_INNER ? line : along);
            const int at = B_INNER ? ((ky * K + kx) * channels + column) * own + c0 + along
                                   : (k0 + line) * filters + column;
            const bool valid = column < columns && (MODE != KERNEL || k0 + line < last);
            next_b.load(l, at_b(slot, l), valid ? right + at : right, valid);
        }
        c0 += SK;
        if (MODE != KERNEL && K > 1 && c0 == own) {
            c0 = 0;
            if (++kx == K) {
                kx = 0;
                ++ky;
            }
        }
    };
    const auto put = [&](int slot) {
#pragma unroll
        for (int l = 0; l < LA; ++l) next_a.store(l, at_a(slot, l));
#pragma unroll
        for (int l = 0; l < LB; ++l)
            if (SN * SK >= 1024 || t + l * 256 < SN * SK / 4) next_b.store(l, at_b(slot, l));
    };

    float sum[TM][TN];
#pragma unroll
    for (int i = 0; i < TM; ++i)
#pragma unroll
        for (int j = 0; j < TN; ++j) sum[i][j] = 0.0f;
    // The place of this thread's i-th row, and of its j-th column, in the tile.
    const auto row_of = [&](int i) { return A_INNER ? r + i * TR : r * RV + i % RV + i / RV * (TR * RV); };
    const auto column_of = [&](int j) { return B_INNER ? c + j * TC : c * 4 + j % 4 + j / 4 * (TC * 4); };

    load(0, first);
    put(0);
    for (int k0 = first, slot = 0; k0 < last; k0 += SK, slot ^= 1) {
#ifdef ASYNCHRONOUS
        wait_for_copies();
#endif
        __syncthreads();                // the piece is there, and the other place is free
        if (k0 + SK < last) load(slot ^ 1, k0 + SK);
#pragma unroll 1
        for (int k = 0; k < SK; k += KV) {
            float v[KV][TN];
            if constexpr (B_INNER)
#pragma unroll
                for (int j = 0; j < TN; ++j) {
                    const Some<float, KV> some = *(const Some<float, KV>*)&b[slot][column_of(j)][k];
#pragma unroll
                    for (int l = 0; l < KV; ++l) v[l][j] = some.v[l];
                }
            else
#pragma unroll
                for (int l = 0; l < KV; ++l)
#pragma unroll
                    for (int j = 0; j < TN; j += 4) {
                        const Vector four = *(const Vector*)&b[slot][k + l][column_of(j)];
#pragma unroll
                        for (int i = 0; i < 4; ++i) v[l][j + i] = four.v[i];
                    }
            if constexpr (A_INNER)
#pragma unroll
                for (int i = 0; i < TM; ++i) {
                    const Some<float, KV> some = *(const Some<float, KV>*)&a[slot][row_of(i)][k];
#pragma unroll
                    for (int l = 0; l < KV; ++l)
#pragma unroll
                        for (int j = 0; j < TN; ++j) sum[i][j] += some.v[l] * v[l][j];
                }
            else
#pragma unroll
                for (int l = 0; l < KV; ++l)
#pragma unroll
                    for (int i = 0; i < TM; i += RV) {
                        const Some<float, RV> some = *(const Some<float, RV>*)&a[slot][k + l][row_of(i)];
#pragma unroll
                        for (int m = 0; m < RV; ++m)
#pragma unroll
                            for (int j = 0; j < TN; ++j) sum[i + m][j] += some.v[m] * v[l][j];
                    }
        }
        if (k0 + SK < last) put(slot ^ 1);
    }

#pragma unroll
    for (int i = 0; i < TM; ++i) {
        const int row = row0 + row_of(i);
        if (row >= rows) continue;
        if constexpr (B_INNER) {
#pragma unroll
            for (int j = 0; j < TN; ++j) {
                const int column = column0 + column_of(j);
                if (column < columns) EPILOGUE(row * columns + column, sum[i][j])
            }
        } else
#pragma unroll
            for (int j = 0; j < TN; j += 4) {
                const int column = column0 + column_of(j);
                if (column >= columns) continue;
                float some[4];
#pragma unroll
                for (int l = 0; l < 4; ++l) some[l] = sum[i][j + l];
                if constexpr (MODE == KERNEL) store<4>(result + (blockIdx.z * rows + row) * columns + column, some);
                else EPILOGUE_SOME(row * columns + column, some, 4)
            }
    }
}
