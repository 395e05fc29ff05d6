/* wikitext: pages as running text, and perplexities by the words and bytes of the page as it is. */
#include <string.h>

#include "bench/quality/functions.h"
#include "bench/quality/python_values.h"

/* Typed text out of text cut into tokens. */
static const zh_rewrite steps[] = {{"s '", "s'", false},
                                   {"/' [0-9]/", "/'[0-9]/", true},
                                   {" @-@ ", "-", false},
                                   {" @,@ ", ",", false},
                                   {" @.@ ", ".", false},
                                   {" : ", ": ", false},
                                   {" ; ", "; ", false},
                                   {" . ", ". ", false},
                                   {" ! ", "! ", false},
                                   {" ? ", "? ", false},
                                   {" , ", ", ", false},
                                   {"\\(\\s*([^\\)]*?)\\s*\\)", "(\\1)", true},
                                   {"\\[\\s*([^\\]]*?)\\s*\\]", "[\\1]", true},
                                   {"\\{\\s*([^}]*?)\\s*\\}", "{\\1}", true},
                                   {"\"\\s*([^\"]*?)\\s*\"", "\"\\1\"", true},
                                   {"'\\s*([^']*?)\\s*'", "'\\1'", true},
                                   {"= = = =", "====", false},
                                   {"= = =", "===", false},
                                   {"= =", "==", false},
                                   {" ° ", "°", false},
                                   {" \n", "\n", false},
                                   {"\n ", "\n", false},
                                   {" N ", " 1 ", false},
                                   {" 's", "'s", false}};

static zh_status detokenize(json_t **out, const zh_function_call *call, const json_t *doc,
                            zh_error *err) {
  const char *page;
  zh_text text = {0};
  (void)call;
  ZH_TRY(zh_function_text(&page, doc, "page", err));
  zh_text_puts(&text, page);
  zh_status status = zh_rewrite_text(&text, steps, sizeof steps / sizeof steps[0], err);
  *out = zh_rewritten(&text);
  if (status == ZH_OK && !*out) status = zh_fail(err, ZH_ERR_MEMORY, "out of memory (page)");
  if (status == ZH_OK) return ZH_OK;
  json_decref(*out);
  *out = NULL;
  return status;
}

static zh_status score(json_t **out, const zh_function_call *call, const json_t *doc,
                       const json_t *results, zh_error *err) {
  const char *page;
  double logprob = json_number_value(json_array_get(results, 0));
  (void)call;
  ZH_TRY(zh_function_text(&page, doc, "page", err));
  json_int_t bytes = (json_int_t)strlen(page),
             words = (json_int_t)zh_python_pieces(page, strlen(page));
  *out = json_pack("{s:[f, I], s:[f, I], s:[f, I]}", "word_perplexity", logprob, words,
                   "byte_perplexity", logprob, bytes, "bits_per_byte", logprob, bytes);
  return *out ? ZH_OK : zh_fail(err, ZH_ERR_MEMORY, "out of memory (scores)");
}

static const zh_function functions[] = {
    {.name = "wikitext_detokenizer", .kind = ZH_FUNCTION_FIELD, .body.field = detokenize},
    {.name = "process_results", .kind = ZH_FUNCTION_RESULTS, .body.results = score}};
static const char *const datasets[] = {"EleutherAI/wikitext_document_level", NULL};
static const char *const digests[] = {
    "a44020374b172159bf5be80a64d2c4194c9d5c77284f696ac666361338c8da7d", NULL};

const zh_function_family zh_functions_wikitext = {.name = "wikitext",
                                                  .module = "preprocess_wikitext",
                                                  .datasets = datasets,
                                                  .digests = digests,
                                                  .source = "lm-evaluation-harness 0.4.13",
                                                  .functions = functions,
                                                  .count = sizeof functions / sizeof functions[0]};
