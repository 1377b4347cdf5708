/* Frame vectors to int8 steps around their mean, turned first so that no dimension stands out. */

#ifndef FRAMESIFT_ENCODE_H
#define FRAMESIFT_ENCODE_H

#include <stdlib.h>

#include "../../csrc/storage.h"

#define MOST_STEPS 127
/* Adding it rounds to a whole number. */
#define ROUND 12582912.0f

/* Laid out as certified/encode.py's ctypes structure. */
typedef struct {
    int64_t videos, frames, width;
    int64_t part;           /* dimensions that are turned together: 16 times a power of two, which divides the width */
    const float *signs;     /* [D], 1 or -1 over the root of `part` */
    const uint16_t *source; /* float16 [V, F, D] */
    uint8_t *steps;         /* [V, F + 1, D], the last row the mean's */
    float *numbers;         /* [V, 2 F + 2]: sizes of steps, squared errors, the mean's size, the largest squared length */
} encoding;

/* Hadamard's transform of columns: of rows 0 and 1 the sum and the difference, and so on. */
INLINE void butterflies(float *x, int64_t rows, int64_t columns) {
    for (int64_t h = 1; h < rows; h *= 2)
        for (int64_t i = 0; i < rows; i += 2 * h)
            for (int64_t r = i; r < i + h; r++) {
                float *restrict a = x + r * columns, *restrict b = a + h * columns;
                for (int64_t c = 0; c < columns; c++) {
                    const float sum = a[c] + b[c];
                    b[c] = a[c] - b[c];
                    a[c] = sum;
                }
            }
}

/* Each part as a matrix [part / 16, 16] is transformed along both sides, and left transposed. */
INLINE void turn(float *x, int64_t width, int64_t part, float *other) {
    const int64_t rows = part / 16;
    for (int64_t p = 0; p < width; p += part, x += part) {
        butterflies(x, rows, 16);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t c = 0; c < 16; c++) other[c * rows + r] = x[r * 16 + c];
        butterflies(other, 16, rows);
        memcpy(x, other, part * 4);
    }
}

INLINE float total(vf x) {
    const vf all[8] = {x, x, x, x, x, x, x, x};
    return _mm256_cvtss_f32(sums8(all));
}

INLINE float longest(const float *x, int64_t width) {
    float lanes[VL], most = 0;
    vf found = SET1(0.0f);
    for (int64_t d = 0; d < width; d += VL) found = MAX(found, (vf)((vi)LOAD(x + d) & 0x7fffffff));
    STORE(lanes, found);
    for (int i = 0; i < VL; i++) most = lanes[i] > most ? lanes[i] : most;
    return most;
}

/* x into steps, of which x is left without; returns their size. */
INLINE float stepped(float *x, int64_t width, uint8_t *steps) {
    const float most = longest(x, width), size = (most > 1e-20f ? most : 1e-20f) / MOST_STEPS;
    for (int64_t d = 0; d < width; d++) {
        const float step = (x[d] / size + ROUND) - ROUND;
        steps[d] = (uint8_t)((int)step + 128);
        x[d] -= step * size;
    }
    return size;
}

INLINE float squared(const float *x, int64_t width) {
    vf sum = SET1(0.0f);
    for (int64_t d = 0; d < width; d += VL) sum += LOAD(x + d) * LOAD(x + d);
    return total(sum);
}

/* Returns 1 if there is no memory. */
EXPORTED int framesift_encode(const encoding *e) {
    const int64_t F = e->frames, D = e->width;
    float *x = aligned_alloc(64, (F + 3) * D * 4), *mean = x + F * D, *own = mean + D, *other = own + D;
    if (!x) return 1;
    for (int64_t v = 0; v < e->videos; v++) {
        const uint16_t *source = e->source + v * F * D;
        uint8_t *steps = e->steps + v * (F + 1) * D;
        float *out = e->numbers + v * (2 * F + 2);
        for (int64_t d = 0; d < D; d++) mean[d] = 0;
        out[2 * F + 1] = 0;
        for (int64_t i = 0; i < F; i++) {
            float *frame = x + i * D;
            for (int64_t d = 0; d < D; d += VL) STORE(frame + d, HALF(source + i * D + d) * LOAD(e->signs + d));
            turn(frame, D, e->part, other);
            for (int64_t d = 0; d < D; d++) mean[d] += frame[d];
            const float length = squared(frame, D);
            if (!(length <= out[2 * F + 1])) out[2 * F + 1] = length;
        }
        for (int64_t d = 0; d < D; d++) own[d] = mean[d] /= (float)F;
        out[2 * F] = stepped(own, D, steps + F * D);
        for (int64_t i = 0; i < F; i++) {
            float *frame = x + i * D;
            /* From the mean as it is stored. */
            for (int64_t d = 0; d < D; d++) frame[d] -= (float)((int)steps[F * D + d] - 128) * out[2 * F];
            out[i] = stepped(frame, D, steps + i * D);
            out[F + i] = squared(frame, D);
        }
    }
    free(x);
    return 0;
}

#endif
