/* One call's arguments, laid out as native.py's ctypes structure. All arrays are C-contiguous; letters: layout.py. */
#ifndef FRAMESIFT_JOB_H
#define FRAMESIFT_JOB_H

#include <stdint.h>

enum storage { FLOAT32 = 0, FLOAT16 = 1, INT8 = 2 };

typedef struct {
    int64_t queries, videos;
    int64_t frames, width, heads, streams, rows, top_k;
    int64_t table_rows; /* R, and in int8 S N more: the size of the steps, [S, N] */
    int64_t storage;
    const void *vectors;  /* [V, S, F, D] */
    const float *tables;  /* [ceil(V / 16), table_rows, 16] */
    const uint16_t *mean; /* float16 [V, D], int8 only */
    const uint8_t *live;  /* [V] or null; a zero keeps a video out of the best */
    const float *logit;   /* [Q, D] */
    const float *readout; /* [Q, D] */
    const float *scalars; /* [Q, 4] */
    float *out;           /* [Q, V], or null; for attention [Q, best, F] */
    int64_t best;         /* how many to keep of each query, where out is null */
    float *best_scores;   /* [Q, best], this thread's own, filled with -inf */
    int64_t *best_rows;   /* [Q, best], this thread's own, filled with -1; for attention the videos asked for */
    int64_t *next;        /* the next block of 16 videos that nobody has taken, shared by all threads */
    int64_t chunk;        /* how many blocks to take at once */
} job;

#endif
