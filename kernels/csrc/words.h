/* Every word position of a text against every frame of a video: a lane is a word. The frames of a block of videos are
 * widened once for all texts, and the words of a text are in the cache for all videos of a block. */
#ifndef FRAMESIFT_WORDS_H
#define FRAMESIFT_WORDS_H

#include "pairs.h"

/* Vectors that hold the words of a text: two to a panel. */
INLINE int64_t word_vectors(const pairs *j) { return 2 * panels_of(j->words); }

/* Similarities of one text and one video, [word vectors][F]; lanes beyond the last word are zero. */
INLINE void similarities(const pairs *j, const float *frames, const float *panels, vf *found) {
    const int64_t F = j->frames, D = j->width;
    for (int64_t p = 0; p < panels_of(j->words); p++, found += 2 * F)
        tiles_shared(F, frames, D + PAD, D, panels + p * D * 2 * VL, found, found + F);
}

/* Ask for number `part` of LANES parts of the words of a text, which many texts don't leave in the second cache: its share
 * of a block's videos is scored meanwhile. */
INLINE void ask_for_words(const pairs *j, const float *panels, int part) {
    const int64_t bytes = panels_of(j->words) * j->width * 2 * VL * 4 / LANES;
    for (int64_t at = 0; at < bytes; at += 64) _mm_prefetch((const char *)panels + part * bytes + at, _MM_HINT_T1);
}

/* The words of all texts as panels; `words` is [Q, W, D]. */
static void pack_words(const pairs *j, const float *words, float *panels) {
    const int64_t W = j->words, D = j->width;
    for (int64_t q = 0; q < j->queries; q++) pack_panels(words + q * W * D, W, D, panels + q * panels_of(W) * D * 2 * VL);
}

/* Which lanes of word vector n are words. */
INLINE vi words_of(const pairs *j, int64_t n) {
    const int64_t left = j->words - n * VL;
    return first_lanes(left < 0 ? 0 : left);
}

#endif
