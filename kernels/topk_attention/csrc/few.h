/* Few queries: a lane is a video. Every frame is read once, in the order of its address, and multiplied with both text
 * vectors; the tables of 16 videos lie side by side. The time is that of reading the gallery. */

#ifndef FRAMESIFT_FEW_H
#define FRAMESIFT_FEW_H

#include "../../csrc/dots.h"
#include "epilogue.h"
#include "job.h"

/* All products of one video with one query, into lane `lane` of l and s, [entries][16] each. `next` is the video that is
 * read after it: where rows are left out, frames beyond this video's end are not what is needed next. */
INLINE void video_dots(const job *j, const int storage, int64_t video, int64_t next, int64_t query, int lane, float *l,
                       float *s) {
    const int64_t F = j->frames, D = j->width, H = j->heads, dh = D / H, size = bytes_of(storage);
    const int64_t bytes = j->streams * F * D * size, far = next == video + 1 ? AHEAD : 0;
    const char *keys = (const char *)j->vectors + video * bytes, *after = keys + (next - video) * bytes;
    const char *values = keys + (j->streams - 1) * F * D * size;
    const float *u = j->logit + query * D, *w = j->readout + query * D;
    if (H == 1)
        for (int64_t i = 0; i < F; i += 4) {
            const char *ahead = (i + 4 < F ? keys + (i + 4) * D * size : after + (i + 4 - F) * D * size) + far;
            DOTS_FOR(shared, storage)[F - i < 4 ? F - i : 4](keys + i * D * size, 0, ahead, D, D, u, w,
                                                              l + i * LANES + lane, s + i * LANES + lane);
        }
    else /* heads are slices of a frame: whole frames in the order of their addresses */
        for (int64_t i = 0; i < F; i++)
            for (int64_t h = 0; h < H; h++) {
                const int64_t at = (i * D + h * dh) * size, n = (h * F + i) * LANES + lane;
                DOTS_FOR(dots_heads, storage)(keys + at, values + at, keys + at + 4 * dh * size + AHEAD, dh, dh,
                                              u + h * dh, w + h * dh, l + n, s + n);
            }
}

/* The same of 16 videos of one frame that lie together: four at once. */
INLINE void block_dots(const job *j, const int storage, int64_t first, int64_t query, float *l, float *s) {
    const int64_t D = j->width, row = D * bytes_of(storage);
    const char *x = (const char *)j->vectors + first * row;
    const float *u = j->logit + query * D, *w = j->readout + query * D;
    for (int lane = 0; lane < LANES; lane += 4, x += 4 * row) {
        float of_u[4 * LANES], of_w[4 * LANES];
        DOTS_FOR(shared, storage)[4](x, 0, x + 4 * row + AHEAD, D, D, u, w, of_u, of_w);
        for (int k = 0; k < 4; k++) l[lane + k] = of_u[k * LANES], s[lane + k] = of_w[k * LANES];
    }
}

/* Products first, then the epilogue of all 16 lanes; those that are not scored are ignored. The tables are asked for in equal
 * parts with the videos: all at once they would hold up the frames. `next` is the video that is read after these. */
INLINE void block_few(const job *j, const some *b, int64_t next, const int storage, const int F, const int H, float *work) {
    const int64_t entries = (int64_t)F * H, products = (2 * entries + 1) * LANES;
    const int64_t table_bytes = j->table_rows * LANES * 4;
    const float *table = j->tables + b->block * j->table_rows * LANES, *scale = table + j->rows * LANES;
    const int together = F == 1 && H == 1 && b->count == LANES;
    for (int k = 0; k < b->count; k++) {
        for (int64_t at = table_bytes * k / b->count & -64; at < table_bytes * (k + 1) / b->count; at += 64)
            FETCH((const char *)table + at);
        const int64_t video = row_of(b, k), after = k + 1 < b->count ? row_of(b, k + 1) : next;
        for (int64_t q = 0; q < j->queries; q++) {
            float *l = work + q * products;
            if (!together) video_dots(j, storage, video, after, q, b->lane[k], l, l + entries * LANES);
            /* In int8 the product of the mean frame with w: weights sum to one, so it adds to the score once, and its logit
             * cancels in the softmax. */
            if (storage == INT8) {
                float unused[1];
                const float *w = j->readout + q * j->width;
                const char *mean = (const char *)(j->mean + video * j->width);
                dots_1_FLOAT16(mean, 0, mean + AHEAD, j->width, j->width, w, w, l + 2 * entries * LANES + b->lane[k], unused);
            }
        }
    }
    for (int64_t q = 0; q < j->queries; q++) {
        float scores[LANES], *l = work + q * products, *s = l + entries * LANES, *m = s + entries * LANES;
        if (together) block_dots(j, storage, b->block * LANES, q, l, s);
        vf tau[4];
        for (int i = 0; i < 4; i++) tau[i] = SET1(j->scalars[4 * q + i]);
        for (int64_t half = 0; half < LANES; half += VL) {
            vf lv[entries], sv[entries];
            for (int64_t n = 0; n < entries; n++) lv[n] = LOAD(l + n * LANES + half), sv[n] = LOAD(s + n * LANES + half);
            if (storage == INT8)
                for (int64_t n = 0; n < entries; n++) {
                    lv[n] *= LOAD(scale + n * LANES + half);
                    sv[n] *= LOAD(scale + ((j->streams - 1) * entries + n) * LANES + half);
                }
            tau[0] = SET1(j->scalars[4 * q]) + (storage == INT8 ? LOAD(m + half) : SET1(0.0f));
            STORE(scores + half, pair_scores(lv, sv, table + half, 1, F, H, (int)j->top_k, tau));
        }
        take(&j->walk, q, b, scores);
    }
}

#endif
