/* Dot products of texts and videos: see reference.py, and weighed_experts/reference.py for those of experts. */
#ifndef FRAMESIFT_DOT_H
#define FRAMESIFT_DOT_H

#include "../../csrc/pairs.h"

/* The least that a video's experts may have of a text. */
#define LEAST_SHARE 1e-30f

/* One query's products, a lane each, to scores: divided by the text's shares of the experts that a video has, if any are. */
INLINE void finish(const pairs *j, const some *b, int64_t q, const int storage, float *products) {
    for (int k = 0; k < b->count; k++) {
        float *product = products + b->lane[k];
        if (j->present) {
            const char *present = stored(j->present, row_of(b, k), j->experts, storage);
            float there = 0;
            for (int64_t m = 0; m < j->experts; m++) there += j->shares[q * j->experts + m] * number_at(present, m, storage);
            *product /= there < LEAST_SHARE ? LEAST_SHARE : there;
        }
        *product = number(*product);
    }
    take(&j->walk, q, b, products);
}

/* Few queries, two at a time: videos are read in the order of their addresses, four at once where they lie together. */
INLINE void dot_few(const pairs *j, const some *b, const some *after, const int storage) {
    const int64_t D = j->width, row = D * bytes_of(storage);
    for (int64_t q = 0; q < j->queries; q += 2) {
        const float *u = j->text + q * D, *w = q + 1 < j->queries ? u + D : u;
        float l[LANES * LANES], s[LANES * LANES], scores[2][LANES];
        for (int k = 0, run; k < b->count; k += run) {
            for (run = 1; run < 4 && k + run < b->count && b->lane[k + run] == b->lane[k] + run;) run++;
            const char *x = stored(j->frame_vectors, row_of(b, k), D, storage), *ahead = x + run * row + AHEAD;
            if (k + run < b->count && b->lane[k + run] != b->lane[k] + run)
                ahead = stored(j->frame_vectors, row_of(b, k + run), D, storage);
            else if (k + run == b->count && after && row_of(after, 0) != row_of(b, k) + run)
                ahead = stored(j->frame_vectors, row_of(after, 0), D, storage);
            DOTS_FOR(shared, storage)[run](x, 0, ahead, D, D, u, w, l + b->lane[k] * LANES, s + b->lane[k] * LANES);
        }
        for (int k = 0; k < b->count; k++) {
            scores[0][b->lane[k]] = l[b->lane[k] * LANES];
            scores[1][b->lane[k]] = s[b->lane[k] * LANES];
        }
        for (int i = 0; i < 2 && q + i < j->queries; i++) finish(j, b, q + i, storage, scores[i]);
    }
}

/* Many queries: a lane is a query. */
INLINE void dot_many(const pairs *j, const some *b, const int storage, const float *panels, float *staged) {
    const int64_t D = j->width;
    for (int k = 0; k < b->count; k++)
        widen(stored(j->frame_vectors, row_of(b, k), D, storage), 1, D, storage, staged + k * (D + PAD));
    for (int64_t p = 0; p < panels_of(j->queries); p++) {
        vf found[2][LANES];
        tiles_shared(b->count, staged, D + PAD, D, panels + p * D * 2 * VL, found[0], found[1]);
        float lanes[LANES][2 * VL];
        for (int k = 0; k < b->count; k++)
            for (int half = 0; half < 2; half++) STORE(lanes[b->lane[k]] + half * VL, found[half][k]);
        for (int64_t i = 0; i < 2 * VL && p * 2 * VL + i < j->queries; i++) {
            float scores[LANES];
            for (int k = 0; k < b->count; k++) scores[b->lane[k]] = lanes[b->lane[k]][i];
            finish(j, b, p * 2 * VL + i, storage, scores);
        }
    }
}

INLINE int dot_scan(const pairs *j, const int storage) {
    const int64_t D = j->width, packed = panels_of(j->queries) * D * 2 * VL;
    const int many = j->queries >= MANY;
    float *work = workspace(many ? packed + LANES * (D + PAD) : 16);
    if (!work) return 1;
    if (many) pack_panels(j->text, j->queries, D, work);
    some found[CHUNK];
    for (int64_t count; (count = take_blocks(&j->walk, found)) >= 0;)
        for (int64_t b = 0; b < count; b++)
            if (many) dot_many(j, found + b, storage, work, work + packed);
            else dot_few(j, found + b, b + 1 < count ? found + b + 1 : 0, storage);
    free(work);
    return 0;
}

EXPORTED int framesift_dot(const pairs *j) { FLOATING(dot_scan(j, storage)) }

#endif
