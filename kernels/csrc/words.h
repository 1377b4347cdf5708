/* Every word position of a text against every frame of a video: a lane is a word. The frames of a block of videos are
 * widened once for all texts, or split for the matrix unit, and the words of a text are in the cache for all videos of a
 * block. */
#ifndef FRAMESIFT_WORDS_H
#define FRAMESIFT_WORDS_H

#include "matrix.h"
#include "pairs.h"

/* Vectors that hold the words of a text: two to a panel. */
INLINE int64_t word_vectors(const pairs *j) { return 2 * panels_of(j->words); }

/* Whether a job's words and frames are multiplied by the matrix unit. What is staged and packed for it takes no more room
 * than for the others. */
INLINE int by_matrix(const pairs *j, const int storage) {
    return storage == FLOAT16 && j->width % STEP == 0 && row_groups(j->frames) && framesift_matrix_unit(-1);
}

/* Have the matrix unit, if it is used, multiply the frames of two videos at once. */
INLINE void tiles_of_frames(const pairs *j, const int matrix) {
    if (matrix) tile_rows(j->frames / row_groups(j->frames));
}

/* Frames of a video as `similarities` takes them. */
INLINE void stage_frames(const pairs *j, const char *from, const int storage, const int matrix, float *to) {
    const int64_t F = j->frames, D = j->width;
    if (matrix) split_frames((const uint16_t *)from, F * D, (uint16_t *)to, F * D);
    else widen(from, F, D, storage, to);
}

/* Similarities of one text and two videos, which may be the same, [word vectors][F] each; lanes beyond the last word are
 * zero. */
INLINE void similarities(const pairs *j, const int matrix, const float *x, const float *y, const float *panels, vf *found_x,
                         vf *found_y) {
    const int64_t F = j->frames, D = j->width;
    if (matrix) {
        const int64_t groups = row_groups(F), rows = F / groups;
        for (int64_t g = 0, at = 0; g < groups; g++, at += rows)
            products_of_two((const uint16_t *)x + at * D, (const uint16_t *)y + at * D, F * D, D, (const uint16_t *)panels,
                            word_vectors(j), found_x + at, found_y + at, F);
        return;
    }
    for (int64_t p = 0; p < panels_of(j->words); p++, panels += D * 2 * VL) {
        tiles_shared(F, x, D + PAD, D, panels, found_x + 2 * p * F, found_x + (2 * p + 1) * F);
        if (y != x) tiles_shared(F, y, D + PAD, D, panels, found_y + 2 * p * F, found_y + (2 * p + 1) * F);
    }
}

/* Ask for number `part` of LANES parts of the words of a text, which many texts don't leave in the second cache: its share
 * of a block's videos is scored meanwhile. */
INLINE void ask_for_words(const pairs *j, const float *panels, int part) {
    const int64_t bytes = panels_of(j->words) * j->width * 2 * VL * 4 / LANES;
    for (int64_t at = 0; at < bytes; at += 64) FETCH((const char *)panels + part * bytes + at);
}

/* The words of all texts as panels; `words` is [Q, W, D]. */
static void pack_words(const pairs *j, const float *words, const int matrix, float *panels) {
    const int64_t W = j->words, D = j->width;
    for (int64_t q = 0; q < j->queries; q++, words += W * D, panels += panels_of(W) * D * 2 * VL)
        if (matrix) split_words(words, W, D, word_vectors(j), (uint16_t *)panels);
        else pack_panels(words, W, D, panels);
}

/* One vector of each text as panels for the matrix unit, two vectors of them after another. */
static void pack_sentences(const pairs *j, const float *sentence, float *panels) {
    const int64_t D = j->width, Q = j->queries, each = 2 * VL;
    for (int64_t q = 0; q < Q; q += each, panels += D * each)
        split_words(sentence + q * D, Q - q < each ? Q - q : each, D, 2, (uint16_t *)panels);
}

/* Products of two times `rows` staged vectors, x and y, with what `pack_sentences` packed: number i with text q goes to
 * [q][stride] + i, from `to_x` and from `to_y`. Tiles are of so many rows. */
INLINE void rows_by_sentences(const pairs *j, int64_t rows, const uint16_t *x, const uint16_t *y, int64_t apart,
                              const float *panels, float *to_x, float *to_y, int64_t stride) {
    const int64_t D = j->width, Q = j->queries;
    for (int64_t first = 0; first < Q; first += 2 * VL, panels += D * 2 * VL) {
        vf found[2][2 * TILE_ROWS];
        products_of_two(x, y, apart, D, (const uint16_t *)panels, 2, found[0], found[1], TILE_ROWS);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t lane = 0; lane < 2 * VL && first + lane < Q; lane++) {
                const int64_t at = (first + lane) * stride + i, n = lane / VL * TILE_ROWS + i;
                to_x[at] = found[0][n][lane % VL];
                to_y[at] = found[1][n][lane % VL];
            }
    }
}

/* Which lanes of word vector n are words. */
INLINE vi words_of(const pairs *j, int64_t n) {
    const int64_t left = j->words - n * VL;
    return first_lanes(left < 0 ? 0 : left);
}

#endif
