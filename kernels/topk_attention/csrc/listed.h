/* A list of rows that lie far apart: a lane is a row of the list, wherever it lies. Of the table of 16 videos, of which
 * mostly one is asked for, only what meets weights above zero is read: 42 rows of 270 where 4 of 12 frames are kept. The
 * others are zero here, and so is what they are multiplied with, so a score is to the bit what it is among all. */

#ifndef FRAMESIFT_LISTED_H
#define FRAMESIFT_LISTED_H

#include "few.h"

/* Lists with fewer rows a block than this are read so, where at most two of three frames are kept: putting together what
 * all weights meet takes longer than reading it. */
#define SPARSE 4

/* Rows of the list from number `at` on, before `end`, which nobody else takes. */
typedef struct {
    int64_t at, end;
} span;

/* Some rows of the list, a lane each, and their numbers in it. */
typedef struct {
    int count;
    int64_t row[LANES], at[LANES];
    float *products; /* [Q][2][entries][LANES]: logits, which become weights, and readouts */
} batch;

INLINE int is_sparse(const job *j) {
    return j->walk.chosen && j->walk.scored < SPARSE * j->walk.blocks && 3 * j->top_k <= 2 * j->frames;
}

/* The number of the next row that nobody has taken, or -1 at the end. */
static int64_t next_listed(const walk *w, span *left) {
    while (left->at == left->end) {
        const int64_t first = __atomic_fetch_add(w->next, w->chunk, __ATOMIC_RELAXED);
        if (first >= w->blocks) return -1;
        left->at = w->starts[first];
        left->end = w->starts[first + w->chunk < w->blocks ? first + w->chunk : w->blocks];
    }
    return left->at++;
}

enum visit { ASK, GATHER, CLEAR };

/* Rows of a table of `entries` weights that meet those of one lane above zero, of which `kept` has room for all: asked for,
 * put into the same lane of another table, or made zero there. */
INLINE void visit_kept(const enum visit what, const float *weights, const int entries, const float *table, int lane, float *to,
                       int *kept) {
    int count = 0;
    for (int n = 0; n < entries; n++) {
        kept[count] = n;
        count += weights[n * LANES] != 0;
    }
    const int64_t linear = 3 * ((int64_t)entries * (entries + 1) / 2);
#define ROWS(row) \
    for (int64_t r = (row); r < (row) + 3; r++) { \
        if (what == ASK) FETCH(table + r * LANES); \
        else to[r * LANES + lane] = what == GATHER ? table[r * LANES] : 0.0f; \
    }
    for (int a = 0; a < count; a++) {
        const int64_t i = kept[a], first = i * entries - i * (i - 1) / 2 - i;
        for (int b = a; b < count; b++) { ROWS(3 * (first + kept[b])) }
        ROWS(linear + 3 * i)
    }
#undef ROWS
}

INLINE const float *table_of(const job *j, int64_t video) {
    return j->tables + video / LANES * j->table_rows * LANES + video % LANES;
}

/* Products of the next rows, and their weights. What will finish those before is asked for meanwhile. */
INLINE void fill(const job *j, span *left, const int storage, const int F, const int H, batch *b, const batch *before) {
    const int64_t entries = (int64_t)F * H, of_query = 2 * entries * LANES;
    int kept[entries];
    b->count = 0;
    for (int64_t at; b->count < LANES && (at = next_listed(&j->walk, left)) >= 0; b->count++) {
        const int lane = b->count;
        const int64_t video = b->row[lane] = j->walk.chosen[at];
        b->at[lane] = at;
        const int64_t next = at + 1 < j->walk.scored ? j->walk.chosen[at + 1] : video + 1;
        for (int64_t q = 0; q < j->queries; q++) {
            float *l = b->products + q * of_query;
            video_dots(j, storage, video, next, q, lane, l, l + entries * LANES);
            if (lane < before->count)
                visit_kept(ASK, before->products + q * of_query + lane, (int)entries, table_of(j, before->row[lane]), 0, 0, kept);
        }
    }
    for (int64_t q = 0; q < j->queries && b->count; q++)
        for (int half = 0; half < LANES; half += VL) {
            float *l = b->products + q * of_query + half;
            vf lv[entries];
            for (int64_t n = 0; n < entries; n++) lv[n] = LOAD(l + n * LANES);
            for (int h = 0; h < H; h++) topk_softmax(lv + h * F, F, (int)j->top_k);
            for (int64_t n = 0; n < entries; n++) STORE(l + n * LANES, lv[n]);
        }
}

INLINE void finish_batch(const job *j, const batch *b, const int F, const int H, float *table) {
    const int64_t entries = (int64_t)F * H;
    int kept[entries];
    for (int64_t q = 0; q < j->queries; q++) {
        const float *a = b->products + 2 * q * entries * LANES, *s = a + entries * LANES;
        float scores[LANES];
        vf tau[4];
        for (int i = 0; i < 4; i++) tau[i] = SET1(j->scalars[4 * q + i]);
        for (int k = 0; k < b->count; k++)
            visit_kept(GATHER, a + k, (int)entries, table_of(j, b->row[k]), k, table, kept);
        for (int half = 0; half < LANES; half += VL) {
            vf av[entries], sv[entries];
            for (int64_t n = 0; n < entries; n++) av[n] = LOAD(a + n * LANES + half), sv[n] = LOAD(s + n * LANES + half);
            STORE(scores + half, weighed_scores(av, sv, table + half, 1, (int)entries, tau));
        }
        for (int k = 0; k < b->count; k++) {
            visit_kept(CLEAR, a + k, (int)entries, 0, k, table, kept);
            take_row(&j->walk, q, b->at[k], b->row[k], scores[k]);
        }
    }
}

/* Floats of working memory. */
INLINE int64_t listed_floats(const job *j, int64_t entries) { return (4 * j->queries * entries + j->rows) * LANES; }

/* Two batches in turn, so that what finishes one is on its way while the products of the next are made. `work` is zero. */
INLINE void rows_few(const job *j, const int storage, const int F, const int H, float *work) {
    const int64_t products = 2 * j->queries * F * H * LANES;
    batch batches[2] = {{.products = work}, {.products = work + products}};
    span left = {0, 0};
    for (int now = 0;; now ^= 1) {
        fill(j, &left, storage, F, H, batches + now, batches + (now ^ 1));
        if (batches[now ^ 1].count) finish_batch(j, batches + (now ^ 1), F, H, work + 2 * products);
        else if (!batches[now].count) return;
        batches[now ^ 1].count = 0;
    }
}

#endif
