/* doctor's part about GPUs: what the module of accelerators finds here, and what keeps it from
 * measuring. */
#ifndef ZH_CLI_DOCTOR_GPU_H
#define ZH_CLI_DOCTOR_GPU_H

#include "core/json.h"

/* {"module": {"backend","build"} or null, "note", "devices": [{"index","name",…,"usable","notes",
 * "products": their variants, of a usable one}], "cublaslt", "nccl"}: null where there is none; note
 * and notes say why in words. Opens each device once. */
json_t *zh_doctor_gpus(void);
void zh_doctor_leave_out_gpus(json_t *list, const json_t *machine, const json_t *accelerators);
void zh_doctor_print_gpus(const json_t *accelerators);

/* doctor.c */
void zh_doctor_leave_out(json_t *list, const char *what, const char *why, const char *how);

#endif
