/* Products of words and frames by the processor's matrix unit (AMX), where there is one.
 *
 * It multiplies bfloat16, of 8 bits, and adds in float32. A frame in float16, of 11 bits, is the sum of two such numbers
 * exactly, and a word in float32 but for 2^-18 of it; errors of so many products are as small as those of float32's own
 * sums. Of the four products of their parts the least is left out: it is 2^-18 of the largest, too. */
#ifndef FRAMESIFT_MATRIX_H
#define FRAMESIFT_MATRIX_H

#include "storage.h"

/* Numbers of a frame that one step takes, and rows of a tile. */
#define STEP 32
#define TILE_ROWS 16

#if VL == 16 && defined(__linux__) && (__GNUC__ >= 11 || defined(__clang__))
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* From Linux' asm/prctl.h: asks for room for tiles, once for all threads. */
#define REQUEST_STATE 0x1023
#define TILE_DATA 18

/* -1 until somebody asks. */
static int matrix_unit = -1;

static int found_matrix_unit(void) {
    unsigned a, b, c, d;
    const unsigned tiles = 1u << 24, bfloat16 = 1u << 22;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & tiles) || !(d & bfloat16)) return 0;
    return !syscall(SYS_arch_prctl, REQUEST_STATE, TILE_DATA);
}

/* Whether it is used: from now on if `wanted` is 1 and there is one, not if it is 0, and as before if it is less. */
EXPORTED int framesift_matrix_unit(int wanted) {
    int now = __atomic_load_n(&matrix_unit, __ATOMIC_RELAXED);
    if (now < 0 || wanted >= 0) {
        now = wanted != 0 && found_matrix_unit();
        __atomic_store_n(&matrix_unit, now, __ATOMIC_RELAXED);
    }
    return now;
}

#define TILE_LOAD(tile, from, stride) \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile : : "r"(from), "r"((int64_t)(stride)) : "memory")
#define TILE_STORE(tile, to, stride) \
    __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" : : "r"(to), "r"((int64_t)(stride)) : "memory")
#define TILE_ZERO(tile) __asm__ volatile("tilezero %%tmm" #tile : :)
/* Tile c gets the sums of products of a and b. */
#define TILE_ADD(c, a, b) __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c : :)

/* Have tiles 0 to 3 (sums) and 4 and 5 (frames) be of so many rows, for this thread; 6 and 7 are words. */
INLINE void tile_rows(int64_t rows) {
    struct {
        uint8_t palette, start, unused[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } __attribute__((aligned(64))) config = {.palette = 1};
    for (int t = 0; t < 8; t++) config.bytes[t] = 64, config.rows[t] = t < 6 ? (uint8_t)rows : TILE_ROWS;
    __asm__ volatile("ldtilecfg %0" : : "m"(config));
}

INLINE void release_tiles(void) { __asm__ volatile("tilerelease" : :); }

/* float16 vectors as two parts each, [numbers] and, `apart` further, [numbers]. */
static void split_frames(const uint16_t *from, int64_t numbers, uint16_t *to, int64_t apart) {
    for (int64_t i = 0; i < numbers; i += VL) {
        const vf x = HALF(from + i);
        const vi large = ((vi)x + 0x7fff + ((vi)x >> 16 & 1)) & (int)0xffff0000;
        const vf small = x - (vf)large;
        _mm256_storeu_si256((__m256i *)(to + i), _mm512_cvtepi32_epi16((__m512i)(large >> 16)));
        _mm256_storeu_si256((__m256i *)(to + apart + i), _mm512_cvtepi32_epi16((__m512i)((vi)small >> 16)));
    }
}

INLINE uint16_t rounded(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

INLINE float widened(uint16_t x) {
    const uint32_t bits = (uint32_t)x << 16;
    float wide;
    memcpy(&wide, &bits, 4);
    return wide;
}

/* Vectors [count, width] as panels of VL words, [vectors][width / 2][VL][2], and their second parts behind all of them. */
static void split_words(const float *words, int64_t count, int64_t width, int64_t vectors, uint16_t *to) {
    const int64_t apart = vectors * width * VL;
    memset(to, 0, (size_t)apart * 4);
    for (int64_t w = 0; w < count; w++)
        for (int64_t d = 0; d < width; d++) {
            const float x = words[w * width + d];
            uint16_t *at = to + w / VL * width * VL + d / 2 * 2 * VL + w % VL * 2 + d % 2;
            *at = rounded(x);
            at[apart] = rounded(x - widened(*at));
        }
}

/* Products of two times `rows` frames, x and y, with `vectors` times VL words, an even number of vectors: into found_x and
 * found_y, [vectors][stride] of VL floats. Second parts lie `apart` behind frames. Tiles are of so many rows. */
static void products_of_two(const uint16_t *x, const uint16_t *y, int64_t apart, int64_t width, const uint16_t *words,
                            int64_t vectors, vf *found_x, vf *found_y, int64_t stride) {
    const int64_t row = width * 2, panel = width * VL, second = vectors * panel;
    for (int64_t n = 0; n < vectors; n += 2, words += 2 * panel) {
        TILE_ZERO(0);
        TILE_ZERO(1);
        TILE_ZERO(2);
        TILE_ZERO(3);
        for (int64_t d = 0; d < width; d += STEP) {
            const uint16_t *u = words + d * VL, *w = u + panel;
            TILE_LOAD(4, x + d, row);
            TILE_LOAD(5, y + d, row);
            TILE_LOAD(6, u + second, 64);
            TILE_LOAD(7, w + second, 64);
            TILE_ADD(0, 4, 6);
            TILE_ADD(1, 5, 6);
            TILE_ADD(2, 4, 7);
            TILE_ADD(3, 5, 7);
            TILE_LOAD(6, u, 64);
            TILE_LOAD(7, w, 64);
            TILE_ADD(0, 4, 6);
            TILE_ADD(1, 5, 6);
            TILE_ADD(2, 4, 7);
            TILE_ADD(3, 5, 7);
            TILE_LOAD(4, x + apart + d, row);
            TILE_LOAD(5, y + apart + d, row);
            TILE_ADD(0, 4, 6);
            TILE_ADD(1, 5, 6);
            TILE_ADD(2, 4, 7);
            TILE_ADD(3, 5, 7);
        }
        TILE_STORE(0, found_x + n * stride, 64);
        TILE_STORE(1, found_y + n * stride, 64);
        TILE_STORE(2, found_x + (n + 1) * stride, 64);
        TILE_STORE(3, found_y + (n + 1) * stride, 64);
    }
}
#else
EXPORTED int framesift_matrix_unit(int wanted) {
    (void)wanted;
    return 0;
}
INLINE void tile_rows(int64_t rows) {}
INLINE void release_tiles(void) {}
INLINE void split_frames(const uint16_t *from, int64_t numbers, uint16_t *to, int64_t apart) {}
INLINE void split_words(const float *words, int64_t count, int64_t width, int64_t vectors, uint16_t *to) {}
INLINE void products_of_two(const uint16_t *x, const uint16_t *y, int64_t apart, int64_t width, const uint16_t *words,
                            int64_t vectors, vf *found_x, vf *found_y, int64_t stride) {}
#endif

/* In how many groups of rows F frames are multiplied; 0 where they can't be. */
INLINE int64_t row_groups(int64_t frames) {
    const int64_t groups = (frames + TILE_ROWS - 1) / TILE_ROWS;
    return frames % groups ? 0 : groups;
}

#endif
