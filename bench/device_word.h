/* --device: cpu, gpu, gpu:N or auto. */
#ifndef ZH_BENCH_DEVICE_WORD_H
#define ZH_BENCH_DEVICE_WORD_H

#include "core/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ZH_DEVICE_WORD_HELP "cpu, gpu, gpu:N (numbered from 0) or auto: a GPU where there is one"

/* As zh_engine_options.device has it; NULL is cpu. Nothing is looked for but by auto. ZH_ERR_USAGE: no such word. */
ZH_MUST_CHECK zh_status zh_device_word(int *out, const char *word, zh_error *err);
/* ZH_ERR_LACKING with one sentence where this process has not the device. */
ZH_MUST_CHECK zh_status zh_device_is_here(int device, zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
