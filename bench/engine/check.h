/* The self-check of operators: while attached, sampled outputs of every operator are compared with
 * an fp64 oracle on the inputs that the engine really had and on the model's own source weights
 * (the mapped file, or the standard model's definition), never on the bytes that the engine reads.
 * Bounds: docs/metrics.md, "Self-check". */
#ifndef ZH_BENCH_ENGINE_CHECK_H
#define ZH_BENCH_ENGINE_CHECK_H

#include "bench/engine/inside.h"
#include "core/json.h"

typedef struct zh_check zh_check;
/* What is sampled depends on `seed`. */
ZH_MUST_CHECK zh_status zh_check_create(zh_check **out, zh_engine *engine, uint64_t seed,
                                        zh_error *err);
/* The same without an engine, for operations that somebody else computed with such arithmetic:
 * `weights` need only be described (zh_weights_describe). rows: sampled of each product. */
ZH_MUST_CHECK zh_status zh_check_create_for(zh_check **out, const zh_weights *weights,
                                            zh_arithmetic arithmetic, size_t context, size_t rows,
                                            uint64_t seed, zh_error *err);
void zh_check_free(zh_check *check); /* NULL is safe */
/* Checks the operation, of all its tokens. */
void zh_check_operation(zh_check *check, const zh_operation *operation);
/* Attention of one token, query head `head` alone, from keys and values [position + 1][head_dim] of
 * that head. */
void zh_check_attention_head(zh_check *check, const zh_operation *operation, size_t head,
                             const float *keys, const float *values);

/* What experts give one token, added up from parts of o->addends ranks, among which the columns of
 * all last products lay. input: [used][in_width] of the choices, whose products `each` has; second:
 * of the shared experts, whose product goes shared_way; NULL: there are none. */
void zh_check_experts_sum(zh_check *check, const zh_operation *o, const zh_weight *shared,
                          zh_way shared_way);

/* Between these two every forward pass is checked; it is much slower then, so nothing is timed. */
ZH_MUST_CHECK zh_status zh_check_attach(zh_check *check, zh_error *err);
void zh_check_detach(zh_check *check);

/* Collective: rank 0 gets what all ranks saw, each of its part of one model. */
ZH_MUST_CHECK zh_status zh_check_join(zh_check *check, const zh_comm *comm, zh_error *err);
/* Appends the sample nearest to its bound of each operator kind to `checks` (may be NULL);
 * ZH_ERR_CHECK with operator, row, bound and error when one passed its bound. */
ZH_MUST_CHECK zh_status zh_check_report(const zh_check *check, json_t *checks, zh_error *err);
uint64_t zh_check_samples(const zh_check *check);

#endif
