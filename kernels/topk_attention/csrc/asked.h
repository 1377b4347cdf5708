/* One call of the certified search, laid out as certified/native.py's structures. All arrays are C-contiguous. */
#ifndef FRAMESIFT_ASKED_H
#define FRAMESIFT_ASKED_H

#include "job.h"

/* What the tests know of a query with the vectors u and w. */
typedef struct {
    float scale[2];     /* u and w are scale times their integers */
    uint32_t offset[2]; /* 128 times the sum of the integers, as steps are stored 128 higher */
    float norm[2];      /* |u| and |w| */
    float square[3];    /* |u|^2, 2 u.w and |w|^2, a little above */
    float rounding;     /* of a product in float32, in norms of an error */
    float slack[2];     /* what rounding u and w to integers may take from a product, in steps */
    float tau[4];
    float biases[2]; /* the checkpoint's |gain_3 n|^2 and |bias_3|^2 */
    float spare[2];
} asked;

typedef struct {
    job *exact;            /* the same search in float16, with best, best_scores and best_rows of this thread */
    const uint8_t *steps;  /* [V, F + 1, D], the last row the mean's */
    const float *side;     /* [ceil(V / 16), 5 F + 4, 16] */
    const int8_t *planes;  /* [Q, 4, D]: u's high and low bytes, then w's; null where products are made in float32 */
    const float *floats;   /* [Q, 2, D]: u and w, where they are */
    const asked *asked;    /* [Q] */
    float *threshold;      /* [Q], shared: of n videos' scores the least, known to some thread */
    int64_t *counts;       /* [2], shared: pairs that were tested, and that were left */
    int64_t *rescored;     /* [Q], this thread's own */
    int64_t many;          /* whether the float16 search has a query in a lane */
} certified;

#endif
