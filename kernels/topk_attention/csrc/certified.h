/* The float16 search's best, proved from int8 steps: a video is scored in float16 unless it surely is below the least of
 * n scores that are known. Threads take blocks of 16 videos and share the thresholds. */

#ifndef FRAMESIFT_CERTIFIED_H
#define FRAMESIFT_CERTIFIED_H

#include <stdlib.h>

#include "bound.h"
#include "rescore.h"
#include "scan.h"
#include "steps.h"

/* Videos that wait to be scored, of one query; they are scored once there are so many. */
#define WAITING 48
/* More left than these of 10 make the bounds a waste: after a sixteenth of all pairs, so many, and so many times n. */
#define MOST_LEFT 3
#define JUDGED 4096
#define JUDGED_TIMES 64

typedef struct {
    float upper;
    int64_t video;
} candidate;

typedef struct {
    candidate found[WAITING + LANES];
    int count;
} waiting;

INLINE float threshold(const certified *c, int64_t query) {
    float value;
    __atomic_load(c->threshold + query, &value, __ATOMIC_RELAXED);
    return value;
}

INLINE void raise_threshold(const certified *c, int64_t query, float value) {
    float before = threshold(c, query);
    while (value > before && !__atomic_compare_exchange(c->threshold + query, &before, &value, 1, __ATOMIC_RELAXED,
                                                        __ATOMIC_RELAXED));
}

/* Score what waits, the most promising first, so that the rest may fall. */
INLINE void settle(const certified *c, waiting *w, int64_t query, const int F, float *work, const float *panels) {
    const job *j = c->exact;
    float *scores = j->walk.best_scores + query * j->walk.best;
    int64_t *rows = j->walk.best_rows + query * j->walk.best;
    for (int i = 1; i < w->count; i++) {
        const candidate one = w->found[i];
        int at = i;
        for (; at && w->found[at - 1].upper < one.upper; at--) w->found[at] = w->found[at - 1];
        w->found[at] = one;
    }
    for (int i = 0; i < w->count; i++) {
        if (w->found[i].upper < threshold(c, query)) break;
        const int64_t video = w->found[i].video, next = i + 1 < w->count ? w->found[i + 1].video : video;
        ask_for_table(j, next);
        const float score = c->many ? rescore(j, 1, F, video, next, query, work, panels)
                                    : rescore(j, 0, F, video, next, query, work, panels);
        offer(scores, rows, j->walk.best, score, video);
        c->rescored[query]++;
        if (rows[0] >= 0) raise_threshold(c, query, scores[0]);
    }
    w->count = 0;
}

/* The lanes of a block that have to be scored, with upper bounds of their scores. */
INLINE unsigned block_left(const certified *c, const some *b, int64_t query, const int F, const int integers, float *products,
                            int64_t *counts, float *upper) {
    const job *j = c->exact;
    const float theta = threshold(c, query);
    unsigned lanes = 0;
    for (int k = 0; k < b->count; k++) lanes |= 1u << b->lane[k];
    for (int k = 0; k < LANES; k++) upper[k] = __builtin_inff();
    /* Below zero the bounds don't hold. */
    if (!(theta >= 0.0f)) return lanes;
    float *l = products, *s = products + (F + 1) * LANES;
    const asked *a = c->asked + query;
    const float *side = c->side + b->block * (5 * F + 4) * LANES;
    const void *vectors = integers ? (const void *)(c->planes + query * 4 * j->width) : c->floats + query * 2 * j->width;
    for (int k = 0; k < b->count; k++) {
        for (int row = 4 * k; row < 4 * k + 4 && row < 5 * F + 4; row++)
            FETCH(side + row * LANES);
        step_products(integers, c->steps + row_of(b, k) * (F + 1) * j->width, F + 1, j->width, vectors, a, b->lane[k], l, s);
    }
    unsigned left = lanes & free_test(F, (int)j->top_k, l, s, side, a, theta, upper);
    /* One kept frame's gradient is exact at once. */
    if (left && j->top_k > 1 && F > 1)
        left &= tables_test(F, (int)j->top_k, l, s, side, j->tables + b->block * j->table_rows * LANES, a, theta, upper);
    counts[0] += __builtin_popcount(lanes);
    counts[1] += __builtin_popcount(left);
    return left;
}

/* 0, 1 if there is no memory, or 2 once too many are left. */
INLINE int certify(const certified *c, const int F, const int integers) {
    const job *j = c->exact;
    const int64_t pair = (pair_floats(j, (int)c->many) + LANES) / LANES * LANES;
    const int64_t panels = (j->queries + VL - 1) / VL, products = 2 * (F + 1) * LANES;
    const size_t floats = products + pair + panel_floats(j, (int)c->many);
    float *l = aligned_alloc(64, (floats * 4 + 63) / 64 * 64), *work = l + products, *panel = work + pair;
    waiting *wait = calloc(j->queries, sizeof *wait);
    int failed = !l || !wait;
    if (!failed) {
        memset(l, 0, floats * 4);
        if (c->many) for (int64_t p = 0; p < panels; p++) pack_panel(j, p * VL, panel + p * j->width * 2 * VL);
    }
    const int64_t enough = JUDGED + j->queries * (j->walk.scored / 16 + JUDGED_TIMES * j->walk.best);
    some found[CHUNK];
    for (int64_t taken; !failed && (taken = take_blocks(&j->walk, found)) >= 0;) {
        int64_t counts[2] = {0, 0};
        for (const some *b = found; b < found + taken; b++)
            for (int64_t query = 0; query < j->queries; query++) {
                float upper[LANES];
                waiting *w = wait + query;
                for (unsigned left = block_left(c, b, query, F, integers, l, counts, upper); left; left &= left - 1) {
                    const int lane = __builtin_ctz(left);
                    w->found[w->count++] = (candidate){upper[lane], b->block * LANES + lane};
                }
                if (w->count >= WAITING || (w->count >= j->walk.best && !(threshold(c, query) >= 0.0f)))
                    settle(c, w, query, F, work, panel);
            }
        const int64_t tested = __atomic_add_fetch(c->counts, counts[0], __ATOMIC_RELAXED);
        const int64_t left = __atomic_add_fetch(c->counts + 1, counts[1], __ATOMIC_RELAXED);
        if (tested > enough && left * 10 > tested * MOST_LEFT) failed = 2;
    }
    if (!failed)
        for (int64_t query = 0; query < j->queries; query++) settle(c, wait + query, query, F, work, panel);
    free(wait);
    free(l);
    return failed;
}

/* Whether this processor adds products of bytes in one instruction. */
EXPORTED int framesift_integers(void) {
#if VL == 16
    return __builtin_cpu_supports("avx512vnni") != 0;
#else
    return 0;
#endif
}

/* Of one head. 0, 1 if there is no memory, or 2 where the bounds leave so many that the float16 search is faster. */
EXPORTED int framesift_certified(const certified *c) {
#if VL == 16
    if (c->planes) return c->exact->frames == 12 ? certify(c, 12, 1) : certify(c, (int)c->exact->frames, 1);
#endif
    return c->exact->frames == 12 ? certify(c, 12, 0) : certify(c, (int)c->exact->frames, 0);
}

#endif
