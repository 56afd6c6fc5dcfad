/* A copy of planes with a border of zeros, so that no tap of a convolution needs a test. */
#ifndef PYCONV_BORDER_H
#define PYCONV_BORDER_H
#include <string.h>

typedef struct {
    long n[3];          /* sizes of the input: depth, rows, columns */
    long low[3];        /* zeros before */
    long padded[3];     /* sizes with the border */
    long needed;
} Border;

/* `rows` rows of the bordered planes of `channels` channels, from row `first` on; rows after the last are zeros too.
 * A pixel has `pixel` bytes. */
static void band_with_border(const Border *b, const char *src, char *dst, long channels, size_t pixel, long first,
                             long rows) {
    const size_t width = b->padded[2] * pixel, left = b->low[2] * pixel, row = b->n[2] * pixel;
    for (long c = 0; c < channels; c++)
        for (long z = 0; z < b->padded[0]; z++) {
            if (z < b->low[0] || z >= b->low[0] + b->n[0]) {
                memset(dst, 0, rows * width);
                dst += rows * width;
                continue;
            }
            for (long y = first - b->low[1]; y < first - b->low[1] + rows; y++, dst += width) {
                if (y < 0 || y >= b->n[1]) { memset(dst, 0, width); continue; }
                if (left) memset(dst, 0, left);
                memcpy(dst + left, src + y * row, row);
                if (left + row < width) memset(dst + left + row, 0, width - left - row);
            }
            src += b->n[1] * row;
        }
}

/* All rows. */
static void with_border(const Border *b, const char *src, char *dst, long channels, size_t pixel) {
    band_with_border(b, src, dst, channels, pixel, 0, b->padded[1]);
}
#endif
