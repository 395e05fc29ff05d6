/* What the model workloads share: a model and its engine under the self-check of docs/metrics.md. A
 * trial computes once with every operator checked (the reference), then the workload's timed
 * repeats must give the same answers, bit for bit; in the end an answer is replayed from an empty
 * cache and the weights are held against their source. */
#ifndef ZH_BENCH_ENGINE_TRIAL_H
#define ZH_BENCH_ENGINE_TRIAL_H

#include "bench/engine/check.h"
#include "bench/engine/engine.h"
#include "bench/engine/footprint.h"
#include "bench/workload.h"

/* One generated token of one sequence: 24 bytes of the chain. */
typedef struct zh_answer {
  uint32_t fed;        /* the token whose logits these are */
  uint32_t chosen;     /* the largest logit's; ties go to the lowest id */
  uint32_t logit_bits; /* of the chosen one, as fp32 */
  uint32_t position;   /* of the fed token */
  uint64_t bits_sum;   /* sum of the bits of all its logits, modulo 2^64 */
} zh_answer;

/* Tokens of a forward pass, laid out before the clock starts. */
typedef struct zh_feed {
  uint32_t *token, *position, *sequence; /* [count] */
  bool *want;                            /* the last token of each sequence */
  size_t count;
} zh_feed;

/* Where a step's time went, ns: what docs/metrics.md, "Self-check", says of its cost. */
typedef struct zh_check_time {
  int64_t began, load; /* when the step opened its model; reading and rearranging it */
  int64_t sums;        /* over logits, since the repeat began */
  int64_t samples, in_samples, between; /* all repeats; the checks inside them; those around each */
} zh_check_time;

typedef struct zh_trial {
  zh_job *job;
  zh_model *model;
  zh_engine *engine;
  zh_check *check;
  uint32_t sequences, vocab;
  float *logits;        /* [sequences][vocab] */
  char weights_sm3[65]; /* of what the engine read before anything was computed */
  zh_footprint before;  /* the model was opened */
  zh_check_time time;
  uint64_t step_bytes; /* of weights, that a timed pass read: zh_trial_say_experts; 0: not yet */
  bool fault_done;     /* an injected fault strikes once, and not on every rank */
} zh_trial;

/* The parameter `parallel` of the model workloads. */
#define ZH_PARALLEL_HELP                                                                           \
  "none: each rank measures the whole model by itself; else all hold one together: tensor: heads " \
  "and columns divided; pipeline: layers divided; nodes: layers between nodes, columns inside"
#define ZH_GROUP_HELP                                                                              \
  "how the GPUs of ranks that hold one model reach each other: peer: their own memory, on one "    \
  "node; nccl: the library; auto: peer where it can be"
#define ZH_EXPERTS_HELP                                                                            \
  "of ranks that divide heads and columns: columns: each has some of every expert; whole: each "   \
  "has some experts; auto: what moves fewer bytes, by formula"
extern const char *const zh_parallels[];
/* Whether one model lies over all ranks of the job. */
bool zh_job_is_parallel(const zh_job *job);
zh_split zh_job_split(const zh_job *job);
zh_group_choice zh_job_group(const zh_job *job);
zh_expert_split zh_job_experts(const zh_job *job);
/* zh_comm_agree for such a job; else `mine`. */
ZH_MUST_CHECK zh_status zh_trial_agree(const zh_job *job, zh_status mine, zh_error *err);

/* What an engine is made for: so many tokens in a call that is timed. unpacked: zh_engine_options.
 */
typedef struct zh_trial_plan {
  uint32_t sequences, context;
  size_t tokens;
  bool unpacked;
} zh_trial_plan;
/* Reads the parameters "precision" and "parallel". Puts in an injected weight fault. On failure
 * nothing is left. */
ZH_MUST_CHECK zh_status zh_trial_open(zh_trial *out, zh_job *job, const zh_trial_plan *plan,
                                      zh_error *err);
void zh_trial_close(zh_trial *trial);

/* Uniform token ids from the job's seed. */
void zh_trial_tokens(const zh_trial *trial, uint32_t *out, size_t count, uint64_t stream);
/* Random 32 bits of the job's seed, for choices of the check. */
uint32_t zh_trial_draw(const zh_trial *trial, uint64_t stream);

/* Positions [first, last) of all sequences, tokens [sequences][stride]. */
ZH_MUST_CHECK zh_status zh_feed_create(zh_feed *out, const uint32_t *tokens, uint32_t sequences,
                                       size_t stride, size_t first, size_t last, zh_error *err);
void zh_feed_free(zh_feed *feed);
ZH_MUST_CHECK zh_status zh_trial_forward(zh_trial *trial, const zh_feed *feed,
                                         zh_error *err); /* fills logits */
/* To ranks without the head, the first row of the logits. Collective for a divided model. */
ZH_MUST_CHECK zh_status zh_trial_share_logits(zh_trial *trial, zh_error *err);

/* A repeat's own time; the sums over logits since zh_trial_checks_between were part of it. */
void zh_trial_sampled(zh_trial *trial, double sample_ns);
/* Checks since `began` stood before a repeat or after it. */
void zh_trial_checks_between(zh_trial *trial, int64_t began);

/* The answer in `logits` [vocab] of the rank that has them, on all ranks that hold the model
 * together; ZH_ERR_CHECK when they are not numbers. */
ZH_MUST_CHECK zh_status zh_trial_answer(zh_answer *out, zh_trial *trial, const float *logits,
                                        uint32_t fed, uint32_t position, zh_error *err);
/* ZH_ERR_CHECK naming the first place where a repeat's answers [steps][sequences] differ from the
 * reference's. */
ZH_MUST_CHECK zh_status zh_trial_compare(const zh_trial *trial, const zh_answer *reference,
                                         const zh_answer *answers, size_t steps, zh_error *err);
/* The answer as a link of the chain: its fields in order, little-endian. */
enum { ZH_LINK_BYTES = 24 };
float zh_answer_logit(const zh_answer *answer); /* the chosen one's */
void zh_answer_bytes(unsigned char out[ZH_LINK_BYTES], const zh_answer *answer);
void zh_answer_read(zh_answer *out, const unsigned char link[ZH_LINK_BYTES]);
/* SM3 over the answers' links in order. */
ZH_MUST_CHECK zh_status zh_trial_chain(char out[65], const zh_answer *answers, size_t count,
                                       zh_error *err);
/* Sum of the bits of the keys and values of all sequences' positions below `length`, each row with
 * a factor of its own; by all threads. */
ZH_MUST_CHECK zh_status zh_trial_cache_sum(uint64_t *out, const zh_trial *trial, uint32_t length,
                                           zh_error *err);
/* Of each sequence and each of `steps` positions from `start` on, out[sequences][steps]: the sum of
 * the bits of its keys times 4 layer + 1, and of its values times 4 layer + 3, over all layers,
 * modulo 2^64. Collective where ranks hold one model together. */
ZH_MUST_CHECK zh_status zh_trial_cache_marks(uint64_t *out, const zh_trial *trial, size_t start,
                                             size_t steps, zh_error *err);
/* ZH_ERR_CHECK where it is not `reference` now. */
ZH_MUST_CHECK zh_status zh_trial_compare_cache(const zh_trial *trial, uint32_t length,
                                               uint64_t reference, zh_error *err);

/* How the timed run multiplied: positions below `lead` as in a call of `before` tokens, the others
 * as in one of `after`. */
typedef struct zh_ways {
  size_t lead, before, after;
} zh_ways;
/* Of perplexity, where all go the way of many. */
#define ZH_AS_OF_MANY ((size_t)1 << 30)
/* Computes `length` tokens of `sequence` anew, from a cache filled with NaN, the same ways but in
 * other parts, cut at a drawn place; fills the first row of logits. */
ZH_MUST_CHECK zh_status zh_trial_recompute(zh_trial *trial, const uint32_t *tokens, size_t length,
                                           uint32_t sequence, zh_ways ways, zh_error *err);
/* The logit of `token` in the first row of logits against what the timed run gave it; records the
 * check. */
ZH_MUST_CHECK zh_status zh_trial_judge_replay(zh_trial *trial, uint32_t token, float timed,
                                              uint32_t position, uint32_t sequence, zh_error *err);
/* Both for a generated token, which must also be chosen again. */
ZH_MUST_CHECK zh_status zh_trial_replay(zh_trial *trial, const uint32_t *tokens, size_t length,
                                        uint32_t sequence, zh_ways ways, const zh_answer *expected,
                                        zh_error *err);
/* What the process holds after the timed repeats against the formula; records fact and check. Ranks
 * of one model fail together. */
ZH_MUST_CHECK zh_status zh_trial_judge_memory(zh_trial *trial, zh_error *err);
/* Weights against their source, facts about bytes and checks. */
ZH_MUST_CHECK zh_status zh_trial_finish(zh_trial *trial, zh_error *err);

/* Appends {"check","what","bound","error","passed"} to the job. */
ZH_MUST_CHECK zh_status zh_trial_record(zh_trial *trial, const char *check, const char *what,
                                        double bound, double error, bool passed, zh_error *err);
ZH_MUST_CHECK zh_status zh_trial_fact(zh_trial *trial, const char *name, json_t *value,
                                      zh_error *err); /* steals value */
/* The model's content digest by all ranks, each of what it reads. Collective. */
ZH_MUST_CHECK zh_status zh_trial_digest_parts(char out[ZH_DIGEST_HEX], zh_trial *trial,
                                              zh_error *err);
/* Collective for such a job, else nothing: facts of what each rank holds. */
ZH_MUST_CHECK zh_status zh_trial_say_ranks(zh_trial *trial, zh_error *err);
/* After the timed repeats, before anything else is computed: what the last of them read; and, where
 * ranks hold one model, how experts lie over them and how evenly its choices fell on them. */
ZH_MUST_CHECK zh_status zh_trial_say_experts(zh_trial *trial, zh_error *err);
/* zh_check_report of what all ranks saw. Collective for such a job. */
ZH_MUST_CHECK zh_status zh_trial_report_check(zh_trial *trial, zh_error *err);
/* ZH_ERR_CHECK on all ranks where one of them has another chain than rank 0. */
ZH_MUST_CHECK zh_status zh_trial_same_chain(zh_trial *trial, const char chain[65], zh_error *err);
/* Facts that describe generated text: chain digest, first tokens, entropy of the logits at hand. */
ZH_MUST_CHECK zh_status zh_trial_describe(zh_trial *trial, const zh_answer *answers, size_t count,
                                          zh_error *err);

#endif
