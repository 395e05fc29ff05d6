/* tokenizer.model between sentencepiece's form and GGUF's arrays. The file is a protocol buffer;
 * field numbers are those of google/sentencepiece, src/sentencepiece_model.proto. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/conversion_room.h"

/* Fields of the whole, of a piece, and of the specifications. */
enum { MODEL_PIECE = 1, MODEL_TRAINER = 2, MODEL_NORMALIZER = 3 };
enum { PIECE_TEXT = 1, PIECE_SCORE = 2, PIECE_TYPE = 3 };
enum { TRAINER_TYPE = 3, TRAINER_UNIGRAM = 1, TRAINER_BPE = 2 };
enum { NORMALIZER_PREFIX = 3, NORMALIZER_EXTRA = 4 };
enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };
enum { TYPE_NORMAL = 1, TYPE_CONTROL = 3, TYPE_USER = 4, TYPE_UNUSED = 5 };

/* --- reading --- */

typedef struct buffer {
  const unsigned char *at, *end;
} buffer;

typedef struct record {
  uint32_t field, wire;
  uint64_t number; /* of a varint, or four bytes */
  buffer bytes;
} record;

static bool take_varint(uint64_t *out, buffer *b) {
  *out = 0;
  for (int shift = 0; shift < 64 && b->at < b->end; shift += 7) {
    unsigned char byte = *b->at++;
    *out |= (uint64_t)(byte & 127) << shift;
    if (byte < 128) return true;
  }
  return false;
}

static bool take_fixed(uint64_t *out, buffer *b, size_t bytes) {
  if ((size_t)(b->end - b->at) < bytes) return false;
  *out = 0;
  memcpy(out, b->at, bytes);
  b->at += bytes;
  return true;
}

static bool take_record(record *r, buffer *b) {
  uint64_t tag, length;
  if (!take_varint(&tag, b) || tag >> 3 == 0 || tag > UINT32_MAX) return false;
  *r = (record){.field = (uint32_t)(tag >> 3), .wire = (uint32_t)(tag & 7)};
  if (r->wire == WIRE_VARINT) return take_varint(&r->number, b);
  if (r->wire == WIRE_32) return take_fixed(&r->number, b, 4);
  if (r->wire == WIRE_64) return take_fixed(&r->number, b, 8);
  if (r->wire != WIRE_BYTES || !take_varint(&length, b) || length > (uint64_t)(b->end - b->at))
    return false;
  r->bytes = (buffer){b->at, b->at + length};
  b->at += length;
  return true;
}

typedef struct piece {
  const char *text;
  size_t length;
  float score;
  int32_t type;
} piece;

static bool read_piece(piece *p, buffer b) {
  record r;
  *p = (piece){.text = "", .type = TYPE_NORMAL};
  while (b.at < b.end) {
    if (!take_record(&r, &b)) return false;
    if (r.field == PIECE_TEXT && r.wire == WIRE_BYTES) {
      p->text = (const char *)r.bytes.at;
      p->length = (size_t)(r.bytes.end - r.bytes.at);
    }
    if (r.field == PIECE_SCORE && r.wire == WIRE_32) memcpy(&p->score, &r.number, sizeof p->score);
    if (r.field == PIECE_TYPE && r.wire == WIRE_VARINT) p->type = (int32_t)r.number;
  }
  return true;
}

typedef struct vocabulary {
  piece *pieces;
  uint64_t count, stated; /* of the model; of the file */
  bool unigram, prefix, extra;
} vocabulary;

static bool read_numbers(vocabulary *v, const record *spec) {
  buffer b = spec->bytes;
  record r;
  while (b.at < b.end) {
    if (!take_record(&r, &b)) return false;
    if (r.wire != WIRE_VARINT) continue;
    if (spec->field == MODEL_TRAINER && r.field == TRAINER_TYPE)
      v->unigram = r.number == TRAINER_UNIGRAM;
    if (spec->field == MODEL_NORMALIZER && r.field == NORMALIZER_PREFIX) v->prefix = r.number != 0;
    if (spec->field == MODEL_NORMALIZER && r.field == NORMALIZER_EXTRA) v->extra = r.number != 0;
  }
  return true;
}

static bool read_all(vocabulary *v, buffer b) {
  record r;
  *v = (vocabulary){v->pieces, v->count, 0, true, true, true}; /* what is meant where nothing is */
  while (b.at < b.end) {
    if (!take_record(&r, &b)) return false;
    if (r.wire != WIRE_BYTES) continue;
    if (r.field == MODEL_PIECE &&
        (v->stated == v->count || !read_piece(&v->pieces[v->stated++], r.bytes)))
      return false;
    if (r.field != MODEL_PIECE && !read_numbers(v, &r)) return false;
  }
  return v->stated > 0;
}

/* --- to GGUF --- */

/* Tokens that tokenizer_config.json adds, by their ids. */
static void add_tokens(vocabulary *v, const json_t *about) {
  const char *id;
  json_t *token;
  json_object_foreach(json_object_get(about, "added_tokens_decoder"), id, token) {
    const json_t *text = json_object_get(token, "content");
    unsigned long long at = strtoull(id, NULL, 10);
    if (at >= v->count || !json_is_string(text)) continue;
    if (at < v->stated && v->pieces[at].type != TYPE_NORMAL) continue;
    bool special = json_is_true(json_object_get(token, "special"));
    v->pieces[at] = (piece){json_string_value(text), json_string_length(text), -1000.0f,
                            special ? TYPE_CONTROL : TYPE_USER};
  }
}

static void put_arrays(zh_conversion *c, const vocabulary *v) {
  zh_put_array(c, "tokenizer.ggml.tokens", ZH_GGUF_STRING, v->count);
  for (uint64_t i = 0; i < v->count; i++) zh_put_item(c, v->pieces[i].text, v->pieces[i].length);
  zh_put_array(c, "tokenizer.ggml.scores", ZH_GGUF_F32, v->count);
  for (uint64_t i = 0; i < v->count; i++)
    zh_text_append(&c->values, (const char *)&v->pieces[i].score, sizeof(float));
  zh_put_array(c, "tokenizer.ggml.token_type", ZH_GGUF_I32, v->count);
  for (uint64_t i = 0; i < v->count; i++)
    zh_text_append(&c->values, (const char *)&v->pieces[i].type, sizeof(int32_t));
}

static zh_status put_vocabulary(zh_conversion *c, vocabulary *v, const json_t *about,
                                zh_error *err) {
  for (uint64_t i = v->stated; i < v->count; i++) {
    char *text = zh_arena_printf(c->arena, "[PAD%llu]", (unsigned long long)i);
    if (text == NULL) return zh_fail(err, ZH_ERR_MEMORY, "out of memory (tokens)");
    v->pieces[i] = (piece){text, strlen(text), -10000.0f, TYPE_UNUSED};
  }
  add_tokens(v, about);
  zh_put_words(c, "tokenizer.ggml.model", v->unigram ? "t5" : "llama", v->unigram ? 2 : 5);
  zh_put_words(c, "tokenizer.ggml.pre", "default", 7);
  put_arrays(c, v);
  zh_put_bool(c, "tokenizer.ggml.add_space_prefix", v->prefix);
  zh_put_bool(c, "tokenizer.ggml.remove_extra_whitespaces", v->extra);
  return ZH_OK;
}

zh_status zh_sentencepiece_to_gguf(zh_conversion *c, const char *path, const json_t *about,
                                   zh_error *err) {
  zh_mapping file = {0};
  vocabulary v = {.count = c->described.a.vocab};
  ZH_TRY(zh_map_file(&file, path, err));
  v.pieces = calloc(v.count + 1, sizeof *v.pieces);
  zh_status status = ZH_OK;
  if (v.pieces == NULL)
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory (tokens)");
  else if (!read_all(&v, (buffer){file.data, file.data + file.bytes}))
    status = zh_fail(err, ZH_ERR_INPUT,
                     "%s is no sentencepiece model of up to %llu tokens, the model's vocabulary",
                     path, (unsigned long long)v.count);
  else
    status = put_vocabulary(c, &v, about, err);
  free(v.pieces);
  zh_unmap(&file);
  return status;
}

/* --- from GGUF --- */

static void put_varint(zh_text *out, uint64_t number) {
  for (; number >= 128; number >>= 7) zh_text_append(out, &(char){(char)(number | 128)}, 1);
  zh_text_append(out, &(char){(char)number}, 1);
}

static void put_number(zh_text *out, uint32_t field, uint64_t number) {
  put_varint(out, field << 3 | WIRE_VARINT);
  put_varint(out, number);
}

static void put_bytes(zh_text *out, uint32_t field, const char *bytes, size_t length) {
  put_varint(out, field << 3 | WIRE_BYTES);
  put_varint(out, length);
  zh_text_append(out, bytes, length);
}

static void put_piece(zh_text *out, const char *text, size_t length, float score, int64_t type) {
  zh_text body = {0};
  put_bytes(&body, PIECE_TEXT, text, length);
  put_varint(&body, PIECE_SCORE << 3 | WIRE_32);
  zh_text_append(&body, (const char *)&score, sizeof score);
  if (type != TYPE_NORMAL) put_number(&body, PIECE_TYPE, (uint64_t)type);
  put_bytes(out, MODEL_PIECE, zh_text_string(&body), body.length);
  out->failed |= body.failed;
  zh_text_free(&body);
}

static bool flag_of(const zh_model *model, const char *key, bool otherwise) {
  bool flag;
  return zh_gguf_bool(&flag, zh_gguf_find(model, key)) ? flag : otherwise;
}

bool zh_sentencepiece_from_gguf(zh_conversion *c) {
  const zh_model *model = c->model;
  const zh_gguf_value *tokens = zh_gguf_find(model, "tokenizer.ggml.tokens"),
                      *scores = zh_gguf_find(model, "tokenizer.ggml.scores"),
                      *types = zh_gguf_find(model, "tokenizer.ggml.token_type");
  const char *word = "";
  size_t length = 0;
  (void)zh_gguf_string(&word, &length, zh_gguf_find(model, "tokenizer.ggml.model"));
  if (length != 5 || memcmp(word, "llama", 5) != 0 || tokens == NULL || scores == NULL ||
      tokens->type != ZH_GGUF_ARRAY || tokens->item_type != ZH_GGUF_STRING ||
      scores->type != ZH_GGUF_ARRAY || scores->item_type != ZH_GGUF_F32 ||
      scores->count != tokens->count)
    return false;
  zh_text *out = zh_conversion_add_side(c, "tokenizer.model"), spec = {0};
  const unsigned char *at = tokens->data;
  for (uint64_t i = 0; i < tokens->count; i++) {
    float score;
    int64_t type = TYPE_NORMAL;
    zh_gguf_next_string(&word, &length, &at);
    memcpy(&score, scores->data + i * sizeof score, sizeof score);
    (void)zh_gguf_item(&type, types, i);
    put_piece(out, word, length, score, type);
  }
  put_number(&spec, TRAINER_TYPE, TRAINER_BPE);
  put_bytes(out, MODEL_TRAINER, spec.data, spec.length);
  zh_text_free(&spec);
  put_number(&spec, NORMALIZER_PREFIX, flag_of(model, "tokenizer.ggml.add_space_prefix", true));
  put_number(&spec, NORMALIZER_EXTRA,
             flag_of(model, "tokenizer.ggml.remove_extra_whitespaces", false));
  put_bytes(out, MODEL_NORMALIZER, spec.data, spec.length);
  zh_text_free(&spec);
  return true;
}
