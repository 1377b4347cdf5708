/* What both ways of scanning share: frames as they are stored, and where 16 scores go. */

#ifndef FRAMESIFT_STORAGE_H
#define FRAMESIFT_STORAGE_H

#include <string.h>

#include "best.h"
#include "job.h"
#include "vector.h"

/* How far ahead of four frames that are being read the next are asked for, in bytes: near enough to be there still when
 * they are needed, where another thread may share the first cache. */
#define AHEAD 1024
#define UNROLLED _Pragma("GCC unroll 16")

INLINE vf vector_at(const void *p, int64_t i, const int storage) {
    if (storage == FLOAT32) return LOAD((const float *)p + i);
    if (storage == FLOAT16) return HALF((const uint16_t *)p + i);
    return BYTE((const int8_t *)p + i);
}

INLINE int64_t bytes_of(const int storage) { return storage == FLOAT32 ? 4 : storage == FLOAT16 ? 2 : 1; }

/* The scores of 16 videos from `video` on: into the matrix, or those that are good enough among the best. */
INLINE void take(const job *j, int64_t query, int64_t video, const float *scores) {
    const int64_t left = j->videos - video, count = left < LANES ? left : LANES;
    if (j->out) {
        memcpy(j->out + query * j->videos + video, scores, count * 4);
        return;
    }
    float *kept = j->best_scores + query * j->best;
    int64_t *rows = j->best_rows + query * j->best;
    for (int64_t lane = 0; lane < count; lane++)
        if ((rows[0] < 0 || scores[lane] > kept[0]) && (!j->live || j->live[video + lane]))
            offer(kept, rows, j->best, scores[lane], video + lane);
}

#endif
