/* The suite reader: what it accepts has sound steps, what it refuses has a message and leaves
 * nothing. */
#include <string.h>

#include "bench/suite.h"
#include "fuzz.h"

static void inspect(zh_suite *suite) {
  for (size_t i = 0; i < suite->step_count; i++) {
    const zh_step *step = &suite->steps[i];
    if (!step->name || !step->workload || !json_is_object(step->parameters)) abort();
    if (step->repeats.min < 1 || step->repeats.max < step->repeats.min || !(step->deadline_s > 0))
      abort();
  }
  for (size_t i = 0; i < suite->peak_count; i++)
    if (suite->peaks[i] >= suite->step_count) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  zh_error err = ZH_ERROR_INIT;
  zh_suite *suite = NULL;
  zh_status status = zh_suite_parse(&suite, (const char *)data, size, "", &err);
  if ((status == ZH_OK) != (suite != NULL) || (status == ZH_OK) != (err.message[0] == 0)) abort();
  if (!suite) return 0;
  inspect(suite);
  /* The same bytes as a setting: refused in words or applied, never half. */
  char setting[256];
  size_t length = size < sizeof setting - 1 ? size : sizeof setting - 1;
  memcpy(setting, data, length);
  setting[length] = 0;
  err = (zh_error)ZH_ERROR_INIT;
  if ((zh_suite_set(suite, setting, &err) == ZH_OK) != (err.message[0] == 0)) abort();
  inspect(suite);
  zh_suite_free(suite);
  return 0;
}
