/* Products of steps, u8 with 128 for zero, and the vectors of a query: exact integers where the processor has VNNI, else
 * in float32. The time is that of reading the steps. */

#ifndef FRAMESIFT_STEPS_H
#define FRAMESIFT_STEPS_H

#include "asked.h"
#include "../../csrc/storage.h"

/* Of `count` rows of steps, into every 16th place of l and s. */
typedef void rows_of(const uint8_t *x, int64_t width, const void *query, const asked *a, float *l, float *s);

INLINE void float_rows(const int count, const uint8_t *x, int64_t width, const float *u, const float *w, float *l, float *s) {
    const char *ahead = (const char *)x + AHEAD;
    vf acc[8];
    UNROLLED for (int i = 0; i < 8; i++) acc[i] = SET1(0.0f);
    for (int64_t d = 0; d < width; d += VL) {
        const vf uu = LOAD(u + d), ww = LOAD(w + d);
        UNROLLED for (int i = 0; i < count; i++) {
            const vf f = RAISED(x + i * width + d);
            acc[i] += f * uu;
            acc[4 + i] += f * ww;
        }
        if (d % 64 == 0) UNROLLED for (int i = 0; i < count; i++) FETCH(ahead + d * count + 64 * i);
    }
    float sums[8];
    _mm256_storeu_ps(sums, sums8(acc));
    UNROLLED for (int i = 0; i < count; i++) l[i * LANES] = sums[i], s[i * LANES] = sums[4 + i];
}

#define FLOAT_ROWS(count) \
    static __attribute__((noinline)) void float_##count(const uint8_t *x, int64_t width, const void *query, \
                                                        const asked *a, float *l, float *s) { \
        (void)a; \
        float_rows(count, x, width, query, (const float *)query + width, l, s); \
    }
FLOAT_ROWS(1) FLOAT_ROWS(2) FLOAT_ROWS(3) FLOAT_ROWS(4)
static rows_of *const float_products[] = {0, float_1, float_2, float_3, float_4};

#if VL == 16
/* The compiler would copy every accumulator. */
#define ADD_PRODUCTS(sum, steps, plane) __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(steps), "v"(plane))

INLINE __m256i fold_integers(__m512i x) {
    return _mm256_add_epi32(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
}

/* Sums wrap as they like: what is left in the end fits, because the integers of a query were chosen so. */
INLINE void integer_rows(const int count, const uint8_t *x, int64_t width, const int8_t *planes, const asked *a, float *l,
                         float *s) {
    const char *ahead = (const char *)x + AHEAD;
    __m512i acc[4][4];
    UNROLLED for (int i = 0; i < count; i++)
        UNROLLED for (int k = 0; k < 4; k++) acc[i][k] = _mm512_setzero_si512();
    for (int64_t d = 0; d < width; d += 64) {
        const __m512i u1 = _mm512_loadu_si512(planes + d), u0 = _mm512_loadu_si512(planes + width + d);
        const __m512i w1 = _mm512_loadu_si512(planes + 2 * width + d), w0 = _mm512_loadu_si512(planes + 3 * width + d);
        UNROLLED for (int i = 0; i < count; i++) {
            const __m512i f = _mm512_loadu_si512(x + i * width + d);
            ADD_PRODUCTS(acc[i][0], f, u1);
            ADD_PRODUCTS(acc[i][1], f, u0);
            ADD_PRODUCTS(acc[i][2], f, w1);
            ADD_PRODUCTS(acc[i][3], f, w0);
            FETCH(ahead + d * count + 64 * i);
        }
    }
    __m256i sums[8];
    UNROLLED for (int i = 0; i < 8; i++) sums[i] = _mm256_setzero_si256();
    UNROLLED for (int i = 0; i < count; i++) {
        sums[i] = fold_integers(_mm512_add_epi32(_mm512_slli_epi32(acc[i][0], 8), acc[i][1]));
        sums[4 + i] = fold_integers(_mm512_add_epi32(_mm512_slli_epi32(acc[i][2], 8), acc[i][3]));
    }
    __m256i p = _mm256_hadd_epi32(_mm256_hadd_epi32(sums[0], sums[1]), _mm256_hadd_epi32(sums[2], sums[3]));
    __m256i q = _mm256_hadd_epi32(_mm256_hadd_epi32(sums[4], sums[5]), _mm256_hadd_epi32(sums[6], sums[7]));
    const __m256i total = _mm256_add_epi32(_mm256_permute2x128_si256(p, q, 0x20), _mm256_permute2x128_si256(p, q, 0x31));
    const __m256i offset = _mm256_set_m128i(_mm_set1_epi32((int)a->offset[1]), _mm_set1_epi32((int)a->offset[0]));
    float found[8];
    _mm256_storeu_ps(found, _mm256_cvtepi32_ps(_mm256_sub_epi32(total, offset)));
    UNROLLED for (int i = 0; i < count; i++) l[i * LANES] = found[i] * a->scale[0], s[i * LANES] = found[4 + i] * a->scale[1];
}

#define INTEGER_ROWS(count) \
    static __attribute__((noinline)) void integer_##count(const uint8_t *x, int64_t width, const void *query, \
                                                          const asked *a, float *l, float *s) { \
        integer_rows(count, x, width, query, a, l, s); \
    }
INTEGER_ROWS(1) INTEGER_ROWS(2) INTEGER_ROWS(3) INTEGER_ROWS(4)
static rows_of *const integer_products[] = {0, integer_1, integer_2, integer_3, integer_4};
#define INTEGERS(c) ((c)->planes != 0)
#else
#define integer_products float_products
#define INTEGERS(c) 0
#endif

/* All products of one video with one query, into lane `lane` of l and s, [F + 1][16] each; `query` is [4, D] bytes or
 * [2, D] floats. */
INLINE void step_products(const int integers, const uint8_t *x, int64_t rows, int64_t width, const void *query,
                          const asked *a, int lane, float *l, float *s) {
    rows_of *const *of = integers ? integer_products : float_products;
    for (int64_t i = 0; i < rows; i += 4)
        of[rows - i < 4 ? rows - i : 4](x + i * width, width, query, a, l + i * LANES + lane, s + i * LANES + lane);
}

#endif
