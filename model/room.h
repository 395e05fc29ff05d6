/* Inside the room: what the readers of formats fill in and the rest reads. Not for other rooms. */
#ifndef ZH_MODEL_ROOM_H
#define ZH_MODEL_ROOM_H

#include <pthread.h>

#include "core/arena.h"
#include "core/files.h"
#include "model/model.h"

/* One file that the model was read from. */
typedef struct zh_model_file {
  char *path;
  zh_mapping mapping;
} zh_model_file;

/* One metadata value of a GGUF file; `data` points into the mapping and has been walked to its end.
 */
typedef struct zh_gguf_value {
  const char *key;
  uint32_t type, item_type; /* item_type: of arrays */
  uint64_t count;           /* items of an array, bytes of a string, else 1 */
  const unsigned char *data;
} zh_gguf_value;

enum zh_gguf_type {
  ZH_GGUF_U8,
  ZH_GGUF_I8,
  ZH_GGUF_U16,
  ZH_GGUF_I16,
  ZH_GGUF_U32,
  ZH_GGUF_I32,
  ZH_GGUF_F32,
  ZH_GGUF_BOOL,
  ZH_GGUF_STRING,
  ZH_GGUF_ARRAY,
  ZH_GGUF_U64,
  ZH_GGUF_I64,
  ZH_GGUF_F64,
  ZH_GGUF_TYPES
};

/* Things made at the first call for them, under the lock, of a model that is const to its users. */
typedef struct zh_model_cache {
  pthread_mutex_t lock;
  zh_tokenizer *tokenizer;
  struct zh_coded_table *coded; /* model/coded.h */
} zh_model_cache;

struct zh_model {
  zh_arena *arena;
  const char *format, *declared_size;
  char *name, *path;
  zh_model_file *files; /* sorted by path */
  size_t file_count;
  zh_tensor *tensors;
  size_t tensor_count, tensor_capacity;
  bool lenient; /* opened for an audit: defects are listed */
  zh_defect *defects;
  size_t defect_count;
  size_t missing_parts;                       /* of a split GGUF file */
  uint64_t *name_slots, name_mask, name_seed; /* tensors by name (names.c) */
  zh_gguf_value *values;                      /* GGUF only; sorted by key */
  size_t value_count;
  json_t *config; /* safetensors folders with a config.json */
  const char *config_path;
  const char *description;  /* standard models: what their digest covers */
  zh_architecture standard; /* standard models */
  zh_model_cache *cache;
  char digest[2][ZH_DIGEST_HEX];
};

/* --- readers: each fills an empty model whose files are mapped and whose arena stands --- */
ZH_MUST_CHECK zh_status zh_gguf_read(zh_model *model, zh_error *err);
ZH_MUST_CHECK zh_status zh_safetensors_read(zh_model *model, const char *folder, zh_error *err);
/* Paths below `folder` that make up a safetensors model, sorted; *paths and its strings are the
 * caller's. */
ZH_MUST_CHECK zh_status zh_safetensors_list(char ***paths, size_t *count, const char *folder,
                                            zh_error *err);
/* ZH_OK with *known false where `name` is not a class. */
ZH_MUST_CHECK zh_status zh_standard_read(zh_model *model, const char *name, bool *known,
                                         zh_error *err);

/* Whether there is a shard in the folder. */
bool zh_safetensors_in_folder(const char *folder);

/* --- parts of a split GGUF file (gguf_parts.c) --- */

/* Files that belong to model->path by their names, as far as they are there; *paths and its strings
 * are the caller's. */
ZH_MUST_CHECK zh_status zh_gguf_list_parts(char ***paths, size_t *count, zh_model *model,
                                           zh_error *err);
/* The first GGUF file of a folder that holds one model; NULL where it holds none. The caller's. */
ZH_MUST_CHECK zh_status zh_gguf_in_folder(char **path, const char *folder, zh_error *err);
/* Once the metadata of a part stand in the model; then, of all parts. */
ZH_MUST_CHECK zh_status zh_gguf_check_part(zh_model *model, const char *path, bool first,
                                           zh_error *err);
ZH_MUST_CHECK zh_status zh_gguf_check_parts(const zh_model *model, zh_error *err);

/* Lists a defect of one file, or adds the tensors to those it has already. */
ZH_MUST_CHECK zh_status zh_model_add_defect(zh_model *model, zh_defect_kind kind, const char *what,
                                            uint64_t tensors, zh_error *err);
/* Shards by what their names count, "-00002-of-00003". */
bool zh_shard_number(unsigned long *number, unsigned long *of, const char *name);
/* metadata: of the index, NULL where there is none. */
ZH_MUST_CHECK zh_status zh_shards_check(zh_model *model, const char *folder, const json_t *metadata,
                                        zh_error *err);

/* Makes room for about so many tensors at once, of a large model in pages of 2 MiB; only a wish. */
void zh_model_expect_tensors(zh_model *model, size_t count);
/* Appends an empty tensor; NULL when memory is short. Earlier pointers may move. */
zh_tensor *zh_model_add_tensor(zh_model *model);
/* Makes tensors findable by name; a name that stands twice is refused, or in another file listed.
 */
ZH_MUST_CHECK zh_status zh_model_index(zh_model *model, zh_error *err);
const zh_tensor *zh_model_find_exactly(const zh_model *model, const char *name, size_t length);
/* Product of the shape and bytes of the tensor from type and shape; false on overflow or part of a
 * block. */
bool zh_tensor_measure(zh_tensor *tensor);

/* model/standard_blocks.c: elements from `index` on of a standard tensor of type F8_E4M3, as that holds them. */
void zh_standard_round(float *values, size_t count, const zh_tensor *tensor, uint64_t index);

/* A copy for people in the model's arena: invalid UTF-8 and control characters become '?'. NULL: no
 * memory. */
char *zh_model_words(zh_model *model, const char *bytes, size_t length);
/* No control character, of ASCII or of Latin-1: nothing that steers a terminal. */
static inline bool zh_is_printable(uint32_t code_point) {
  return code_point >= 0x20 && !(code_point >= 0x7f && code_point < 0xa0);
}
/* Names in files must be UTF-8 without control characters, and not empty. */
bool zh_name_is_clean(const char *bytes, size_t length);

/* --- GGUF metadata; each is false when the key is absent or of another kind --- */
const zh_gguf_value *zh_gguf_find(const zh_model *model, const char *key);
bool zh_gguf_uint(uint64_t *out, const zh_gguf_value *value); /* any integer type, not negative */
bool zh_gguf_real(double *out, const zh_gguf_value *value);   /* F32, F64 */
bool zh_gguf_bool(bool *out, const zh_gguf_value *value);
bool zh_gguf_string(const char **out, size_t *length,
                    const zh_gguf_value *value); /* borrowed, no NUL */
/* Next string of an array of strings; *at starts as value->data. Called at most value->count times.
 */
void zh_gguf_next_string(const char **out, size_t *length, const unsigned char **at);
/* False where the file has no tokenizer, or says that its tokens are numbers. */
bool zh_gguf_names_tokenizer(const zh_model *model);
/* Item i of an array of integers. */
bool zh_gguf_item(int64_t *out, const zh_gguf_value *value, uint64_t i);

/* --- tokenizer --- */
/* *out stays NULL where the model has none. */
ZH_MUST_CHECK zh_status zh_tokenizer_create(zh_tokenizer **out, const zh_model *model,
                                            zh_error *err);
void zh_tokenizer_free(zh_tokenizer *tokenizer);

#endif
