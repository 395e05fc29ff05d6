/* GGUF's arrays of a sentencepiece model as tokenizer.model: a protocol buffer, whose field numbers
 * are those of google/sentencepiece, src/sentencepiece_model.proto. */
#include <string.h>

#include "model/conversion_room.h"
#include "model/tokenizer/tokenizer.h"

/* Fields of the whole, of a piece, and of the specifications. */
enum { MODEL_PIECE = 1, MODEL_TRAINER = 2, MODEL_NORMALIZER = 3 };
enum { PIECE_TEXT = 1, PIECE_SCORE = 2, PIECE_TYPE = 3 };
enum { TRAINER_TYPE = 3, TRAINER_BYTE_FALLBACK = 35, TRAINER_IDS = 40, TRAINER_PIECES = 45 };
enum { UNIGRAM = 1, BPE = 2 };
enum { NORMALIZER_NAME = 1, NORMALIZER_MAP = 2, NORMALIZER_PREFIX = 3, NORMALIZER_EXTRA = 4 };
enum { WIRE_VARINT = 0, WIRE_BYTES = 2, WIRE_32 = 5 };

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

static void put_message(zh_text *out, uint32_t field, zh_text *message) {
  put_bytes(out, field, zh_text_string(message), message->length);
  out->failed |= message->failed;
  zh_text_free(message);
}

static void put_piece(zh_text *out, const char *text, size_t length, float score, int64_t type) {
  zh_text body = {0};
  put_bytes(&body, PIECE_TEXT, text, length);
  put_varint(&body, PIECE_SCORE << 3 | WIRE_32);
  zh_text_append(&body, (const char *)&score, sizeof score);
  if (type != ZH_TOKEN_NORMAL) put_number(&body, PIECE_TYPE, (uint64_t)type);
  put_message(out, MODEL_PIECE, &body);
}

/* --- the arrays --- */

typedef struct arrays {
  const zh_gguf_value *tokens, *scores, *types, *charsmap;
  bool unigram;
} arrays;

static bool is_list(const zh_gguf_value *value, uint32_t item) {
  return value != NULL && value->type == ZH_GGUF_ARRAY && value->item_type == item;
}

static bool find_arrays(arrays *out, const zh_model *model) {
  const char *word = "";
  size_t length = 0;
  (void)zh_gguf_string(&word, &length, zh_gguf_find(model, "tokenizer.ggml.model"));
  *out = (arrays){.tokens = zh_gguf_find(model, "tokenizer.ggml.tokens"),
                  .scores = zh_gguf_find(model, "tokenizer.ggml.scores"),
                  .types = zh_gguf_find(model, "tokenizer.ggml.token_type"),
                  .charsmap = zh_gguf_find(model, "tokenizer.ggml.precompiled_charsmap"),
                  .unigram = length == 2 && memcmp(word, "t5", 2) == 0};
  bool bpe = length == 5 && memcmp(word, "llama", 5) == 0;
  return (bpe || out->unigram) && is_list(out->tokens, ZH_GGUF_STRING) &&
         is_list(out->scores, ZH_GGUF_F32) && out->scores->count == out->tokens->count;
}

static int64_t type_of(const arrays *a, uint64_t id) {
  int64_t type = ZH_TOKEN_NORMAL;
  (void)zh_gguf_item(&type, a->types, id);
  return type;
}

static void put_pieces(zh_text *out, const arrays *a) {
  const unsigned char *at = a->tokens->data;
  for (uint64_t i = 0; i < a->tokens->count; i++) {
    const char *text;
    size_t length;
    float score;
    zh_gguf_next_string(&text, &length, &at);
    memcpy(&score, a->scores->data + i * sizeof score, sizeof score);
    put_piece(out, text, length, score, type_of(a, i));
  }
}

/* --- the specifications --- */

/* Ids of the unknown token, BOS, EOS and padding, which follow each other there; -1: there is none.
 * The texts of the three last are how sentencepiece finds them. */
static void put_special(zh_text *out, const zh_model *model, const arrays *a, uint32_t which,
                        const char *key, uint64_t otherwise) {
  uint64_t id = otherwise;
  (void)zh_gguf_uint(&id, zh_gguf_find(model, key));
  put_number(out, TRAINER_IDS + which, id);
  if (id >= a->tokens->count) return;
  const unsigned char *at = a->tokens->data;
  const char *text = "";
  size_t length = 0;
  for (uint64_t i = 0; i <= id; i++) zh_gguf_next_string(&text, &length, &at);
  put_bytes(out, TRAINER_PIECES + which, text, length);
}

static void put_trainer(zh_text *out, const zh_model *model, const arrays *a) {
  const uint64_t none = UINT64_MAX;
  zh_text spec = {0};
  uint64_t bytes = 0, unknown = none;
  for (uint64_t i = a->tokens->count; i-- > 0;) {
    bytes += type_of(a, i) == ZH_TOKEN_BYTE;
    if (type_of(a, i) == ZH_TOKEN_UNKNOWN) unknown = i;
  }
  put_number(&spec, TRAINER_TYPE, a->unigram ? UNIGRAM : BPE);
  if (bytes == 256) put_number(&spec, TRAINER_BYTE_FALLBACK, 1);
  put_special(&spec, model, a, 0, "tokenizer.ggml.unknown_token_id", unknown);
  put_special(&spec, model, a, 1, "tokenizer.ggml.bos_token_id", none);
  put_special(&spec, model, a, 2, "tokenizer.ggml.eos_token_id", none);
  put_special(&spec, model, a, 3, "tokenizer.ggml.padding_token_id", none);
  put_message(out, MODEL_TRAINER, &spec);
}

static bool flag_of(const zh_model *model, const char *key, bool otherwise) {
  bool flag;
  return zh_gguf_bool(&flag, zh_gguf_find(model, key)) ? flag : otherwise;
}

static void put_normalizer(zh_text *out, const zh_model *model, const arrays *a) {
  zh_text spec = {0};
  const char *name = a->charsmap != NULL ? "user_defined" : "identity";
  put_bytes(&spec, NORMALIZER_NAME, name, strlen(name));
  if (is_list(a->charsmap, ZH_GGUF_U8) || is_list(a->charsmap, ZH_GGUF_I8))
    put_bytes(&spec, NORMALIZER_MAP, (const char *)a->charsmap->data, a->charsmap->count);
  put_number(&spec, NORMALIZER_PREFIX, flag_of(model, "tokenizer.ggml.add_space_prefix", true));
  put_number(&spec, NORMALIZER_EXTRA,
             flag_of(model, "tokenizer.ggml.remove_extra_whitespaces", a->unigram));
  put_message(out, MODEL_NORMALIZER, &spec);
}

bool zh_sentencepiece_from_gguf(zh_conversion *c) {
  arrays a;
  if (!find_arrays(&a, c->model)) return false;
  zh_text *out = zh_conversion_add_side(c, "tokenizer.model");
  put_pieces(out, &a);
  put_trainer(out, c->model, &a);
  put_normalizer(out, c->model, &a);
  return true;
}
