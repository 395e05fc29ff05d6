/* Tokens of drawn answers: by numbers that depend on seed, task, item, repetition and place alone,
 * so that batches, ranks and interruptions change no answer. */
#ifndef ZH_BENCH_QUALITY_DRAW_H
#define ZH_BENCH_QUALITY_DRAW_H

#include "bench/quality/quality.h"

typedef struct zh_drawing zh_drawing; /* room for one answer at a time */

ZH_MUST_CHECK zh_status zh_drawing_create(zh_drawing **out, uint32_t vocab, zh_error *err);
void zh_drawing_free(zh_drawing *drawing); /* NULL is safe */
/* The token behind `place` tokens of the answer. As temperature, top_k and top_p stand for in
 * generation_kwargs: logits divided by the temperature, of those the top_k largest, of these the
 * largest that make up top_p together. SIZE_MAX where the logits are not numbers. */
size_t zh_drawing_token(zh_drawing *drawing, const zh_draws *how, const zh_request *request,
                        size_t place, const float *logits);

#endif
