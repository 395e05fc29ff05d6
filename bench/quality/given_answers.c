#include "bench/quality/given_answers.h"

#include <stdlib.h>
#include <string.h>

/* What was read so far. */
typedef struct reading {
  const zh_exam *exam;
  const char *path;
  json_t **answers; /* [tasks]: an array of arrays of texts, by item */
  json_t **places;  /* [tasks]: {task_id: number of the item} */
} reading;

static zh_status no_memory(const reading *r, zh_error *err) {
  return zh_fail(err, ZH_ERR_MEMORY, "out of memory (%s)", r->path);
}

/* ---- which item ---- */

static const char *id_of(char number[32], const json_t *id) {
  if (!json_is_integer(id)) return json_string_value(id);
  snprintf(number, 32, "%lld", (long long)json_integer_value(id));
  return number;
}

static zh_status list_places(json_t **out, const zh_exam_task *t, const reading *r, zh_error *err) {
  *out = json_object();
  if (!*out) return no_memory(r, err);
  for (size_t i = 0; i < json_array_size(t->docs); i++) {
    char number[32];
    const char *id = id_of(number, json_object_get(json_array_get(t->docs, i), "task_id"));
    if (id && json_object_set_new(*out, id, json_integer((json_int_t)i)) != 0)
      return no_memory(r, err);
  }
  return ZH_OK;
}

static zh_status find_task(size_t *out, const reading *r, size_t line, const json_t *of,
                           zh_error *err) {
  const char *name = json_string_value(json_object_get(of, "task"));
  *out = 0;
  if (!name && r->exam->task_count == 1) return ZH_OK;
  for (size_t i = 0; name && i < r->exam->task_count; i++) {
    *out = i;
    if (strcmp(r->exam->tasks[i]->name, name) == 0) return ZH_OK;
  }
  if (name)
    return zh_fail(err, ZH_ERR_INPUT, "%s:%zu: none of the tasks is called '%.80s'", r->path, line,
                   name);
  return zh_fail(err, ZH_ERR_INPUT,
                 "%s:%zu: which task it is of is not said (\"task\"); there are several", r->path,
                 line);
}

static zh_status find_item(size_t *out, const reading *r, size_t task, size_t line,
                           const json_t *of, zh_error *err) {
  const json_t *number = json_object_get(of, "doc_id"), *id = json_object_get(of, "task_id");
  size_t count = json_array_size(r->exam->tasks[task]->docs);
  char text[32];
  if (!number && id_of(text, id)) number = json_object_get(r->places[task], id_of(text, id));
  if (!number && id_of(text, id))
    return zh_fail(err, ZH_ERR_INPUT, "%s:%zu: %s has no item with the task_id '%.80s'", r->path,
                   line, r->exam->tasks[task]->name, id_of(text, id));
  if (!json_is_integer(number) || json_integer_value(number) < 0 ||
      json_integer_value(number) >= (json_int_t)count)
    return zh_fail(err, ZH_ERR_INPUT,
                   "%s:%zu: 'doc_id' must be the number of an item, from 0 to %zu, or 'task_id' "
                   "its name",
                   r->path, line, count - 1);
  *out = (size_t)json_integer_value(number);
  return ZH_OK;
}

/* ---- its answers ---- */

/* The list of texts that a line gives; borrowed. NULL: it gives none. */
static json_t *texts_of(const json_t *of, json_t *room) {
  json_t *several = json_object_get(of, "answers"), *samples = json_object_get(of, "resps"),
         *one = json_object_get(of, "answer");
  if (!one) one = json_object_get(of, "completion");
  if (several) return several;
  if (samples) return json_array_size(samples) == 1 ? json_array_get(samples, 0) : NULL;
  if (!one || json_array_append(room, one) != 0) return NULL;
  return room;
}

static zh_status take_texts(const reading *r, json_t *list, size_t line, const json_t *of,
                            zh_error *err) {
  json_t *room = json_array();
  const json_t *texts = texts_of(of, room);
  zh_status status = room ? ZH_OK : no_memory(r, err);
  size_t count = json_array_size(texts);
  /* A sample stands there once for each filter. */
  bool again = json_object_get(of, "resps") != NULL && json_array_size(list) > 0;
  if (status == ZH_OK && count == 0)
    status = zh_fail(err, ZH_ERR_INPUT,
                     "%s:%zu: a line must have 'answer', 'answers', 'completion' or the 'resps' "
                     "of one generated answer",
                     r->path, line);
  for (size_t i = 0; status == ZH_OK && !again && i < count; i++) {
    json_t *text = json_array_get(texts, i);
    if (!json_is_string(text))
      status = zh_fail(err, ZH_ERR_INPUT, "%s:%zu: an answer must be text", r->path, line);
    else if (json_array_append(list, text) != 0)
      status = no_memory(r, err);
  }
  json_decref(room);
  return status;
}

static zh_status take_line(void *user, size_t line, json_t *of, zh_error *err) {
  const reading *r = user;
  size_t task, item;
  if (!json_is_object(of))
    return zh_fail(err, ZH_ERR_INPUT, "%s:%zu: a line must be an object", r->path, line);
  ZH_TRY(find_task(&task, r, line, of, err));
  ZH_TRY(find_item(&item, r, task, line, of, err));
  return take_texts(r, json_array_get(r->answers[task], item), line, of, err);
}

/* ---- requests ---- */

/* All items that are asked must have as many answers as the first. */
static zh_status count_answers(zh_exam_task *t, const reading *r, const json_t *answers,
                               zh_error *err) {
  size_t wanted = json_array_size(json_array_get(answers, 0));
  for (size_t i = 0; i < t->taken; i++) {
    size_t count = json_array_size(json_array_get(answers, i));
    if (count == 0)
      return zh_fail(err, ZH_ERR_INPUT, "%s has no answer to item %zu of %s", r->path, i, t->name);
    if (count != wanted)
      return zh_fail(err, ZH_ERR_INPUT,
                     "%s has %zu answers to item %zu of %s, and %zu to item 0; all must have as "
                     "many",
                     r->path, count, i, t->name, wanted);
  }
  t->repeats = (int64_t)wanted;
  return ZH_OK;
}

static zh_status fill(zh_requests *list, zh_exam_task *t, const reading *r, const json_t *answers,
                      zh_error *err) {
  ZH_TRY(count_answers(t, r, answers, err));
  ZH_TRY(zh_task_requests(list, t, err));
  for (size_t i = 0; i < list->count; i++) {
    zh_request *request = &list->at[i];
    json_decref(request->text);
    request->text =
        json_incref(json_array_get(json_array_get(answers, request->doc), request->repeat));
  }
  return ZH_OK;
}

static zh_status make_room(reading *r, zh_error *err) {
  size_t tasks = r->exam->task_count;
  r->answers = calloc(tasks, sizeof *r->answers);
  r->places = calloc(tasks, sizeof *r->places);
  if (!r->answers || !r->places) return no_memory(r, err);
  for (size_t t = 0; t < tasks; t++) {
    const zh_exam_task *task = r->exam->tasks[t];
    if (task->output != ZH_OUTPUT_GENERATE)
      return zh_fail(err, ZH_ERR_INPUT,
                     "task %s: its answers are log-likelihoods; only answers that are texts can be "
                     "given",
                     task->name);
    r->answers[t] = json_array();
    for (size_t i = 0; i < json_array_size(task->docs); i++)
      if (!r->answers[t] || json_array_append_new(r->answers[t], json_array()) != 0)
        return no_memory(r, err);
    ZH_TRY(list_places(&r->places[t], task, r, err));
  }
  return ZH_OK;
}

zh_status zh_answers_given(zh_requests *lists, zh_exam *exam, const char *path, zh_error *err) {
  reading r = {.exam = exam, .path = path};
  zh_status status = make_room(&r, err);
  if (status == ZH_OK) status = zh_jsonl_read(path, take_line, &r, err);
  for (size_t t = 0; status == ZH_OK && t < exam->task_count; t++)
    status = fill(&lists[t], exam->tasks[t], &r, r.answers[t], err);
  for (size_t t = 0; t < exam->task_count; t++) {
    if (r.answers) json_decref(r.answers[t]);
    if (r.places) json_decref(r.places[t]);
  }
  free(r.answers);
  free(r.places);
  return status;
}
