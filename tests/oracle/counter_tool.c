/* counter_tool MODEL THREADS ROUNDS TOKENS: reads a prompt of so many tokens once a round and
 * prints where the time of the fastest went, in seconds. counter_tool MODEL THREADS ROUNDS 0 DEPTH:
 * decodes one token after another behind so many, keys and values in bf16, and prints where the
 * time of the fastest went and how many bytes a step reads. counter_tool MODEL THREADS ROUNDS:
 * decodes in turn with every step counted by stages and with none, and prints what a step took in
 * both, how many marks a thread makes in one, what share counting costs where one step of
 * ZH_COUNTED_EVERY is counted (by the fastest steps), and where the time of the fastest step went,
 * in seconds. */
#include <stdio.h>
#include <stdlib.h>

#include "bench/engine/inside.h"
#include "core/clock.h"
#include "core/statistics.h"

enum { PROMPT = 32, CHUNK = 512, STEPS = 16, ROUNDS_MAX = 10000, TOKENS_MAX = 1 << 16 };

typedef struct bed {
  zh_model *model;
  zh_threads *threads;
  zh_engine *engine;
  float *logits;
  double *steps[2]; /* seconds, off and on: [rounds * STEPS] */
  zh_times fastest;
  uint32_t depth; /* positions before the first step */
  bool behind;    /* that was asked for */
} bed;

static zh_status feed(bed *b, uint32_t first, uint32_t count, zh_error *err) {
  uint32_t token[CHUNK], position[CHUNK], sequence[CHUNK] = {0},
                                          vocab = zh_engine_architecture(b->engine)->vocab;
  for (uint32_t at = 0, now; at < count; at += now) {
    now = count - at < CHUNK ? count - at : CHUNK;
    for (uint32_t i = 0; i < now; ++i) position[i] = first + at + i, token[i] = position[i] % vocab;
    ZH_TRY(zh_engine_forward(b->engine, token, position, sequence, now, NULL, b->logits, err));
  }
  return ZH_OK;
}

static zh_status decode(bed *b, double *seconds, zh_error *err) {
  zh_engine_truncate(b->engine, 0, b->depth);
  for (uint32_t i = 0; i < STEPS; ++i) {
    zh_engine_restart_count(b->engine);
    int64_t begin = zh_now_ns();
    ZH_TRY(feed(b, b->depth + i, 1, err));
    seconds[i] = (double)(zh_now_ns() - begin) * 1e-9;
    zh_times times = zh_engine_times(b->engine);
    if (times.total > 0 && times.total < b->fastest.total) b->fastest = times;
  }
  return ZH_OK;
}

static void print_stages(const zh_times *times) {
  printf("\"stages\":{");
  for (int stage = 0; stage < ZH_STAGES; ++stage)
    printf("\"%s\":%.4g,", zh_stage_names[stage], times->seconds[stage]);
  printf("\"total\":%.6g},", times->total);
}

static zh_status measure(bed *b, size_t rounds, zh_error *err) {
  double marks = 0;
  ZH_TRY(feed(b, 0, b->depth, err));
  ZH_TRY(decode(b, b->steps[0], err)); /* warm-up */
  for (size_t i = 0; i < rounds; ++i) {
    for (size_t k = 0; k < 2; ++k) {
      int on = (int)((i + k) % 2); /* each is first as often */
      ZH_TRY(zh_engine_count(b->engine, on, err));
      b->engine->counted_every = 1;
      ZH_TRY(decode(b, b->steps[on] + i * STEPS, err));
      if (on) marks = (double)b->engine->spent[0].marks; /* of the last step */
    }
  }
  for (int on = 0; on < 2; ++on) zh_sort_doubles(b->steps[on], rounds * STEPS);
  double off = b->steps[0][0], on = b->steps[1][0];
  printf("{");
  print_stages(&b->fastest);
  printf("\"off\":{\"fastest_s\":%.9g,\"median_s\":%.9g},"
         "\"on\":{\"fastest_s\":%.9g,\"median_s\":%.9g},\"marks\":%g,\"share\":%.6f}\n",
         off, zh_percentile(b->steps[0], rounds * STEPS, 0.5), on,
         zh_percentile(b->steps[1], rounds * STEPS, 0.5), marks, (on / off - 1) / ZH_COUNTED_EVERY);
  return ZH_OK;
}

static zh_status decode_behind(bed *b, size_t rounds, zh_error *err) {
  ZH_TRY(feed(b, 0, b->depth, err));
  ZH_TRY(zh_engine_count(b->engine, true, err));
  b->engine->counted_every = 1;
  for (size_t i = 0; i < rounds; ++i) ZH_TRY(decode(b, b->steps[0] + i * STEPS, err));
  zh_sort_doubles(b->steps[0], rounds * STEPS);
  zh_engine_cost cost = zh_engine_cost_of(b->engine);
  double positions = zh_engine_seen(b->engine, b->depth, STEPS);
  printf("{");
  print_stages(&b->fastest);
  printf("\"fastest_s\":%.9g,\"median_s\":%.9g,\"weight_bytes\":%.9g,\"kv_bytes\":%.9g}\n",
         b->steps[0][0], zh_percentile(b->steps[0], rounds * STEPS, 0.5), (double)cost.weight_bytes,
         (double)cost.kv_bytes_per_position * positions);
  return ZH_OK;
}

static zh_status read_prompts(bed *b, size_t rounds, uint32_t tokens, zh_error *err) {
  uint32_t *token = calloc(3 * (size_t)tokens, sizeof *token), *position = token + tokens;
  if (!token) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory");
  for (uint32_t i = 0; i < tokens; ++i) token[i] = position[i] = i;
  zh_status status = zh_engine_count(b->engine, true, err);
  for (size_t i = 0; status == ZH_OK && i <= rounds; ++i) {
    zh_engine_truncate(b->engine, 0, 0);
    zh_engine_restart_count(b->engine);
    status = zh_engine_forward(b->engine, token, position, position + tokens, tokens, NULL,
                               b->logits, err);
    zh_times times = zh_engine_times(b->engine);
    if (i > 0 && times.total < b->fastest.total) b->fastest = times; /* the first warms up */
  }
  free(token);
  if (status != ZH_OK) return status;
  printf("{");
  print_stages(&b->fastest);
  printf("\"tokens\":%u,\"rate\":%.6g}\n", tokens, tokens / b->fastest.total);
  return ZH_OK;
}

static zh_status open_bed(bed *b, char **argv, size_t rounds, uint32_t tokens, zh_error *err) {
  zh_engine_options options = {.precision = ZH_PRECISION_FAST,
                               .sequences = 1,
                               .context = tokens ? tokens : b->depth + STEPS,
                               .kv = b->behind || tokens ? ZH_KV_BF16 : ZH_KV_F32};
  ZH_TRY(zh_model_open(&b->model, argv[1], err));
  ZH_TRY(zh_threads_create(&b->threads, atoi(argv[2]), NULL, err));
  ZH_TRY(zh_engine_create(&b->engine, b->model, b->threads, &options, err));
  b->logits = malloc(zh_engine_architecture(b->engine)->vocab * sizeof *b->logits);
  for (int on = 0; on < 2; ++on) b->steps[on] = calloc(rounds * STEPS, sizeof *b->steps[on]);
  if (b->logits && b->steps[0] && b->steps[1]) return ZH_OK;
  return zh_fail(err, ZH_ERR_MEMORY, "not enough memory");
}

int main(int argc, char **argv) {
  zh_error err = ZH_ERROR_INIT;
  int rounds = argc >= 4 ? atoi(argv[3]) : 0, tokens = argc >= 5 ? atoi(argv[4]) : 0,
      depth = argc == 6 ? atoi(argv[5]) : PROMPT;
  if (argc > 6 || rounds < 1 || rounds > ROUNDS_MAX || tokens < 0 || tokens > TOKENS_MAX ||
      depth < 1 || depth > TOKENS_MAX)
    return 2;
  bed b = {.fastest = {.total = 1e9}, .depth = (uint32_t)depth, .behind = argc == 6};
  zh_status status = open_bed(&b, argv, (size_t)rounds, (uint32_t)tokens, &err);
  if (status == ZH_OK && tokens > 0)
    status = read_prompts(&b, (size_t)rounds, (uint32_t)tokens, &err);
  else if (status == ZH_OK && b.behind)
    status = decode_behind(&b, (size_t)rounds, &err);
  else if (status == ZH_OK)
    status = measure(&b, (size_t)rounds, &err);
  if (status != ZH_OK) fprintf(stderr, "counter_tool: %s\n", err.message);
  free(b.logits);
  free(b.steps[0]);
  free(b.steps[1]);
  zh_engine_free(b.engine);
  zh_threads_free(b.threads);
  zh_model_free(b.model);
  return zh_status_exit_code(status);
}
