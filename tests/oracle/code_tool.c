/* Parts of the code tasks, for an oracle in Python: one JSON request a line, one answer a line.
 *   {"pass_at_k": [n, c, k]}   {"judge": program} */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/quality/functions_code.h"
#include "bench/sandbox/judge.h"

static json_t *pass_at_k(const json_t *of) {
  uint64_t n[3];
  for (size_t i = 0; i < 3; i++) n[i] = (uint64_t)json_integer_value(json_array_get(of, i));
  return json_real(zh_pass_at_k(n[0], n[1], n[2]));
}

static json_t *judge(const json_t *of) {
  zh_judgement out;
  zh_error err = ZH_ERROR_INIT;
  if (zh_judge_python(&out, json_string_value(of), json_string_length(of), &err) != ZH_OK)
    return json_pack("{s:s}", "error", err.message);
  return json_pack("{s:b, s:s}", "passed", (int)out.passed, "why", out.why);
}

int main(void) {
  char *line = NULL;
  size_t room = 0;
  while (getline(&line, &room, stdin) > 0) {
    json_t *request = json_loads(line, 0, NULL), *of, *answer;
    if ((of = json_object_get(request, "pass_at_k")) != NULL)
      answer = pass_at_k(of);
    else
      answer = judge(json_object_get(request, "judge"));
    char *text = json_dumps(answer, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    puts(text);
    fflush(stdout);
    free(text);
    json_decref(answer);
    json_decref(request);
  }
  free(line);
  return 0;
}
