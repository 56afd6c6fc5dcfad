/* Includes the file BODY for float and for double, with T, its vector V, that vector's mask M, LANES and NAME(x)
 * defined. To be included again for another BODY. */
#define T float
#define V vf32
#define M vi32
#define LANES LANES_F32
#define NAME(x) x##_f32
#include BODY
#undef T
#undef V
#undef M
#undef LANES
#undef NAME

#define T double
#define V vf64
#define M vi64
#define LANES LANES_F64
#define NAME(x) x##_f64
#include BODY
#undef T
#undef V
#undef M
#undef LANES
#undef NAME
#undef BODY
