/* Scores of queries against a gallery, on one core. Built once for AVX2 and once for AVX-512; threads share a job and
 * take blocks of 16 videos from it until none is left. */

#ifndef FRAMESIFT_SCAN_H
#define FRAMESIFT_SCAN_H

#include <stdlib.h>
#include <string.h>

#include "few.h"
#include "many.h"

INLINE int run(job *j, const int many, const int shared, const int storage, const int F, const int H) {
    const int64_t D = j->width, panels = (j->queries + VL - 1) / VL;
    const size_t entries = (size_t)F * H;
    size_t floats = many ? (size_t)panels * D * 2 * VL + LANES * (j->streams * F * (D + PAD) + j->rows)
                         : j->queries * (2 * entries + 1) * LANES * GROUP;
    float *work = aligned_alloc(64, (floats * 4 + 63) / 64 * 64);
    if (!work) return 1;
    float *staged = work + panels * D * 2 * VL;
    if (many) for (int64_t p = 0; p < panels; p++) pack_panel(j, p * VL, work + p * D * 2 * VL);
    else memset(work, 0, floats * 4);
    some found[CHUNK];
    for (int64_t count; (count = take_blocks(&j->walk, found)) >= 0;)
        if (many)
            for (int64_t b = 0; b < count; b++)
                block_many(j, found + b, shared, storage, F, H, work, staged, staged + LANES * j->streams * F * (D + PAD));
        else
            for (int64_t b = 0; b < count; b += GROUP) {
                const int64_t of_group = count - b < GROUP ? count - b : GROUP;
                const some *last = found + b + of_group - 1;
                blocks_few(j, found + b, of_group, b + GROUP < count ? row_of(last + 1, 0) : row_of(last, last->count - 1) + 1,
                           storage, F, H, work);
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
