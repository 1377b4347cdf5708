/* Few queries: a lane is a video. Every frame is read once, in the order of its address, and multiplied with both text
 * vectors; the tables of 16 videos lie side by side. The time is that of reading the gallery. */

#ifndef FRAMESIFT_FEW_H
#define FRAMESIFT_FEW_H

#include "../../csrc/dots.h"
#include "epilogue.h"
#include "job.h"

/* Blocks whose products are made before their tables are read. */
#define GROUP 4

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

INLINE void ask_for(const char *lines, int64_t bytes) {
    for (int64_t at = 0; at < bytes; at += 64) _mm_prefetch(lines + at, _MM_HINT_T0);
}

/* Products first, for several blocks, then their epilogues: frames and tables are then read in long runs each. Of a block
 * the products of some lanes alone are made where it has no more; the epilogue works on all, and the others are ignored. */
INLINE void blocks_few(const job *j, const some *group, int64_t count, int64_t next, const int storage, const int F,
                       const int H, float *work) {
    const int64_t entries = (int64_t)F * H, products = (2 * entries + 1) * LANES;
    const int64_t table_bytes = j->table_rows * LANES * 4;
    const char *tables = (const char *)j->tables;
    for (int64_t b = 0; b < count; b++) {
        if (F == 1 && H == 1 && group[b].count == LANES) {
            if (b == count - 1) ask_for(tables + group->block * table_bytes, table_bytes);
            for (int64_t q = 0; q < j->queries; q++) {
                float *l = work + (b * j->queries + q) * products;
                block_dots(j, storage, group[b].block * LANES, q, l, l + entries * LANES);
            }
            continue;
        }
        for (int k = 0; k < group[b].count; k++) {
            const int64_t v = row_of(group + b, k);
            const int64_t after = k + 1 < group[b].count ? row_of(group + b, k + 1) : b + 1 < count ? row_of(group + b + 1, 0) : next;
            if (b == count - 1 && k == 0) ask_for(tables + group->block * table_bytes, table_bytes);
            for (int64_t q = 0; q < j->queries; q++) {
                float *l = work + (b * j->queries + q) * products;
                video_dots(j, storage, v, after, q, group[b].lane[k], l, l + entries * LANES);
            }
        }
    }
    /* In int8 the product of the mean frame with w: weights sum to one, so it adds to the score once, and its logit cancels
     * in the softmax. */
    if (storage == INT8)
        for (int64_t b = 0; b < count; b++)
            for (int k = 0; k < group[b].count; k++)
                for (int64_t q = 0; q < j->queries; q++) {
                    float *m = work + (b * j->queries + q) * products + 2 * entries * LANES, unused[1];
                    const float *w = j->readout + q * j->width;
                    const char *mean = (const char *)(j->mean + row_of(group + b, k) * j->width);
                    dots_1_FLOAT16(mean, 0, mean + AHEAD, j->width, j->width, w, w, m + group[b].lane[k], unused);
                }
    for (int64_t b = 0; b < count; b++, work += j->queries * products) {
        const float *table = j->tables + group[b].block * j->table_rows * LANES, *scale = table + j->rows * LANES;
        if (b + 1 < count) ask_for(tables + group[b + 1].block * table_bytes, table_bytes);
        for (int64_t q = 0; q < j->queries; q++) {
            float scores[LANES];
            const float *l = work + q * products, *s = l + entries * LANES, *m = s + entries * LANES;
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
            take(&j->walk, q, group + b, scores);
        }
    }
}

#endif
