// What every kernel file begins with: the elementwise functions, for each of the ten element types.
//
// Compiled by NVRTC, which has no standard headers; nothing here includes any. Integers wrap as NumPy's do: they are
// computed in 64 unsigned bits and cut off. Functions are overloaded for float and double, templates for the rest.

typedef unsigned long long u64;
typedef long long i64;

#define INLINE __device__ __forceinline__

// The place of element i of axes given by `table`: their sizes, then their strides, outermost first.
template <typename I> INLINE I place(I i, const I* __restrict__ table, int rank)
{
    I at = 0;
    for (int k = rank - 1; k > 0; --k) {
        const I size = table[k];
        at += i % size * table[rank + k];
        i /= size;
    }
    return at + i * table[rank];
}

// Half precision. A number of these types is stored in 16 bits and computed with as a float: what is done with one
// turns it into a float first, and a float that becomes one is rounded to the nearest, ties to even.

#ifndef PYCONV_EMULATED         // the tests' emulator has its own
INLINE float f16_to_f32(unsigned short bits)
{
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
}
INLINE unsigned short f32_to_f16(float x)
{
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}
#endif

INLINE unsigned short f32_to_bf16(float x)
{
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    unsigned short bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
#else
    const unsigned bits = (unsigned)__float_as_int(x);
    return x != x ? 0x7fffu : (unsigned short)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
#endif
}

struct f16 {
    unsigned short bits;
    f16() = default;
    INLINE f16(float x) : bits(f32_to_f16(x)) {}
    INLINE operator float() const { return f16_to_f32(bits); }
};
struct bf16 {
    unsigned short bits;
    bf16() = default;
    INLINE bf16(float x) : bits(f32_to_bf16(x)) {}
    INLINE operator float() const { return __int_as_float((int)((unsigned)bits << 16)); }
};

// The number of H that is nearest to x.
template <typename H, typename T> INLINE T rounded(T x) { return (T)(float)H((float)x); }

// What sums of a type are taken in.
template <typename T> struct Wide { typedef T type; };
template <> struct Wide<f16> { typedef float type; };
template <> struct Wide<bf16> { typedef float type; };

template <typename T> struct Is { static const bool floating = false; };
template <> struct Is<float> { static const bool floating = true; };
template <> struct Is<double> { static const bool floating = true; };
template <typename T> struct IsBool { static const bool yes = false; };
template <> struct IsBool<bool> { static const bool yes = true; };

template <typename T> INLINE bool is_nan(T x) {
    if constexpr (Is<T>::floating) return x != x;
    else return false;
}

INLINE bool is_nan(f16 x) { return is_nan((float)x); }
INLINE bool is_nan(bf16 x) { return is_nan((float)x); }

#define ARITHMETIC(NAME, OP) \
    template <typename T> INLINE T op_##NAME(T x, T y) { \
        if constexpr (Is<T>::floating) return x OP y; \
        else return (T)((u64)x OP (u64)y); \
    }
ARITHMETIC(add, +)
ARITHMETIC(subtract, -)
ARITHMETIC(multiply, *)
#undef ARITHMETIC

template <typename T> INLINE T op_negative(T x) {
    if constexpr (Is<T>::floating) return -x;
    else return (T)((u64)0 - (u64)x);
}
template <typename T> INLINE T op_square(T x) { return op_multiply(x, x); }
template <typename T> INLINE T op_absolute(T x) {
    if constexpr (Is<T>::floating) return x < (T)0 ? -x : x == (T)0 ? (T)0 : x;
    else return x < (T)0 ? op_negative(x) : x;
}
template <typename T> INLINE T op_sign(T x) {
    return x > (T)0 ? (T)1 : x < (T)0 ? (T)-1 : x;       // NaN stays
}
template <typename T> INLINE T op_relu(T x) { return x <= (T)0 ? (T)0 : x; }
template <typename T> INLINE T op_maximum(T x, T y) { return x > y || is_nan(x) ? x : y; }
template <typename T> INLINE T op_minimum(T x, T y) { return x < y || is_nan(x) ? x : y; }
template <typename T> INLINE bool op_isfinite(T x) {
    if constexpr (Is<T>::floating) return x - x == (T)0;
    else return true;
}

// Floats are cut off towards zero on the way to integers; small integers take the low bits.
template <typename To, typename From> INLINE To op_cast(From x) {
    if constexpr (IsBool<To>::yes) return x != (From)0;
    else if constexpr (Is<From>::floating && !Is<To>::floating) return (To)(i64)x;
    else return (To)x;
}

#define FUNCTION(NAME) \
    INLINE float op_##NAME(float x) { return NAME##f(x); } \
    INLINE double op_##NAME(double x) { return NAME(x); }
FUNCTION(exp)
FUNCTION(expm1)
FUNCTION(log)
FUNCTION(log1p)
FUNCTION(sqrt)
FUNCTION(tanh)
FUNCTION(erf)
FUNCTION(sin)
FUNCTION(cos)
#undef FUNCTION
INLINE float op_floor(float x) { return floorf(x); }
INLINE double op_floor(double x) { return floor(x); }
template <typename T> INLINE T op_floor(T x) { return x; }
INLINE float op_round(float x) { return rintf(x); }
INLINE double op_round(double x) { return rint(x); }
INLINE float op_arctan2(float y, float x) { return atan2f(y, x); }
INLINE double op_arctan2(double y, double x) { return atan2(y, x); }
INLINE float op_power(float x, float y) { return powf(x, y); }
INLINE double op_power(double x, double y) { return pow(x, y); }
template <typename T> INLINE T op_sigmoid(T x) { return (T)1 / ((T)1 + op_exp(-x)); }

// Errors found during a run. status[0]: the lowest code of an error, or a number above all codes; status[code]: the
// value that was wrong. Codes are in the order of the graph, so which error is reported does not depend on time.
INLINE void report(i64* status, int code) { atomicMin(status, (i64)code); }

template <typename T> INLINE T checked(T x, i64* status, int code) {
    if (!op_isfinite(x)) report(status, code);
    return x;
}

// N neighbours, moved at once; at an address that is a multiple of their size.
template <typename T, int N> struct alignas(N * sizeof(T)) Some {
    T v[N];
};
template <typename T> using Four = Some<T, 4>;

// v of the lane that is `o` lanes further in the warp (all of whose lanes call this); the last o lanes get their own.
template <typename T> INLINE T from_lane(T v, int o)
{
    if constexpr (sizeof(T) < 4) return (T)__shfl_down_sync(0xffffffffu, (int)v, o);
    else return __shfl_down_sync(0xffffffffu, v, o);
}

// How threads that share one result join what they have: `lanes` of them (a power of two), neighbours, or 256 / lanes
// threads apart if `columns`. First those in a warp, `span` of them, as a tree of shuffles; then the first thread joins
// the warps' in order, through shared memory.
struct Shared {
    int lane, mine, step, span, lanes;          // this thread's place among them, and which of the block's results
    INLINE Shared(int lanes, bool columns) : lanes(lanes)
    {
        const int results = 256 / lanes, t = threadIdx.x;
        lane = columns ? t / results : t % lanes;
        mine = columns ? t % results : t / lanes;
        step = columns ? results : 1;
        span = step > 16 ? 1 : lanes < 32 / step ? lanes : 32 / step;
    }
};
