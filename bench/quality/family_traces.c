/* Made items: what a small program prints. Programs are Python of a few statements on whole numbers
 * and one list; what they mean is computed here, statement by statement. */
#include <inttypes.h>
#include <stdlib.h>

#include "bench/quality/procedural.h"

enum { VARIABLES = 5, I = 3, X = 4, LIST_MAX = 8, LIST_FIRST = 4, STATEMENTS_MAX = 40 };
enum { STEPS_MAX = 400, VALUE_MAX = 9999, TRIES = 1000, NONE = -1 };
static const char *const names[VARIABLES] = {"a", "b", "c", "i", "x"};

typedef enum atom_kind { NUMBER, VARIABLE, ELEMENT } atom_kind;
typedef struct atom {
  atom_kind kind;
  int64_t value; /* the number, the variable, the place in the list */
} atom;

/* left op right; op 0: left alone. Floor division and remainder are by numbers above zero. */
typedef struct expression {
  atom left, right;
  char op;
} expression;

typedef enum statement_kind { SET, CHANGE, STORE, APPEND, IF, RANGE, EACH, WHILE } statement_kind;
typedef struct statement {
  statement_kind kind;
  int target;       /* SET, CHANGE: a variable */
  expression value; /* of WHILE, IF: what is compared; of RANGE the left one is the count */
  char compare;     /* '<', '>', '=' */
  atom with;
  int body, otherwise, next; /* statements; NONE */
} statement;

typedef struct program {
  statement all[STATEMENTS_MAX];
  int count, first;
  int initial[VARIABLES], defined; /* so many of a, b, c */
  int list[LIST_FIRST];
  bool has_list, prints_list;
  int printed, printed_too; /* variables; NONE */
} program;

/* ---- drawing ---- */

typedef struct drawing {
  program *of;
  zh_draw *draw;
  unsigned readable; /* variables, a bit each */
} drawing;

static atom number(int64_t value) {
  return (atom){NUMBER, value};
}

static atom draw_variable(const drawing *d) {
  int64_t chosen;
  do chosen = zh_draw_below(d->draw, VARIABLES);
  while (!(d->readable & 1u << chosen));
  return (atom){VARIABLE, chosen};
}

static atom draw_atom(const drawing *d) {
  uint32_t kind = zh_draw_below(d->draw, 5);
  if (kind < 2) return number(1 + zh_draw_below(d->draw, 9));
  if (kind == 4 && d->of->has_list) return (atom){ELEMENT, zh_draw_below(d->draw, LIST_FIRST)};
  return draw_variable(d);
}

static expression draw_expression(const drawing *d) {
  static const char operators[] = {'+', '-', '*', '/', '%'};
  expression e = {.left = draw_variable(d)};
  e.op = operators[zh_draw_below(d->draw, 5)];
  e.right = draw_atom(d);
  if (e.op == '/' || e.op == '%') e.right = number(2 + zh_draw_below(d->draw, 6));
  if (e.op == '*' && e.right.kind == NUMBER) e.right = number(2 + zh_draw_below(d->draw, 2));
  return e;
}

static int add(const drawing *d, statement s) {
  s.next = NONE;
  d->of->all[d->of->count] = s;
  return d->of->count++;
}

static int draw_target(const drawing *d) {
  return (int)zh_draw_below(d->draw, (uint32_t)d->of->defined);
}

/* v = e, or v op= e; kept: the latter alone, so that what was in v before still counts. */
static int draw_assignment(const drawing *d, bool kept) {
  statement s = {.kind = CHANGE, .body = NONE, .otherwise = NONE};
  if (!kept && zh_draw_below(d->draw, 2) == 0) s.kind = SET;
  s.target = draw_target(d);
  s.value = draw_expression(d);
  if (s.kind == CHANGE) s.value.left = (atom){VARIABLE, s.target};
  return add(d, s);
}

static int draw_simple(const drawing *d) {
  return draw_assignment(d, false);
}

static void draw_condition(const drawing *d, statement *s) {
  static const char compares[] = {'<', '>', '='};
  s->compare = compares[zh_draw_below(d->draw, 3)];
  s->value = (expression){.left = draw_variable(d)};
  s->with = draw_atom(d);
  if (s->compare == '=') { /* of parity, so that both happen */
    s->value.op = '%';
    s->value.right = number(2);
    s->with = number(zh_draw_below(d->draw, 2));
  }
}

static int draw_if(const drawing *d, int body, int otherwise) {
  statement s = {.kind = IF, .body = body, .otherwise = otherwise};
  draw_condition(d, &s);
  return add(d, s);
}

static int draw_range(const drawing *d, int64_t times, int body) {
  return add(d,
             (statement){
                 .kind = RANGE, .value = {.left = number(times)}, .body = body, .otherwise = NONE});
}

/* while v > n: v -= m, and something else. */
static int draw_while(const drawing *d) {
  int v = draw_target(d);
  expression less = {.left = {VARIABLE, v}, .op = '-'};
  less.right = number(2 + zh_draw_below(d->draw, 4));
  int body = add(
      d, (statement){.kind = CHANGE, .target = v, .value = less, .body = NONE, .otherwise = NONE});
  d->of->all[body].next = draw_simple(d);
  return add(d, (statement){.kind = WHILE,
                            .value = {.left = {VARIABLE, v}},
                            .compare = '>',
                            .with = number(1 + zh_draw_below(d->draw, 5)),
                            .body = body,
                            .otherwise = NONE});
}

static int draw_store(const drawing *d) {
  return add(
      d, (statement){.kind = STORE, .value = draw_expression(d), .body = NONE, .otherwise = NONE});
}

static int draw_append(const drawing *d) {
  return add(
      d, (statement){
             .kind = APPEND, .value = {.left = draw_variable(d)}, .body = NONE, .otherwise = NONE});
}

static int then(const drawing *d, int first, int second) {
  d->of->all[first].next = second;
  return first;
}

/* for x in s: if …: … else: … */
static int draw_each(drawing *d) {
  d->readable |= 1u << X;
  int one = draw_simple(d), other = draw_simple(d), choice = draw_if(d, one, other);
  d->readable &= ~(1u << X);
  return add(d, (statement){.kind = EACH, .body = choice, .otherwise = NONE});
}

/* for i in range(4): if …: s[i] = … else: … */
static int draw_rewriting(drawing *d) {
  d->readable |= 1u << I;
  int one = draw_store(d), other = draw_simple(d), choice = draw_if(d, one, other);
  d->readable &= ~(1u << I);
  return draw_range(d, LIST_FIRST, choice);
}

/* What is printed is what the choice or the loop changes. */
static int draw_body(drawing *d, int level) {
  program *p = d->of;
  switch (level) {
  case 1: {
    int first = draw_simple(d), second = draw_simple(d);
    p->printed = p->all[second].target;
    return then(d, first, second);
  }
  case 2: {
    int first = draw_simple(d), one = draw_simple(d), other = draw_simple(d);
    int choice = draw_if(d, one, other);
    p->printed = p->all[one].target;
    then(d, choice, draw_assignment(d, true));
    return then(d, first, choice);
  }
  case 3: {
    d->readable |= 1u << I;
    int body = draw_simple(d);
    then(d, body, draw_simple(d));
    d->readable &= ~(1u << I);
    int loop = draw_range(d, 3 + zh_draw_below(d->draw, 3), body);
    p->printed = p->all[body].target;
    return then(d, loop, draw_assignment(d, true));
  }
  case 4: {
    int loop = draw_each(d);
    p->printed_too = 1; /* both variables: 0, too */
    return then(d, loop, draw_assignment(d, true));
  }
  default: {
    int loop = draw_rewriting(d), falling = draw_while(d);
    then(d, loop, falling);
    then(d, falling, draw_append(d));
    p->printed = (int)p->all[falling].value.left.value;
    return loop;
  }
  }
}

static void draw_program(program *p, zh_draw *draw, int level) {
  *p = (program){.defined = level < 5 ? 2 : 3,
                 .has_list = level >= 4,
                 .prints_list = level >= 5,
                 .printed_too = NONE};
  drawing d = {.of = p, .draw = draw};
  for (int v = 0; v < p->defined; v++) {
    p->initial[v] = 1 + (int)zh_draw_below(draw, 20);
    d.readable |= 1u << v;
  }
  for (int i = 0; i < LIST_FIRST; i++) p->list[i] = 1 + (int)zh_draw_below(draw, 9);
  p->first = draw_body(&d, level);
}

/* ---- meaning ---- */

typedef struct machine {
  const program *of;
  int64_t values[VARIABLES], list[LIST_MAX];
  int length, steps;
  bool lost; /* too many steps, too large numbers */
} machine;

static int64_t read_atom(const machine *m, atom a) {
  return a.kind == NUMBER ? a.value : a.kind == VARIABLE ? m->values[a.value] : m->list[a.value];
}

/* As Python divides: downwards. */
static int64_t floor_quotient(int64_t a, int64_t b) {
  return a / b - (a % b < 0);
}

static int64_t value_of(machine *m, const expression *e) {
  int64_t a = read_atom(m, e->left), b = e->op ? read_atom(m, e->right) : 0, value = a;
  if (e->op == '+') value = a + b;
  if (e->op == '-') value = a - b;
  if (e->op == '*') value = a * b;
  if (e->op == '/') value = floor_quotient(a, b);
  if (e->op == '%') value = a - floor_quotient(a, b) * b;
  m->lost |= value > VALUE_MAX || value < -VALUE_MAX;
  return m->lost ? 0 : value;
}

static bool is_met(machine *m, const statement *s) {
  int64_t a = value_of(m, &s->value), b = read_atom(m, s->with);
  return s->compare == '<' ? a < b : s->compare == '>' ? a > b : a == b;
}

static void run_from(machine *m, int at);

static void run_loop(machine *m, const statement *s) {
  int64_t count = s->kind == RANGE ? s->value.left.value : m->length;
  for (int64_t i = 0; i < count && !m->lost; i++) {
    m->values[s->kind == RANGE ? I : X] = s->kind == RANGE ? i : m->list[i];
    run_from(m, s->body);
  }
}

static void run_from(machine *m, int at) {
  for (; at != NONE && !m->lost; at = m->of->all[at].next) {
    const statement *s = &m->of->all[at];
    if (++m->steps > STEPS_MAX) m->lost = true;
    if (s->kind == SET || s->kind == CHANGE) m->values[s->target] = value_of(m, &s->value);
    if (s->kind == STORE) m->list[m->values[I]] = value_of(m, &s->value);
    if (s->kind == APPEND && m->length < LIST_MAX) m->list[m->length++] = value_of(m, &s->value);
    if (s->kind == IF) run_from(m, is_met(m, s) ? s->body : s->otherwise);
    if (s->kind == RANGE || s->kind == EACH) run_loop(m, s);
    while (s->kind == WHILE && !m->lost && is_met(m, s)) run_from(m, s->body);
  }
}

static bool run(machine *m, const program *p) {
  *m = (machine){.of = p, .length = p->has_list ? LIST_FIRST : 0};
  for (int v = 0; v < p->defined; v++) m->values[v] = p->initial[v];
  for (int i = 0; i < m->length; i++) m->list[i] = p->list[i];
  run_from(m, p->first);
  return !m->lost;
}

/* ---- text ---- */

static void write_atom(zh_text *out, atom a) {
  if (a.kind == NUMBER)
    zh_text_printf(out, "%" PRId64, a.value);
  else if (a.kind == VARIABLE)
    zh_text_puts(out, names[a.value]);
  else
    zh_text_printf(out, "s[%" PRId64 "]", a.value);
}

static void write_operator(zh_text *out, char op) {
  if (op == '/')
    zh_text_puts(out, "//");
  else
    zh_text_append(out, &op, 1);
}

static void write_expression(zh_text *out, const expression *e) {
  write_atom(out, e->left);
  if (!e->op) return;
  zh_text_puts(out, " ");
  write_operator(out, e->op);
  zh_text_puts(out, " ");
  write_atom(out, e->right);
}

static void write_condition(zh_text *out, const statement *s) {
  write_expression(out, &s->value);
  zh_text_puts(out, s->compare == '<' ? " < " : s->compare == '>' ? " > " : " == ");
  write_atom(out, s->with);
}

static void write_head(zh_text *out, const statement *s) {
  switch (s->kind) {
  case SET:
    zh_text_printf(out, "%s = ", names[s->target]);
    write_expression(out, &s->value);
    break;
  case CHANGE:
    zh_text_printf(out, "%s ", names[s->target]);
    write_operator(out, s->value.op);
    zh_text_puts(out, "= ");
    write_atom(out, s->value.right);
    break;
  case STORE:
    zh_text_puts(out, "s[i] = ");
    write_expression(out, &s->value);
    break;
  case APPEND:
    zh_text_puts(out, "s.append(");
    write_expression(out, &s->value);
    zh_text_puts(out, ")");
    break;
  case RANGE:
    zh_text_printf(out, "for i in range(%" PRId64 "):", s->value.left.value);
    break;
  case EACH:
    zh_text_puts(out, "for x in s:");
    break;
  default:
    zh_text_puts(out, s->kind == IF ? "if " : "while ");
    write_condition(out, s);
    zh_text_puts(out, ":");
  }
}

static void write_block(zh_text *out, const program *p, int at, int depth) {
  for (; at != NONE; at = p->all[at].next) {
    zh_text_printf(out, "%*s", 4 * depth, "");
    write_head(out, &p->all[at]);
    zh_text_puts(out, "\n");
    if (p->all[at].body != NONE) write_block(out, p, p->all[at].body, depth + 1);
    if (p->all[at].otherwise == NONE) continue;
    zh_text_printf(out, "%*selse:\n", 4 * depth, "");
    write_block(out, p, p->all[at].otherwise, depth + 1);
  }
}

static void write_program(zh_text *out, const program *p) {
  for (int v = 0; v < p->defined; v++) zh_text_printf(out, "%s = %d\n", names[v], p->initial[v]);
  for (int i = 0; p->has_list && i < LIST_FIRST; i++)
    zh_text_printf(out, "%s%d%s", i == 0 ? "s = [" : ", ", p->list[i],
                   i + 1 == LIST_FIRST ? "]\n" : "");
  write_block(out, p, p->first, 0);
  zh_text_printf(out, "print(%s", p->prints_list ? "s, " : "");
  zh_text_printf(out, "%s", names[p->printed]);
  if (p->printed_too != NONE) zh_text_printf(out, ", %s", names[p->printed_too]);
  zh_text_puts(out, ")");
}

static void write_output(zh_text *out, const machine *m) {
  const program *p = m->of;
  for (int i = 0; p->prints_list && i < m->length; i++)
    zh_text_printf(out, "%s%" PRId64 "%s", i == 0 ? "[" : ", ", m->list[i],
                   i + 1 == m->length ? "] " : "");
  zh_text_printf(out, "%" PRId64, m->values[p->printed]);
  if (p->printed_too != NONE) zh_text_printf(out, " %" PRId64, m->values[p->printed_too]);
}

/* Level 1: two statements; 2: a choice; 3: a loop; 4: a list gone through with a choice; from 5 on:
 * a list rewritten, and a loop on a condition. */
zh_status zh_made_traces(json_t *variables, zh_text *answer, zh_draw *draw, int level,
                         const zh_made_words *words, zh_error *err) {
  (void)words;
  program p;
  machine m;
  zh_text text = {0};
  int tries = 0;
  do draw_program(&p, draw, level);
  while (!run(&m, &p) && ++tries < TRIES);
  if (m.lost) return zh_fail(err, ZH_ERR_CHECK, "no program of level %d comes to an end", level);
  write_program(&text, &p);
  write_output(answer, &m);
  zh_status status = text.failed ? zh_made_no_memory(err)
                                 : zh_made_set(variables, "program", json_string(text.data), err);
  zh_text_free(&text);
  return status;
}
