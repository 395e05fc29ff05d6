#include "bench/launch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/text.h"

static const char *const NAMES[] = {"direct", "mpirun", "srun", NULL};

const char *zh_launcher_name(zh_launcher launcher) {
  return NAMES[launcher];
}

static int is_installed(const char *program) {
  char path[4096];
  const char *folders = getenv("PATH");
  for (const char *at = folders ? folders : "/usr/bin:/bin"; *at;) {
    size_t length = strcspn(at, ":");
    if (length > 0 && length < sizeof path - 64) {
      snprintf(path, sizeof path, "%.*s/%s", (int)length, at, program);
      if (access(path, X_OK) == 0) return 1;
    }
    at += length + (at[length] == ':');
  }
  return 0;
}

static zh_status by_word(zh_launcher *out, const char *wanted, zh_error *err) {
  for (size_t i = 0; NAMES[i]; i++)
    if (strcmp(wanted, NAMES[i]) == 0) {
      *out = (zh_launcher)i;
      return ZH_OK;
    }
  const char *near = zh_nearest_word(wanted, NAMES);
  return zh_fail(err, ZH_ERR_USAGE, "--launcher %s: expected direct, mpirun or srun%s%s%s", wanted,
                 near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

zh_status zh_launcher_choose(zh_launcher *out, const char *wanted, int ranks, zh_error *err) {
  if (wanted) {
    ZH_TRY(by_word(out, wanted, err));
  } else if (ranks <= 1) {
    *out = ZH_LAUNCH_DIRECT;
  } else {
    *out = getenv("SLURM_JOB_ID") && is_installed("srun") ? ZH_LAUNCH_SRUN : ZH_LAUNCH_MPIRUN;
  }
  if (*out == ZH_LAUNCH_DIRECT && ranks > 1)
    return zh_fail(err, ZH_ERR_USAGE,
                   "--launcher direct starts one rank, but the plan has %d; use mpirun or srun",
                   ranks);
  if (*out != ZH_LAUNCH_DIRECT && !is_installed(NAMES[*out]))
    return zh_fail(err, ZH_ERR_LACKING, "%d rank%s '%s', which is not installed here (%s)", ranks,
                   ranks == 1 ? " needs" : "s need", NAMES[*out],
                   *out == ZH_LAUNCH_MPIRUN ? "Debian: openmpi-bin" : "it comes with Slurm");
  return ZH_OK;
}

void zh_launcher_command(const char *out[ZH_LAUNCH_WORDS], char *text, size_t capacity,
                         zh_launcher launcher, int ranks, int cores, const char *program,
                         const char *step_file) {
  size_t n = 0;
  snprintf(text, capacity, "%d", ranks);
  if (launcher == ZH_LAUNCH_MPIRUN) {
    out[n++] = "mpirun";
    out[n++] = "-n";
    out[n++] = text;
    /* Each rank pins its own threads; mpirun's binding would confine them to one core. */
    out[n++] = "--bind-to";
    out[n++] = "none";
    if (ranks > cores) out[n++] = "--oversubscribe";
    if (geteuid() == 0) out[n++] = "--allow-run-as-root";
  } else if (launcher == ZH_LAUNCH_SRUN) {
    out[n++] = "srun";
    out[n++] = "--mpi=pmix"; /* without it each rank believes it is alone */
    out[n++] = "-n";
    out[n++] = text;
    out[n++] = "--cpu-bind=none";
    out[n++] = "--kill-on-bad-exit=1";
  }
  out[n++] = program;
  out[n++] = step_file;
  out[n] = NULL;
}
