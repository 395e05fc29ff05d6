/* What `zhiheng contamination` says, and the table that it writes. */
#include <stdio.h>

#include "cli/contamination.h"
#include "core/csv.h"
#include "core/files.h"

static void print_p(const json_t *part) {
  const json_t *p = json_object_get(part, "p_holm");
  if (json_is_number(p))
    printf("p = %.2g", json_number_value(p));
  else
    printf("nothing can be said");
}

static long long whole(const json_t *part, const char *key) {
  return (long long)json_integer_value(json_object_get(part, key));
}

static void print_task(const json_t *task) {
  const json_t *overlap = json_object_get(task, "overlap"), *order = json_object_get(task, "order"),
               *options_ = json_object_get(task, "options"),
               *least = json_object_get(task, "least");
  printf("%s: %lld items\n", json_string_value(json_object_get(task, "task")),
         whole(task, "items"));
  if (overlap)
    printf("  corpus    %lld not clean, of which %lld by 80 %% or more; %lld too short to be "
           "found\n",
           whole(overlap, "not_clean"), whole(overlap, "dirty"), whole(overlap, "too_short"));
  if (order) {
    printf("  order     %lld rows, the published order %+.2f nats: ", whole(order, "rows"),
           json_number_value(json_object_get(order, "difference")));
    print_p(order);
    printf("\n");
  }
  if (options_) {
    printf("  options   %lld of %lld items likeliest as published, %.1f by chance: ",
           whole(options_, "first"), whole(options_, "items"),
           json_number_value(json_object_get(options_, "expected")));
    print_p(options_);
    printf("\n");
  }
  if (least) {
    printf("  Min-K %%   mean %.3f", json_number_value(json_object_get(least, "mean")));
    if (whole(least, "reference_items") > 0) {
      printf(", unseen items %.3f, AUC %.3f: ",
             json_number_value(json_object_get(least, "reference_mean")),
             json_number_value(json_object_get(least, "auc")));
      print_p(least);
      printf(", %lld items stand out\n", whole(least, "flagged"));
    } else {
      printf("; without --reference nothing follows\n");
    }
  }
  printf("  listed    %zu%s\n", json_array_size(json_object_get(task, "listed")),
         json_is_true(json_object_get(task, "listed_whole")) ? ": the task as a whole" : "");
}

zh_status zh_search_write(const json_t *result, const char *path, zh_error *err) {
  zh_text out = {0};
  zh_text_puts(&out, "task,item\n");
  const json_t *tasks = json_object_get(result, "tasks");
  for (size_t t = 0; t < json_array_size(tasks); t++) {
    const json_t *task = json_array_get(tasks, t), *listed = json_object_get(task, "listed");
    for (size_t i = 0; i < json_array_size(listed); i++) {
      zh_csv_put(&out, json_string_value(json_object_get(task, "task")));
      zh_text_puts(&out, ",");
      zh_csv_put(&out, json_string_value(json_object_get(json_array_get(listed, i), "item")));
      zh_text_puts(&out, "\n");
    }
  }
  zh_status status = out.failed ? zh_fail(err, ZH_ERR_MEMORY, "out of memory (table)")
                                : zh_write_file(path, zh_text_string(&out), out.length, err);
  zh_text_free(&out);
  return status;
}

void zh_search_print(const json_t *result) {
  const json_t *tasks = json_object_get(result, "tasks");
  for (size_t i = 0; i < json_array_size(tasks); i++) print_task(json_array_get(tasks, i));
}
