/* A tile of frames times two vectors of lanes, in registers over the whole width. */
#ifndef FRAMESIFT_TILE_H
#define FRAMESIFT_TILE_H

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

/* Frames that meet both vectors of a panel alike: one function, because it is called from many places. */
static __attribute__((noinline)) void tiles_shared(int64_t frames, const float *x, int64_t stride, int64_t width,
                                                   const float *panel, vf *l, vf *s) {
    tiles(frames, 1, x, x, stride, width, panel, l, s);
}

#endif
