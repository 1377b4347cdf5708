/* Many queries: a lane is a query. A tile of frames times VL queries stays in registers over the whole width, with both
 * products side by side, and goes straight into the epilogue: nothing of size [Q, V F] is ever written. */

#ifndef FRAMESIFT_MANY_H
#define FRAMESIFT_MANY_H

#include "../../csrc/tile.h"
#include "epilogue.h"
#include "job.h"

/* One video's frame vectors as float32 [S, F, D + PAD]. */
INLINE void stage(const job *j, int64_t video, const int storage, float *out) {
    const int64_t F = j->frames, D = j->width, S = j->streams, H = j->heads, dh = D / H, size = bytes_of(storage);
    const char *source = (const char *)j->vectors + video * S * F * D * size;
    const float *scales = j->tables + (video / LANES * j->table_rows + j->rows) * LANES + video % LANES;
    for (int64_t i = 0; i < S * F; i++, source += D * size, out += D + PAD) {
        /* The last stream is the values', which need their mean. */
        const int centred = storage == INT8 && i >= (S - 1) * F;
        for (int64_t h = 0; h < H; h++) {
            const int64_t n = i / F * H * F + h * F + i % F;
            vf scale = SET1(storage == INT8 ? scales[n * LANES] : 1.0f);
            for (int64_t d = h * dh; d < (h + 1) * dh; d += VL) {
                vf f = vector_at(source, d, storage);
                if (storage == INT8) f *= scale;
                if (centred) f += HALF(j->mean + video * D + d);
                STORE(out + d, f);
            }
        }
    }
}

/* Text vectors of VL queries interleaved as [D][2][VL], from query `first` on; what is beyond the last query is zero. */
static void pack_panel(const job *j, int64_t first, float *panel) {
    const int64_t left = j->queries - first, count = left < VL ? left : VL, D = j->width;
    if (count < VL) memset(panel, 0, D * 2 * VL * 4);
    for (int64_t q = 0; q < count; q++)
        for (int64_t d = 0; d < D; d++) {
            panel[d * 2 * VL + q] = j->logit[(first + q) * D + d];
            panel[d * 2 * VL + VL + q] = j->readout[(first + q) * D + d];
        }
}

INLINE void block_many(const job *j, const some *b, const int shared, const int storage, const int F, const int H,
                       const float *panels, float *staged, float *tables) {
    const int64_t D = j->width, dh = D / H, stride = D + PAD, entries = (int64_t)F * H;
    const int64_t video_floats = j->streams * F * stride;
    const float *source = j->tables + b->block * j->table_rows * LANES;
    for (int k = 0; k < b->count; k++) stage(j, row_of(b, k), storage, staged + k * video_floats);
    for (int64_t row = 0; row < j->rows; row++)
        for (int k = 0; k < b->count; k++) tables[k * j->rows + row] = source[row * LANES + b->lane[k]];
    for (int64_t p = 0; p * VL < j->queries; p++) {
        const int64_t q0 = p * VL, queries = j->queries - q0 < VL ? j->queries - q0 : VL;
        const float *panel = panels + p * D * 2 * VL;
        float scores[LANES][VL];
        vf tau[4];
        for (int i = 0; i < 4; i++) {
            float lanes[VL] = {0};
            for (int64_t q = 0; q < queries; q++) lanes[q] = j->scalars[4 * (q0 + q) + i];
            tau[i] = LOAD(lanes);
        }
        for (int k = 0; k < b->count; k++) {
            const float *keys = staged + k * video_floats, *values = keys + (j->streams - 1) * F * stride;
            vf l[entries], s[entries];
            for (int64_t h = 0; h < H; h++)
                tiles(F, shared, keys + h * dh, values + h * dh, stride, dh, panel + h * dh * 2 * VL, l + h * F, s + h * F);
            STORE(scores[b->lane[k]], pair_scores(l, s, tables + k * j->rows, 0, F, H, (int)j->top_k, tau));
        }
        for (int64_t q = 0; q < queries; q++) {
            float across[LANES];
            for (int k = 0; k < b->count; k++) across[b->lane[k]] = scores[b->lane[k]][q];
            take(&j->walk, q0 + q, b, across);
        }
    }
}

#endif
