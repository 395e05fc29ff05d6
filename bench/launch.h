/* How a step's ranks are started. */
#ifndef ZH_BENCH_LAUNCH_H
#define ZH_BENCH_LAUNCH_H

#include <stddef.h>

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum zh_launcher { ZH_LAUNCH_DIRECT, ZH_LAUNCH_MPIRUN, ZH_LAUNCH_SRUN } zh_launcher;

const char *zh_launcher_name(zh_launcher launcher);
/* wanted: "direct", "mpirun", "srun", or NULL: direct for one rank, else srun inside a Slurm allocation, else mpirun.
 * ZH_ERR_LACKING where the program is not installed. */
ZH_MUST_CHECK zh_status zh_launcher_choose(zh_launcher *out, const char *wanted, int ranks, zh_error *err);
/* The command line as NULL-terminated words in `out` (capacity words), pointing at `text` or constants. */
enum { ZH_LAUNCH_WORDS = 32 };
void zh_launcher_command(const char *out[ZH_LAUNCH_WORDS], char *text, size_t capacity, zh_launcher launcher, int ranks,
                         int cores, const char *program, const char *step_file);

#ifdef __cplusplus
}
#endif
#endif
