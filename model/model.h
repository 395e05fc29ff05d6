/* A model as data: its tensors, its architecture, its tokenizer. Formats: GGUF v2 and v3, safetensors (headers, for
 * counting), and the standard models, whose weights are computed. Knows no kernel.
 *
 * Files are mapped, never copied; every size and offset in them is treated as hostile: a file that lies is
 * ZH_ERR_INPUT with one sentence (file, byte or tensor, what was expected), and memory is bounded by its size. */
#ifndef ZH_MODEL_MODEL_H
#define ZH_MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/digest.h"
#include "core/dtype.h"
#include "core/json.h"
#include "core/status.h"
#include "model/architecture.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ZH_TENSOR_DIMS = 8 };

typedef struct zh_tensor {
  const char *name;               /* as in the file, "blk.0.attn_q.weight" */
  zh_dtype type;
  int dims;                       /* 0 (scalar) … ZH_TENSOR_DIMS */
  uint64_t shape[ZH_TENSOR_DIMS]; /* slowest first: [rows][columns]; GGUF's order is turned round */
  uint64_t elements;              /* product of shape */
  uint64_t bytes;
  const void *data;               /* in the mapping; NULL for standard models (see zh_standard_rows) */
  const char *file;               /* path of the file (shard) that holds it */
  uint64_t file_offset;           /* of data, from the file's beginning */
  uint64_t stream;                /* standard models: Philox stream of this tensor */
  float scale;                    /* standard models: standard deviation of its elements; < 0: all equal to -scale */
} zh_tensor;

/* Role of a tensor, from its name by table (model/tensor_roles.c); what `audit` groups by. */
typedef enum zh_tensor_role {
  ZH_ROLE_EMBEDDING, ZH_ROLE_ATTENTION, ZH_ROLE_FFN, ZH_ROLE_EXPERTS, ZH_ROLE_ROUTER, ZH_ROLE_NORM,
  ZH_ROLE_HEAD, ZH_ROLE_BUFFER, /* RoPE tables, masks, quantisation scales: no parameters */
  ZH_ROLE_OTHER
} zh_tensor_role;
const char *zh_tensor_role_name(zh_tensor_role role); /* "embedding" … */
zh_tensor_role zh_tensor_role_of(const zh_tensor *tensor);

typedef struct zh_model zh_model;
typedef struct zh_tokenizer zh_tokenizer;

/* name_or_path: a .gguf file (any part of a split one opens all), a .safetensors file, a folder with *.safetensors
 * (and index, config.json) or with one GGUF model, or the name of a standard model ("zh-0.1b"). A word that is
 * neither a file nor a known name gets a "did you mean". */
ZH_MUST_CHECK zh_status zh_model_open(zh_model **out, const char *name_or_path, zh_error *err);
/* The same, but for looking at: what is wrong with the packaging while tensors can still be told from each other
 * is listed instead of refused. Tensors that stand twice are kept once, those of missing shards are not there. */
ZH_MUST_CHECK zh_status zh_model_open_for_audit(zh_model **out, const char *name_or_path, zh_error *err);
void zh_model_free(zh_model *model); /* NULL is safe */

typedef enum zh_defect_kind {
  ZH_DEFECT_SHARD_MISSING,  /* named by the index, or one of those that the names count ("of 00003") */
  ZH_DEFECT_SHARD_EXTRA,    /* named by no index, or beyond those that the names count */
  ZH_DEFECT_SHARD_REPEATED, /* holds tensors that another shard holds by the same names */
  ZH_DEFECT_INDEX_MISSING,  /* several shards, no index */
  ZH_DEFECT_INDEX_WRONG,    /* tensors that are not where the index says */
  ZH_DEFECT_INDEX_AGAIN,    /* a second index */
  ZH_DEFECT_SIZE            /* the index states another total size */
} zh_defect_kind;
typedef struct zh_defect {
  zh_defect_kind kind;
  const char *what;         /* the shard or index */
  uint64_t tensors;         /* concerned */
  uint64_t stated, counted; /* bytes, of ZH_DEFECT_SIZE */
} zh_defect;
size_t zh_model_defect_count(const zh_model *model); /* 0 for models not opened for an audit */
const zh_defect *zh_model_defect(const zh_model *model, size_t i);

const char *zh_model_name(const zh_model *model);   /* file or folder name without directories, or class name */
const char *zh_model_path(const zh_model *model);   /* as opened; "" for standard models */
const char *zh_model_format(const zh_model *model); /* "gguf", "safetensors", "standard" */
uint64_t zh_model_file_bytes(const zh_model *model); /* all files; 0 for standard models */
size_t zh_model_tensor_count(const zh_model *model);
const zh_tensor *zh_model_tensor(const zh_model *model, size_t i); /* file order */
/* By the file's own name; NULL when absent. */
const zh_tensor *zh_model_find(const zh_model *model, const char *name);
/* The tensor whose name has new_end where this one's has old_end; NULL: not there. */
const zh_tensor *zh_model_sibling(const zh_model *model, const char *name, const char *old_end,
                                  const char *new_end);
/* Declared by config or metadata ("size_label", "num_parameters"); NULL where nothing is declared. Borrowed. */
const char *zh_model_declared_size(const zh_model *model);

/* config.json of a safetensors folder, NULL where there is none. Borrowed. */
const json_t *zh_model_config(const zh_model *model);

/* A number that the model states of itself: GGUF's "<architecture>.<gguf_key>" (or "general.…" as it is),
 * or config.json's config_key. False where it states none. */
bool zh_model_stated(uint64_t *out, const zh_model *model, const char *gguf_key,
                     const char *config_key);

/* Tokens by id, as the model's tokenizer knows them; count 0 where the model has none. */
typedef enum zh_token_state {
  ZH_TOKEN_USED,
  ZH_TOKEN_UNUSED,  /* marked as unused, or an id that no token has */
  ZH_TOKEN_UNMERGED /* no merge makes it and it is neither one character nor special */
} zh_token_state;
typedef struct zh_vocabulary {
  uint64_t count;
  unsigned char *state; /* zh_token_state of each */
} zh_vocabulary;
ZH_MUST_CHECK zh_status zh_model_vocabulary(zh_vocabulary *out, const zh_model *model,
                                            zh_error *err);
void zh_vocabulary_free(zh_vocabulary *vocabulary);

/* The architecture, or ZH_ERR_INPUT in one sentence when it cannot be run ("architecture 'mamba' is
 * not supported yet; this version runs llama, …"). What the file declares is in *out even then, for audits. A
 * description that comes with ZH_OK has been checked against the tensors: all are there, of the shapes it implies and of
 * types with zh_dtype_is_weight, and no other tensor but buffers is. */
ZH_MUST_CHECK zh_status zh_model_architecture(zh_architecture *out, const zh_model *model, zh_error *err);

/* One weight by itself, wherever and however the file stores it: whole, as rows of a tensor that holds several, or
 * in a form that must first be made into rows (model/sources.c). */
typedef struct zh_source {
  zh_tensor tensor;        /* the weight: its own rows and columns, in the type in which its rows are given. data and
                              file_offset where it lies so in the file, one row after the other; else NULL and 0 */
  const zh_tensor *stored; /* the file's tensor; of standard models the weight itself */
  const struct zh_coded *coded; /* its rows are made of codes, which `stored` holds, and scales; else NULL */
  /* Row r is the tensor's row first + r / run * stride + r % run * step. Turned: element (r, c) is there row
     first + r / run * stride + c, column from + r % run * step. Of vectors each element counts as a row. */
  uint64_t first, from, run, stride, step;
  bool turned;
  bool valued; /* turned, of a tensor in blocks: rows are its values in F32, which zh_source_rows does not make (the
                  engine does: zh_weight_make_rows) */
} zh_source;
/* ZH_ERR_INPUT says in one sentence what is missing or has another shape. place must be needed. */
ZH_MUST_CHECK zh_status zh_model_source(zh_source *out, const zh_model *model, const zh_architecture *a,
                                        zh_weight_place place, zh_error *err);
/* The same for who knows the arithmetic of blocks: sources may be valued, which that one refuses. */
ZH_MUST_CHECK zh_status zh_model_source_or_values(zh_source *out, const zh_model *model, const zh_architecture *a,
                                                  zh_weight_place place, zh_error *err);
/* Rows [first, first + count), as tensor.type has them. Not of valued ones. */
void zh_source_rows(void *out, const zh_source *source, uint64_t first, uint64_t count);
/* The i-th tensor of the file that the rows are made of: `stored`, then scales and the like; NULL past the last. */
const zh_tensor *zh_source_part(const zh_source *source, int i);
/* Gives back the memory of the file's pages that were read to make rows of codes; they can be read again. */
void zh_source_leave(const zh_source *source);
/* Whether the rows are made of E4M3 bytes and scales (FP8), one of each, not turned: then also what the file has.
 * Value = scale E4M3(byte). Blocks of so many rows and columns, counted from the weight's first ones, share a scale. */
typedef struct zh_fp8_blocks {
  uint64_t rows, columns;
} zh_fp8_blocks;
bool zh_source_fp8(zh_fp8_blocks *out, const zh_source *source);
const uint8_t *zh_source_fp8_bytes(const zh_source *source, uint64_t row);
float zh_source_fp8_scale(const zh_source *source, uint64_t row, uint64_t column);

/* NULL when the model has none (standard models: tokens are numbers). Owned by the model. */
ZH_MUST_CHECK zh_status zh_model_tokenizer(const zh_tokenizer **out, const zh_model *model, zh_error *err);

/* Digest of the file's bytes (all files in name order); for standard models of their description (class name,
 * shape, seed rule). Computed at the first call, then kept. */
ZH_MUST_CHECK zh_status zh_model_digest(char out[ZH_DIGEST_HEX], zh_model *model, zh_digest_kind kind, zh_error *err);

/* The bytes of the i-th file, in the order of the digest, as they are mapped; false past the last. */
bool zh_model_file_at(const unsigned char **data, size_t *bytes, const zh_model *model, size_t i);
/* Whether every file is still the one that was opened, with nothing written to it since: ZH_ERR_CHECK in one
 * sentence. Standard models are no files, and never change. */
ZH_MUST_CHECK zh_status zh_model_unchanged(const zh_model *model, zh_error *err);

/* Standard models: fills out[rows][columns] of a tensor, as BF16 or F32 bits as its type says, from row `first`.
 * Element (r, c) depends on (stream, r * columns + c) alone. out holds rows * columns elements. */
void zh_standard_rows(void *out, const zh_tensor *tensor, uint64_t first, uint64_t rows);
/* The seed of all of them, for who generates elements elsewhere. */
uint64_t zh_standard_seed(void);
/* Elements of type F8_E4M3 have a scale for each block of so many rows and columns (of the tensor, all experts' rows
 * following each other): scales[blocks of rows][blocks of columns] from row `first`, a multiple of that, on. The rows
 * that zh_standard_rows gives of such a tensor are BF16, which holds number times scale exactly. */
enum { ZH_STANDARD_BLOCK = 128 };
/* Of columns [first_column, + columns), first_column a multiple of that, too. */
void zh_standard_scales_of(float *scales, const zh_tensor *tensor, uint64_t first, uint64_t rows, uint64_t first_column,
                           uint64_t columns);
void zh_standard_scales(float *scales, const zh_tensor *tensor, uint64_t first, uint64_t rows);
/* Names of the classes in model/classes.yaml, NULL-terminated, and one line each about them. */
typedef struct zh_standard_class {
  const char *name, *summary;
  uint64_t parameters, bytes; /* total, and of weights in memory, but scales of blocks */
  uint64_t active;            /* parameters without the experts that a token does not use */
} zh_standard_class;
ZH_MUST_CHECK zh_status zh_standard_classes(const zh_standard_class **out, size_t *count, zh_error *err);

/* --- tokenizer: byte-level BPE, sentencepiece's BPE and unigram, rank files; from GGUF's metadata, or from
 * tokenizer.json, tokenizer.model or *.tiktoken in the folder of the weights --- */

/* Appends nothing on failure. *tokens is the caller's (free). Text must be valid UTF-8: what is not is refused with the
 * byte, as `tokenizers` takes only valid strings, and sentencepiece's U+FFFD would hide it. add_bos: what the file puts
 * around a text is put there (BOS, also EOS where it asks for one). parse_special: "<|im_start|>" in text becomes its
 * token, as published tokenizers do. */
ZH_MUST_CHECK zh_status zh_tokenize(uint32_t **tokens, size_t *count, const zh_tokenizer *tokenizer, const char *text,
                                    size_t length, bool add_bos, bool parse_special, zh_error *err);
/* Bytes of the tokens, not necessarily valid UTF-8 at the end; the caller frees. Unknown ids are ZH_ERR_INPUT. The
 * tokens are a text's beginning: the space that some tokenizers put there is taken off again. */
ZH_MUST_CHECK zh_status zh_detokenize(char **text, size_t *length, const zh_tokenizer *tokenizer, const uint32_t *tokens,
                                      size_t count, zh_error *err);
uint32_t zh_tokenizer_vocab(const zh_tokenizer *tokenizer);
/* Ids the file declares; -1 where it declares none. add_bos, add_eos: whether the file asks for them around a text. */
typedef struct zh_special_tokens {
  int64_t bos, eos, unknown, padding;
  bool add_bos, add_eos;
} zh_special_tokens;
zh_special_tokens zh_tokenizer_special(const zh_tokenizer *tokenizer);
/* A token as the file writes it ("<|im_end|>"; of byte-level ones in their alphabet); borrowed. False where the id has
 * none, so that what zh_special_tokens says can be handed in as it is. */
bool zh_tokenizer_token_text(const char **text, size_t *length, const zh_tokenizer *tokenizer, int64_t id);
/* The id of a token as the file writes it; -1 where there is none. */
int64_t zh_tokenizer_find(const zh_tokenizer *tokenizer, const char *text, size_t length);

#ifdef __cplusplus
}
#endif
#endif
