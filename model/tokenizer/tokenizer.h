/* A tokenizer as the readers of formats fill it in, and as encoding and decoding use it. */
#ifndef ZH_MODEL_TOKENIZER_TOKENIZER_H
#define ZH_MODEL_TOKENIZER_TOKENIZER_H

#include <pthread.h>

#include "core/arena.h"
#include "model/model.h"
#include "model/tokenizer/bpe.h"
#include "model/tokenizer/normalizer.h"
#include "model/tokenizer/pretokenizer.h"
#include "model/tokenizer/unigram.h"

/* Numbers of tokenizer.ggml.token_type and of sentencepiece's pieces alike. 0: no such token. */
typedef enum zh_token_kind {
  ZH_TOKEN_NORMAL = 1,
  ZH_TOKEN_UNKNOWN,
  ZH_TOKEN_CONTROL,
  ZH_TOKEN_USER_DEFINED,
  ZH_TOKEN_NEVER, /* sentencepiece's "unused" */
  ZH_TOKEN_BYTE
} zh_token_kind;

enum { ZH_SPECIAL_BYTES = 512, ZH_TOKEN_BYTES = 4096, ZH_AROUND_TOKENS = 8 };

/* A token that is found in the text before anything else. */
typedef struct zh_added_token {
  uint32_t id;
  zh_slice text;
  bool special; /* found only where special tokens are asked for */
  bool left, right, single_word, normalized;
} zh_added_token;

/* Added tokens that are looked for in one text: plain, or normalized. */
typedef struct zh_added_set {
  zh_matcher *matcher; /* ids are places in `tokens` */
  const zh_added_token *tokens;
} zh_added_set;

/* What tokens become, in this order: bytes by GPT-2's alphabet or as they are, `replacement` a
 * space, "<0x0A>" a byte, then what stands first is cut off. */
typedef struct zh_decoding {
  bool alphabet, byte_fallback, spaced; /* spaced: tokens are joined by a space */
  bool literal; /* added tokens are not in the alphabet, which `tokenizers` takes them for */
  zh_slice wanted, replacement;
  zh_slice cut;          /* cut off from the beginning, */
  unsigned cut_most;     /* so many times at most */
  bool first_token_only; /* all replacements in the first token vanish (Metaspace) */
} zh_decoding;

typedef struct zh_rooms zh_rooms;

struct zh_tokenizer {
  zh_arena *arena;
  uint32_t vocab;
  zh_slice *texts;  /* [vocab] as the file writes them; bytes NULL: no token has the id */
  zh_slice *shown;  /* [vocab]: what is decoded where that is not `texts`; else NULL */
  uint8_t *kinds;   /* [vocab], zh_token_kind */
  zh_slice *pieces; /* [vocab]: bytes that text may hold, NULL for tokens that text never becomes */
  zh_text_table by_text;
  double *scores; /* [vocab], or NULL */
  bool byte_level;
  zh_slice regex; /* of a rank file: what cuts text */
  zh_bpe *bpe;
  zh_unigram *unigram;
  zh_normalizer normalizer;
  zh_pretokenizer pretokenizer;
  zh_matcher *user_defined; /* sentencepiece's: found in normalized text, never merged */
  zh_added_token *added;
  size_t added_count;
  zh_added_set sets[2][2];                                    /* [normalized][special ones too] */
  uint32_t before[ZH_AROUND_TOKENS], after[ZH_AROUND_TOKENS]; /* put around a text */
  size_t before_count, after_count;
  zh_decoding decoding;
  zh_special_tokens declared;
  zh_rooms *rooms; /* of threads that are done, for the next */
};

/* --- filling one in --- */

ZH_MUST_CHECK zh_status zh_tokenizer_begin(zh_tokenizer **out, zh_error *err);
/* Room for so many ids. */
ZH_MUST_CHECK zh_status zh_tokenizer_expect(zh_tokenizer *t, uint32_t vocab, zh_error *err);
/* A copy in the arena; bytes NULL: no memory. */
zh_slice zh_tokenizer_keep(zh_tokenizer *t, const char *bytes, size_t length);
/* Makes ids findable by their texts, once all are there. */
ZH_MUST_CHECK zh_status zh_tokenizer_index(zh_tokenizer *t, zh_error *err);
/* Pieces of a byte-level vocabulary: GPT-2's alphabet turned into bytes. */
ZH_MUST_CHECK zh_status zh_tokenizer_read_alphabet(zh_tokenizer *t, zh_error *err);
/* Symbols for merging, filled in from kinds and pieces. */
void zh_tokenizer_symbols(zh_bpe_symbols *out, const zh_tokenizer *t);
/* Fills of_byte from "<0x00>" … "<0xFF>"; whether all of them are there. any_kind: by text alone.
 */
bool zh_tokenizer_byte_tokens(uint32_t of_byte[256], const zh_tokenizer *t, bool any_kind);
/* Everything that is a sentencepiece model's: normalizer, user-defined pieces, merges from scores,
 * decoding. rules: without user_defined. */
ZH_MUST_CHECK zh_status zh_tokenizer_be_sentencepiece(zh_tokenizer *t, zh_sentencepiece_rules rules,
                                                      bool unigram, bool byte_fallback,
                                                      zh_error *err);
/* Tokens that are found first; added[] stands in the arena. Called last. */
ZH_MUST_CHECK zh_status zh_tokenizer_add_tokens(zh_tokenizer *t, zh_added_token *added,
                                                size_t count, zh_error *err);
/* Control (and, where asked, user-defined) tokens are found first. */
ZH_MUST_CHECK zh_status zh_tokenizer_add_special(zh_tokenizer *t, bool user_defined, zh_error *err);
/* BOS and EOS as declared, around each text. */
void zh_tokenizer_put_around(zh_tokenizer *t, bool bos, bool eos);
zh_status zh_tokenizer_no_memory(zh_error *err);

/* --- readers --- */

ZH_MUST_CHECK zh_status zh_tokenizer_from_gguf(zh_tokenizer *t, const zh_model *model,
                                               zh_error *err);
ZH_MUST_CHECK zh_status zh_tokenizer_from_json(zh_tokenizer *t, const json_t *root, zh_error *err);
/* A sentencepiece model: a protocol buffer. Bytes are copied where they are kept. */
ZH_MUST_CHECK zh_status zh_tokenizer_from_sentencepiece(zh_tokenizer *t, const unsigned char *data,
                                                        size_t length, const json_t *config,
                                                        zh_error *err);
/* Base64 and rank, line by line; regex and special tokens are told by what stands beside it. */
ZH_MUST_CHECK zh_status zh_tokenizer_from_ranks(zh_tokenizer *t, const char *text, size_t length,
                                                const char *regex, const json_t *config,
                                                zh_error *err);
/* From what stands beside the weights; *found false where nothing does. */
ZH_MUST_CHECK zh_status zh_tokenizer_from_folder(zh_tokenizer *t, bool *found, const char *folder,
                                                 const json_t *model_config, zh_error *err);

/* --- GPT-2's byte alphabet --- */

/* The byte that a character stands for; -1 where it stands for none. */
int zh_byte_of_character(uint32_t character);

/* --- rooms --- */

typedef struct zh_room {
  struct zh_room *next;
  zh_bpe_room *bpe;
  zh_text texts[2];
} zh_room;
zh_rooms *zh_rooms_create(void);
void zh_rooms_free(zh_rooms *rooms);
zh_room *zh_room_take(zh_rooms *rooms); /* NULL: no memory */
void zh_room_give(zh_rooms *rooms, zh_room *room);

#endif
