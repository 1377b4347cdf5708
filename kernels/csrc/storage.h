/* Vectors as they are stored. */

#ifndef FRAMESIFT_STORAGE_H
#define FRAMESIFT_STORAGE_H

#include "walk.h"

enum storage { FLOAT32 = 0, FLOAT16 = 1, INT8 = 2 };

/* How far ahead of four frames that are being read the next are asked for, in bytes: near enough to be there still when
 * they are needed, where another thread may share the first cache. */
#define AHEAD 1024
#define UNROLLED _Pragma("GCC unroll 16")

INLINE vf vector_at(const void *p, int64_t i, const int storage) {
    if (storage == FLOAT32) return LOAD((const float *)p + i);
    if (storage == FLOAT16) return HALF((const uint16_t *)p + i);
    return BYTE((const int8_t *)p + i);
}

INLINE int64_t bytes_of(const int storage) { return storage == FLOAT32 ? 4 : storage == FLOAT16 ? 2 : 1; }

#endif
