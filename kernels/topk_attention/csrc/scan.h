/* Scores of queries against a gallery, on one core. Built once for AVX2 and once for AVX-512; threads share a job and
 * take blocks of 16 videos from it until none is left. */

#ifndef FRAMESIFT_SCAN_H
#define FRAMESIFT_SCAN_H

#include <stdlib.h>
#include <string.h>

#include "few.h"
#include "listed.h"
#include "many.h"

INLINE int run(job *j, const int many, const int shared, const int storage, const int F, const int H) {
    const int64_t D = j->width, panels = (j->queries + VL - 1) / VL;
    const size_t entries = (size_t)F * H;
    const int listed = !many && storage != INT8 && is_sparse(j);
    size_t floats = many     ? (size_t)panels * D * 2 * VL + LANES * (j->streams * F * (D + PAD) + j->rows)
                    : listed ? (size_t)listed_floats(j, entries)
                             : j->queries * (2 * entries + 1) * LANES;
    float *work = aligned_alloc(64, (floats * 4 + 63) / 64 * 64);
    if (!work) return 1;
    float *staged = work + panels * D * 2 * VL;
    if (many) for (int64_t p = 0; p < panels; p++) pack_panel(j, p * VL, work + p * D * 2 * VL);
    else memset(work, 0, floats * 4);
    if (listed) {
        rows_few(j, storage, F, H, work);
        free(work);
        return 0;
    }
    some found[CHUNK];
    for (int64_t count; (count = take_blocks(&j->walk, found)) >= 0;)
        for (const some *b = found; b < found + count; b++)
            if (many) block_many(j, b, shared, storage, F, H, work, staged, staged + LANES * j->streams * F * (D + PAD));
            else
                block_few(j, b, b + 1 < found + count ? row_of(b + 1, 0) : row_of(b, b->count - 1) + 1, storage, F, H, work);
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

/* Work on a job until no block is left. `many` chooses the second way. Returns 1 if there is no memory. */
EXPORTED int framesift_scan(job *j, int many) {
    if (j->heads > 1) return many ? many_heads(j) : few_heads(j);
    if (j->frames == 12) return many ? many_12(j) : few_12(j);
    return many ? many_one(j) : few_one(j);
}

#endif
