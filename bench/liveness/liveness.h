/* Proof by perturbation: scalars drawn from all weights are changed one at a time, and what that
 * does to the logits on fixed texts says whether they are live. From the draws follows how large a
 * share of the parameters is live at least. Definitions: docs/metrics.md, "Live parameters". */
#ifndef ZH_BENCH_LIVENESS_LIVENESS_H
#define ZH_BENCH_LIVENESS_LIVENESS_H

#include "bench/engine/engine.h"
#include "bench/engine/weights.h"
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
  ZH_PROBE_STUCK,       /* the format cannot change it alone */
  ZH_PROBE_NOT_REACHED  /* of an expert to which no token of any text was sent: neither live nor
                           dead */
} zh_probe_outcome;

typedef struct zh_probe {
  const zh_weight *weight; /* of the engine's */
  uint64_t row, column;    /* of the weight */
  float was, is;           /* values the engine uses */
  float change;            /* the largest change of any logit of any text tried */
  uint32_t text;           /* the text of `change`: zh_liveness_text */
  uint32_t first_layer;    /* the first one that the scalar can change; layers: the head alone */
  bool lone;           /* a separate embedding's row: the text takes its token in at position 1 */
  bool sent;           /* of an expert's weights: shows on tokens alone that are sent to it */
  int64_t expert;      /* whose it is, in the expert's weights or the router's; -1: of none */
  uint32_t reached_by; /* the first text that sends a token to the expert; ZH_NOT_REACHED; 0 where
                          there is no expert */
  zh_probe_outcome outcome;
} zh_probe;

/* Where the file has it. */
typedef struct zh_probe_place {
  int64_t expert; /* of several in one tensor, [experts][rows][columns]; -1 elsewhere */
  uint64_t row, column;
} zh_probe_place;
zh_probe_place zh_probe_place_of(const zh_probe *probe);

typedef struct zh_liveness_options {
  uint64_t seed;
  uint32_t probes;
  void (*progress)(void *user, size_t done, size_t all); /* NULL: none */
  void *progress_user;
} zh_liveness_options;

/* Experts of all layers; all 0: a dense model. */
typedef struct zh_liveness_experts {
  size_t all, reached, by_texts; /* by_texts: by the two fixed ones */
  uint32_t drawn;                /* texts that were drawn to reach the rest */
} zh_liveness_experts;

typedef struct zh_liveness {
  zh_probe *probes; /* [count], in the order of the weights */
  size_t count, live;
  uint64_t population; /* scalars of all weights, a tied head once */
  uint64_t seed;
  double lower_bound_95, seconds;
  float floor; /* the largest change of any logit when the residual stream is rounded otherwise */
  uint64_t plain_bits; /* sum of the bits of the unchanged model's logits, modulo 2^64 */
  bool same_bits;      /* the first pass, repeated at the end, gave its logits bit for bit */
  zh_liveness_experts experts;
  const char *kernels;
  zh_liveness_texts texts;
} zh_liveness;

/* The beginnings of the product's two texts, or drawn token ids where the model has no tokenizer
 * that this version knows. The same for every run. */
ZH_MUST_CHECK zh_status zh_liveness_read_texts(zh_liveness_texts *out, const zh_model *model,
                                               const zh_architecture *architecture, zh_error *err);
/* Text `number` of a model: one of those, or from ZH_LIVENESS_TEXTS on drawn token ids. */
void zh_liveness_text(uint32_t *token, const zh_liveness_texts *texts, uint32_t number,
                      uint32_t vocab);

/* What an engine must have: fp32 activations of ZH_LIVENESS_SEQUENCES texts in one micro-batch. */
zh_engine_options zh_liveness_engine(zh_precision precision, const zh_architecture *architecture);

/* ZH_ERR_CHECK where the engine does not give the same bits twice. Frees nothing of the caller's;
 * the probes name the engine's weights. */
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
