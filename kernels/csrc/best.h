/* The best videos of one query: a binary heap with the worst of them at its root. */
#ifndef FRAMESIFT_BEST_H
#define FRAMESIFT_BEST_H

#include <stdint.h>

/* Whether a is worse than b: a lower score, or the same score and a later row. An empty place has row -1. */
static inline int worse(float a, int64_t row_a, float b, int64_t row_b) {
    if (row_a < 0 || row_b < 0) return row_b >= 0;
    return a < b || (a == b && row_a > row_b);
}

static inline void offer(float *scores, int64_t *rows, int64_t n, float score, int64_t row) {
    if (!worse(scores[0], rows[0], score, row)) return;
    int64_t at = 0;
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= n) break;
        if (child + 1 < n && worse(scores[child + 1], rows[child + 1], scores[child], rows[child])) child++;
        if (!worse(scores[child], rows[child], score, row)) break;
        scores[at] = scores[child];
        rows[at] = rows[child];
        at = child;
    }
    scores[at] = score;
    rows[at] = row;
}

#endif
