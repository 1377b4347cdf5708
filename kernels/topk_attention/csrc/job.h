/* One call's arguments, laid out as native.py's ctypes structure. All arrays are C-contiguous; letters: layout.py. */
#ifndef FRAMESIFT_JOB_H
#define FRAMESIFT_JOB_H

#include <stdint.h>

#include "../../csrc/storage.h"

typedef struct {
    walk walk; /* for attention `out` is [Q, best, F], and `best_rows` are the videos asked for */
    int64_t queries;
    int64_t frames, width, heads, streams, rows, top_k;
    int64_t table_rows; /* R, and in int8 S N more: the size of the steps, [S, N] */
    int64_t storage;
    const void *vectors;  /* [V, S, F, D] */
    const float *tables;  /* [ceil(V / 16), table_rows, 16] */
    const uint16_t *mean; /* float16 [V, D], int8 only */
    const float *logit;   /* [Q, D] */
    const float *readout; /* [Q, D] */
    const float *scalars; /* [Q, 4] */
} job;

#endif
