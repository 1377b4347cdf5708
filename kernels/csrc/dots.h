/* Products of a few stored vectors with two vectors of a text, each read once in the order of its address. */
#ifndef FRAMESIFT_DOTS_H
#define FRAMESIFT_DOTS_H

#include "storage.h"

/* Text vectors that stay in registers for four frames are touched too seldom to stay in the first cache while a float16
 * gallery streams through it: reading them again for every frame is 1.6 times as fast. int8 has no time left for that. */
#define READ_AGAIN(storage) if (storage == FLOAT16) __asm__ volatile("" ::: "memory")

/* Products of `count` frames, stride elements apart, with u (from frames x) and w (from frames y), into every 16th place.
 * What lies at `ahead` is asked for meanwhile. */
INLINE void dots(const int count, const int shared, const int storage, const char *x, const char *y, const char *ahead,
                 int64_t stride, int64_t width, const float *u, const float *w, float *out_u, float *out_w) {
    const int64_t size = bytes_of(storage), row = stride * size;
    vf acc[8];
    UNROLLED for (int i = 0; i < 8; i++) acc[i] = SET1(0.0f);
    for (int64_t d = 0; d < width; d += VL, x += VL * size, y += VL * size, ahead += VL * size * count) {
        UNROLLED for (int i = 0; i < count; i++) {
            READ_AGAIN(storage);
            vf uu = LOAD(u + d), ww = LOAD(w + d);
            vf f = vector_at(x + i * row, 0, storage);
            acc[i] += f * uu;
            acc[4 + i] += (shared ? f : vector_at(y + i * row, 0, storage)) * ww;
        }
        /* As many lines as were read, but one after another: the memory likes that better than four streams. */
        UNROLLED for (int64_t line = 0; line < VL * size * count; line += 64) FETCH(ahead + line);
    }
    float sums[8];
    _mm256_storeu_ps(sums, sums8(acc));
    UNROLLED for (int i = 0; i < count; i++) out_u[i * LANES] = sums[i], out_w[i * LANES] = sums[4 + i];
}

/* A function to each, or the compiler runs out of registers in the loops. */
typedef void dots_of(const char *, const char *, const char *, int64_t, int64_t, const float *, const float *, float *,
                     float *);
#define DOTS(name, count, shared, storage) \
    static __attribute__((noinline)) void name(const char *x, const char *y, const char *ahead, int64_t stride, \
                                               int64_t width, const float *u, const float *w, float *out_u, \
                                               float *out_w) { \
        dots(count, shared, storage, x, y, ahead, stride, width, u, w, out_u, out_w); \
    }
#define DOTS_OF(storage) \
    DOTS(dots_1_##storage, 1, 1, storage) \
    DOTS(dots_2_##storage, 2, 1, storage) \
    DOTS(dots_3_##storage, 3, 1, storage) \
    DOTS(dots_4_##storage, 4, 1, storage) \
    DOTS(dots_heads_##storage, 1, 0, storage) \
    static dots_of *const shared_##storage[] = {0, dots_1_##storage, dots_2_##storage, dots_3_##storage, dots_4_##storage};
DOTS_OF(FLOAT32)
DOTS_OF(FLOAT16)
DOTS_OF(INT8)
#define DOTS_FOR(name, storage) (storage == FLOAT32 ? name##_FLOAT32 : storage == FLOAT16 ? name##_FLOAT16 : name##_INT8)

#endif
