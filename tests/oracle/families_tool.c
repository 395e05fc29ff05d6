/* families_tool MODEL exact|fast[+check] STEP CONTEXT THREADS 1,2,3 4,5 …: computes the prompts as
 * one ragged batch, STEP tokens of each at a time (0: all at once), and writes the logits of every
 * token to standard output: [prompts][tokens][vocab] float32. With +check every operator is held
 * against its definition on the way, and what was checked is told on standard error, in JSON. Keys
 * and values are kept in fp32, with +bf16 or +q8 in these. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/engine/check.h"
#include "bench/engine/engine.h"
#include "kernels/kernels.h"
#include "model/model.h"

enum { PROMPTS = 8, TOKENS = 512 };

typedef struct prompt {
  uint32_t token[TOKENS];
  size_t count, fed;
  float *logits; /* [count][vocab] */
} prompt;

/* Of one call: where the logits of each of its tokens go. */
typedef struct step {
  uint32_t token[PROMPTS * TOKENS], position[PROMPTS * TOKENS], sequence[PROMPTS * TOKENS];
  bool want[PROMPTS * TOKENS];
  size_t count;
} step;

static zh_status read_prompt(prompt *out, const char *list, zh_error *err) {
  for (const char *p = list; *p; ++p) {
    char *end;
    if (out->count == TOKENS) return zh_fail(err, ZH_ERR_ARG, "more than %d tokens", TOKENS);
    out->token[out->count++] = (uint32_t)strtoul(p, &end, 10);
    if (*end == '\0') return ZH_OK;
    p = end;
  }
  return ZH_OK;
}

static void take_tokens(step *s, const prompt *prompts, size_t count, size_t each) {
  s->count = 0;
  for (size_t i = 0; i < count; ++i) {
    const prompt *p = &prompts[i];
    size_t left = p->count - p->fed, taken = each == 0 || left < each ? left : each;
    for (size_t k = 0; k < taken; ++k, ++s->count) {
      s->token[s->count] = p->token[p->fed + k];
      s->position[s->count] = (uint32_t)(p->fed + k);
      s->sequence[s->count] = (uint32_t)i;
      s->want[s->count] = true;
    }
  }
}

static zh_status feed(zh_engine *engine, prompt *prompts, const step *s, float *logits,
                      zh_error *err) {
  size_t vocab = zh_engine_architecture(engine)->vocab;
  ZH_TRY(zh_engine_forward(engine, s->token, s->position, s->sequence, s->count, s->want, logits,
                           err));
  for (size_t i = 0; i < s->count; ++i) {
    prompt *p = &prompts[s->sequence[i]];
    memcpy(p->logits + p->fed * vocab, logits + i * vocab, vocab * sizeof *logits);
    ++p->fed;
  }
  return ZH_OK;
}

static zh_status compute(zh_engine *engine, prompt *prompts, size_t count, size_t each,
                         zh_error *err) {
  static step s;
  size_t vocab = zh_engine_architecture(engine)->vocab, all = 0;
  for (size_t i = 0; i < count; ++i) all += prompts[i].count;
  float *held = malloc(2 * all * vocab * sizeof *held);
  if (!held) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the logits");
  float *logits = held + all * vocab;
  for (size_t i = 0, row = 0; i < count; row += prompts[i++].count)
    prompts[i].logits = held + row * vocab;
  zh_status status = ZH_OK;
  for (take_tokens(&s, prompts, count, each); s.count > 0 && status == ZH_OK;
       take_tokens(&s, prompts, count, each))
    status = feed(engine, prompts, &s, logits, err);
  if (status == ZH_OK && fwrite(held, vocab * sizeof *held, all, stdout) != all)
    status = zh_fail(err, ZH_ERR_IO, "the logits cannot be written");
  free(held);
  return status;
}

static zh_status compute_checked(zh_engine *engine, prompt *prompts, size_t count, size_t each,
                                 zh_error *err) {
  zh_check *check = NULL;
  json_t *found = json_array();
  ZH_TRY(zh_check_create(&check, engine, 7, err));
  zh_status status = zh_check_attach(check, err);
  if (status == ZH_OK) status = compute(engine, prompts, count, each, err);
  if (status == ZH_OK) status = zh_check_report(check, found, err);
  if (status == ZH_OK) json_dumpf(found, stderr, 0);
  json_decref(found);
  zh_check_detach(check);
  zh_check_free(check);
  return status;
}

static zh_kv_type kv_asked(const char *words) {
  return strstr(words, "+bf16") ? ZH_KV_BF16 : strstr(words, "+q8") ? ZH_KV_Q8 : ZH_KV_F32;
}

static zh_status run(char **argv, int argc, zh_error *err) {
  static prompt prompts[PROMPTS];
  size_t count = 0;
  zh_model *model = NULL;
  zh_threads *threads = NULL;
  zh_engine *engine = NULL;
  for (int i = 6; i < argc && count < PROMPTS; ++i)
    ZH_TRY(read_prompt(&prompts[count++], argv[i], err));
  ZH_TRY(zh_model_open(&model, argv[1], err));
  bool checked = strstr(argv[2], "+check") != NULL;
  zh_engine_options options = {.precision = strncmp(argv[2], "exact", 5) == 0 ? ZH_PRECISION_EXACT
                                                                              : ZH_PRECISION_FAST,
                               .sequences = (uint32_t)count,
                               .context = (uint32_t)atoi(argv[4]),
                               .kv = kv_asked(argv[2])};
  zh_status status = zh_threads_create_crowded(&threads, atoi(argv[5]), err);
  if (status == ZH_OK) status = zh_engine_create(&engine, model, threads, &options, err);
  if (status == ZH_OK)
    status =
        (checked ? compute_checked : compute)(engine, prompts, count, (size_t)atoi(argv[3]), err);
  zh_engine_free(engine);
  zh_threads_free(threads);
  zh_model_free(model);
  return status;
}

int main(int argc, char **argv) {
  zh_error err = ZH_ERROR_INIT;
  if (argc < 7) return 2;
  zh_status status = run(argv, argc, &err);
  if (status != ZH_OK) fprintf(stderr, "families_tool: %s\n", err.message);
  return status == ZH_OK ? 0 : zh_status_exit_code(status);
}
