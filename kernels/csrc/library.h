/* Everything that one library exports. Built once for AVX2 and once for AVX-512. */
#ifndef FRAMESIFT_LIBRARY_H
#define FRAMESIFT_LIBRARY_H

#include "../dot/csrc/dot.h"
#include "../frame_softmax/csrc/frame_softmax.h"
#include "../multi_grained/csrc/multi_grained.h"
#include "../token_frame/csrc/token_frame.h"
#include "../topk_attention/csrc/attend.h"
#include "../topk_attention/csrc/certified.h"
#include "../topk_attention/csrc/encode.h"

/* Whether this processor has the instructions. Compiled without vectors, so that any processor can ask. */
EXPORTED int framesift_supported(void) {
#if VL == 16
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq");
#else
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
#endif
}

/* How far ahead `framesift_read` asks, in bytes: the fastest of those that were tried. */
#define READ_AHEAD 8192

/* Sum of n floats: what reading alone costs. */
EXPORTED float framesift_read(const float *x, int64_t n) {
    vf sums[8];
    for (int i = 0; i < 8; i++) sums[i] = SET1(0.0f);
    for (int64_t i = 0; i + 8 * VL <= n; i += 8 * VL)
        for (int k = 0; k < 8; k++) {
            _mm_prefetch((const char *)(x + i + k * VL) + READ_AHEAD, _MM_HINT_T0);
            sums[k] += LOAD(x + i + k * VL);
        }
    float parts[8], total = 0;
    _mm256_storeu_ps(parts, sums8(sums));
    for (int i = 0; i < 8; i++) total += parts[i];
    return total;
}

#endif
