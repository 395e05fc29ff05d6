/* Inside the room: what the parts of a conversion share. */
#ifndef ZH_MODEL_CONVERSION_ROOM_H
#define ZH_MODEL_CONVERSION_ROOM_H

#include <string.h>

#include "core/text.h"
#include "model/conversion.h"
#include "model/family.h"

/* A small file beside the tensors of a safetensors folder. */
typedef struct zh_side_file {
  const char *name;
  zh_text bytes;
} zh_side_file;

enum { ZH_NOTES_MAX = 8, ZH_SIDE_FILES_MAX = 16 };

struct zh_conversion {
  const zh_model *model;
  zh_arena *arena;
  zh_container container;
  const zh_dtype_info *wanted; /* NULL: as they are */
  bool anew;                   /* in another format: by the family's description */
  bool packed;                 /* some of the model's weights are, and … */
  bool unpacked;               /* … become plain, … */
  bool keeps_packed;           /* … or stay MXFP4 */
  bool unit_head;              /* the head's rows are brought to length one */
  bool *used;                  /* of each of the model's tensors; NULL: not known */
  bool without_tokenizer;
  zh_described described;
  const zh_family *family;
  zh_converted *tensors;
  size_t count, capacity;
  zh_text values; /* GGUF metadata, and how many */
  uint64_t value_count;
  zh_side_file side[ZH_SIDE_FILES_MAX];
  size_t side_count;
  const char *notes[ZH_NOTES_MAX];
  size_t note_count;
};

/* --- tensors (conversion_tensors.c, conversion_rows.c) --- */

/* An empty one, which zh_converted_end measures and takes in once shape and type are set. */
ZH_MUST_CHECK zh_status zh_converted_begin(zh_converted **out, zh_conversion *c, zh_error *err);
ZH_MUST_CHECK zh_status zh_converted_end(zh_conversion *c, zh_converted *t, zh_error *err);
/* exact: gains, biases and routers, whose few numbers are not worth rounding. */
ZH_MUST_CHECK zh_status zh_converted_choose_type(zh_dtype *out, const zh_conversion *c,
                                                 const zh_tensor *t, bool exact, uint64_t columns,
                                                 zh_error *err);
/* Rows that weight i of those held takes, of all groups; of a vector each element is one. */
uint64_t zh_converted_part_rows(const zh_converted *t, uint64_t i);
/* Whether single elements of a vector can be taken from the file. */
bool zh_converted_takes_elements(const zh_source *vector);

/* All of them: from file to file of one format, or by the family's description. */
ZH_MUST_CHECK zh_status zh_conversion_copy_tensors(zh_conversion *c, zh_error *err);
ZH_MUST_CHECK zh_status zh_conversion_take_weights(zh_conversion *c, zh_error *err);

void zh_conversion_add_note(zh_conversion *c, const char *sentence); /* outlives the conversion */
zh_text *zh_conversion_add_side(zh_conversion *c, const char *name);

/* --- metadata of a GGUF file (gguf_write.c) --- */

enum { ZH_GGUF_ALIGNMENT = 32 };
void zh_put_words(zh_conversion *c, const char *key, const char *bytes, size_t length);
void zh_put_count(zh_conversion *c, const char *key, uint32_t number);
void zh_put_real(zh_conversion *c, const char *key, float number);
void zh_put_bool(zh_conversion *c, const char *key, bool yes);
/* Begins an array, whose items the caller appends to c->values. */
void zh_put_array(zh_conversion *c, const char *key, enum zh_gguf_type item, uint64_t count);
void zh_put_item(zh_conversion *c, const char *bytes, size_t length); /* a string */
/* As another file has it. */
void zh_put_value(zh_conversion *c, const zh_gguf_value *value);
/* Past value->data to the end of the value. */
size_t zh_gguf_value_bytes(const zh_gguf_value *value);

ZH_MUST_CHECK zh_status zh_gguf_write(const zh_conversion *c, const char *path, zh_rows_maker rows,
                                      zh_write_progress progress, void *user, zh_error *err);
ZH_MUST_CHECK zh_status zh_safetensors_write(const zh_conversion *c, const char *folder,
                                             zh_rows_maker rows, zh_write_progress progress,
                                             void *user, zh_error *err);
/* All tensors' rows in order, PIECE bytes at a time; `pad` after each to a multiple of it. */
ZH_MUST_CHECK zh_status zh_conversion_put_tensors(const zh_conversion *c, zh_writer *writer,
                                                  size_t pad, zh_rows_maker rows,
                                                  zh_write_progress progress, void *user,
                                                  zh_error *err);

/* What the result says of itself: GGUF metadata, or config.json. */
ZH_MUST_CHECK zh_status zh_conversion_describe(zh_conversion *c, zh_error *err);
ZH_MUST_CHECK zh_status zh_conversion_describe_config(zh_conversion *c, zh_error *err);
/* How files of that form call the family: the first of its words. NULL: there are none. */
const char *zh_conversion_family_word(const zh_family *family, zh_form form);
/* "bfloat16": what most of the weights are; NULL: what transformers has no name for. */
const char *zh_conversion_torch_type(const zh_conversion *c);
double zh_conversion_yarn_tenth(const zh_architecture *a);
ZH_MUST_CHECK zh_status zh_conversion_carry_tokenizer(zh_conversion *c, zh_error *err);
/* How GGUF calls the pre-tokenizer; NULL: it has no name for it. And the other way. */
const char *zh_pretokenizer_in_json(size_t *length, const json_t *tokenizer);
json_t *zh_pretokenizer_json(const char *name);
static inline bool zh_json_says(const json_t *object, const char *key, const char *word) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL && strcmp(text, word) == 0;
}
/* --- tokenizers --- */

/* A token of a GGUF file: its zh_token_kind, 0 where no token has the id. */
typedef struct zh_converted_token {
  const char *text;
  size_t length;
  float score;
  int32_t type;
} zh_converted_token;
#define SCORE_NONE (-10000.0f) /* of ids without a token, as in llama.cpp's files */
/* As many as the model's vocabulary has. */
void zh_conversion_put_tokens(zh_conversion *c, const zh_converted_token *tokens, bool scored);
/* "the tokenizer did not come along, because …" */
void zh_conversion_without_tokenizer(zh_conversion *c, const char *why);
#define ZH_NOTE_NFC                                                                                \
  "the tokenizer brings texts to NFC before anything else, which GGUF cannot say: texts that are " \
  "not so get other tokens"

/* Each writes all arrays but the special tokens'. Of a tokenizer.model with what
 * tokenizer_config.json adds; of merges of characters where sentencepiece's would be the same
 * (*done); of ranks. */
ZH_MUST_CHECK zh_status zh_sentencepiece_to_gguf(zh_conversion *c, const char *path,
                                                 const json_t *about, zh_error *err);
ZH_MUST_CHECK zh_status zh_merges_to_gguf(bool *done, zh_conversion *c, const zh_tokenizer *t,
                                          bool prefix, zh_error *err);
ZH_MUST_CHECK zh_status zh_ranks_to_gguf(zh_conversion *c, const zh_tokenizer *t, zh_error *err);
/* GGUF's byte-level BPE as tokenizer.json; a note where it is another tokenizer. */
ZH_MUST_CHECK zh_status zh_tokenizer_to_files(zh_conversion *c, zh_error *err);
/* GGUF's sentencepiece models as tokenizer.model: false where it has none. */
bool zh_sentencepiece_from_gguf(zh_conversion *c);
/* A list of numbers that no tensor held, in F32; they outlive the conversion. */
ZH_MUST_CHECK zh_status zh_conversion_add_values(zh_conversion *c, const char *name,
                                                 const float *values, uint64_t count,
                                                 zh_error *err);
static inline zh_form zh_conversion_form(const zh_conversion *c) {
  return c->container == ZH_CONTAINER_GGUF ? ZH_FORM_GGUF : ZH_FORM_CONFIG;
}
static inline const char *zh_conversion_format(const zh_conversion *c) {
  return c->container == ZH_CONTAINER_GGUF ? "GGUF" : "safetensors";
}

#endif
