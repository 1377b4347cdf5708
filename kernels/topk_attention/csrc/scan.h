/* Scores of queries against a gallery, on one core. Built once for AVX2 and once for AVX-512; threads share a job and
 * take blocks of 16 videos from it until none is left.
 *
 * Few queries: a lane is a video. Every frame is read once, in the order of its address, and multiplied with both text
 * vectors; the tables of 16 videos lie side by side. The time is that of reading the gallery.
 *
 * Many queries: a lane is a query. A tile of frames times VL queries stays in registers over the whole width, with both
 * products side by side, and goes straight into the epilogue: nothing of size [Q, V F] is ever written. */

#ifndef FRAMESIFT_SCAN_H
#define FRAMESIFT_SCAN_H

#include <stdlib.h>
#include <string.h>

#include "best.h"
#include "epilogue.h"
#include "job.h"

/* Frames of a tile: as many as leave room for two products each in the registers. */
#define TILE (VL == 16 ? 12 : 6)
/* How far ahead of four frames that are being read the next are asked for, in bytes: near enough to be there still when
 * they are needed, where another thread may share the first cache. */
#define AHEAD 1024
/* Padding of the staged frames, so that they don't fall into the same lines of the first cache. */
#define PAD 16
/* Blocks whose products are made before their tables are read. */
#define GROUP 4
#define UNROLLED _Pragma("GCC unroll 16")

INLINE vf vector_at(const void *p, int64_t i, const int storage) {
    if (storage == FLOAT32) return LOAD((const float *)p + i);
    if (storage == FLOAT16) return HALF((const uint16_t *)p + i);
    return BYTE((const int8_t *)p + i);
}

INLINE int64_t bytes_of(const int storage) { return storage == FLOAT32 ? 4 : storage == FLOAT16 ? 2 : 1; }

/* ---- few queries ---- */

/* Text vectors that stay in registers for four frames are touched too seldom to stay in the first cache while a float16
 * gallery streams through it: reading them again for every frame is 1.6 times as fast. int8 has no time left for that. */
#define READ_AGAIN(storage) if (storage == FLOAT16) __asm__ volatile("" ::: "memory")

/* Products of `count` frames, stride elements apart, with u (from frames x) and w (from frames y), into every 16th place. */
INLINE void dots(const int count, const int shared, const int storage, const char *x, const char *y, int64_t stride,
                 int64_t width, const float *u, const float *w, float *out_u, float *out_w) {
    const int64_t size = bytes_of(storage), row = stride * size;
    const char *ahead = x + 4 * row + AHEAD;
    vf acc[8];
    UNROLLED for (int i = 0; i < 8; i++) acc[i] = SET1(0.0f);
    for (int64_t d = 0; d < width; d += VL, x += VL * size, y += VL * size, ahead += VL * size * count) {
        UNROLLED for (int i = 0; i < count; i++) {
            READ_AGAIN(storage);
            vf uu = LOAD(u + d), ww = LOAD(w + d);
            vf f = vector_at(x + i * row, 0, storage);
            acc[i] += f * uu;
            acc[4 + i] += (shared ? f : vector_at(y + i * row, 0, storage)) * ww;
        }
        /* As many lines ahead as were read, but one after another: the memory likes that better than four streams. */
        UNROLLED for (int64_t line = 0; line < VL * size * count; line += 64) _mm_prefetch(ahead + line, _MM_HINT_T0);
    }
    float sums[8];
    _mm256_storeu_ps(sums, sums8(acc));
    UNROLLED for (int i = 0; i < count; i++) out_u[i * LANES] = sums[i], out_w[i * LANES] = sums[4 + i];
}

/* A function to each, or the compiler runs out of registers in the loops. */
typedef void dots_of(const char *, const char *, int64_t, int64_t, const float *, const float *, float *, float *);
#define DOTS(name, count, shared, storage) \
    static __attribute__((noinline)) void name(const char *x, const char *y, int64_t stride, int64_t width, \
                                               const float *u, const float *w, float *out_u, float *out_w) { \
        dots(count, shared, storage, x, y, stride, width, u, w, out_u, out_w); \
    }
#define DOTS_OF(storage) \
    DOTS(dots_1_##storage, 1, 1, storage) \
    DOTS(dots_2_##storage, 2, 1, storage) \
    DOTS(dots_3_##storage, 3, 1, storage) \
    DOTS(dots_4_##storage, 4, 1, storage) \
    DOTS(dots_heads_##storage, 1, 0, storage) \
    static dots_of *const shared_##storage[] = {0, dots_1_##storage, dots_2_##storage, dots_3_##storage, dots_4_##storage};
DOTS_OF(FLOAT32)
DOTS_OF(FLOAT16)
DOTS_OF(INT8)
#define DOTS_FOR(name, storage) (storage == FLOAT32 ? name##_FLOAT32 : storage == FLOAT16 ? name##_FLOAT16 : name##_INT8)

/* All products of one video with one query, into lane `lane` of l and s, [entries][16] each. */
INLINE void video_dots(const job *j, const int storage, int64_t video, int64_t query, int lane, float *l, float *s) {
    const int64_t F = j->frames, D = j->width, H = j->heads, dh = D / H, size = bytes_of(storage);
    const char *keys = (const char *)j->vectors + video * j->streams * F * D * size;
    const char *values = keys + (j->streams - 1) * F * D * size;
    const float *u = j->logit + query * D, *w = j->readout + query * D;
    if (H == 1)
        for (int64_t i = 0; i < F; i += 4)
            DOTS_FOR(shared, storage)[F - i < 4 ? F - i : 4](keys + i * D * size, 0, D, D, u, w, l + i * LANES + lane,
                                                              s + i * LANES + lane);
    else /* heads are slices of a frame: whole frames in the order of their addresses */
        for (int64_t i = 0; i < F; i++)
            for (int64_t h = 0; h < H; h++) {
                const int64_t at = (i * D + h * dh) * size, n = (h * F + i) * LANES + lane;
                DOTS_FOR(dots_heads, storage)(keys + at, values + at, dh, dh, u + h * dh, w + h * dh, l + n, s + n);
            }
}

/* The scores of 16 videos from `video` on: into the matrix, or those that are good enough among the best. */
INLINE void take(const job *j, int64_t query, int64_t video, const float *scores) {
    const int64_t left = j->videos - video, count = left < LANES ? left : LANES;
    if (j->out) {
        memcpy(j->out + query * j->videos + video, scores, count * 4);
        return;
    }
    float *kept = j->best_scores + query * j->best;
    int64_t *rows = j->best_rows + query * j->best;
    for (int64_t lane = 0; lane < count; lane++)
        if ((rows[0] < 0 || scores[lane] > kept[0]) && (!j->live || j->live[video + lane]))
            offer(kept, rows, j->best, scores[lane], video + lane);
}

/* Products first, for several blocks, then their epilogues: frames and tables are then read in long runs each. */
INLINE void blocks_few(const job *j, int64_t block, int64_t end, const int storage, const int F, const int H,
                       float *work) {
    const int64_t entries = (int64_t)F * H, products = (2 * entries + 1) * LANES;
    const int64_t table_bytes = j->table_rows * LANES * 4;
    const int64_t first = block * LANES, last = end * LANES < j->videos ? end * LANES : j->videos;
    const char *tables = (const char *)j->tables;
    for (int64_t v = first; v < last; v++) {
        if (v == last - LANES)
            for (int64_t at = 0; at < table_bytes; at += 64) _mm_prefetch(tables + block * table_bytes + at, _MM_HINT_T0);
        for (int64_t q = 0; q < j->queries; q++) {
            float *l = work + ((v / LANES - block) * j->queries + q) * products;
            video_dots(j, storage, v, q, (int)(v % LANES), l, l + entries * LANES);
        }
    }
    /* In int8 the product of the mean frame with w: weights sum to one, so it adds to the score once, and its logit cancels
     * in the softmax. */
    if (storage == INT8)
        for (int64_t v = first; v < last; v++)
            for (int64_t q = 0; q < j->queries; q++) {
                float *m = work + ((v / LANES - block) * j->queries + q) * products + 2 * entries * LANES, unused[1];
                const float *w = j->readout + q * j->width;
                dots_1_FLOAT16((const char *)(j->mean + v * j->width), 0, j->width, j->width, w, w, m + v % LANES, unused);
            }
    for (int64_t at = block; at < end; at++, work += j->queries * products) {
        const float *table = j->tables + at * j->table_rows * LANES, *scale = table + j->rows * LANES;
        if (at + 1 < end)
            for (int64_t byte = 0; byte < table_bytes; byte += 64)
                _mm_prefetch((const char *)table + table_bytes + byte, _MM_HINT_T0);
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
            take(j, q, at * LANES, scores);
        }
    }
}

/* ---- many queries ---- */

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

INLINE void block_many(const job *j, int64_t block, const int shared, const int storage, const int F, const int H,
                       const float *panels, float *staged, float *tables) {
    const int64_t D = j->width, dh = D / H, stride = D + PAD, entries = (int64_t)F * H;
    const int64_t first = block * LANES, left = j->videos - first, count = left < LANES ? left : LANES;
    const int64_t video_floats = j->streams * F * stride;
    const float *source = j->tables + block * j->table_rows * LANES;
    for (int64_t v = 0; v < count; v++) stage(j, first + v, storage, staged + v * video_floats);
    for (int64_t row = 0; row < j->rows; row++)
        for (int64_t v = 0; v < LANES; v++) tables[v * j->rows + row] = source[row * LANES + v];
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
        for (int64_t v = 0; v < count; v++) {
            const float *keys = staged + v * video_floats, *values = keys + (j->streams - 1) * F * stride;
            vf l[entries], s[entries];
            for (int64_t h = 0; h < H; h++)
                tiles(F, shared, keys + h * dh, values + h * dh, stride, dh, panel + h * dh * 2 * VL, l + h * F, s + h * F);
            STORE(scores[v], pair_scores(l, s, tables + v * j->rows, 0, F, H, (int)j->top_k, tau));
        }
        for (int64_t q = 0; q < queries; q++) {
            float across[LANES] = {0};
            for (int64_t v = 0; v < count; v++) across[v] = scores[v][q];
            take(j, q0 + q, first, across);
        }
    }
}

/* ---- entry ---- */

INLINE int run(job *j, const int many, const int shared, const int storage, const int F, const int H) {
    const int64_t D = j->width, panels = (j->queries + VL - 1) / VL, blocks = (j->videos + LANES - 1) / LANES;
    const size_t entries = (size_t)F * H;
    size_t floats = many ? (size_t)panels * D * 2 * VL + LANES * (j->streams * F * (D + PAD) + j->rows)
                         : j->queries * (2 * entries + 1) * LANES * GROUP;
    float *work = aligned_alloc(64, (floats * 4 + 63) / 64 * 64);
    if (!work) return 1;
    float *staged = work + panels * D * 2 * VL;
    if (many) for (int64_t p = 0; p < panels; p++) pack_panel(j, p * VL, work + p * D * 2 * VL);
    else memset(work, 0, floats * 4);
    for (;;) {
        int64_t block = __atomic_fetch_add(j->next, j->chunk, __ATOMIC_RELAXED);
        if (block >= blocks) break;
        const int64_t end = block + j->chunk < blocks ? block + j->chunk : blocks;
        if (many)
            for (; block < end; block++)
                block_many(j, block, shared, storage, F, H, work, staged, staged + LANES * j->streams * F * (D + PAD));
        else
            for (; block < end; block += GROUP)
                blocks_few(j, block, end < block + GROUP ? end : block + GROUP, storage, F, H, work);
    }
    free(work);
    return 0;
}

#define STORAGES(call) \
    switch (j->storage) { \
    case FLOAT32: { enum { storage = FLOAT32 }; return call; } \
    case FLOAT16: { enum { storage = FLOAT16 }; return call; } \
    default: { enum { storage = INT8 }; return call; } \
    }

static int few_12(job *j) { STORAGES(run(j, 0, 1, storage, 12, 1)) }
static int few_one(job *j) { STORAGES(run(j, 0, 1, storage, (int)j->frames, 1)) }
static int few_heads(job *j) { STORAGES(run(j, 0, 0, storage, (int)j->frames, (int)j->heads)) }
static int many_12(job *j) { STORAGES(run(j, 1, 1, storage, 12, 1)) }
static int many_one(job *j) { STORAGES(run(j, 1, 1, storage, (int)j->frames, 1)) }
static int many_heads(job *j) { STORAGES(run(j, 1, 0, storage, (int)j->frames, (int)j->heads)) }

#define EXPORTED __attribute__((visibility("default")))

/* Whether this processor has the instructions. Compiled without vectors, so that any processor can ask. */
EXPORTED int framesift_supported(void) {
#if VL == 16
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq");
#else
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
#endif
}

/* Work on a job until no block is left. `many` chooses the second way. Returns 1 if there is no memory. */
EXPORTED int framesift_scan(job *j, int many) {
    if (j->heads > 1) return many ? many_heads(j) : few_heads(j);
    if (j->frames == 12) return many ? many_12(j) : few_12(j);
    return many ? many_one(j) : few_one(j);
}

/* Sum of n floats: what reading alone costs. */
EXPORTED float framesift_read(const float *x, int64_t n) {
    vf sums[8];
    for (int i = 0; i < 8; i++) sums[i] = SET1(0.0f);
    for (int64_t i = 0; i + 8 * VL <= n; i += 8 * VL)
        for (int k = 0; k < 8; k++) {
            _mm_prefetch((const char *)(x + i + k * VL) + 8 * AHEAD, _MM_HINT_T0);
            sums[k] += LOAD(x + i + k * VL);
        }
    float parts[8], total = 0;
    _mm256_storeu_ps(parts, sums8(sums));
    for (int i = 0; i < 8; i++) total += parts[i];
    return total;
}

#endif
