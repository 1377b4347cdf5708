/* What differs between the instruction sets: VL floats in a vector, and the few operations that C can't say. */
#ifndef FRAMESIFT_VECTOR_H
#define FRAMESIFT_VECTOR_H

#include <immintrin.h>
#include <stdint.h>

#if defined(__AVX512F__)
#define VL 16
typedef __m512 vf;
#define LOAD(p) _mm512_loadu_ps(p)
#define STORE(p, x) _mm512_storeu_ps(p, x)
#define SET1(x) _mm512_set1_ps(x)
#define SQRT(x) _mm512_sqrt_ps(x)
#define MAX(x, y) _mm512_max_ps(x, y)
#define MIN(x, y) _mm512_min_ps(x, y)
#define HALF(p) _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(p)))
#define BYTE(p) _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(p))))
/* Of bytes that are stored 128 higher than what they stand for. */
#define RAISED(p) \
    _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_xor_si128(_mm_loadu_si128((const __m128i *)(p)), _mm_set1_epi8(-128))))
#define CONVERT(x) _mm512_cvtepi32_ps((__m512i)(x))
/* A bit for each lane of a comparison. */
#define BITS(mask) ((unsigned)_mm512_movepi32_mask((__m512i)(mask)))
/* x, and `other` where x is not a number. */
#define NUMBERS_ONLY(x, other) _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, x, _CMP_ORD_Q), other, x)
static inline __m256 fold(vf x) {
    return _mm512_castps512_ps256(x) + _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1));
}
static inline __m256 fold_max(vf x) {
    return _mm256_max_ps(_mm512_castps512_ps256(x), _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1)));
}
#elif defined(__AVX2__)
#define VL 8
typedef __m256 vf;
#define LOAD(p) _mm256_loadu_ps(p)
#define STORE(p, x) _mm256_storeu_ps(p, x)
#define SET1(x) _mm256_set1_ps(x)
#define SQRT(x) _mm256_sqrt_ps(x)
#define MAX(x, y) _mm256_max_ps(x, y)
#define MIN(x, y) _mm256_min_ps(x, y)
#define HALF(p) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p)))
#define BYTE(p) _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(p))))
#define RAISED(p) \
    _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_xor_si128(_mm_loadl_epi64((const __m128i *)(p)), _mm_set1_epi8(-128))))
#define CONVERT(x) _mm256_cvtepi32_ps((__m256i)(x))
#define BITS(mask) ((unsigned)_mm256_movemask_ps((__m256)(mask)))
#define NUMBERS_ONLY(x, other) _mm256_blendv_ps(other, x, _mm256_cmp_ps(x, x, _CMP_ORD_Q))
static inline __m256 fold(vf x) { return x; }
static inline __m256 fold_max(vf x) { return x; }
#else
#error "compile with -mavx2 -mfma -mf16c or -mavx512f"
#endif

typedef int32_t vi __attribute__((vector_size(4 * VL)));

static inline float sum4(__m128 x) {
    x += _mm_movehl_ps(x, x);
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
static inline float max4(__m128 x) {
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}
static inline float sum_lanes(vf x) {
    const __m256 half = fold(x);
    return sum4(_mm256_castps256_ps128(half) + _mm256_extractf128_ps(half, 1));
}
static inline float max_lane(vf x) {
    const __m256 half = fold_max(x);
    return max4(_mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}

#define INLINE static inline __attribute__((always_inline))
#define EXPORTED __attribute__((visibility("default")))
/* Videos whose numbers lie side by side, whatever the width of a vector. */
#define LANES 16
/* More frames than this are scored without the compiled scans. */
#define MOST_FRAMES 64

/* Eight sums: lane k is the sum of the lanes of x[k]. */
INLINE __m256 sums8(const vf *x) {
    __m256 a = _mm256_hadd_ps(fold(x[0]), fold(x[1])), b = _mm256_hadd_ps(fold(x[2]), fold(x[3]));
    __m256 c = _mm256_hadd_ps(fold(x[4]), fold(x[5])), d = _mm256_hadd_ps(fold(x[6]), fold(x[7]));
    __m256 ab = _mm256_hadd_ps(a, b), cd = _mm256_hadd_ps(c, d);
    return _mm256_permute2f128_ps(ab, cd, 0x20) + _mm256_permute2f128_ps(ab, cd, 0x31);
}

/* exp(x) for x <= 0, to an ulp or two: x = n ln 2 + r with |r| <= ln 2 / 2, and the series of exp(r) to r^7. */
INLINE vf exp_nonpositive(vf x) {
    x = MAX(x, SET1(-87.0f));
    /* Adding 1.5 * 2^23 rounds to an integer, which then stands in the low bits. */
    const vf shift = SET1(12582912.0f);
    vf shifted = x * SET1(1.44269504f) + shift, n = shifted - shift;
    vf r = x - n * SET1(0.693145751953125f);
    r = r - n * SET1(1.42860682e-6f);
    vf p = SET1(1.0f / 5040);
    p = p * r + SET1(1.0f / 720);
    p = p * r + SET1(1.0f / 120);
    p = p * r + SET1(1.0f / 24);
    p = p * r + SET1(1.0f / 6);
    p = p * r + SET1(0.5f);
    p = p * r + SET1(1.0f);
    p = p * r + SET1(1.0f);
    return (vf)((vi)p + ((vi)shifted << 23));
}

#endif
