/* zhiheng model tokenize|logits|generate|perplexity|convert MODEL: the engine by hand. */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/engine/engine.h"
#include "bench/engine/perplexity.h"
#include "bench/engine/sampling.h"
#include "cli/cli.h"
#include "core/files.h"
#include "core/progress.h"
#include "core/text.h"
#include "kernels/kernels.h"
#include "model/model.h"

enum { SHOWN_LOGITS = 16, TOP = 5, CHUNK = 64, CPUS = 1024, WINDOW = 512, TEXT_BYTES = 64 << 20 };

enum {
  KEY_TEXT = 1,
  KEY_IDS,
  KEY_TOKENS,
  KEY_PROMPT,
  KEY_FILE,
  KEY_ALL,
  KEY_MAX_NEW,
  KEY_TEMPERATURE,
  KEY_SEED,
  KEY_STOP,
  KEY_CONTEXT,
  KEY_PRECISION,
  KEY_KV,
  KEY_THREADS,
  KEY_OUT,
  KEY_CACHE,
  KEY_WAY,
  KEY_COUNT
};

typedef struct arguments {
  const char *action, *model;
  const char *value[KEY_COUNT]; /* as given; NULL: not given */
  bool json;
} arguments;

/* What a command works with; `tokens` are its input. */
typedef struct session {
  const arguments *given;
  zh_model *model;
  const zh_tokenizer *tokenizer; /* NULL: tokens are numbers */
  zh_architecture architecture;
  zh_threads *threads;
  zh_engine *engine;
  uint32_t *tokens;
  size_t count;
  json_t *document; /* the result for --json */
} session;

static const struct argp_option options[] = {
    {"text", KEY_TEXT, "TEXT", 0, "text to turn into tokens", 0},
    {"ids", KEY_IDS, "IDS", 0, "token ids to turn back into text", 0},
    {"tokens", KEY_TOKENS, "IDS", 0, "token ids, like 1,2,3", 0},
    {"prompt", KEY_PROMPT, "TEXT", 0, "text instead of token ids", 0},
    {"file", KEY_FILE, "FILE", 0, "UTF-8 text file", 0},
    {"all", KEY_ALL, NULL, 0, "logits of every position, not only the last", 0},
    {"max-new", KEY_MAX_NEW, "N", 0, "tokens to generate (32)", 0},
    {"stop", KEY_STOP, NULL, 0, "stop after the model's end-of-text token", 0},
    {"temperature", KEY_TEMPERATURE, "T", 0,
     "draw at this temperature; 0, the default: the likeliest", 0},
    {"seed", KEY_SEED, "N", 0, "seed of the draws (0)", 0},
    {"context", KEY_CONTEXT, "N", 0, "positions held; for perplexity the window (512)", 0},
    {"precision", KEY_PRECISION, "WORD", 0,
     "exact (the default): reference kernels; fast: the timed path", 0},
    {"kv", KEY_KV, "WORD", 0,
     "how --precision fast keeps keys and values: bf16 (the default), f32 or q8", 0},
    {"threads", KEY_THREADS, "N", 0, "threads (one for each core that this process may use)", 0},
    {"out", KEY_OUT, "FILE", 0, "GGUF file to write; NAME.gguf unless given", 0},
    {"packed-cache", KEY_CACHE, "DIR", 0,
     "with --precision fast: folder where rearranged weights are kept between starts", 0},
    {"way", KEY_WAY, "WORD", 0,
     "with --precision fast: many (the default) or few, how the perplexity's products are computed",
     0},
    {"json", 'j', NULL, 0, "one JSON document on standard output", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
  arguments *given = state->input;
  if (key > 0 && key < KEY_COUNT) {
    given->value[key] = arg ? arg : "";
    return 0;
  }
  switch (key) {
  case 'j':
    given->json = true;
    return 0;
  case ARGP_KEY_ARG:
    if (!given->action) {
      given->action = arg;
    } else if (!given->model) {
      given->model = arg;
    } else {
      argp_error(state, "one model at a time, but got '%s' as well", arg);
    }
    return 0;
  case ARGP_KEY_END:
    if (!given->action)
      argp_error(state, "say what to do: tokenize, logits, generate, perplexity or convert");
    if (!given->model)
      argp_error(state, "name a model: a GGUF file or a standard model such as zh-0.1b");
    return 0;
  default:
    return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp parser = {
    .options = options,
    .parser = parse,
    .args_doc = "tokenize|logits|generate|perplexity|convert MODEL",
    .doc =
        "Runs a model by hand, in fp32 with the reference kernels unless --precision fast asks for "
        "those that are timed.\v"
        "Examples:\n"
        "  zhiheng model tokenize model.gguf --text '你好'\n"
        "  zhiheng model logits model.gguf --tokens 1,2,3 --json\n"
        "  zhiheng model generate model.gguf --prompt 'Computers are' --max-new 32\n"
        "  zhiheng model perplexity model.gguf --file text.txt --context 512\n"
        "  zhiheng model convert zh-1b --out zh-1b.gguf\n\n"
        "generate writes exactly --max-new tokens unless --stop is given. docs/metrics.md defines "
        "perplexity. convert writes a standard model as a GGUF file, for other programs."};

/* --- values of options --- */

static zh_status whole_number(uint64_t *out, const arguments *given, int key, const char *name,
                              uint64_t fallback, uint64_t min, uint64_t max, zh_error *err) {
  const char *text = given->value[key];
  *out = fallback;
  if (!text) return ZH_OK;
  if (zh_cli_is_whole(out, text, min, max)) return ZH_OK;
  return zh_fail(err, ZH_ERR_USAGE, "--%s %s: expected a whole number from %" PRIu64 " to %" PRIu64,
                 name, text, min, max);
}

static zh_status temperature_of(double *out, const arguments *given, zh_error *err) {
  const char *text = given->value[KEY_TEMPERATURE];
  *out = 0;
  if (!text) return ZH_OK;
  char *end = NULL;
  *out = strtod(text, &end);
  if (end != text && *end == '\0' && isfinite(*out) && *out >= 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_USAGE, "--temperature %s: expected a number of 0 or more", text);
}

static zh_status precision_of(zh_precision *out, const arguments *given, zh_error *err) {
  const char *word = given->value[KEY_PRECISION];
  *out = word && strcmp(word, "fast") == 0 ? ZH_PRECISION_FAST : ZH_PRECISION_EXACT;
  if (!word || *out == ZH_PRECISION_FAST || strcmp(word, "exact") == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_USAGE, "--precision %s: expected exact or fast", word);
}

static zh_status way_of(zh_way *out, const arguments *given, zh_error *err) {
  const char *word = given->value[KEY_WAY];
  *out = word && strcmp(word, "few") == 0 ? ZH_FEW : ZH_MANY;
  if (!word || *out == ZH_FEW || strcmp(word, "many") == 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_USAGE, "--way %s: expected few or many", word);
}

static zh_status kv_of(zh_kv_type *out, const arguments *given, zh_error *err) {
  const char *word = given->value[KEY_KV];
  *out = ZH_KV_BF16;
  if (!word || zh_kv_find(out, word)) return ZH_OK;
  return zh_fail(err, ZH_ERR_USAGE, "--kv %s: expected bf16, f32 or q8", word);
}

/* "1,2,3"; every id must be in the vocabulary. */
static zh_status parse_ids(session *s, const char *name, const char *list, zh_error *err) {
  const char *p = list;
  s->tokens = malloc((strlen(list) / 2 + 1) * sizeof *s->tokens);
  if (!s->tokens) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the token ids");
  for (;; ++p) {
    char *end = NULL;
    errno = 0;
    unsigned long long id = strtoull(p, &end, 10);
    if (*p < '0' || *p > '9' || (*end != ',' && *end != '\0') || errno != 0) {
      return zh_fail(err, ZH_ERR_USAGE,
                     "--%s: '%.24s' is not a token id; expected numbers between commas, like 1,2,3",
                     name, p);
    }
    if (id >= s->architecture.vocab) {
      return zh_fail(err, ZH_ERR_ARG,
                     "--%s: %llu is outside the vocabulary of %s, which has %" PRIu32 " tokens",
                     name, id, zh_model_name(s->model), s->architecture.vocab);
    }
    s->tokens[s->count++] = (uint32_t)id;
    p = end;
    if (*p == '\0') return ZH_OK;
  }
}

static zh_status need_tokenizer(const session *s, const char *instead, zh_error *err) {
  if (s->tokenizer) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "%s has no tokenizer: its tokens are numbers%s",
                 zh_model_name(s->model), instead);
}

static zh_status tokenize_text(session *s, const char *text, size_t length, bool add_bos,
                               zh_error *err) {
  ZH_TRY(need_tokenizer(s, "; give them as --tokens 1,2,3", err));
  return zh_tokenize(&s->tokens, &s->count, s->tokenizer, text, length, add_bos, true, err);
}

static zh_status tokenize_file(session *s, const char *path, bool add_bos, zh_error *err) {
  char *text = NULL;
  size_t length = 0;
  ZH_TRY(zh_read_file(&text, &length, path, TEXT_BYTES, err));
  zh_status status = tokenize_text(s, text, length, add_bos, err);
  free(text);
  if (status != ZH_OK) zh_error_prefix(err, "%s", path);
  return status;
}

static bool asks_for_bos(const session *s) {
  return s->tokenizer && zh_tokenizer_special(s->tokenizer).add_bos;
}

/* --tokens or --prompt. */
static zh_status read_tokens(session *s, zh_error *err) {
  const char *ids = s->given->value[KEY_TOKENS], *prompt = s->given->value[KEY_PROMPT];
  if ((ids != NULL) == (prompt != NULL)) {
    return zh_fail(err, ZH_ERR_USAGE, "model %s needs either --tokens 1,2,3 or --prompt TEXT",
                   s->given->action);
  }
  if (ids) {
    ZH_TRY(parse_ids(s, "tokens", ids, err));
  } else {
    ZH_TRY(tokenize_text(s, prompt, strlen(prompt), asks_for_bos(s), err));
  }
  if (s->count > 0) return ZH_OK;
  return zh_fail(err, ZH_ERR_INPUT, "the prompt is empty: there is no token to compute");
}

/* --- engine --- */

static zh_status start_engine(session *s, size_t positions, uint32_t micro_batch, zh_error *err) {
  uint64_t count = 0, context = 0;
  int cpus[CPUS], found = zh_machine_allowed_cpus(cpus, CPUS);
  zh_engine_options chosen = {
      .sequences = 1, .micro_batch = micro_batch, .packed_cache = s->given->value[KEY_CACHE]};
  ZH_TRY(precision_of(&chosen.precision, s->given, err));
  ZH_TRY(kv_of(&chosen.kv, s->given, err));
  int cores = zh_machine_allowed_cores();
  ZH_TRY(whole_number(&count, s->given, KEY_THREADS, "threads", cores > 0 ? (uint64_t)cores : 1, 1,
                      CPUS, err));
  ZH_TRY(whole_number(&context, s->given, KEY_CONTEXT, "context", s->architecture.context, 1,
                      UINT32_MAX, err));
  if (positions > context) {
    return zh_fail(err, ZH_ERR_ARG, "%zu positions are needed, but the context holds %" PRIu64 "%s",
                   positions, context,
                   s->given->value[KEY_CONTEXT] ? " (--context)"
                                                : "; shorten the prompt or ask for fewer tokens");
  }
  if (context > s->architecture.context) {
    return zh_fail(err, ZH_ERR_ARG, "--context %" PRIu64 ": %s holds at most %" PRIu32 " positions",
                   context, zh_model_name(s->model), s->architecture.context);
  }
  chosen.context = (uint32_t)positions;
  ZH_TRY(zh_threads_create(&s->threads, (int)count, (int)count <= found ? cpus : NULL, err));
  return zh_engine_create(&s->engine, s->model, s->threads, &chosen, err);
}

/* Feeds tokens [first, first + count) at their places; logits of all of them, or of the last. */
static zh_status feed(session *s, const uint32_t *tokens, size_t first, size_t count, bool all,
                      float *logits, zh_error *err) {
  uint32_t *position = malloc(count * sizeof *position),
           *sequence = calloc(count, sizeof *sequence);
  bool *want = malloc(count * sizeof *want);
  zh_status status = position && sequence && want
                         ? ZH_OK
                         : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for %zu tokens", count);
  for (size_t i = 0; i < count && status == ZH_OK; ++i) {
    position[i] = (uint32_t)(first + i);
    want[i] = all || i + 1 == count;
  }
  if (status == ZH_OK)
    status = zh_engine_forward(s->engine, tokens, position, sequence, count, want, logits, err);
  free(position);
  free(sequence);
  free(want);
  return status;
}

/* --- results --- */

/* Generated bytes may end within a character; JSON holds characters only, so such bytes become
 * U+FFFD. */
static json_t *valid_text(const char *bytes, size_t length) {
  zh_text text = {0};
  while (length > 0) {
    size_t valid = zh_utf8_valid_prefix(bytes, length);
    zh_text_append(&text, bytes, valid);
    bytes += valid;
    length -= valid;
    if (length == 0) break;
    zh_text_puts(&text, "\xef\xbf\xbd");
    ++bytes;
    --length;
  }
  json_t *value = text.failed ? NULL : json_stringn(zh_text_string(&text), text.length);
  zh_text_free(&text);
  return value;
}

static json_t *id_list(const uint32_t *tokens, size_t count) {
  json_t *list = json_array();
  for (size_t i = 0; list && i < count; ++i) json_array_append_new(list, json_integer(tokens[i]));
  return list;
}

static void print_ids(const uint32_t *tokens, size_t count) {
  for (size_t i = 0; i < count; ++i) printf(i ? ",%" PRIu32 : "%" PRIu32, tokens[i]);
  putchar('\n');
}

/* --- tokenize --- */

static zh_status show_decoded(session *s, zh_error *err) {
  char *text = NULL;
  size_t length = 0;
  ZH_TRY(need_tokenizer(s, ", and no text stands behind them", err));
  ZH_TRY(parse_ids(s, "ids", s->given->value[KEY_IDS], err));
  ZH_TRY(zh_detokenize(&text, &length, s->tokenizer, s->tokens, s->count, err));
  if (s->given->json) {
    s->document = json_pack("{s:o, s:o}", "tokens", id_list(s->tokens, s->count), "text",
                            valid_text(text, length));
  } else {
    fwrite(text, 1, length, stdout);
    putchar('\n');
  }
  free(text);
  return ZH_OK;
}

static zh_status tokenize(session *s, zh_error *err) {
  const char *text = s->given->value[KEY_TEXT], *file = s->given->value[KEY_FILE],
             *ids = s->given->value[KEY_IDS];
  if ((text != NULL) + (file != NULL) + (ids != NULL) != 1)
    return zh_fail(err, ZH_ERR_USAGE,
                   "model tokenize needs one of --text TEXT, --file FILE or --ids 1,2,3");
  if (ids) return show_decoded(s, err);
  ZH_TRY(need_tokenizer(s, ", and text cannot become any", err));
  if (file) {
    ZH_TRY(tokenize_file(s, file, asks_for_bos(s), err));
  } else {
    ZH_TRY(tokenize_text(s, text, strlen(text), asks_for_bos(s), err));
  }
  if (s->given->json) {
    s->document = json_pack("{s:o}", "tokens", id_list(s->tokens, s->count));
  } else {
    print_ids(s->tokens, s->count);
  }
  return ZH_OK;
}

/* --- logits --- */

/* The TOP largest, ties by the lower id first. */
static size_t find_top(size_t top[TOP], const float *logits, size_t count) {
  size_t held = 0;
  for (size_t i = 0; i < count; ++i) {
    size_t at = held;
    while (at > 0 && logits[i] > logits[top[at - 1]]) --at;
    if (at >= TOP) continue;
    if (held < TOP) ++held;
    memmove(top + at + 1, top + at, (held - 1 - at) * sizeof *top);
    top[at] = i;
  }
  return held;
}

static zh_status show_position(session *s, json_t *positions, size_t position, const float *logits,
                               zh_error *err) {
  const zh_kernels *kernels = zh_kernels_reference();
  size_t vocab = s->architecture.vocab, best = kernels->argmax(logits, vocab), top[TOP];
  if (best >= vocab)
    return zh_fail(err, ZH_ERR_CHECK, "the logits at position %zu are not numbers", position);
  double logsumexp = kernels->logsumexp(logits, vocab);
  size_t held = find_top(top, logits, vocab);
  if (!s->given->json) {
    printf("position %zu  argmax %zu  log-sum-exp %.6f\n", position, best, logsumexp);
    for (size_t i = 0; i < held; ++i) {
      double logit = logits[top[i]];
      printf("  token %-8zu logit %12.6f  probability %.6f\n", top[i], logit,
             exp(logit - logsumexp));
    }
    return ZH_OK;
  }
  json_t *shown = json_array(), *pairs = json_array();
  for (size_t i = 0; i < SHOWN_LOGITS && i < vocab; ++i)
    json_array_append_new(shown, zh_json_number(logits[i]));
  for (size_t i = 0; i < held; ++i)
    json_array_append_new(pairs,
                          json_pack("[I, o]", (json_int_t)top[i], zh_json_number(logits[top[i]])));
  json_array_append_new(positions,
                        json_pack("{s:I, s:o, s:I, s:o, s:o}", "position", (json_int_t)position,
                                  "logits", shown, "argmax", (json_int_t)best, "logsumexp",
                                  zh_json_number(logsumexp), "top", pairs));
  return ZH_OK;
}

static zh_status logits(session *s, zh_error *err) {
  bool all = s->given->value[KEY_ALL] != NULL;
  ZH_TRY(read_tokens(s, err));
  ZH_TRY(start_engine(s, s->count, all ? CHUNK : 0, err));
  size_t step = all ? CHUNK : s->count, vocab = s->architecture.vocab;
  float *values = malloc((all ? CHUNK : 1) * vocab * sizeof *values);
  json_t *positions = json_array();
  zh_status status =
      values && positions ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the logits");
  for (size_t at = 0; at < s->count && status == ZH_OK; at += step) {
    size_t count = s->count - at < step ? s->count - at : step, rows = all ? count : 1;
    status = feed(s, s->tokens + at, at, count, all, values, err);
    for (size_t i = 0; i < rows && status == ZH_OK; ++i)
      status = show_position(s, positions, at + count - rows + i, values + i * vocab, err);
  }
  free(values);
  if (status == ZH_OK && s->given->json) {
    s->document = json_pack("{s:o}", "positions", positions);
  } else {
    json_decref(positions);
  }
  return status;
}

/* --- generate --- */

typedef struct drawing {
  double temperature;
  uint64_t seed, most;
  int64_t stop; /* end-of-text token; -1: never */
} drawing;

static zh_status read_drawing(drawing *out, const session *s, zh_error *err) {
  ZH_TRY(temperature_of(&out->temperature, s->given, err));
  ZH_TRY(whole_number(&out->seed, s->given, KEY_SEED, "seed", 0, 0, UINT64_MAX, err));
  ZH_TRY(whole_number(&out->most, s->given, KEY_MAX_NEW, "max-new", 32, 1, UINT32_MAX, err));
  out->stop =
      s->given->value[KEY_STOP] && s->tokenizer ? zh_tokenizer_special(s->tokenizer).eos : -1;
  return ZH_OK;
}

static zh_status draw_tokens(uint32_t *made, size_t *count, session *s, const drawing *how,
                             float *values, zh_error *err) {
  zh_status status = feed(s, s->tokens, 0, s->count, false, values, err);
  const zh_kernels *kernels = zh_kernels_reference();
  for (*count = 0; status == ZH_OK && *count < how->most;) {
    size_t next = zh_sample_token(kernels, values, s->architecture.vocab, how->temperature,
                                  how->seed, *count);
    if (next >= s->architecture.vocab)
      return zh_fail(err, ZH_ERR_CHECK, "the logits at position %zu are not numbers",
                     s->count + *count - 1);
    made[(*count)++] = (uint32_t)next;
    if (*count == how->most || (int64_t)next == how->stop) break;
    status = feed(s, &made[*count - 1], s->count + *count - 1, 1, false, values, err);
  }
  return status;
}

static zh_status show_generated(session *s, const uint32_t *made, size_t count, zh_error *err) {
  char *text = NULL;
  size_t length = 0;
  if (s->tokenizer) ZH_TRY(zh_detokenize(&text, &length, s->tokenizer, made, count, err));
  if (s->given->json) {
    s->document =
        json_pack("{s:o, s:o, s:o}", "prompt_tokens", id_list(s->tokens, s->count), "tokens",
                  id_list(made, count), "text", text ? valid_text(text, length) : json_null());
  } else if (text) {
    fwrite(text, 1, length, stdout);
    putchar('\n');
  } else {
    print_ids(made, count);
  }
  free(text);
  return ZH_OK;
}

static zh_status generate(session *s, zh_error *err) {
  drawing how;
  size_t count = 0;
  ZH_TRY(read_drawing(&how, s, err));
  ZH_TRY(read_tokens(s, err));
  ZH_TRY(start_engine(s, s->count + (size_t)how.most, 0, err));
  uint32_t *made = malloc((size_t)how.most * sizeof *made);
  float *values = malloc(s->architecture.vocab * sizeof *values);
  zh_status status =
      made && values ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "not enough memory for the tokens");
  if (status == ZH_OK) status = draw_tokens(made, &count, s, &how, values, err);
  if (status == ZH_OK) status = show_generated(s, made, count, err);
  free(made);
  free(values);
  return status;
}

/* --- perplexity --- */

/* For each predicted token -ln of its probability, and the token that was the likeliest. */
static json_t *perplexity_json(const zh_perplexity_result *result, const zh_prediction *said) {
  json_t *nll = json_array(), *likeliest = json_array();
  for (size_t i = 0; i < result->predicted; ++i) {
    json_array_append_new(nll, zh_json_number(said[i].logsumexp - (double)said[i].logit));
    json_array_append_new(likeliest, json_integer(said[i].likeliest));
  }
  return json_pack("{s:I, s:o, s:o, s:o, s:o}", "tokens", (json_int_t)result->predicted, "nll",
                   zh_json_number(result->nll), "perplexity", zh_json_number(result->perplexity),
                   "token_nll", nll, "likeliest", likeliest);
}

static zh_status perplexity(session *s, zh_error *err) {
  const char *file = s->given->value[KEY_FILE], *ids = s->given->value[KEY_TOKENS];
  uint64_t window = 0;
  if ((file != NULL) == (ids != NULL))
    return zh_fail(err, ZH_ERR_USAGE,
                   "model perplexity needs either --file FILE or --tokens 1,2,3");
  uint32_t usual = s->architecture.context < WINDOW ? s->architecture.context : WINDOW;
  ZH_TRY(whole_number(&window, s->given, KEY_CONTEXT, "context", usual, 2, UINT32_MAX, err));
  if (file) {
    ZH_TRY(tokenize_file(s, file, false, err));
  } else {
    ZH_TRY(parse_ids(s, "tokens", ids, err));
  }
  int64_t bos = asks_for_bos(s) ? zh_tokenizer_special(s->tokenizer).bos : -1;
  zh_way way;
  ZH_TRY(way_of(&way, s->given, err));
  ZH_TRY(start_engine(s, (size_t)window, CHUNK, err));
  zh_perplexity_result result;
  zh_prediction *said = calloc(s->count + 1, sizeof *said);
  if (!said) return zh_fail(err, ZH_ERR_MEMORY, "not enough memory for %zu tokens", s->count);
  zh_status status =
      zh_perplexity(&result, s->engine, s->tokens, s->count, bos, (uint32_t)window, way, said, err);
  if (status == ZH_OK && s->given->json) s->document = perplexity_json(&result, said);
  free(said);
  if (status == ZH_OK && !s->given->json) {
    printf("perplexity %.6f over %zu predicted tokens (%.6f nats each), windows of %" PRIu64 "\n",
           result.perplexity, result.predicted, result.nll, window);
  }
  return status;
}

/* --- convert --- */

static void show_written(void *user, uint64_t done, uint64_t all) {
  (void)user;
  zh_progress_detail("%.0f %%", 100 * (double)done / (double)all);
}

static zh_status convert(session *s, zh_error *err) {
  const char *given = s->given->value[KEY_OUT];
  char path[PATH_MAX];
  snprintf(path, sizeof path, given ? "%s" : "%s.gguf", given ? given : zh_model_name(s->model));
  zh_progress_step(1, 1, "writing %s", path);
  ZH_TRY(zh_model_write_gguf(path, s->model, show_written, NULL, err));
  zh_progress_done("written");
  if (s->given->json) {
    s->document = json_pack("{s:s, s:I}", "path", path, "bytes", (json_int_t)zh_file_bytes(path));
  } else {
    printf("%s\n", path);
  }
  return ZH_OK;
}

/* --- the command --- */

typedef struct action {
  const char *name;
  zh_status (*run)(session *s, zh_error *err);
  uint32_t takes; /* bit KEY_…: options that mean something to it */
} action;

#define BIT(key) (UINT32_C(1) << (key))
#define ENGINE_OPTIONS                                                                             \
  (BIT(KEY_CONTEXT) | BIT(KEY_PRECISION) | BIT(KEY_KV) | BIT(KEY_THREADS) | BIT(KEY_CACHE))
static const action actions[] = {
    {"tokenize", tokenize, BIT(KEY_TEXT) | BIT(KEY_FILE) | BIT(KEY_IDS)},
    {"logits", logits, BIT(KEY_TOKENS) | BIT(KEY_PROMPT) | BIT(KEY_ALL) | ENGINE_OPTIONS},
    {"generate", generate,
     BIT(KEY_TOKENS) | BIT(KEY_PROMPT) | BIT(KEY_MAX_NEW) | BIT(KEY_TEMPERATURE) | BIT(KEY_SEED) |
         BIT(KEY_STOP) | ENGINE_OPTIONS},
    {"perplexity", perplexity, BIT(KEY_FILE) | BIT(KEY_TOKENS) | BIT(KEY_WAY) | ENGINE_OPTIONS},
    {"convert", convert, BIT(KEY_OUT)},
};
enum { ACTIONS = sizeof actions / sizeof actions[0] };

static zh_status choose_action(const action **out, const arguments *given, zh_error *err) {
  const char *names[ACTIONS + 1] = {NULL};
  *out = NULL;
  for (size_t i = 0; i < ACTIONS; ++i) {
    names[i] = actions[i].name;
    if (strcmp(given->action, names[i]) == 0) *out = &actions[i];
  }
  if (!*out) {
    char guess[ZH_GUESS_BYTES];
    return zh_fail(err, ZH_ERR_USAGE,
                   "model %s: expected tokenize, logits, generate, perplexity or convert%s",
                   given->action, zh_did_you_mean(guess, given->action, names));
  }
  for (int key = 1; key < KEY_COUNT; ++key) {
    if (!given->value[key] || ((*out)->takes & BIT(key))) continue;
    return zh_fail(err, ZH_ERR_USAGE, "model %s has no use for --%s", given->action,
                   options[key - 1].name);
  }
  return ZH_OK;
}

static zh_status run_action(session *s, zh_error *err) {
  const action *chosen = NULL;
  ZH_TRY(choose_action(&chosen, s->given, err));
  ZH_TRY(zh_model_open(&s->model, s->given->model, err));
  ZH_TRY(zh_model_architecture(&s->architecture, s->model, err));
  ZH_TRY(zh_model_tokenizer(&s->tokenizer, s->model, err));
  return chosen->run(s, err);
}

static int run(int argc, char **argv) {
  arguments given = {0};
  zh_error err = ZH_ERROR_INIT;
  zh_cli_parse(&parser, argc, argv, &given);
  session s = {.given = &given};
  zh_status status = run_action(&s, &err);
  zh_engine_free(s.engine);
  zh_threads_free(s.threads);
  zh_model_free(s.model);
  free(s.tokens);
  if (status != ZH_OK) {
    json_decref(s.document);
    return zh_cli_fail(&err, given.json);
  }
  return given.json ? zh_cli_print_json(s.document) : zh_cli_flush();
}

const zh_command zh_command_model = {
    "model", "a model by hand: tokenize, logits, generate, perplexity, convert", run};
