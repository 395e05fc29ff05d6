/* Renders templates for the oracle that compares with `jinja2`: lines of JSON in, each
 * {"template","variables","style":"chat"|"tasks"}, lines of JSON out, {"text"} or {"error"}. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "core/template.h"

static json_t *answer(const json_t *asked) {
  zh_error err = ZH_ERROR_INIT;
  const json_t *source = json_object_get(asked, "template");
  const char *style = json_string_value(json_object_get(asked, "style"));
  bool tasks = style && strcmp(style, "tasks") == 0;
  const zh_template_limits limits = {.now = json_integer_value(json_object_get(asked, "now"))};
  zh_template *tpl;
  char *text = NULL;
  size_t length = 0;
  zh_status status = zh_template_parse(&tpl, json_string_value(source), json_string_length(source),
                                       tasks ? &zh_template_tasks : &zh_template_chat, &err);
  if (status == ZH_OK)
    status =
        zh_template_render(&text, &length, tpl, json_object_get(asked, "variables"), &limits, &err);
  zh_template_free(tpl);
  json_t *said = status == ZH_OK ? json_pack("{s:o}", "text", json_stringn(text, length))
                                 : json_pack("{s:s}", "error", err.message);
  free(text);
  return said;
}

int main(void) {
  char *line = NULL;
  size_t capacity = 0;
  ssize_t length;
  while ((length = getline(&line, &capacity, stdin)) > 0) {
    json_error_t problem;
    json_t *asked = json_loadb(line, (size_t)length, 0, &problem);
    if (!asked) {
      fprintf(stderr, "template_tool: %s\n", problem.text);
      return 2;
    }
    json_t *said = answer(asked);
    if (!said || json_dumpf(said, stdout, JSON_COMPACT) != 0) return 2;
    putchar('\n');
    json_decref(said);
    json_decref(asked);
  }
  free(line);
  return 0;
}
