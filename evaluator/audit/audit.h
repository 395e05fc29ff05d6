/* Inside the audit: the matrices of a model, what one pass over their bytes found, and the
 * findings. Definitions, rules and measured error rates: docs/audit.md. */
#ifndef ZH_EVALUATOR_AUDIT_AUDIT_H
#define ZH_EVALUATOR_AUDIT_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/digest.h"
#include "core/text.h"
#include "evaluator/evaluator.h"
#include "kernels/kernels.h"
#include "model/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- anatomy: where a tensor sits in the network, from its name --- */

typedef enum zh_part {
  ZH_PART_OTHER,
  ZH_PART_EMBEDDING,
  ZH_PART_HEAD,
  ZH_PART_NORM,
  ZH_PART_ATTN_NORM,
  ZH_PART_FFN_NORM,
  ZH_PART_Q,
  ZH_PART_K,
  ZH_PART_V,
  ZH_PART_ATTN_OUT,
  ZH_PART_GATE,
  ZH_PART_UP,
  ZH_PART_DOWN,
  ZH_PART_ROUTER,
  ZH_PART_ROUTER_BIAS, /* added to the router's scores: e_score_correction_bias, exp_probs_b */
} zh_part;

typedef struct zh_place {
  zh_part part;
  zh_tensor_role role;
  int64_t layer, expert;                /* -1 where there is none */
  bool bias, shared_expert, prediction; /* prediction: a multi-token-prediction layer */
} zh_place;

zh_place zh_place_of(const zh_tensor *tensor);
/* The same, with what was found for names that differ in their numbers alone remembered (book.c).
 */
typedef struct zh_place_book zh_place_book;
zh_place_book *zh_place_book_create(void); /* NULL: no memory */
zh_place zh_place_by_book(zh_place_book *book, const zh_tensor *tensor);
void zh_place_book_free(zh_place_book *book);
int64_t zh_layer_of(const char *name);
int64_t zh_number_after(const char *name, const char *word);

/* --- matrices --- */

enum zh_level { ZH_PROVED = 1, ZH_MEASURED, ZH_PRESUMED }; /* how sure a finding is; 0: none */

/* A tensor as a matrix, or one expert of a tensor that holds them all. */
/* Element types that hold numbers only together with other tensors (packing.c). */
typedef enum zh_packing {
  ZH_PACK_NONE,
  ZH_PACK_F8_BLOCKS, /* F8, a scale for each square block */
  ZH_PACK_GPTQ,      /* 4-bit codes in int32, along the rows; zero points and scales by group */
  ZH_PACK_AWQ,       /* the same along the columns, in an order of its own */
  ZH_PACK_MXFP4      /* 4-bit floats in bytes, a power of two for each 32 */
} zh_packing;

typedef struct zh_grid {
  const zh_tensor *tensor;
  size_t tensor_index;
  zh_place place;
  uint64_t rows, columns, row_bytes; /* rows * columns may leave a tail out (units.c) */
  uint64_t elements, parameters;     /* parameters: packed values unpacked */
  const unsigned char *data;         /* NULL for standard models */
  uint64_t slice;                    /* which part of the tensor's first dimension */
  bool whole;                        /* the unit is the tensor */
  bool weights;                      /* holds parameters that findings may speak of: no buffer */
  zh_packing packing;
  const zh_tensor *scales, *zeros;    /* of packed ones */
  float zero_offset;                  /* of GPTQ's zero points */
  uint64_t value_rows, value_columns; /* of the numbers it stands for; 0 where that is unknown */

  /* the pass over the bytes (scan.c) */
  bool tiny; /* not zero, but of no size beside its like in other layers (portrait.c) */
  bool zero, constant, sparse; /* sparse: at least a piece of it is a hole in its file */
  double value;                /* of a constant one */
  uint64_t hash, row_set;      /* of the rows in order, and in any order */
  uint32_t moments[2];         /* of the 16-bit halves, in any order; 0 for block formats */
  uint64_t zero_rows, zero_columns;
  uint64_t blank_rows;     /* of rows_seen: every byte zero, read or a hole */
  uint64_t rows_seen;      /* of rows; fewer in a sample */
  bool constant_in_sample; /* all values seen are `value`, but not all rows were */
  unsigned char *row_is_zero, *column_is_zero; /* flags; NULL where there are none */

  /* what findings cover (coverage.c): the strongest level of each row and column */
  unsigned char covered, *row_covered, *column_covered;
  uint64_t estimated[4]; /* parameters without a place, by level */
  bool rearranged;       /* holds another's values, so its order may still be looked at */
  bool repeats;          /* equals an earlier unit byte for byte */
  uint32_t source;       /* which one, where `repeats` */
} zh_grid;

/* A row that occurs again somewhere, kept when its hash is among the smallest. */
typedef struct zh_row_print {
  uint64_t hash;
  uint32_t unit, row;
} zh_row_print;

typedef struct zh_audit_finding zh_audit_finding;

typedef struct zh_auditor {
  zh_model *model;
  const zh_audit_options *options;
  zh_architecture architecture;
  bool architecture_known;
  zh_arena *arena;
  zh_threads *threads;
  zh_grid *units;
  size_t unit_count;
  size_t *first_unit; /* of each tensor, [tensors + 1] */
  zh_grid **by_place; /* sorted */
  size_t placed_count;
  zh_grid **by_group;   /* sorted by layer, then expert */
  zh_row_print *prints; /* sorted by hash, then place, after the scan */
  size_t print_count;
  double print_share;            /* of all rows, that prints were taken of */
  struct zh_portrait *portraits; /* of each unit (portrait.h) */
  zh_audit_finding *findings;
  size_t finding_count, finding_capacity;
  zh_audit_times times;
  uint64_t zero_bytes_in_holes;
  uint32_t *rank_of;    /* of each unit; NULL with one process (ranks.h) */
  uint64_t sample_rows; /* of each matrix (sample.h) */
  uint64_t sampled_rows, all_rows, sampled_bytes, all_bytes;
  uint64_t unseen; /* parameters in rows of zeros that a sample may have missed, at most */
  uint64_t tokens; /* that the model's tokenizer knows; 0: none, or none that can be read */
} zh_auditor;

/* Units of all tensors, in file order. */
ZH_MUST_CHECK zh_status zh_grids_make(zh_auditor *a, zh_error *err);
/* For zh_grid_find; headers alone need none. */
ZH_MUST_CHECK zh_status zh_grids_index(zh_auditor *a, zh_error *err);
void zh_grids_free(zh_auditor *a);
/* Values that a packed element stands for, as a fraction; 1/1 for the rest. False with a type that
 * may be packed though nothing says how. */
bool zh_unpacked(uint64_t *values, uint64_t *elements, const zh_model *model, const zh_tensor *t);
/* Scales and zero points that go with low-bit weights beside them: no parameters. */
bool zh_is_scale(const zh_model *model, const zh_tensor *t);
/* "blk.3.ffn_up_exps.weight[7]" */
const char *zh_grid_name(zh_auditor *a, const zh_grid *unit);
/* The unit of a layer and part, or NULL. expert -1: what is no routed expert. */
zh_grid *zh_grid_find(zh_auditor *a, int64_t layer, zh_part part, int64_t expert, bool bias);
/* All units of a layer, or with expert >= 0 of that expert in it. */
zh_grid **zh_grids_of(size_t *count, const zh_auditor *a, int64_t layer, int64_t expert);

/* --- counts --- */

enum { ZH_ROLES = ZH_ROLE_OTHER + 1, ZH_TYPES_MAX = 32 };

typedef struct zh_tally {
  uint64_t tensors, parameters, bytes;
} zh_tally;

/* Of a layer; layer -1 is what belongs to none. */
typedef struct zh_layer_tally {
  int64_t layer;
  uint64_t parameters, unique, routed, effective, bytes; /* routed: of unique */
} zh_layer_tally;

typedef struct zh_census {
  zh_tally roles[ZH_ROLES], types[ZH_TYPES_MAX];
  zh_dtype type_ids[ZH_TYPES_MAX];
  int type_count;
  uint64_t stored, unique;
  uint64_t elements; /* of all tensors as the file stores them: packed ones packed, with buffers */
  uint64_t effective[4];            /* stored, less what findings at least as sure cover */
  uint64_t routed, embedding, head; /* of unique: routed experts; tables of tokens */
  uint64_t router_bias, prediction; /* which some sources do not count */
  uint64_t buffers, repeated, repeated_parameters;
  uint64_t may_be_packed; /* integer tensors that nothing says how to unpack */
  zh_layer_tally *layers;
  size_t layer_count;
} zh_census;

ZH_MUST_CHECK zh_status zh_census_take(zh_census *out, const zh_auditor *a, zh_error *err);
void zh_census_free(zh_census *c);
/* -1 where the file does not say how many of how many experts a token uses. */
int64_t zh_active_share(uint64_t unique, uint64_t routed, const zh_architecture *a);
json_t *zh_census_groups_json(const zh_census *c);
json_t *zh_census_types_json(const zh_census *c);
json_t *zh_census_layers_json(const zh_census *c, const zh_auditor *a);

/* --- values --- */
bool zh_values_known(zh_dtype type);
void zh_values_row(float *out, const zh_grid *unit, uint64_t row);

/* Packed ones; rows are those of the numbers (value_rows). */
void zh_packing_find(zh_grid *u, const zh_model *model, uint64_t slices);
void zh_packing_settle(zh_grid *u, float *scratch); /* before the first row */
void zh_packing_row(float *out, const zh_grid *u, uint64_t row);
void zh_packing_scale_row(float *row, const zh_grid *u, uint64_t number);

/* --- the pass over the bytes --- */
ZH_MUST_CHECK zh_status zh_scan(zh_auditor *a, zh_error *err);
bool zh_is_scanned(const zh_grid *u);
/* Keeps the largest resident memory so far that is no page of a file (audit.c). */
void zh_note_memory(zh_auditor *a);

/* What a thread has for itself while zh_each runs. */
typedef struct zh_scratch {
  int thread;
  float *floats;
  uint64_t bytes; /* set by the task: what it read, for the progress */
} zh_scratch;
typedef zh_status (*zh_grid_task)(zh_auditor *a, size_t i, zh_scratch *scratch, void *user);
/* Runs task for each i < count, dealt out to all threads one by one; the first failure ends it. */
ZH_MUST_CHECK zh_status zh_each(zh_auditor *a, const char *stage, size_t count, size_t floats,
                                zh_grid_task task, void *user, zh_error *err);

/* Progress of a stage, where somebody listens: 0 of all first, all of all last. */
void zh_tell(const zh_auditor *a, const char *stage, uint64_t done, uint64_t all, uint64_t bytes);
/* Digests of the files' bytes, as zh_model_digest gives them. */
ZH_MUST_CHECK zh_status zh_digest_both(char sm3[ZH_DIGEST_HEX], char sha256[ZH_DIGEST_HEX],
                                       zh_auditor *a, zh_error *err);

/* --- findings --- */
#define ZH_FINDING_LIST(ENTRY)                                                                     \
  ENTRY(zero_tensor)                                                                               \
  ENTRY(constant_tensor)                                                                           \
  ENTRY(zero_rows)                                                                                 \
  ENTRY(zero_columns)                                                                              \
  ENTRY(duplicate_tensor)                                                                          \
  ENTRY(duplicate_layer)                                                                           \
  ENTRY(duplicate_expert)                                                                          \
  ENTRY(permuted_duplicate)                                                                        \
  ENTRY(scaled_duplicate)                                                                          \
  ENTRY(near_duplicate)                                                                            \
  ENTRY(low_rank)                                                                                  \
  ENTRY(untrained)                                                                                 \
  ENTRY(identity_layer)                                                                            \
  ENTRY(dead_expert)                                                                               \
  ENTRY(dead_neuron)                                                                               \
  ENTRY(unreachable_vocabulary)                                                                    \
  ENTRY(config_mismatch)                                                                           \
  ENTRY(missing_shard)                                                                             \
  ENTRY(extra_shard)                                                                               \
  ENTRY(declared_mismatch)

typedef enum zh_finding_kind {
#define ZH_FINDING_ENTRY(name) ZH_FOUND_##name,
  ZH_FINDING_LIST(ZH_FINDING_ENTRY)
#undef ZH_FINDING_ENTRY
      ZH_FOUND_COUNT
} zh_finding_kind;

/* Slots of a finding's sentence; strings live in the auditor's arena. */
enum { ZH_FINDING_SLOTS = 8 };
struct zh_audit_finding {
  zh_finding_kind kind;
  const char *variant; /* NULL, or which sentence of the kind */
  const char *where, *of;
  uint64_t parameters;
  double confidence;
  struct {
    const char *name, *text;
  } slots[ZH_FINDING_SLOTS];
};
/* Appends; NULL when memory is short. The pointer holds until the next call. */
zh_audit_finding *zh_found(zh_auditor *a, zh_finding_kind kind, const char *where,
                           uint64_t parameters, double confidence);
void zh_found_slot(zh_audit_finding *finding, const char *name, const char *text);
void zh_found_number(zh_auditor *a, zh_audit_finding *finding, const char *name, uint64_t value);
void zh_found_real(zh_auditor *a, zh_audit_finding *finding, const char *name, int decimals,
                   double value);
ZH_MUST_CHECK zh_status zh_findings_json(json_t **out, zh_auditor *a, zh_error *err);
/* Whether a tensor has that name or fits that pattern (fnmatch); before the look at the weights. */
ZH_MUST_CHECK zh_status zh_explain_find(const zh_auditor *a, const char *name, zh_error *err);
/* What was measured on the tensors of that name or pattern. */
ZH_MUST_CHECK zh_status zh_explain_json(json_t **out, zh_auditor *a, const char *name,
                                        zh_error *err);
enum zh_level zh_level_of(double confidence);

/* --- coverage: each returns how many parameters of the unit no finding of that level held before
 * --- */
uint64_t zh_cover_unit(zh_grid *unit, enum zh_level level);
uint64_t zh_cover_row(zh_grid *unit, uint64_t row, enum zh_level level);
uint64_t zh_cover_column(zh_grid *unit, uint64_t column, enum zh_level level);
void zh_cover_estimate(zh_grid *unit, uint64_t parameters, enum zh_level level);
/* Parameters of the unit under findings at least as sure as `level`. */
uint64_t zh_covered(const zh_grid *unit, enum zh_level level);

/* Norm gains and biases of usual length: one constant is common there and shows nothing. */
enum { ZH_SMALL_VECTOR = 1 << 20 };
bool zh_is_small_vector(const zh_grid *u);
/* "3-17, 20, 22-24" of the flags that are set. */
void zh_runs_text(zh_text *out, const unsigned char *flags, uint64_t count);
uint64_t zh_row_hash(const void *bytes, size_t length);

/* The `wanted` <= rows largest singular values of a[rows][columns], rows <= columns, the largest
 * first. False: no memory. */
bool zh_singular_values(double *out, size_t wanted, const float *a, size_t rows, size_t columns);

/* --- what is looked for; each appends findings --- */
ZH_MUST_CHECK zh_status zh_find_zeros(zh_auditor *a, zh_error *err);
ZH_MUST_CHECK zh_status zh_find_repeats(zh_auditor *a, zh_error *err);
ZH_MUST_CHECK zh_status zh_find_repeated_rows(zh_auditor *a, zh_error *err);
ZH_MUST_CHECK zh_status zh_find_cut_off(zh_auditor *a, zh_error *err);
ZH_MUST_CHECK zh_status zh_find_unreachable(zh_auditor *a, zh_error *err);
ZH_MUST_CHECK zh_status zh_find_tiny(zh_auditor *a, zh_error *err);
ZH_MUST_CHECK zh_status zh_find_constants(zh_auditor *a, zh_error *err);
ZH_MUST_CHECK zh_status zh_find_low_rank(zh_auditor *a, zh_error *err);
ZH_MUST_CHECK zh_status zh_find_likeness(zh_auditor *a, zh_error *err);
ZH_MUST_CHECK zh_status zh_find_untrained(zh_auditor *a, zh_error *err);
ZH_MUST_CHECK zh_status zh_find_packaging(zh_auditor *a, uint64_t stored, zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
