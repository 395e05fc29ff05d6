/* BLEU: Papineni et al., ACL 2002, with the tokens of mteval-v13a and its smoothing; chrF: Popović,
 * WMT 2015; ROUGE-L: Lin, 2004. As PyPI's sacrebleu computes the first two. */
#include "bench/quality/text_scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/regex.h"
#include "core/text.h"

static zh_status no_memory(zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (scores of texts)");
}

/* A piece of text: a token, or several beside each other. */
typedef struct piece {
  const char *at;
  size_t length;
} piece;

typedef struct pieces {
  piece *at;
  size_t count;
} pieces;

static int by_bytes(const void *a, const void *b) {
  const piece *x = a, *y = b;
  size_t shorter = x->length < y->length ? x->length : y->length;
  int order = shorter > 0 ? memcmp(x->at, y->at, shorter) : 0;
  return order != 0 ? order : (x->length > y->length) - (x->length < y->length);
}

/* Tokens between single blanks. */
static zh_status cut_at_blanks(pieces *out, const char *text, size_t length, zh_error *err) {
  *out = (pieces){malloc((length / 2 + 1) * sizeof(piece)), 0};
  if (!out->at) return no_memory(err);
  for (size_t at = 0; at < length;) {
    size_t end = at;
    while (end < length && text[end] != ' ') end++;
    if (end > at) out->at[out->count++] = (piece){text + at, end - at};
    at = end + 1;
  }
  return ZH_OK;
}

/* Sorted n-grams: tokens stand beside each other in one text, so that a run of them is a piece. */
static zh_status grams_of(pieces *out, const pieces *tokens, size_t order, zh_error *err) {
  size_t count = tokens->count >= order ? tokens->count - order + 1 : 0;
  *out = (pieces){malloc((count + 1) * sizeof(piece)), count};
  if (!out->at) return no_memory(err);
  for (size_t i = 0; i < count; i++) {
    const piece *last = &tokens->at[i + order - 1];
    out->at[i].at = tokens->at[i].at;
    out->at[i].length = (size_t)(last->at + last->length - tokens->at[i].at);
  }
  qsort(out->at, count, sizeof *out->at, by_bytes);
  return ZH_OK;
}

/* Runs of equal pieces at *at; returns how many. */
static size_t run_at(const pieces *sorted, size_t at) {
  size_t count = 1;
  while (at + count < sorted->count && by_bytes(&sorted->at[at], &sorted->at[at + count]) == 0)
    count++;
  return count;
}

/* How often a piece stands in a sorted list. */
static size_t times_in(const pieces *sorted, const piece *wanted) {
  size_t low = 0, high = sorted->count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (by_bytes(&sorted->at[middle], wanted) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  if (low == sorted->count || by_bytes(&sorted->at[low], wanted) != 0) return 0;
  return run_at(sorted, low);
}

/* Pieces of `said` that one of the references has, each as often as the one that has it most. */
static double matches(const pieces *said, const pieces *references, size_t count) {
  double right = 0;
  for (size_t at = 0; at < said->count;) {
    size_t run = run_at(said, at), most = 0;
    for (size_t r = 0; r < count; r++) {
      size_t times = times_in(&references[r], &said->at[at]);
      most = times > most ? times : most;
    }
    right += (double)(run < most ? run : most);
    at += run;
  }
  return right;
}

/* ---- BLEU ---- */

/* text.split() joined by single blanks. */
static void squeeze(zh_text *out, const char *text, size_t length) {
  bool blank = false;
  for (size_t at = 0; at < length;) {
    uint32_t point = 0;
    int size = zh_utf8_decode(&point, text + at, length - at);
    if (size == 0) size = 1;
    bool space = (point >= 9 && point <= 13) || (point >= 28 && point <= 32) || point == 0x85 ||
                 point == 0xA0 || point == 0x1680 || (point >= 0x2000 && point <= 0x200A) ||
                 point == 0x2028 || point == 0x2029 || point == 0x202F || point == 0x205F ||
                 point == 0x3000;
    if (!space && blank && out->length > 0) zh_text_puts(out, " ");
    blank = space;
    if (!space) zh_text_append(out, text + at, (size_t)size);
    at += (size_t)size;
  }
}

static zh_status replaced(zh_text *text, const char *pattern, const char *by, zh_error *err) {
  zh_regex *regex;
  zh_text out = {0};
  ZH_TRY(zh_regex_compile(&regex, pattern, strlen(pattern), false, err));
  zh_status status = zh_regex_replace(&out, regex, zh_text_string(text), text->length, by, 0, err);
  zh_regex_free(regex);
  zh_text_free(text);
  *text = out;
  return status;
}

/* mteval-v13a, as its regular expressions stand in sacrebleu. */
static zh_status tokenize_13a(zh_text *out, const char *text, size_t length, zh_error *err) {
  static const char *const steps[][2] = {{"<skipped>", ""},
                                         {"-\n", ""},
                                         {"\n", " "},
                                         {"&quot;", "\""},
                                         {"&amp;", "&"},
                                         {"&lt;", "<"},
                                         {"&gt;", ">"},
                                         {"([\\{-\\~\\[-\\` -\\&\\(-\\+\\:-\\@\\/])", " \\1 "},
                                         {"([^0-9])([\\.,])", "\\1 \\2 "},
                                         {"([\\.,])([^0-9])", " \\1 \\2"},
                                         {"([0-9])(-)", "\\1 \\2 "}};
  zh_text line = {0};
  zh_status status = ZH_OK;
  /* Trailing blanks go first, as lines are stripped. */
  while (length > 0 && strchr(" \t\n\r\f\v", text[length - 1])) length--;
  zh_text_append(&line, text, length);
  for (size_t i = 0; status == ZH_OK && i < sizeof steps / sizeof steps[0]; i++) {
    if (i == 7) { /* from here on within blanks */
      zh_text padded = {0};
      zh_text_printf(&padded, " ");
      zh_text_append(&padded, zh_text_string(&line), line.length);
      zh_text_puts(&padded, " ");
      zh_text_free(&line);
      line = padded;
    }
    status = replaced(&line, steps[i][0], steps[i][1], err);
  }
  if (status == ZH_OK) squeeze(out, zh_text_string(&line), line.length);
  zh_text_free(&line);
  return status;
}

/* A text as it was tokenised, and its tokens. */
typedef struct tokenised {
  zh_text text;
  pieces tokens;
} tokenised;

static zh_status tokenise(tokenised *out, const json_t *text, zh_error *err) {
  *out = (tokenised){0};
  ZH_TRY(tokenize_13a(&out->text, json_string_value(text), json_string_length(text), err));
  return cut_at_blanks(&out->tokens, zh_text_string(&out->text), out->text.length, err);
}

static void drop(tokenised *t) {
  zh_text_free(&t->text);
  free(t->tokens.at);
}

static size_t reference_count(const json_t *references) {
  return json_is_string(references) ? 1 : json_array_size(references);
}

static const json_t *reference_at(const json_t *references, size_t i) {
  return json_is_string(references) ? references : json_array_get(references, i);
}

static zh_status check_texts(const json_t *references, const json_t *said, zh_error *err) {
  bool good = json_is_string(said) && reference_count(references) > 0;
  for (size_t i = 0; good && i < reference_count(references); i++)
    good = json_is_string(reference_at(references, i));
  return good ? ZH_OK
              : zh_fail(err, ZH_ERR_INPUT, "BLEU and chrF compare texts, and an item has none");
}

static zh_status count_order(zh_bleu *out, const tokenised *said, const tokenised *references,
                             size_t count, size_t order, zh_error *err) {
  pieces mine = {0}, *theirs = calloc(count, sizeof *theirs);
  zh_status status = theirs ? grams_of(&mine, &said->tokens, order, err) : no_memory(err);
  for (size_t r = 0; status == ZH_OK && r < count; r++)
    status = grams_of(&theirs[r], &references[r].tokens, order, err);
  if (status == ZH_OK) {
    out->total[order - 1] = (double)mine.count;
    out->right[order - 1] = matches(&mine, theirs, count);
  }
  for (size_t r = 0; theirs && r < count; r++) free(theirs[r].at);
  free(theirs);
  free(mine.at);
  return status;
}

/* The reference whose length is nearest; of two the shorter. */
static double nearest_length(const tokenised *references, size_t count, size_t length) {
  size_t best = references[0].tokens.count;
  for (size_t r = 1; r < count; r++) {
    size_t other = references[r].tokens.count;
    size_t far = other > length ? other - length : length - other;
    size_t held = best > length ? best - length : length - best;
    if (far < held || (far == held && other < best)) best = other;
  }
  return (double)best;
}

zh_status zh_bleu_of(zh_bleu *out, const json_t *references, const json_t *said, zh_error *err) {
  size_t count = reference_count(references);
  tokenised mine = {0}, *theirs = NULL;
  *out = (zh_bleu){0};
  ZH_TRY(check_texts(references, said, err));
  theirs = calloc(count, sizeof *theirs);
  zh_status status = theirs ? tokenise(&mine, said, err) : no_memory(err);
  for (size_t r = 0; status == ZH_OK && r < count; r++)
    status = tokenise(&theirs[r], reference_at(references, r), err);
  for (size_t order = 1; status == ZH_OK && order <= ZH_BLEU_ORDER; order++)
    status = count_order(out, &mine, theirs, count, order, err);
  if (status == ZH_OK) {
    out->length = (double)mine.tokens.count;
    out->reference = nearest_length(theirs, count, mine.tokens.count);
  }
  for (size_t r = 0; theirs && r < count; r++) drop(&theirs[r]);
  free(theirs);
  drop(&mine);
  return status;
}

/* Orders without a match count as if half, a quarter … of one were there (mteval's smoothing). */
double zh_bleu_score(const zh_bleu *b) {
  double sum = 0, half = 1;
  bool any = false;
  for (int i = 0; i < ZH_BLEU_ORDER; i++) any |= b->right[i] > 0;
  if (!any) return 0;
  for (int i = 0; i < ZH_BLEU_ORDER; i++) {
    if (b->total[i] == 0) return 0;
    if (b->right[i] == 0) half *= 2;
    sum += log(b->right[i] == 0 ? 100 / (half * b->total[i]) : 100 * b->right[i] / b->total[i]);
  }
  double brevity = 1;
  if (b->length < b->reference) brevity = b->length > 0 ? exp(1 - b->reference / b->length) : 0;
  return brevity * exp(sum / ZH_BLEU_ORDER);
}

/* ---- chrF ---- */

/* Characters without blanks, each a piece of *text. */
static zh_status characters_of(zh_text *text, pieces *out, const json_t *of, zh_error *err) {
  zh_text squeezed = {0};
  squeeze(&squeezed, json_string_value(of), json_string_length(of));
  const char *bytes = zh_text_string(&squeezed);
  for (size_t i = 0; i < squeezed.length; i++)
    if (bytes[i] != ' ') zh_text_append(text, bytes + i, 1);
  zh_text_free(&squeezed);
  *out = (pieces){malloc((text->length + 1) * sizeof(piece)), 0};
  if (!out->at || text->failed) return no_memory(err);
  for (size_t at = 0; at < text->length;) {
    uint32_t point;
    int size = zh_utf8_decode(&point, text->data + at, text->length - at);
    out->at[out->count++] = (piece){text->data + at, size > 0 ? (size_t)size : 1};
    at += out->at[out->count - 1].length;
  }
  return ZH_OK;
}

static zh_status chrf_against(zh_chrf *out, const pieces *mine, const json_t *reference,
                              zh_error *err) {
  zh_text text = {0};
  pieces theirs = {0};
  zh_status status = characters_of(&text, &theirs, reference, err);
  for (size_t order = 1; status == ZH_OK && order <= ZH_CHRF_ORDER; order++) {
    pieces a = {0}, b = {0};
    status = grams_of(&a, mine, order, err);
    if (status == ZH_OK) status = grams_of(&b, &theirs, order, err);
    if (status == ZH_OK) {
      out->said[order - 1] = (double)a.count;
      out->reference[order - 1] = (double)b.count;
      out->right[order - 1] = matches(&a, &b, 1);
    }
    free(a.at);
    free(b.at);
  }
  zh_text_free(&text);
  free(theirs.at);
  return status;
}

zh_status zh_chrf_of(zh_chrf *out, const json_t *references, const json_t *said, zh_error *err) {
  zh_text text = {0};
  pieces mine = {0};
  double best = -1;
  *out = (zh_chrf){0};
  ZH_TRY(check_texts(references, said, err));
  zh_status status = characters_of(&text, &mine, said, err);
  for (size_t r = 0; status == ZH_OK && r < reference_count(references); r++) {
    zh_chrf one = {0};
    status = chrf_against(&one, &mine, reference_at(references, r), err);
    double score = zh_chrf_score(&one);
    if (score > best) best = score, *out = one;
  }
  zh_text_free(&text);
  free(mine.at);
  return status;
}

double zh_chrf_score(const zh_chrf *c) {
  double precision = 0, recall = 0, orders = 0;
  for (int i = 0; i < ZH_CHRF_ORDER; i++) {
    if (c->said[i] == 0 || c->reference[i] == 0) continue;
    precision += c->right[i] / c->said[i];
    recall += c->right[i] / c->reference[i];
    orders++;
  }
  if (orders == 0 || precision + recall == 0) return 0;
  precision /= orders;
  recall /= orders;
  return 100 * 5 * precision * recall / (4 * precision + recall); /* beta = 2 */
}

/* ---- by tokens of our own ---- */

static bool stands_alone(uint32_t c) {
  return (c >= 0x2E80 && c <= 0x9FFF) || (c >= 0xAC00 && c <= 0xD7A3) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0xFF66 && c <= 0xFF9D) ||
         (c >= 0x20000 && c <= 0x3FFFF);
}

/* Each token followed by a blank. */
static zh_status own_tokens(zh_text *text, pieces *out, const char *of, zh_error *err) {
  size_t length = strlen(of);
  for (size_t at = 0; at < length;) {
    uint32_t c = 0;
    int size = zh_utf8_decode(&c, of + at, length - at);
    if (size == 0) size = 1;
    bool punctuation = (c > ' ' && c < '0') || (c > '9' && c < 'A') || (c > 'Z' && c < 'a') ||
                       (c > 'z' && c < 127);
    char lower = (char)(c >= 'A' && c <= 'Z' ? c | 32 : c);
    if (stands_alone(c)) {
      zh_text_puts(text, " ");
      zh_text_append(text, of + at, (size_t)size);
      zh_text_puts(text, " ");
    } else if (!punctuation) {
      zh_text_append(text, c < 128 ? &lower : of + at, (size_t)size);
    }
    at += (size_t)size;
  }
  zh_text squeezed = {0};
  squeeze(&squeezed, zh_text_string(text), text->length);
  zh_text_free(text);
  *text = squeezed;
  return cut_at_blanks(out, zh_text_string(text), text->length, err);
}

static size_t longest_common(const pieces *a, const pieces *b, uint32_t *row) {
  memset(row, 0, (b->count + 1) * sizeof *row);
  for (size_t i = 0; i < a->count; i++) {
    uint32_t diagonal = 0;
    for (size_t j = 0; j < b->count; j++) {
      uint32_t above = row[j + 1];
      bool same = by_bytes(&a->at[i], &b->at[j]) == 0;
      row[j + 1] = same ? diagonal + 1 : above > row[j] ? above : row[j];
      diagonal = above;
    }
  }
  return row[b->count];
}

static double harmonic(double right, size_t said, size_t reference) {
  if (said == 0 || reference == 0) return said == reference ? 1 : 0;
  return 2 * right / ((double)said + (double)reference);
}

static zh_status compare(double *out, const char *reference, const char *said, bool in_order,
                         zh_error *err) {
  zh_text texts[2] = {{0}};
  pieces a = {0}, b = {0};
  uint32_t *row = NULL;
  *out = 0;
  zh_status status = own_tokens(&texts[0], &a, reference, err);
  if (status == ZH_OK) status = own_tokens(&texts[1], &b, said, err);
  if (status == ZH_OK && in_order) {
    row = malloc((b.count + 1) * sizeof *row);
    status = row ? ZH_OK : no_memory(err);
    if (row) *out = harmonic((double)longest_common(&a, &b, row), b.count, a.count);
  } else if (status == ZH_OK) {
    qsort(a.at, a.count, sizeof *a.at, by_bytes);
    qsort(b.at, b.count, sizeof *b.at, by_bytes);
    *out = harmonic(matches(&b, &a, 1), b.count, a.count);
  }
  free(row);
  free(a.at);
  free(b.at);
  zh_text_free(&texts[0]);
  zh_text_free(&texts[1]);
  return status;
}

zh_status zh_rouge_l(double *out, const char *reference, const char *said, zh_error *err) {
  return compare(out, reference, said, true, err);
}

zh_status zh_token_f1(double *out, const char *reference, const char *said, zh_error *err) {
  return compare(out, reference, said, false, err);
}
