/* A sentencepiece model: the few fields of its protocol buffer (sentencepiece_model.proto) that
 * encoding and decoding need. */
#include <math.h>
#include <string.h>

#include "core/text.h"
#include "model/tokenizer/folder.h"
#include "model/tokenizer/tokenizer.h"

/* --- protocol buffers --- */

typedef struct field {
  uint64_t number, value; /* value: of varints and fixed ones */
  const unsigned char *bytes;
  size_t length; /* of texts and messages */
  bool has_bytes;
} field;

typedef struct reader {
  const unsigned char *at, *end;
  bool broken;
} reader;

static uint64_t varint(reader *r) {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && r->at < r->end; shift += 7) {
    unsigned char byte = *r->at++;
    value |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  r->broken = true;
  return 0;
}

static uint64_t fixed(reader *r, size_t bytes) {
  uint64_t value = 0;
  if ((size_t)(r->end - r->at) < bytes) {
    r->broken = true;
    return 0;
  }
  memcpy(&value, r->at, bytes);
  r->at += bytes;
  return value;
}

/* False at the end, and where the bytes are no protocol buffer, which sets `broken`. */
static bool next_field(field *out, reader *r) {
  if (r->broken || r->at == r->end) return false;
  uint64_t key = varint(r);
  *out = (field){.number = key >> 3};
  switch (key & 7) {
  case 0:
    out->value = varint(r);
    break;
  case 1:
    out->value = fixed(r, 8);
    break;
  case 2:
    out->length = (size_t)varint(r);
    out->has_bytes = true;
    if (r->broken || out->length > (size_t)(r->end - r->at)) {
      r->broken = true;
      return false;
    }
    out->bytes = r->at;
    r->at += out->length;
    break;
  case 5:
    out->value = fixed(r, 4);
    break;
  default:
    r->broken = true;
  }
  return !r->broken && out->number != 0;
}

static reader inside(const field *f) {
  return (reader){f->bytes, f->bytes + f->length, false};
}

/* --- the model's --- */

enum { PIECES = 1, TRAINER = 2, NORMALIZER = 3 };
enum { UNIGRAM = 1, BPE = 2 };

typedef struct about {
  uint64_t kind;
  bool byte_fallback, whitespace_as_suffix;
  int64_t unknown, bos, eos, padding;
} about;

static void read_trainer(about *out, reader r) {
  field f;
  while (next_field(&f, &r)) {
    int64_t number = (int32_t)f.value;
    if (f.has_bytes) continue;
    if (f.number == 3) out->kind = f.value;
    if (f.number == 24) out->whitespace_as_suffix = f.value != 0;
    if (f.number == 35) out->byte_fallback = f.value != 0;
    if (f.number == 40) out->unknown = number;
    if (f.number == 41) out->bos = number;
    if (f.number == 42) out->eos = number;
    if (f.number == 43) out->padding = number;
  }
}

static zh_status read_normalizer(zh_sentencepiece_rules *out, zh_tokenizer *t, reader r,
                                 zh_error *err) {
  field f;
  while (next_field(&f, &r)) {
    if (f.number == 3 && !f.has_bytes) out->dummy_prefix = f.value != 0;
    if (f.number == 4 && !f.has_bytes) out->remove_extra_whitespaces = f.value != 0;
    if (f.number == 5 && !f.has_bytes) out->escape_whitespaces = f.value != 0;
    if (f.number != 2 || !f.has_bytes || f.length == 0) continue;
    zh_slice map = zh_tokenizer_keep(t, (const char *)f.bytes, f.length);
    if (map.bytes == NULL) return zh_tokenizer_no_memory(err);
    if (!zh_charsmap_read(&out->charsmap, map.bytes, f.length))
      return zh_fail(err, ZH_ERR_INPUT, "the normalizer's table (precompiled_charsmap) is broken");
  }
  return ZH_OK;
}

static zh_status read_piece(zh_tokenizer *t, uint32_t id, reader r, zh_error *err) {
  field f;
  zh_slice text = {"", 0};
  float score = 0;
  uint64_t kind = ZH_TOKEN_NORMAL;
  while (next_field(&f, &r)) {
    if (f.number == 1 && f.has_bytes && f.length <= ZH_TOKEN_BYTES)
      text = (zh_slice){(const char *)f.bytes, (uint32_t)f.length};
    if (f.number == 2 && !f.has_bytes) memcpy(&score, &f.value, sizeof score);
    if (f.number == 3 && !f.has_bytes) kind = f.value;
  }
  if (r.broken || text.length == 0 ||
      zh_utf8_valid_prefix(text.bytes, text.length) != text.length || !isfinite(score) ||
      kind < ZH_TOKEN_NORMAL || kind > ZH_TOKEN_BYTE)
    return zh_fail(err, ZH_ERR_INPUT,
                   "piece %u is not a text of 1 to %d bytes of UTF-8 with a score and a type", id,
                   ZH_TOKEN_BYTES);
  t->texts[id] = zh_tokenizer_keep(t, text.bytes, text.length);
  t->kinds[id] = (uint8_t)kind;
  t->scores[id] = (double)score;
  return t->texts[id].bytes != NULL ? ZH_OK : zh_tokenizer_no_memory(err);
}

static zh_status read_all(zh_tokenizer *t, about *a, zh_sentencepiece_rules *rules, reader r,
                          zh_error *err) {
  field f;
  uint32_t id = 0;
  while (next_field(&f, &r)) {
    if (!f.has_bytes) continue;
    if (f.number == PIECES) ZH_TRY(read_piece(t, id++, inside(&f), err));
    if (f.number == TRAINER) read_trainer(a, inside(&f));
    if (f.number == NORMALIZER) ZH_TRY(read_normalizer(rules, t, inside(&f), err));
  }
  return ZH_OK;
}

static zh_status count_pieces(uint32_t *out, reader r, zh_error *err) {
  field f;
  uint64_t count = 0;
  while (next_field(&f, &r)) count += f.number == PIECES && f.has_bytes;
  if (r.broken || r.at != r.end || count == 0 || count > INT32_MAX)
    return zh_fail(err, ZH_ERR_INPUT, "the file is no sentencepiece model");
  *out = (uint32_t)count;
  return ZH_OK;
}

static int64_t id_of_kind(const zh_tokenizer *t, int64_t id, zh_token_kind kind) {
  return id >= 0 && id < t->vocab && t->kinds[id] == kind ? id : -1;
}

zh_status zh_tokenizer_from_sentencepiece(zh_tokenizer *t, const unsigned char *data, size_t length,
                                          const json_t *config, zh_error *err) {
  zh_sentencepiece_rules rules = {
      .dummy_prefix = true, .remove_extra_whitespaces = true, .escape_whitespaces = true};
  about a = {.kind = UNIGRAM, .bos = 1, .eos = 2, .padding = -1};
  reader r = {data, data + length, false};
  uint32_t count, vocab;
  ZH_TRY(count_pieces(&count, r, err));
  ZH_TRY(zh_folder_vocab(&vocab, count, config, err));
  ZH_TRY(zh_tokenizer_expect(t, vocab, err));
  t->scores = zh_arena_alloc(t->arena, vocab + 1u, sizeof *t->scores);
  if (t->scores == NULL) return zh_tokenizer_no_memory(err);
  ZH_TRY(read_all(t, &a, &rules, r, err));
  if (a.kind != UNIGRAM && a.kind != BPE)
    return zh_fail(err, ZH_ERR_INPUT,
                   "the sentencepiece model's type %llu is not supported; this version has unigram "
                   "(1) and BPE (2)",
                   (unsigned long long)a.kind);
  rules.whitespace_as_suffix = a.whitespace_as_suffix;
  for (uint32_t id = vocab; id-- > 0;)
    if (t->kinds[id] == ZH_TOKEN_UNKNOWN) t->declared.unknown = id;
  t->declared.bos = id_of_kind(t, a.bos, ZH_TOKEN_CONTROL);
  t->declared.eos = id_of_kind(t, a.eos, ZH_TOKEN_CONTROL);
  t->declared.padding = id_of_kind(t, a.padding, ZH_TOKEN_CONTROL);
  ZH_TRY(zh_folder_put_added(t, config, err));
  ZH_TRY(zh_tokenizer_index(t, err));
  ZH_TRY(zh_tokenizer_be_sentencepiece(t, rules, a.kind == UNIGRAM, a.byte_fallback, err));
  return zh_folder_find_added(t, config, err);
}
