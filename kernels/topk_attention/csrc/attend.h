/* Attention weights of queries on a few videos each, which are asked for once the best are known. */
#ifndef FRAMESIFT_ATTEND_H
#define FRAMESIFT_ATTEND_H

#include "scan.h"

/* Into out [Q, best, F], for the videos best_rows [Q, best], averaged over heads. Returns 1 if there is no memory. */
INLINE int attend(const job *j, const int storage) {
    const int F = (int)j->frames, H = (int)j->heads;
    const int64_t entries = (int64_t)F * H;
    float *l = aligned_alloc(64, entries * LANES * 2 * 4);
    if (!l) return 1;
    memset(l, 0, entries * LANES * 2 * 4);
    const int64_t best = j->walk.best;
    for (int64_t at = 0; at < j->queries * best; at++) {
        const int64_t query = at / best, lane = at % best % LANES, video = j->walk.best_rows[at];
        const float *steps = j->tables + (video / LANES * j->table_rows + j->rows) * LANES + video % LANES;
        video_dots(j, storage, video, at + 1 < j->queries * best ? j->walk.best_rows[at + 1] : video + 1, query, (int)lane, l, l + entries * LANES);
        if (storage == INT8)
            for (int64_t n = 0; n < entries; n++) l[n * LANES + lane] *= steps[n * LANES];
        if (lane + 1 < LANES && (at + 1) % best) continue;
        float weights[MOST_FRAMES][LANES];
        for (int half = 0; half < LANES; half += VL) {
            vf lv[entries];
            for (int64_t n = 0; n < entries; n++) lv[n] = LOAD(l + n * LANES + half);
            for (int h = 0; h < H; h++) topk_softmax(lv + h * F, F, (int)j->top_k);
            for (int i = 0; i < F; i++) {
                vf sum = lv[i];
                for (int h = 1; h < H; h++) sum += lv[h * F + i];
                STORE(weights[i] + half, sum * SET1(1.0f / (float)H));
            }
        }
        for (int64_t k = 0; k <= lane; k++)
            for (int i = 0; i < F; i++) j->walk.out[(at - lane + k) * F + i] = weights[i][k];
    }
    free(l);
    return 0;
}

EXPORTED int framesift_attend(const job *j) { STORAGES(attend(j, storage)) }

#endif
