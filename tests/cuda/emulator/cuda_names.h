// Runs CUDA C kernel source on the CPU for tests: one OS thread, blocks in (shuffled) order,
// the threads of a block are fibers that switch only at barriers / warp ops.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <type_traits>
#include <typeinfo>
#include <utility>
#if SHIM_NV_HEADERS
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <vector_functions.h>
#include <vector_types.h>
#else
struct uint3 {
    unsigned x, y, z;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
static inline float4 make_float4(float a, float b, float c, float d) { return {a, b, c, d}; }
struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};
#endif
struct f16; // of kernels/common.cu
struct bf16;
#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __constant__
#undef __forceinline__
#undef __launch_bounds__
#undef __noinline__
#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __shared__ static /* lands in .bss: poisoned before each block */
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define SHIM_NOSAN __attribute__((no_sanitize("thread"), no_sanitize("undefined"), noinline))
namespace shim {
struct V3 {
    unsigned x, y, z;
};
#define HID __attribute__((visibility("hidden")))
extern HID V3 threadIdx_, blockIdx_, blockDim_, gridDim_;
[[noreturn]] void fail(const char *fmt, ...);
void bar(int line);
void warp_wait(unsigned mask, int line);
void *dyn_shared();
void shared_decl(volatile void *p, size_t n, const char *name); // also makes the array escape
extern struct Warp {
    uint64_t val[2][32];
    unsigned fragment[2][32][6];
    unsigned arrived, gen, mask, epoch;
} *cur_warp;
int cur_tid_();
struct Copy {
    int4 *to;
    const int4 *from;
};
void later(Copy c);
bool next_copy(Copy &c);
void note_atomic(const volatile void *p, unsigned n);
void fence();
template <class T> SHIM_NOSAN T xchg_lane(unsigned mask, T v, int src, int line) {
    static_assert(sizeof(T) <= 8, "shfl type");
    int lane = cur_tid_() & 31;
    Warp *w = cur_warp;
    unsigned g = w->gen & 1;
    std::memcpy(&w->val[g][lane], &v, sizeof(T));
    if (!(mask >> lane & 1))
        fail("line %d: lane %d calls a warp op it is not in the mask of (0x%x)", line, lane, mask);
    warp_wait(mask, line);
    T r = v;
    if (src >= 0 && src < 32) {
        if (!(mask >> src & 1))
            fail("line %d: shfl reads lane %d outside mask 0x%x", line, src, mask);
        std::memcpy(&r, &w->val[g][src], sizeof(T));
    }
    return r;
}
template <class T> SHIM_NOSAN T shfl_down(unsigned m, T v, unsigned d, int width, int line) {
    int lane = cur_tid_() & 31, s = lane + (int)d;
    return xchg_lane(m, v, (s & ~(width - 1)) == (lane & ~(width - 1)) ? s : -1, line);
}
template <class T> SHIM_NOSAN T shfl_xor(unsigned m, T v, int x, int width, int line) {
    int lane = cur_tid_() & 31, s = lane ^ x;
    return xchg_lane(m, v, (s / width) <= (lane / width) ? s : -1, line);
}
template <class T> SHIM_NOSAN T shfl(unsigned m, T v, int s, int width, int line) {
    int lane = cur_tid_() & 31;
    return xchg_lane(m, v, (lane & ~(width - 1)) | (s & (width - 1)), line);
}
// The predicate of each lane of the mask, as bits: all lanes exchange theirs with each other.
static inline SHIM_NOSAN unsigned ballot(unsigned mask, bool v, int line) {
    int lane = cur_tid_() & 31;
    Warp *w = cur_warp;
    unsigned g = w->gen & 1;
    w->val[g][lane] = v;
    if (!(mask >> lane & 1))
        fail("line %d: lane %d calls a warp op it is not in the mask of (0x%x)", line, lane, mask);
    warp_wait(mask, line);
    unsigned r = 0;
    for (int i = 0; i < 32; i++)
        if (mask >> i & 1)
            r |= (unsigned)(w->val[g][i] & 1) << i;
    return r;
}
} // namespace shim
#define threadIdx shim::threadIdx_
#define blockIdx shim::blockIdx_
#define blockDim shim::blockDim_
#define gridDim shim::gridDim_
#define warpSize 32
// ldmatrix and mma of kernels/tensor.cu, for whole warps. The layouts are those of the PTX manual.
template <bool TRANSPOSED> static inline void ldmatrix(unsigned (&r)[4], const int4 *row) {
    const int lane = shim::cur_tid_() & 31;
    for (int j = 0; j < 4; j++) {
        unsigned short half[2];
        for (int i = 0; i < 2; i++) {
            const int pair = lane % 4 * 2 + i, line = TRANSPOSED ? pair : lane / 4;
            const int column = TRANSPOSED ? lane / 4 : pair;
            const int4 *from = shim::shfl(0xffffffffu, row, j * 8 + line, 32, __LINE__);
            half[i] = ((const unsigned short *)from)[column];
        }
        r[j] = half[0] | (unsigned)half[1] << 16;
    }
}
// Asynchronous copies of kernels/implicit.cu: the place is written when they begin, so that a thread that still reads
// it is found, and again, with the numbers, when the thread waits for them. null: zeros.
static inline void copy_later(void *to, const void *from, bool valid) {
    std::memset(to, 0xff, 16);
    shim::later({(int4 *)to, valid ? (const int4 *)from : nullptr});
}
static inline void wait_for_copies() {
    shim::Copy c;
    while (shim::next_copy(c))
        *c.to = c.from ? *c.from : int4{0, 0, 0, 0};
}
template <class T> SHIM_NOSAN void mma(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, T) {
    const int lane = shim::cur_tid_() & 31, g = lane / 4, q = lane % 4;
    shim::Warp *w = shim::cur_warp;
    unsigned(*f)[6] = w->fragment[w->gen & 1];
    for (int i = 0; i < 4; i++)
        f[lane][i] = a[i];
    f[lane][4] = b0;
    f[lane][5] = b1;
    shim::warp_wait(0xffffffffu, __LINE__);
    auto number = [](unsigned word, int i) {
        T x;
        x.bits = (unsigned short)(i ? word >> 16 : word);
        return (float)x;
    };
    for (int e = 0; e < 4; e++) {
        const int column = q * 2 + e % 2;
        float sum = d[e];
        for (int k = 0; k < 16; k++) // inner place k: lane k % 8 / 2 of a group of four, register k / 8, half k % 2
            sum += number(f[g * 4 + k % 8 / 2][e / 2 + k / 8 * 2], k % 2) *
                   number(f[column * 4 + k % 8 / 2][4 + k / 8], k % 2);
        d[e] = sum;
    }
}
#define __syncthreads() shim::bar(__LINE__)
#define __syncwarp(...) shim::warp_wait(0xffffffffu, __LINE__)
#define __shfl_down_sync(m, v, d, ...) shim::shfl_down(m, v, d, 32, __LINE__)
#define __shfl_xor_sync(m, v, d, ...) shim::shfl_xor(m, v, d, 32, __LINE__)
#define __ballot_sync(m, v) shim::ballot(m, v, __LINE__)
#define __ffs(x) __builtin_ffs(x)
#define __shfl_sync(m, v, d, ...) shim::shfl(m, v, d, 32, __LINE__)
#define __threadfence() shim::fence()
template <class T> static inline T __ldg(const T *p) { return *p; }
template <class T> SHIM_NOSAN static T atomicAdd(T *p, T v) {
    shim::note_atomic(p, sizeof(T));
    T o = *p;
    *p = o + v;
    return o;
}
template <class T> SHIM_NOSAN static T atomicMax(T *p, T v) {
    shim::note_atomic(p, sizeof(T));
    T o = *p;
    if (v > o)
        *p = v;
    return o;
}
template <class T> SHIM_NOSAN static T atomicMin(T *p, T v) {
    shim::note_atomic(p, sizeof(T));
    T o = *p;
    if (v < o)
        *p = v;
    return o;
}
static inline float __int_as_float(int i) {
    float f;
    std::memcpy(&f, &i, 4);
    return f;
}
static inline int __float_as_int(float f) {
    int i;
    std::memcpy(&i, &f, 4);
    return i;
}
// float16 and back, to the nearest, ties to even
static inline float f16_to_f32(unsigned short h) {
    const unsigned e = h >> 10 & 31, m = h & 1023;
    const float finite = e ? std::ldexp(1024.0f + m, (int)e - 25) : std::ldexp((float)m, -24);
    const float v = e == 31 ? (m ? NAN : INFINITY) : finite;
    return h >> 15 ? -v : v;
}
static inline unsigned short f32_to_f16(float x) {
    const unsigned short sign = std::signbit(x) ? 0x8000 : 0;
    if (x != x)
        return sign | 0x7fff;
    const float a = std::fabs(x);
    if (a >= 65520.0f)
        return sign | 0x7c00;
    int e;
    std::frexp(a, &e);
    const int last = (e < -13 ? -13 : e) - 11; // exponent of the last place
    const float m = std::nearbyint(std::ldexp(a, -last));
    return sign | (unsigned short)(m < 1024.0f ? (int)m : (int)m + (last + 24) * 1024);
}
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
static inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
#define __expf(x) std::exp((float)(x))
template <class T> static inline T min(T a, T b) { return a < b ? a : b; }
template <class T> static inline T max(T a, T b) { return a > b ? a : b; }
// ---- launch glue: typed unpacking of void** args, and a signature string
namespace shim {
struct Body {
    void (*call)(void *, void **);
    void *fn;
    void **args;
};
template <class... A, size_t... I> SHIM_NOSAN void call_(void (*f)(A...), void **a, std::index_sequence<I...>) {
    f(*reinterpret_cast<std::remove_reference_t<A> *>(a[I])...);
}
template <class... A> SHIM_NOSAN void thunk(void *f, void **a) {
    call_(reinterpret_cast<void (*)(A...)>(f), a, std::index_sequence_for<A...>{});
}
template <class T> const char *code() {
    using U = std::remove_cv_t<std::remove_pointer_t<T>>;
    constexpr bool p = std::is_pointer_v<T>, c = p && std::is_const_v<std::remove_pointer_t<T>>;
#define SC(TT, S)                                                                                                  \
    if (std::is_same_v<U, TT>)                                                                                     \
        return p ? (c ? "c*" S " " : "*" S " ") : S " ";
    SC(float, "f4")
    SC(double, "f8") SC(int, "i4") SC(unsigned, "u4") SC(long long, "i8") SC(long, "i8")
        SC(unsigned long long, "u8") SC(unsigned char, "u1") SC(signed char, "i1") SC(bool, "b1") SC(short, "i2")
            SC(unsigned short, "u2") SC(f16, "f2") SC(bf16, "bf2")
#if SHIM_NV_HEADERS
                SC(__half, "f2") SC(__nv_bfloat16, "bf2")
#endif
                    return "? ";
}
template <class... A> SHIM_NOSAN const char *sig(void (*)(A...)) {
    static char b[512] = "!"; /* .data, not .bss */
    if (b[0] == '!') {
        b[0] = 0;
        (std::strcat(b, code<A>()), ...);
    }
    return b;
}
int launch(Body b, const unsigned *grid, const unsigned *block, unsigned dyn);
template <class... A> int go(void (*f)(A...), void **args, const unsigned *g, const unsigned *b, unsigned dyn) {
    return launch({&thunk<A...>, reinterpret_cast<void *>(f), args}, g, b, dyn);
}
} // namespace shim
