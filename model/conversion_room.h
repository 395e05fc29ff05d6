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

enum { ZH_NOTES_MAX = 8, ZH_SIDE_FILES_MAX = 8 };

struct zh_conversion {
  const zh_model *model;
  zh_arena *arena;
  zh_container container;
  bool anew; /* in another format: by the family's description */
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

/* Of a vector each element is one. */
static inline uint64_t zh_part_rows(const zh_source *s) {
  return s->tensor.dims == 1 ? s->tensor.elements : s->tensor.shape[0];
}

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
ZH_MUST_CHECK zh_status zh_conversion_carry_tokenizer(zh_conversion *c, zh_error *err);
/* Pre-tokenizers that GGUF has a name for: their number, -1 where it is none of these. */
int zh_pretokenizer_in_json(const json_t *tokenizer);
int zh_pretokenizer_named(const char *name, size_t length);
const char *zh_pretokenizer_name(int kind);
bool zh_pretokenizer_ignores_merges(int kind); /* a piece that is a token stays one */
json_t *zh_pretokenizer_json(int kind);
static inline bool zh_json_says(const json_t *object, const char *key, const char *word) {
  const char *text = json_string_value(json_object_get(object, key));
  return text != NULL && strcmp(text, word) == 0;
}
/* GGUF's byte-level BPE as tokenizer.json; a note where it is another tokenizer. */
ZH_MUST_CHECK zh_status zh_tokenizer_to_files(zh_conversion *c, zh_error *err);

/* tokenizer.model as GGUF's arrays, with what tokenizer_config.json adds; and the other way: false
 * where GGUF has none of its kind. */
ZH_MUST_CHECK zh_status zh_sentencepiece_to_gguf(zh_conversion *c, const char *path,
                                                 const json_t *about, zh_error *err);
bool zh_sentencepiece_from_gguf(zh_conversion *c);
/* A list of numbers that no tensor held, in F32; they outlive the conversion. */
ZH_MUST_CHECK zh_status zh_conversion_add_values(zh_conversion *c, const char *name,
                                                 const float *values, uint64_t count,
                                                 zh_error *err);
static inline zh_form zh_conversion_form(const zh_conversion *c) {
  return c->container == ZH_CONTAINER_GGUF ? ZH_FORM_GGUF : ZH_FORM_CONFIG;
}

#endif
