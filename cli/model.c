/* zhiheng model tokenize|logits|generate|perplexity|convert MODEL: the engine by hand. */
#include <argp.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bench/device_word.h"
#include "cli/cli.h"
#include "cli/model_session.h"
#include "core/progress.h"
#include "core/text.h"

static const struct argp_option options[] = {
    {"text", ZH_KEY_TEXT, "TEXT", 0, "text to turn into tokens", 0},
    {"ids", ZH_KEY_IDS, "IDS", 0, "token ids to turn back into text", 0},
    {"tokens", ZH_KEY_TOKENS, "IDS", 0, "token ids, like 1,2,3", 0},
    {"prompt", ZH_KEY_PROMPT, "TEXT", 0, "text instead of token ids", 0},
    {"file", ZH_KEY_FILE, "FILE", 0, "UTF-8 text file", 0},
    {"all", ZH_KEY_ALL, NULL, 0, "logits of every position, not only the last", 0},
    {"max-new", ZH_KEY_MAX_NEW, "N", 0, "tokens to generate (32)", 0},
    {"stop", ZH_KEY_STOP, NULL, 0, "stop after the model's end-of-text token", 0},
    {"temperature", ZH_KEY_TEMPERATURE, "T", 0,
     "draw at this temperature; 0, the default: the likeliest", 0},
    {"top-k", ZH_KEY_TOP_K, "N", 0, "draw from the N likeliest alone (all)", 0},
    {"top-p", ZH_KEY_TOP_P, "P", 0,
     "draw from the likeliest that have this share of the probability together (1: all)", 0},
    {"min-p", ZH_KEY_MIN_P, "P", 0,
     "draw from tokens of at least this part of the likeliest one's probability (0: all)", 0},
    {"seed", ZH_KEY_SEED, "N", 0, "seed of the draws (0)", 0},
    {"context", ZH_KEY_CONTEXT, "N", 0, "positions held; for perplexity the window (512)", 0},
    {"precision", ZH_KEY_PRECISION, "WORD", 0,
     "exact (the default): reference kernels; fast: the timed path", 0},
    {"kv", ZH_KEY_KV, "WORD", 0,
     "how --precision fast keeps keys and values: bf16 (the default), f32, q8 (on CPUs) or e4m3 "
     "(on "
     "GPUs)",
     0},
    {"threads", ZH_KEY_THREADS, "N", 0, "threads (one for each core that this process may use)", 0},
    {"out", ZH_KEY_OUT, "PATH", 0,
     "where convert writes: a file with .gguf at its end, or a folder for safetensors; of a "
     "standard model NAME.gguf unless given",
     0},
    {"packed-cache", ZH_KEY_CACHE, "DIR", 0,
     "with --precision fast: folder where rearranged weights are kept between starts", 0},
    {"way", ZH_KEY_WAY, "WORD", 0,
     "with --precision fast: many (the default) or few, how the perplexity's products are computed",
     0},
    {"type", ZH_KEY_TYPE, "WORD", 0,
     "what convert makes of matrices: f32, f16, bf16, and in GGUF q8_0, q4_0, q4_1, q5_0, q5_1 or "
     "q4_k; mxfp4 keeps what is MXFP4 and makes bf16 of the rest; as they are unless given",
     0},
    {"chat", ZH_KEY_CHAT, "FILE", 0,
     "conversation in JSON, written by the model's chat template; - for standard input", 0},
    {"message", ZH_KEY_MESSAGE, "TEXT", 0, "conversation of one message of the user", 0},
    {"device", ZH_KEY_DEVICE, "WORD", 0,
     "where it is computed: " ZH_DEVICE_WORD_HELP " (default: cpu); on a GPU --precision is fast",
     0},
    {"dry-run", ZH_KEY_DRY_RUN, NULL, 0, "convert: say what would be written, and write nothing",
     0},
    {"json", 'j', NULL, 0, "one JSON document on standard output", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state) {
  zh_session_arguments *given = state->input;
  if (key > 0 && key < ZH_KEY_COUNT) {
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
    } else if (strcmp(given->action, "convert") == 0 && !given->value[ZH_KEY_OUT]) {
      given->value[ZH_KEY_OUT] = arg;
    } else {
      argp_error(state, "one model at a time, but got '%s' as well", arg);
    }
    return 0;
  case ARGP_KEY_END:
    if (!given->action)
      argp_error(state, "say what to do: tokenize, logits, generate, perplexity or convert");
    if (!given->model)
      argp_error(
          state,
          "name a model: a GGUF file, a safetensors folder, or a standard model such as zh-0.1b");
    return 0;
  default:
    return ARGP_ERR_UNKNOWN;
  }
}

static const struct argp parser = {
    .options = options,
    .parser = parse,
    .args_doc = "tokenize|logits|generate|perplexity MODEL\nconvert MODEL PATH",
    .doc =
        "Runs a model by hand, in fp32 with the reference kernels unless --precision fast asks for "
        "those that are timed.\v"
        "Examples:\n"
        "  zhiheng model tokenize model.gguf --text '你好'\n"
        "  zhiheng model logits model.gguf --tokens 1,2,3 --json\n"
        "  zhiheng model generate model.gguf --prompt 'Computers are' --max-new 32\n"
        "  zhiheng model generate model.gguf --message 'Who are you?' --stop\n"
        "  zhiheng model perplexity model.gguf --file text.txt --context 512\n"
        "  zhiheng model convert folder model.gguf --type q8_0\n"
        "  zhiheng model convert model.gguf folder --type bf16\n\n"
        "generate writes exactly --max-new tokens unless --stop is given. --top-k, --top-p and "
        "--min-p cut "
        "in this order what --temperature draws from; a seed draws the same on every machine from "
        "the "
        "same logits. --chat takes a list of "
        "messages, or an object with them as \"messages\" and with \"tools\" or whatever else the "
        "template knows; words such as <|im_end|> become special tokens wherever they stand, in "
        "messages, too. docs/metrics.md defines perplexity. convert goes between safetensors and "
        "GGUF, both ways, and to other types within them; norms and vectors become F32, the "
        "tokenizer comes along where the other format can say it (docs/formats.md)."};

typedef struct action {
  const char *name;
  zh_status (*run)(zh_session *s, zh_error *err);
  uint32_t takes; /* bit ZH_KEY_…: options that mean something to it */
} action;

#define BIT(key) (UINT32_C(1) << (key))
#define ENGINE_OPTIONS                                                                             \
  (BIT(ZH_KEY_CONTEXT) | BIT(ZH_KEY_PRECISION) | BIT(ZH_KEY_KV) | BIT(ZH_KEY_THREADS) |            \
   BIT(ZH_KEY_CACHE) | BIT(ZH_KEY_DEVICE))
#define CHAT_OPTIONS (BIT(ZH_KEY_CHAT) | BIT(ZH_KEY_MESSAGE))
static const action actions[] = {
    {"tokenize", zh_action_tokenize,
     BIT(ZH_KEY_TEXT) | BIT(ZH_KEY_FILE) | BIT(ZH_KEY_IDS) | CHAT_OPTIONS},
    {"logits", zh_action_logits,
     BIT(ZH_KEY_TOKENS) | BIT(ZH_KEY_PROMPT) | BIT(ZH_KEY_ALL) | CHAT_OPTIONS | ENGINE_OPTIONS},
    {"generate", zh_action_generate,
     BIT(ZH_KEY_TOKENS) | BIT(ZH_KEY_PROMPT) | BIT(ZH_KEY_MAX_NEW) | BIT(ZH_KEY_TEMPERATURE) |
         BIT(ZH_KEY_TOP_K) | BIT(ZH_KEY_TOP_P) | BIT(ZH_KEY_MIN_P) | BIT(ZH_KEY_SEED) |
         BIT(ZH_KEY_STOP) | CHAT_OPTIONS | ENGINE_OPTIONS},
    {"perplexity", zh_action_perplexity,
     BIT(ZH_KEY_FILE) | BIT(ZH_KEY_TOKENS) | BIT(ZH_KEY_WAY) | ENGINE_OPTIONS},
    {"convert", zh_action_convert,
     BIT(ZH_KEY_OUT) | BIT(ZH_KEY_TYPE) | BIT(ZH_KEY_THREADS) | BIT(ZH_KEY_DRY_RUN)},
};
enum { ACTIONS = sizeof actions / sizeof actions[0] };

static zh_status choose_action(const action **out, const zh_session_arguments *given,
                               zh_error *err) {
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
  for (int key = 1; key < ZH_KEY_COUNT; ++key) {
    if (!given->value[key] || ((*out)->takes & BIT(key))) continue;
    return zh_fail(err, ZH_ERR_USAGE, "model %s has no use for --%s", given->action,
                   options[key - 1].name);
  }
  return ZH_OK;
}

/* Many models have rows to spare, and some published tokenizers a token too many. */
static void note_vocabulary(const zh_session *s) {
  uint32_t tokens = s->tokenizer ? zh_tokenizer_vocab(s->tokenizer) : 0,
           rows = s->architecture.vocab;
  if (tokens > rows)
    zh_warn("%s: the tokenizer has %" PRIu32 " tokens, the embedding %" PRIu32
            " rows: tokens from id %" PRIu32 " on cannot be computed",
            zh_model_path(s->model), tokens, rows, rows);
  if (tokens > 0 && tokens < rows)
    zh_warn("%s: the tokenizer has %" PRIu32 " tokens, the embedding %" PRIu32
            " rows: no text leads to ids from %" PRIu32 " on",
            zh_model_path(s->model), tokens, rows, tokens);
}

static zh_status run_action(zh_session *s, zh_error *err) {
  const action *chosen = NULL;
  ZH_TRY(choose_action(&chosen, s->given, err));
  ZH_TRY(zh_model_open(&s->model, s->given->model, err));
  if (chosen->run == zh_action_convert)
    return chosen->run(s, err); /* models that do not run, too */
  ZH_TRY(zh_model_architecture(&s->architecture, s->model, err));
  ZH_TRY(zh_model_tokenizer(&s->tokenizer, s->model, err));
  note_vocabulary(s);
  return chosen->run(s, err);
}

static int run(int argc, char **argv) {
  zh_session_arguments given = {0};
  zh_error err = ZH_ERROR_INIT;
  zh_cli_parse(&parser, argc, argv, &given);
  zh_session s = {.given = &given};
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
