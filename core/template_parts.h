/* Inside the template interpreter: tokens, nodes, values, and what a rendering carries along.
 *
 * source ─ lexer ─► tokens ─ parser, statements ─► nodes ─ render, evaluate ─► text
 *
 * Values cannot be changed (as in Jinja's immutable sandbox), so they are shared freely and live in
 * the arena of their rendering until it ends. */
#ifndef ZH_CORE_TEMPLATE_PARTS_H
#define ZH_CORE_TEMPLATE_PARTS_H

#include "core/arena.h"
#include "core/template.h"
#include "core/text.h"

#ifdef __cplusplus
extern "C" {
#endif

/* --- values --- */

typedef enum tpl_kind {
  TPL_MISSING, /* an argument that was not given; never a value of a template */
  TPL_UNDEFINED,
  TPL_NONE,
  TPL_BOOL,
  TPL_INT,
  TPL_FLOAT,
  TPL_STRING,
  TPL_LIST,
  TPL_DICT,
  TPL_NAMESPACE,
  TPL_MACRO,
  TPL_BUILTIN, /* a function such as range */
  TPL_METHOD,  /* a method with its object */
  TPL_LOOP,
  TPL_CYCLER,
  TPL_JOINER
} tpl_kind;

/* What Python would have where we have TPL_LIST: they print and compare differently. */
typedef enum tpl_form { TPL_LIST_FORM, TPL_TUPLE, TPL_RANGE, TPL_VIEW, TPL_GENERATOR } tpl_form;

typedef struct tpl_string tpl_string;
typedef struct tpl_list tpl_list;
typedef struct tpl_dict tpl_dict;
typedef struct tpl_macro tpl_macro;
typedef struct tpl_method tpl_method;
typedef struct tpl_builtin tpl_builtin;
typedef struct tpl_loop tpl_loop;

typedef struct tpl_value {
  uint8_t kind;
  /* TPL_STRING: marked as HTML, which joins only with its like. TPL_UNDEFINED: what an inline "if"
   * without "else" leaves, which is empty even where the style is strict. */
  bool safe;
  union {
    bool truth;
    int64_t integer;
    double real;
    const char *hint; /* TPL_UNDEFINED: "'x' is undefined" */
    tpl_string *string;
    tpl_list *list;
    tpl_dict *dict; /* TPL_DICT and TPL_NAMESPACE */
    const tpl_macro *macro;
    const tpl_method *method;
    const tpl_builtin *builtin;
    tpl_loop *loop;
    struct tpl_cycle *cycle; /* TPL_CYCLER, TPL_JOINER */
  } as;
} tpl_value;

struct tpl_string {
  const char *bytes; /* UTF-8, not NUL-terminated */
  size_t length;     /* bytes */
  size_t points;     /* code points, SIZE_MAX until counted */
};

struct tpl_list {
  const json_t *json; /* not yet made into values, else NULL */
  tpl_value *items;
  size_t count;
  size_t spent; /* TPL_GENERATOR: items already taken */
  tpl_form form;
};

/* Either JSON, or pairs. */
struct tpl_dict {
  const json_t *json;
  tpl_value *keys, *values;
  size_t count, capacity;
};

struct tpl_cycle {
  const tpl_value *items;
  size_t count, at;
};

/* --- tokens --- */

typedef enum tpl_token_kind {
  TPL_END,
  TPL_DATA,
  TPL_VARIABLE_BEGIN,
  TPL_VARIABLE_END,
  TPL_BLOCK_BEGIN,
  TPL_BLOCK_END,
  TPL_NAME,
  TPL_TEXT, /* a string literal, without its quotes and escapes */
  TPL_INTEGER,
  TPL_REAL,
  TPL_SIGN /* operators and brackets */
} tpl_token_kind;

typedef struct tpl_token {
  tpl_token_kind kind;
  uint32_t line, column;
  const char *bytes; /* names (interned), signs, data, text */
  size_t length;
  int64_t integer;
  double real;
} tpl_token;

/* --- nodes --- */

typedef enum tpl_node_kind {
  /* expressions */
  TPL_CONSTANT,
  TPL_VARIABLE,
  TPL_MAKE_LIST,
  TPL_MAKE_TUPLE,
  TPL_MAKE_DICT, /* items: key, value, key, value … */
  TPL_ATTRIBUTE, /* first.name */
  TPL_ITEM,      /* first[second] */
  TPL_SLICE,     /* first[items[0]:items[1]:items[2]], NULL where left out */
  TPL_CALL,      /* first(items, names) */
  TPL_FILTER,    /* first|name(items, names); first NULL: the text of a block */
  TPL_TEST,      /* first is name(items, names) */
  TPL_NOT,
  TPL_NEGATIVE,
  TPL_POSITIVE,
  TPL_ARITHMETIC, /* first name second, name one of + - * / // % ** */
  TPL_JOIN,       /* items joined by ~ */
  TPL_COMPARE,    /* first, then names[i] items[i] */
  TPL_AND,
  TPL_OR,
  TPL_CHOICE, /* first if second else third (NULL: undefined) */
  /* statements */
  TPL_OUTPUT,    /* first */
  TPL_RAW_TEXT,  /* value */
  TPL_IF,        /* items[i] is the test of body i (a TPL_BODY), NULL for else */
  TPL_FOR,       /* target first, over second, where third; body, other */
  TPL_SET,       /* target first = second */
  TPL_SET_BLOCK, /* target first = body, through the filters of second (or NULL) */
  TPL_WITH,      /* targets items = values other */
  TPL_MACRO_DEFINITION,
  TPL_CALL_BLOCK,   /* a macro definition without name whose first is the call */
  TPL_FILTER_BLOCK, /* second: filters */
  TPL_SCOPE,        /* body with names of its own, written out: {% generation %} */
  TPL_BREAK,
  TPL_CONTINUE,
  TPL_NAMESPACE_TARGET /* name.names[0] as a target of set */
} tpl_node_kind;

typedef struct tpl_node tpl_node;
typedef struct tpl_nodes {
  tpl_node **at;
  size_t count, capacity;
} tpl_nodes;

struct tpl_node {
  tpl_node_kind kind;
  uint32_t line, column;
  const char *name;                /* interned */
  const struct tpl_builtin *known; /* TPL_FILTER, TPL_TEST: what the name means, NULL: nothing */
  tpl_value value;
  tpl_node *first, *second, *third;
  tpl_nodes items, body, other;
  const char *
      *names; /* calls: of items, NULL where by position; compare: signs; macro: parameters */
  tpl_node *extra_list, *extra_dict;           /* calls: *first, **second */
  bool uses_caller, uses_varargs, uses_kwargs; /* macros */
};

struct zh_template {
  zh_arena *arena;
  zh_template_style style;
  tpl_nodes body;
  const char **names; /* interned, in order of appearance */
  size_t name_count, name_capacity;
};

/* The same bytes give the same pointer within one template. NULL when memory is short, or there are
 * too many names. */
const char *tpl_intern(zh_template *tpl, const char *bytes, size_t length);

/* --- reading --- */

/* "template line 3, column 14: …". Always a failure. */
#define tpl_fail_at(err, line, column, format, ...)                                                \
  zh_fail(err, ZH_ERR_INPUT, "template line %u, column %u: " format, (unsigned)(line),             \
          (unsigned)(column), __VA_ARGS__)

ZH_MUST_CHECK zh_status tpl_read_tokens(tpl_token **out, zh_template *tpl, const char *source,
                                        size_t length, zh_error *err);

/* Where the parser stands. */
typedef struct tpl_reader {
  zh_template *tpl;
  const tpl_token *at; /* the last is TPL_END and never left */
  int depth, loops;
  int choices;     /* open "if" blocks: what they hold may never be reached */
  tpl_node *macro; /* innermost, or NULL */
  zh_error *err;
} tpl_reader;

ZH_MUST_CHECK zh_status tpl_read_statements(tpl_reader *r); /* into r->tpl->body */
/* extra_end: a name that ends a tuple, or NULL. */
ZH_MUST_CHECK zh_status tpl_read_expression(tpl_node **out, tpl_reader *r, bool with_choice);
ZH_MUST_CHECK zh_status tpl_read_tuple(tpl_node **out, tpl_reader *r, bool with_choice,
                                       const char *extra_end);
/* What stands before "in" and "=": names, tuples of them. */
ZH_MUST_CHECK zh_status tpl_read_targets(tpl_node **out, tpl_reader *r, const char *extra_end);
ZH_MUST_CHECK zh_status tpl_read_primary(tpl_node **out, tpl_reader *r);
/* template_postfix.c: chains of .a(b)[c] after node; the call or the test that stands next. */
ZH_MUST_CHECK zh_status tpl_read_postfix(tpl_node **out, tpl_reader *r, tpl_node *node);
ZH_MUST_CHECK zh_status tpl_read_call(tpl_node **out, tpl_reader *r, tpl_node *function);
ZH_MUST_CHECK zh_status tpl_read_test(tpl_node **out, tpl_reader *r, tpl_node *subject);
/* "|name(…)|name…" around first. inline_start: the first bar is left out. */
ZH_MUST_CHECK zh_status tpl_read_filters(tpl_node **out, tpl_reader *r, tpl_node *first,
                                         bool inline_start);
ZH_MUST_CHECK zh_status tpl_node_new(tpl_node **out, tpl_reader *r, tpl_node_kind kind);
ZH_MUST_CHECK zh_status tpl_nodes_add(tpl_nodes *list, tpl_reader *r, tpl_node *node);
/* One level deeper; fails beyond what is read. */
ZH_MUST_CHECK zh_status tpl_enter(tpl_reader *r);
ZH_MUST_CHECK zh_status tpl_out_of_memory(tpl_reader *r);
bool tpl_at_sign(const tpl_reader *r, const char *sign);
bool tpl_at_name(const tpl_reader *r, const char *name);
bool tpl_skip_sign(tpl_reader *r, const char *sign);
bool tpl_skip_name(tpl_reader *r, const char *name);
ZH_MUST_CHECK zh_status tpl_expect_sign(tpl_reader *r, const char *sign);
ZH_MUST_CHECK zh_status tpl_expect_kind(tpl_reader *r, tpl_token_kind kind);
/* "end of the block", "'x'" … of the token at r. */
const char *tpl_describe(char out[64], const tpl_token *token);

/* --- rendering --- */

enum { TPL_DEPTH = 400, TPL_MACRO_DEPTH = 64, TPL_RANGE_MAX = 100000 };

typedef struct tpl_binding {
  const char *name; /* interned */
  tpl_value value;
} tpl_binding;

typedef struct tpl_scope {
  struct tpl_scope *parent;
  tpl_binding *bindings;
  size_t count, capacity;
} tpl_scope;

typedef struct tpl_run {
  const zh_template *tpl;
  zh_arena *arena;
  zh_text *out; /* the text being written: the result, or what a block captures */
  tpl_scope *scope;
  const tpl_node *at; /* for messages */
  uint64_t steps;     /* left */
  size_t output;      /* bytes left */
  int depth, macro_depth;
  time_t now;
  zh_error *err;
} tpl_run;

struct tpl_macro {
  const tpl_node *node;
  tpl_scope *scope; /* where it was defined */
};

struct tpl_loop {
  const tpl_value *items;
  size_t count, at;
  int level;       /* loops around this one */
  tpl_value *seen; /* of loop.changed; NULL before its first call */
  size_t seen_count;
};

typedef struct tpl_arguments {
  tpl_value *given;
  size_t count; /* by position */
  const char **names;
  tpl_value *named;
  size_t named_count;
} tpl_arguments;

#define tpl_fail(run, ...)                                                                         \
  tpl_fail_at((run)->err, (run)->at ? (run)->at->line : 1, (run)->at ? (run)->at->column : 1,      \
              __VA_ARGS__)

/* Counts work against the limit: n bytes looked at, or n / 16 operations. */
ZH_MUST_CHECK zh_status tpl_charge(tpl_run *run, size_t bytes);
/* Memory of the rendering, zeroed; fails at the limit. */
ZH_MUST_CHECK zh_status tpl_alloc(void *out_pointer, tpl_run *run, size_t count, size_t size);
ZH_MUST_CHECK zh_status tpl_write(tpl_run *run, const char *bytes, size_t length);

/* template_evaluate.c */
ZH_MUST_CHECK zh_status tpl_evaluate(tpl_value *out, tpl_run *run, const tpl_node *node);
ZH_MUST_CHECK zh_status tpl_call_value(tpl_value *out, tpl_run *run, tpl_value function,
                                       const tpl_arguments *args);
/* template_attributes.c. As x.name and x[key] look: attributes (methods) first, or items first. */
ZH_MUST_CHECK zh_status tpl_get_attribute(tpl_value *out, tpl_run *run, tpl_value object,
                                          const char *name);
ZH_MUST_CHECK zh_status tpl_get_item(tpl_value *out, tpl_run *run, tpl_value object, tpl_value key);
ZH_MUST_CHECK zh_status tpl_apply_filters(tpl_value *out, tpl_run *run, const tpl_node *filter,
                                          tpl_value text);
/* template_render.c */
ZH_MUST_CHECK zh_status tpl_call_macro(tpl_value *out, tpl_run *run, const tpl_macro *macro,
                                       const tpl_arguments *args);
ZH_MUST_CHECK zh_status tpl_bind_name(tpl_run *run, const char *name, tpl_value value);

/* template_values.c */
tpl_value tpl_undefined(const char *hint);
tpl_value tpl_none(void);
tpl_value tpl_bool(bool truth);
tpl_value tpl_int(int64_t integer);
tpl_value tpl_float(double real);
ZH_MUST_CHECK zh_status tpl_borrow_string(tpl_value *out, tpl_run *run, const char *bytes,
                                          size_t length);
ZH_MUST_CHECK zh_status tpl_copy_string(tpl_value *out, tpl_run *run, const char *bytes,
                                        size_t length);
/* Copies the text and frees it; fails where it had failed. */
ZH_MUST_CHECK zh_status tpl_take_text(tpl_value *out, tpl_run *run, zh_text *text);
ZH_MUST_CHECK zh_status tpl_new_list(tpl_value *out, tpl_run *run, size_t count, tpl_form form);
ZH_MUST_CHECK zh_status tpl_new_dict(tpl_value *out, tpl_run *run, size_t capacity);
ZH_MUST_CHECK zh_status tpl_from_json(tpl_value *out, tpl_run *run, const json_t *json);
/* Items of a TPL_LIST, of which a generator's are then spent. */
ZH_MUST_CHECK zh_status tpl_items(tpl_value **items, size_t *count, tpl_run *run, tpl_value list);
/* What `for` would go over: lists, keys, characters. */
ZH_MUST_CHECK zh_status tpl_iterate(tpl_value **items, size_t *count, tpl_run *run,
                                    tpl_value value);
ZH_MUST_CHECK zh_status tpl_dict_get(bool *found, tpl_value *out, tpl_run *run,
                                     const tpl_dict *dict, tpl_value key);
ZH_MUST_CHECK zh_status tpl_dict_set(tpl_run *run, tpl_dict *dict, tpl_value key, tpl_value value);
/* Pair i in the order of insertion. */
ZH_MUST_CHECK zh_status tpl_dict_pairs(tpl_run *run, tpl_dict *dict);
size_t tpl_dict_count(const tpl_dict *dict);
bool tpl_is_string(tpl_value value, const char *text);
const char *tpl_type_name(tpl_value value); /* as Python calls it */
/* Fails on a use that an undefined value does not allow. */
ZH_MUST_CHECK zh_status tpl_need_defined(tpl_run *run, tpl_value value);
ZH_MUST_CHECK zh_status tpl_strict(tpl_run *run, tpl_value value); /* only where style is strict */
ZH_MUST_CHECK zh_status tpl_truth(bool *out, tpl_run *run, tpl_value value);
ZH_MUST_CHECK zh_status tpl_length(size_t *out, tpl_run *run, tpl_value value);

/* template_compare.c */
ZH_MUST_CHECK zh_status tpl_equal(bool *out, tpl_run *run, tpl_value a, tpl_value b);
ZH_MUST_CHECK zh_status tpl_order(int *out, bool *unordered, tpl_run *run, const char *sign,
                                  tpl_value a, tpl_value b);
ZH_MUST_CHECK zh_status tpl_compare(bool *out, tpl_run *run, const char *sign, tpl_value a,
                                    tpl_value b);
/* Stable; keys decide, items go along. */
ZH_MUST_CHECK zh_status tpl_sort(tpl_run *run, tpl_value *keys, tpl_value *items, size_t count,
                                 bool reverse);

/* template_operators.c */
ZH_MUST_CHECK zh_status tpl_arithmetic(tpl_value *out, tpl_run *run, const char *sign, tpl_value a,
                                       tpl_value b);
ZH_MUST_CHECK zh_status tpl_negative(tpl_value *out, tpl_run *run, tpl_value value, bool negate);
ZH_MUST_CHECK zh_status tpl_slice(tpl_value *out, tpl_run *run, tpl_value object,
                                  const tpl_value bounds[3]);

/* template_print.c: str(), repr(), json.dumps() */
ZH_MUST_CHECK zh_status tpl_print(zh_text *out, tpl_run *run, tpl_value value);
ZH_MUST_CHECK zh_status tpl_print_repr(zh_text *out, tpl_run *run, tpl_value value);
ZH_MUST_CHECK zh_status tpl_to_string(tpl_value *out, tpl_run *run, tpl_value value);
/* <, >, &, ' and " as HTML writes them, or, of JSON, but for the last, as JavaScript does. */
void tpl_escape(zh_text *out, const char *bytes, size_t length, bool json);
void tpl_print_float(zh_text *out, double value);
typedef struct tpl_json_style {
  bool ascii, sorted;
  const char *item, *key; /* separators */
  const char *indent;     /* NULL: on one line */
  size_t item_length, key_length, indent_length;
} tpl_json_style;
ZH_MUST_CHECK zh_status tpl_print_json(zh_text *out, tpl_run *run, tpl_value value,
                                       const tpl_json_style *style, int depth);

/* template_text.c: characters */
bool tpl_is_space(uint32_t point);
/* Letters beyond ASCII that need no table: CJK, kana, hangul, Latin with accents. */
bool tpl_is_letter(uint32_t point);
size_t tpl_points(tpl_string *string); /* code points */
/* Byte where code point `index` begins; index at most the count. */
size_t tpl_byte_of(tpl_string *string, size_t index);
size_t tpl_space_before(const char *bytes,
                        size_t end); /* bytes of the blank that ends there, or 0 */
size_t tpl_space_at(const char *bytes, size_t length); /* of the blank at the beginning, or 0 */
/* Part without blanks (chars NULL) or those characters, at the left, the right. */
void tpl_strip(const char **bytes, size_t *length, const tpl_string *chars, bool left, bool right);
/* First place of needle, or SIZE_MAX. */
size_t tpl_find(const char *bytes, size_t length, const tpl_string *needle);
size_t tpl_find_last(const char *bytes, size_t length, const tpl_string *needle);
typedef enum tpl_case {
  TPL_UPPER,
  TPL_LOWER,
  TPL_CAPITALIZE,
  TPL_TITLE,
  TPL_FILTER_TITLE
} tpl_case;
ZH_MUST_CHECK zh_status tpl_change_case(tpl_value *out, tpl_run *run, const tpl_string *string,
                                        tpl_case how);
/* Bytes of the line that begins at `at`, and of its end. */
void tpl_line(size_t *body, size_t *end, const char *bytes, size_t length);
typedef enum tpl_class {
  TPL_DIGITS,
  TPL_ALPHA,
  TPL_ALNUM,
  TPL_SPACES,
  TPL_ALL_UPPER,
  TPL_ALL_LOWER
} tpl_class;
ZH_MUST_CHECK zh_status tpl_all_of(bool *out, tpl_run *run, const tpl_string *string,
                                   tpl_class what);
bool tpl_printable(uint32_t point);

/* template_format.c: 'x %s' % value, 'x {}'.format(value) */
ZH_MUST_CHECK zh_status tpl_percent(tpl_value *out, tpl_run *run, const tpl_string *format,
                                    tpl_value value);
ZH_MUST_CHECK zh_status tpl_braces(tpl_value *out, tpl_run *run, const tpl_string *format,
                                   const tpl_arguments *args);

/* --- functions, filters, tests, methods: tables by name --- */

enum { TPL_PARAMETERS = 6 };

/* given: by the order of the signature, TPL_MISSING where left out; args: all as they came. */
typedef zh_status (*tpl_function)(tpl_value *out, tpl_run *run, tpl_value self,
                                  const tpl_value *given, const tpl_arguments *args);

/* signature: parameter names between blanks, "?" before those that may be left out; "*": the
 * function reads args itself. */
struct tpl_builtin {
  const char *name;
  tpl_function run;
  const char *signature;
};
struct tpl_method {
  const tpl_builtin *builtin;
  tpl_value self;
};

ZH_MUST_CHECK zh_status tpl_call_builtin(tpl_value *out, tpl_run *run, const tpl_builtin *builtin,
                                         const char *what, tpl_value self,
                                         const tpl_arguments *args);
/* Always a failure: the filter or test of that node is not known. */
ZH_MUST_CHECK zh_status tpl_refuse_unknown(const tpl_node *node, bool test, zh_error *err);
const tpl_builtin *tpl_find_filter(const char *name);
const tpl_builtin *tpl_find_test(const char *name);
const tpl_builtin *tpl_find_global(const char *name);
const tpl_builtin *tpl_find_in(const tpl_builtin *table, const char *name);
/* Names of a table and "did you mean": into out. */
const char *tpl_guess(char out[ZH_GUESS_BYTES], const char *name, bool tests);
/* A method as a value; *out MISSING where the type has none of that name. Names that Python knows
 * and we do not are refused. */
ZH_MUST_CHECK zh_status tpl_find_method(tpl_value *out, tpl_run *run, tpl_value object,
                                        const char *name);
extern const tpl_builtin tpl_sequence_filters[]; /* template_sequences.c */
extern const tpl_builtin tpl_number_filters[];   /* template_numbers.c */
extern const tpl_builtin tpl_string_methods[];   /* template_methods.c */
extern const tpl_builtin tpl_split_methods[];    /* template_split.c */

/* Reading arguments; each names the parameter in its message. */
ZH_MUST_CHECK zh_status tpl_want_string(tpl_string **out, tpl_run *run, tpl_value value,
                                        const char *what);
ZH_MUST_CHECK zh_status tpl_want_int(int64_t *out, tpl_run *run, tpl_value value, const char *what);
/* soft_str: the value as text. */
ZH_MUST_CHECK zh_status tpl_text_of(tpl_string **out, tpl_run *run, tpl_value value);

#ifdef __cplusplus
}
#endif
#endif
