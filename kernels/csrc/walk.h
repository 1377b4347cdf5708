/* Which videos a scan reads, in blocks of LANES that lie together, and where their scores go. Threads share the blocks. */
#ifndef FRAMESIFT_WALK_H
#define FRAMESIFT_WALK_H

#include <stdint.h>
#include <string.h>

#include "best.h"
#include "vector.h"

/* The most blocks that a thread takes at once. */
#define CHUNK 32

/* Laid out as walk.py's ctypes structure. */
typedef struct {
    int64_t videos;        /* V, of the gallery */
    int64_t scored;        /* how many are scored: V, or the length of `chosen` */
    const int64_t *chosen; /* their rows, ascending, or null for all */
    const int64_t *starts; /* [blocks + 1]: where the rows of each block that has some begin in `chosen` */
    int64_t blocks;        /* so many blocks are looked at */
    const uint8_t *live;   /* [V] or null; a zero keeps a video out of the best, and it is not read */
    float *out;            /* [Q, scored], or null */
    int64_t best;          /* how many to keep of each query, where out is null */
    float *best_scores;    /* [Q, best], this thread's own, filled with -inf */
    int64_t *best_rows;    /* [Q, best], this thread's own, filled with -1 */
    int64_t *next;         /* the next block that nobody has taken, shared by all threads */
    int64_t chunk;         /* how many blocks to take at once, at most CHUNK */
} walk;

/* Some videos of one block: rows block * LANES + lane[0..count), ascending, at least one; the first is number `at` of
 * those that are scored. */
typedef struct {
    int64_t block, at;
    int count, lane[LANES];
} some;

INLINE int64_t row_of(const some *s, int k) { return s->block * LANES + s->lane[k]; }

/* The videos of the next blocks that nobody has taken. Returns how many blocks have some, 0 and more, or -1 at the end. */
static int64_t take_blocks(const walk *w, some *found) {
    const int64_t first = __atomic_fetch_add(w->next, w->chunk, __ATOMIC_RELAXED);
    if (first >= w->blocks) return -1;
    const int64_t end = first + w->chunk < w->blocks ? first + w->chunk : w->blocks;
    int64_t n = 0;
    for (int64_t b = first; b < end; b++) {
        some *s = found + n;
        s->count = 0;
        if (w->chosen) {
            s->at = w->starts[b];
            s->block = w->chosen[s->at] / LANES;
            for (int64_t i = s->at; i < w->starts[b + 1]; i++) s->lane[s->count++] = (int)(w->chosen[i] % LANES);
        } else {
            s->at = b * LANES;
            s->block = b;
            const int64_t left = w->videos - s->at, count = left < LANES ? left : LANES;
            const uint8_t *live = w->live ? w->live + s->at : 0;
            if (live && count == LANES && !memcmp(live, (uint8_t[LANES]){0}, LANES)) continue;
            for (int lane = 0; lane < count; lane++)
                if (!live || live[lane]) s->lane[s->count++] = lane;
        }
        n += s->count > 0;
    }
    return n;
}

/* The score of number `at` of those that are scored: into the matrix, or, if it is good enough, among the best. */
INLINE void take_row(const walk *w, int64_t query, int64_t at, int64_t row, float score) {
    if (w->out) {
        w->out[query * w->scored + at] = score;
        return;
    }
    float *kept = w->best_scores + query * w->best;
    int64_t *rows = w->best_rows + query * w->best;
    if (rows[0] < 0 || score > kept[0]) offer(kept, rows, w->best, score, row);
}

/* The scores of a block, one a lane. */
INLINE void take(const walk *w, int64_t query, const some *s, const float *scores) {
    for (int k = 0; k < s->count; k++) take_row(w, query, s->at + k, row_of(s, k), scores[s->lane[k]]);
}

#endif
