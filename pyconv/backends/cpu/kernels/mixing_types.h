/* Weighted sums of vectors for float and double. */
#ifndef PYCONV_MIXING_TYPES_H
#define PYCONV_MIXING_TYPES_H
#include "vector.h"
#define BODY "mixing.h"
#include "float_types.h"
#endif
