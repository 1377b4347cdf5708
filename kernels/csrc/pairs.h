/* What the scans of the scorers but topk_attention's are given, and their steps in common. */
#ifndef FRAMESIFT_PAIRS_H
#define FRAMESIFT_PAIRS_H

#include <stdlib.h>

#include "dots.h"
#include "tile.h"

/* From this many queries on, a lane is a query instead of a video, where a text is one vector. */
#define MANY 8
#define MOST_WORDS 128

/* Laid out as pairs.py's ctypes structure. All arrays are C-contiguous; vectors of texts are float32, those of videos all as
 * `storage` says. Letters: V videos, F frames, Q queries, W words, D width, M experts. */
typedef struct {
    walk walk;
    int64_t storage, queries, words, frames, width, experts;
    const void *frame_vectors; /* [V, F, D]; for dot F is 1 */
    const void *whole;         /* multi_grained: [V, D] */
    const void *mask;          /* frame_softmax: [V, F] */
    const void *present;       /* weighed_experts: [V, M] */
    const float *text;         /* [Q, W, D], what frames are multiplied with; W is 1 where a text is one vector */
    const float *words_whole;  /* multi_grained: words [Q, W, D], for `whole` */
    const float *sentence;     /* multi_grained: [Q, D], for frames */
    const float *sentence_whole; /* multi_grained: [Q, D], for `whole` */
    const float *shares;       /* weighed_experts: [Q, M] */
    const float *matrices;     /* multi_grained, see there */
    float sharpness;           /* of every softmax */
    float scale;               /* of multi_grained's scores */
} pairs;

INLINE const char *stored(const void *all, int64_t row, int64_t numbers, const int storage) {
    return (const char *)all + row * numbers * bytes_of(storage);
}

INLINE float number_at(const char *from, int64_t i, const int storage) {
    return storage == FLOAT32 ? ((const float *)from)[i] : _cvtsh_ss(((const uint16_t *)from)[i]);
}

/* Vectors as float32 [count, width + PAD]. */
INLINE void widen(const char *from, int64_t count, int64_t width, const int storage, float *to) {
    for (int64_t i = 0; i < count; i++, from += width * bytes_of(storage), to += width + PAD)
        for (int64_t d = 0; d < width; d += VL) STORE(to + d, vector_at(from, d, storage));
}

/* Vectors [count, width] as panels of 2 VL lanes, [panels][width][2 VL]; lanes beyond the last are zero. */
INLINE int64_t panels_of(int64_t count) { return (count + 2 * VL - 1) / (2 * VL); }
static void pack_panels(const float *vectors, int64_t count, int64_t width, float *panels) {
    for (int64_t p = 0; p < panels_of(count); p++, panels += width * 2 * VL)
        for (int64_t lane = 0; lane < 2 * VL; lane++) {
            const int64_t n = p * 2 * VL + lane;
            for (int64_t d = 0; d < width; d++) panels[d * 2 * VL + lane] = n < count ? vectors[n * width + d] : 0.0f;
        }
}

/* Products of `count` float32 rows [count, width + PAD] with one vector of every query, [Q, D], into out [Q][stride]. */
INLINE void rows_by_queries(const float *rows, int count, int64_t width, const float *vectors, int64_t queries, float *out,
                            int64_t stride) {
    for (int64_t q = 0; q < queries; q += 2) {
        const float *u = vectors + q * width, *w = q + 1 < queries ? u + width : u;
        float l[4 * LANES], s[4 * LANES];
        for (int i = 0; i < count; i += 4) {
            const char *x = (const char *)(rows + i * (width + PAD));
            const int n = count - i < 4 ? count - i : 4;
            shared_FLOAT32[n](x, 0, x, width + PAD, width, u, w, l, s);
            for (int k = 0; k < n; k++) {
                out[q * stride + i + k] = l[k * LANES];
                if (q + 1 < queries) out[(q + 1) * stride + i + k] = s[k * LANES];
            }
        }
    }
}

INLINE float number(float x) { return x == x ? x : -__builtin_inff(); }

/* Lanes below `count` are -1, the others 0. */
INLINE vi first_lanes(int64_t count) {
    vi lane;
    UNROLLED for (int i = 0; i < VL; i++) lane[i] = i;
    return lane < (int)(count < VL ? count : VL);
}

INLINE vf where(vi mask, vf x) { return (vf)((vi)x & mask); }

/* The largest of the first n numbers of x, which has room for whole vectors. */
INLINE float largest(const float *x, int64_t n) {
    const vf none = SET1(-__builtin_inff());
    vf most = none;
    for (int64_t i = 0; i < n; i += VL) {
        const vi there = first_lanes(n - i);
        most = MAX(most, where(there, LOAD(x + i)) + where(~there, none));
    }
    return max_lane(most);
}

/* Memory of a thread, in floats. */
INLINE float *workspace(int64_t floats) { return aligned_alloc(64, (floats * 4 + 63) / 64 * 64); }

#define FLOATING(call) \
    if (j->storage == FLOAT32) { \
        enum { storage = FLOAT32 }; \
        return call; \
    } else { \
        enum { storage = FLOAT16 }; \
        return call; \
    }

#endif
