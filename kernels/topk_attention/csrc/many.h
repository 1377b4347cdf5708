/* Many queries: a lane is a query. A tile of frames times VL queries stays in registers over the whole width, with both
 * products side by side, and goes straight into the epilogue: nothing of size [Q, V F] is ever written. */

#ifndef FRAMESIFT_MANY_H
#define FRAMESIFT_MANY_H

#include "epilogue.h"
#include "storage.h"

/* Frames of a tile: as many as leave room for two products each in the registers. */
#define TILE (VL == 16 ? 12 : 6)
/* Padding of the staged frames, so that they don't fall into the same lines of the first cache. */
#define PAD 16

/* Frames x (and y, for the readout) times a panel [width][2][VL] of logit and readout vectors. */
INLINE void tile(const int count, const int shared, const float *x, const float *y, int64_t stride, int64_t width,
                 const float *panel, vf *l, vf *s) {
    vf a[TILE], b[TILE];
    UNROLLED for (int i = 0; i < count; i++) a[i] = SET1(0.0f), b[i] = SET1(0.0f);
    /* Three frames to a base pointer: base, base + stride and base + 2 stride are addresses of one instruction. */
    const float *xb[TILE / 3], *yb[TILE / 3];
    UNROLLED for (int g = 0; g < TILE / 3; g++) xb[g] = x + 3 * g * stride, yb[g] = y + 3 * g * stride;
    for (int64_t d = 0; d < width; d++) {
        vf u = LOAD(panel + d * 2 * VL), w = LOAD(panel + d * 2 * VL + VL);
        UNROLLED for (int i = 0; i < count; i++) {
            vf f = SET1(xb[i / 3][(i % 3) * stride + d]);
            a[i] += f * u;
            b[i] += (shared ? f : SET1(yb[i / 3][(i % 3) * stride + d])) * w;
        }
    }
    UNROLLED for (int i = 0; i < count; i++) l[i] = a[i], s[i] = b[i];
}

#define TILE_CASE(n) \
    case n: tile(n, shared, x, y, stride, width, panel, l, s); break;
INLINE void tiles(int64_t frames, const int shared, const float *x, const float *y, int64_t stride, int64_t width,
                  const float *panel, vf *l, vf *s) {
    for (int64_t i = 0; i < frames; i += TILE, x += TILE * stride, y += TILE * stride, l += TILE, s += TILE)
        switch (frames - i < TILE ? frames - i : TILE) {
            TILE_CASE(1) TILE_CASE(2) TILE_CASE(3) TILE_CASE(4) TILE_CASE(5) TILE_CASE(6)
#if VL == 16
            TILE_CASE(7) TILE_CASE(8) TILE_CASE(9) TILE_CASE(10) TILE_CASE(11) TILE_CASE(12)
#endif
        }
}

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
