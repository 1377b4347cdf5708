/* Vectors as they are stored. */

#ifndef FRAMESIFT_STORAGE_H
#define FRAMESIFT_STORAGE_H

#include "walk.h"

enum storage { FLOAT32 = 0, FLOAT16 = 1, INT8 = 2 };

/* Asks for the line at p. The second cache waits for more lines at once than the first, and its own foresight goes on
 * where lines follow one another: a scan of float16 is 1.2 times as fast as with the first. */
#define FETCH(p) _mm_prefetch((const char *)(p), _MM_HINT_T1)
/* How far ahead of what is being read the next is asked for, in bytes. */
#define AHEAD 32768
#define UNROLLED _Pragma("GCC unroll 16")

INLINE vf vector_at(const void *p, int64_t i, const int storage) {
    if (storage == FLOAT32) return LOAD((const float *)p + i);
    if (storage == FLOAT16) return HALF((const uint16_t *)p + i);
    return BYTE((const int8_t *)p + i);
}

INLINE int64_t bytes_of(const int storage) { return storage == FLOAT32 ? 4 : storage == FLOAT16 ? 2 : 1; }

#endif
