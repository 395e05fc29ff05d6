/* Proof by perturbation: scalars drawn from all weights are changed one at a time, and what that
 * does to the logits on fixed texts says whether they are live. From the draws follows how large a
 * share of the parameters is live at least. Definitions: docs/metrics.md, "Live parameters". */
#ifndef ZH_BENCH_LIVENESS_LIVENESS_H
#define ZH_BENCH_LIVENESS_LIVENESS_H

#include "bench/engine/engine.h"
#include "core/json.h"

enum { ZH_LIVENESS_TEXTS = 2, ZH_LIVENESS_LENGTH = 16, ZH_LIVENESS_SEQUENCES = 16 };

/* Tokens that are fed; `length` of each. */
typedef struct zh_liveness_texts {
  const char *name[ZH_LIVENESS_TEXTS]; /* file of the data folder, or "drawn tokens" */
  uint32_t token[ZH_LIVENESS_TEXTS][ZH_LIVENESS_LENGTH];
  uint32_t length;
} zh_liveness_texts;

typedef enum zh_probe_outcome {
  ZH_PROBE_LIVE,
  ZH_PROBE_BELOW_FLOOR, /* logits change, but no more than rounding changes them */
  ZH_PROBE_UNCHANGED,   /* the same bits */
  ZH_PROBE_ALL_ZERO,    /* its group holds zeros alone */
  ZH_PROBE_STUCK        /* the format cannot change it alone */
} zh_probe_outcome;

typedef struct zh_probe {
  const zh_tensor *tensor;
  uint64_t row, column;
  float was, is;        /* values the engine uses */
  float change;         /* the largest change of any logit of any text tried */
  uint32_t text;        /* the text of `change` */
  uint32_t first_layer; /* the first one that the scalar can change; layers: the head alone */
  bool lone;            /* a separate embedding's row: the text takes its token in at position 1 */
  zh_probe_outcome outcome;
} zh_probe;

typedef struct zh_liveness_options {
  uint64_t seed;
  uint32_t probes;
  void (*progress)(void *user, size_t done, size_t all); /* NULL: none */
  void *progress_user;
} zh_liveness_options;

typedef struct zh_liveness {
  zh_probe *probes; /* [count], in the order of the weights */
  size_t count, live;
  uint64_t population; /* scalars of all weights, a tied head once */
  uint64_t seed;
  double lower_bound_95, seconds;
  float floor; /* the largest change of any logit when the residual stream is rounded otherwise */
  uint64_t plain_bits; /* sum of the bits of the unchanged model's logits, modulo 2^64 */
  bool same_bits;      /* the first pass, repeated at the end, gave its logits bit for bit */
  const char *kernels;
  zh_liveness_texts texts;
} zh_liveness;

/* The beginnings of the product's two texts, or drawn token ids where the model has no tokenizer
 * that this version knows. The same for every run. */
ZH_MUST_CHECK zh_status zh_liveness_read_texts(zh_liveness_texts *out, const zh_model *model,
                                               const zh_architecture *architecture, zh_error *err);

/* What an engine must have: fp32 activations of ZH_LIVENESS_SEQUENCES texts in one micro-batch. */
zh_engine_options zh_liveness_engine(zh_precision precision, const zh_architecture *architecture);

/* ZH_ERR_CHECK where the engine does not give the same bits twice. Frees nothing of the caller's.
 */
ZH_MUST_CHECK zh_status zh_liveness_measure(zh_liveness *out, zh_engine *engine,
                                            zh_threads *threads, const zh_liveness_texts *texts,
                                            const zh_liveness_options *options, zh_error *err);
void zh_liveness_free(zh_liveness *liveness);
json_t *zh_liveness_json(const zh_liveness *liveness); /* docs/schemas/audit.schema.json, "live" */

/* All of it for one model: {"measured":true, …}, or {"measured":false,"reason"} where the engine
 * cannot run the model here. threads: 0, one for each CPU allowed. */
ZH_MUST_CHECK zh_status zh_liveness_of_model(json_t **out, const zh_model *model, int threads,
                                             const zh_liveness_options *options, zh_error *err);

#endif
