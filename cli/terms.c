#include "cli/terms.h"

#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static const char *word_of(const json_t *object, const char *key, const char *otherwise) {
  const char *word = json_string_value(json_object_get(object, key));
  return word ? word : otherwise;
}

/* Whether a task before this one has the same data set under the same terms. */
static bool was_told(const json_t *datasets, const json_t *terms) {
  const char *task;
  json_t *other;
  json_object_foreach((json_t *)(uintptr_t)datasets, task, other) {
    if (other == terms) return false;
    if (json_equal(other, terms)) return true;
  }
  return false;
}

void zh_cli_print_terms(const json_t *datasets) {
  const char *task;
  json_t *terms;
  json_object_foreach((json_t *)(uintptr_t)datasets, task, terms) {
    if (was_told(datasets, terms)) continue;
    printf("data: %s; licence: %s; source: %s\n", word_of(terms, "title", "unnamed"),
           word_of(terms, "licence", "not stated"), word_of(terms, "source", "not known"));
    const char *warning = word_of(json_object_get(terms, "warning"), zh_cli_language(), NULL);
    if (warning) printf("  ! %s\n", warning);
  }
}
