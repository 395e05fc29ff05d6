#include "bench/step_progress.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

void zh_step_progress_write(const char *folder, int rank, const zh_step_progress *p) {
  char path[PATH_MAX], beside[PATH_MAX];
  snprintf(path, sizeof path, "%.4000s/progress-%d", folder, rank);
  snprintf(beside, sizeof beside, "%.4000s/progress-%d.new", folder, rank);
  FILE *file = fopen(beside, "we");
  if (!file) return;
  fprintf(file, "%.17g %.17g %.17g %.17g\n%s\n%s\n", p->done, p->all, p->sum, p->count, p->what,
          p->score);
  if (fclose(file) == 0) (void)!rename(beside, path);
}

static bool read_one(zh_step_progress *out, const char *folder, int rank) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%.4000s/progress-%d", folder, rank);
  FILE *file = fopen(path, "re");
  if (!file) return false;
  bool read =
      fscanf(file, "%lf %lf %lf %lf\n", &out->done, &out->all, &out->sum, &out->count) == 4 &&
      fgets(out->what, sizeof out->what, file) && fgets(out->score, sizeof out->score, file);
  fclose(file);
  out->what[strcspn(out->what, "\n")] = '\0';
  out->score[strcspn(out->score, "\n")] = '\0';
  return read;
}

bool zh_step_progress_read(zh_step_progress *out, const char *folder, int ranks) {
  bool any = false;
  for (int rank = 0; rank < ranks; rank++) {
    zh_step_progress one;
    if (!read_one(&one, folder, rank)) continue;
    if (!any) *out = (zh_step_progress){0};
    out->done += one.done;
    out->all += one.all;
    if (!any) {
      memcpy(out->what, one.what, sizeof out->what);
      memcpy(out->score, one.score, sizeof out->score);
    }
    if (strcmp(out->score, one.score) == 0) {
      out->sum += one.sum;
      out->count += one.count;
    }
    any = true;
  }
  return any;
}
