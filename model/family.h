/* Families of architectures as data: model/families/, one file each. Inside the room. */
#ifndef ZH_MODEL_FAMILY_H
#define ZH_MODEL_FAMILY_H

#include "core/text.h"
#include "core/yaml.h"
#include "model/room.h"

typedef enum zh_form { ZH_FORM_CONFIG, ZH_FORM_GGUF } zh_form;

/* Its nodes have been checked: every key, field, word, slot and expression is a known one. */
typedef struct zh_family {
  const char *name;
  const zh_yaml_node *root;
  const struct zh_family *like; /* says what this one does not; NULL: nobody */
} zh_family;

/* NULL in *out: no family has that name in files of this form. Families live as long as the
 * process. */
ZH_MUST_CHECK zh_status zh_family_find(const zh_family **out, const char *word, zh_form form,
                                       zh_error *err);
ZH_MUST_CHECK zh_status zh_family_named(const zh_family **out, const char *name, zh_error *err);
/* "llama, qwen2": all of them. */
ZH_MUST_CHECK zh_status zh_family_names(zh_text *out, zh_error *err);

/* Whether a family closer to `family` than `of`, which it is like, has a rule of that name. */
bool zh_family_overrides(const zh_family *family, const zh_family *of, const char *section,
                         const char *key);
/* The rule of a field: the family's own, or that of the one it is like; NULL: none. */
const zh_yaml_node *zh_family_rule(const zh_family *family, const char *section, const char *key);

/* What each layer is, before it is spelled out (zh_architecture.layer). */
typedef struct zh_layer_pattern {
  uint32_t predicting_layers; /* behind the last, for a second token: counted with them, not run */
  bool slides;                /* some layers do, if there is a window */
  uint32_t sliding_every; /* every so-manieth layer sees all, the others slide; 0: no such rule */
  uint32_t sliding_from;  /* layers from here on slide; UINT32_MAX: none */
  uint32_t dense_first;   /* so many layers without experts, then … */
  uint32_t sparse_every;  /* every so-manieth has them, up to … */
  uint32_t sparse_last;   /* … this one */
} zh_layer_pattern;
typedef struct zh_described {
  zh_architecture a;
  zh_layer_pattern pattern;
  uint32_t latent_rope_dims; /* of a head of MLA, which are a part of head_dim */
} zh_described;

/* Files of one form may call several families by one word (GGUF's llama is Mixtral too): the one
 * that `described`, which was read as `family`, is in the other form. */
ZH_MUST_CHECK zh_status zh_family_told_apart(const zh_family **out, const zh_family *family,
                                             const zh_described *described, zh_error *err);

/* fields.c: what model/families/ may say about a field. */
ZH_MUST_CHECK zh_status zh_field_check(const zh_yaml_node *rule, const char *name, zh_error *err);
/* Arithmetic on fields, and its value. */
ZH_MUST_CHECK zh_status zh_arithmetic_check(const zh_yaml_node *node, zh_error *err);
double zh_described_value(const zh_described *described, const char *arithmetic);
/* Fills in every field by the family's rules from what the file states. The first that cannot be
 * understood is the error; the others are filled in all the same. */
ZH_MUST_CHECK zh_status zh_fields_read(zh_described *out, const zh_model *model,
                                       const zh_family *family, zh_error *err);
/* The key by which this file states a field, or would; of fields without one their own name. */
const char *zh_field_key(const zh_model *model, const zh_family *family, const char *field);
/* What the family knows in one form alone, and no field holds, is stated so or not at all. */
ZH_MUST_CHECK zh_status zh_fields_check_only(const zh_model *model, const zh_family *family,
                                             zh_error *err);
/* The part of config.json that describes the text model. */
const json_t *zh_text_config(const zh_model *model);
/* A value by its path, "rope_parameters.rope_theta"; NULL: absent or null. */
const json_t *zh_config_at(const json_t *config, const char *path);
/* "<architecture>.key" of a GGUF file. */
const zh_gguf_value *zh_gguf_family_value(const zh_model *model, const char *key);

typedef enum zh_field_kind {
  ZH_FIELD_COUNT, /* u32 */
  ZH_FIELD_REAL,  /* float */
  ZH_FIELD_WIDE,  /* double */
  ZH_FIELD_FLAG,  /* bool */
  ZH_FIELD_WORD   /* int */
} zh_field_kind;

/* A field as a file of that form states it, never ZH_FIELD_WIDE; word: of fields that are one. */
typedef struct zh_field_value {
  zh_field_kind kind;
  double number;
  const char *word;
} zh_field_value;
typedef void (*zh_field_writer)(void *user, const char *key, const zh_field_value *value);
/* The other way: every field for which the family has a key in files of that form. */
ZH_MUST_CHECK zh_status zh_fields_write(const zh_described *described, const zh_model *model,
                                        const zh_family *family, zh_form form,
                                        zh_field_writer write, void *user, zh_error *err);
/* The constant that a field is in files of that form; NULL: none. */
const char *zh_field_constant(const zh_family *family, const char *field, zh_form form);
/* difference.c: what two descriptions of one model differ in, but for the places of q's and k's
 * rows and where a norm's 1 is added; NULL: nothing. */
const char *zh_architecture_difference(const zh_architecture *a, const zh_architecture *b);

/* layers.c: spells the pattern out in a.layer, and holds it against lists of layers. */
ZH_MUST_CHECK zh_status zh_layers_mark(zh_described *described, const zh_model *model,
                                       const zh_family *family, zh_error *err);

/* rope_scaling.c: scaling of rope[0], and of rope[1] where the file gives it one. */
ZH_MUST_CHECK zh_status zh_rope_read(zh_architecture *a, const zh_model *model, zh_error *err);

/* sources.c */
enum { ZH_HOLDS_MAX = 4 };
/* The tensor in which files of a form keep a weight, and what else it holds. */
typedef struct zh_home {
  char name[256];
  zh_weight_place holds[ZH_HOLDS_MAX]; /* of the same expert */
  int count;
  bool every_expert; /* one expert after the other */
  bool alternating;
  unsigned turned; /* of which weights held the columns are its rows, a bit each */
  uint64_t groups; /* 1, or so many times a part of each weight held */
} zh_home;
/* count 0: files of that form have no place for it. packed: where it is kept as MXFP4 (gpt-oss). */
ZH_MUST_CHECK zh_status zh_weight_home(zh_home *out, const zh_architecture *a,
                                       zh_weight_place place, zh_form form, bool packed,
                                       zh_error *err);
bool zh_slot_is_known(const char *name);
ZH_MUST_CHECK zh_status zh_tensors_check(const zh_yaml_node *map, zh_error *err);
/* Marks the tensors that the architecture's weights are made of; used: one for each of the model's.
 */
ZH_MUST_CHECK zh_status zh_sources_mark(bool *used, const zh_model *model, const zh_architecture *a,
                                        zh_error *err);
/* A bias of zeros that an older writer of GPTQ gave a packed layer. */
bool zh_tensor_is_idle_bias(const zh_model *model, const zh_tensor *t);
/* Every tensor that the architecture needs is there, and nothing else but buffers and what the
 * family ignores. */
ZH_MUST_CHECK zh_status zh_sources_check(const zh_model *model, const zh_architecture *a,
                                         zh_error *err);

#endif
