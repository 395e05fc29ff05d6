/* Progress and warnings on stderr: a moving line on a terminal, one plain line a step elsewhere.
 * Colours only on a terminal and never with NO_COLOR; nothing at all after zh_progress_quiet. */
#ifndef ZH_CORE_PROGRESS_H
#define ZH_CORE_PROGRESS_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

void zh_progress_quiet(bool quiet);
/* "[2/7] decode" starts a step; detail updates the moving line (terminal only); done ends it with a
 * result. */
void zh_progress_step(int step, int steps, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void zh_progress_detail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void zh_progress_done(const char *format, ...) __attribute__((format(printf, 1, 2)));
void zh_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* True where escape sequences may be written to this descriptor. */
bool zh_colour_allowed(int fd);

#ifdef __cplusplus
}
#endif
#endif
