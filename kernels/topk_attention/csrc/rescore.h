/* The float16 score of one pair, to the bit what the float16 search gives it: by the same functions, in either way. */

#ifndef FRAMESIFT_RESCORE_H
#define FRAMESIFT_RESCORE_H

#include "few.h"
#include "many.h"

/* Floats of working memory that a pair needs, and that the panels of all queries do. */
INLINE int64_t pair_floats(const job *j, const int many) {
    return many ? (j->width + PAD) * j->frames + j->rows : 2 * j->frames * LANES;
}
INLINE int64_t panel_floats(const job *j, const int many) {
    return many ? (j->queries + VL - 1) / VL * VL * 2 * j->width : 0;
}

/* `next` is the video that is scored after it. */
INLINE float rescore(const job *j, const int many, const int F, int64_t video, int64_t next, int64_t query, float *work,
                     const float *panels) {
    const int lane = (int)(many ? query % VL : video % LANES), half = many ? 0 : lane / VL * VL;
    const float *table = j->tables + video / LANES * j->table_rows * LANES;
    vf l[F], s[F], tau[4];
    float scores[VL];
    for (int i = 0; i < 4; i++) tau[i] = SET1(j->scalars[4 * query + i]);
    if (many) {
        float *own = work + (j->width + PAD) * F;
        stage(j, video, FLOAT16, work);
        for (int64_t row = 0; row < j->rows; row++) own[row] = table[row * LANES + video % LANES];
        tiles(F, 1, work, work, j->width + PAD, j->width, panels + query / VL * VL * 2 * j->width, l, s);
        STORE(scores, pair_scores(l, s, own, 0, F, 1, (int)j->top_k, tau));
    } else {
        video_dots(j, FLOAT16, video, next, query, lane, work, work + F * LANES);
        for (int i = 0; i < F; i++) l[i] = LOAD(work + i * LANES + half), s[i] = LOAD(work + (F + i) * LANES + half);
        STORE(scores, pair_scores(l, s, table + half, 1, F, 1, (int)j->top_k, tau));
    }
    return scores[lane - half];
}

/* Ask for the table that a video will be scored from. */
INLINE void ask_for_table(const job *j, int64_t video) {
    const char *table = (const char *)(j->tables + video / LANES * j->table_rows * LANES);
    for (int64_t row = 0; row < j->rows; row++) FETCH(table + row * LANES * 4);
}

#endif
