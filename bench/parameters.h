/* Parameters of workloads: one table (workload.h) reads the suite, --set and the defaults into the JSON a job gets. */
#ifndef ZH_BENCH_PARAMETERS_H
#define ZH_BENCH_PARAMETERS_H

#include "bench/workload.h"
#include "core/json.h"
#include "core/yaml.h"

#ifdef __cplusplus
extern "C" {
#endif

/* NULL when the workload has none of that name. */
const zh_parameter *zh_parameter_find(const zh_workload *workload, const char *name);

/* One value, type and range checked; the message carries position and caret. The caller releases *out. */
ZH_MUST_CHECK zh_status zh_parameter_read(json_t **out, const zh_parameter *parameter, const zh_yaml_node *node,
                                          zh_error *err);
/* The same from text ("[1, 8]"); `where` stands for the file's name in messages. */
ZH_MUST_CHECK zh_status zh_parameter_read_text(json_t **out, const zh_parameter *parameter, const char *text,
                                               const char *where, zh_error *err);
/* Every parameter of the workload, from `map` (NULL: none given) and the defaults. */
ZH_MUST_CHECK zh_status zh_job_parameters_read(json_t **out, const zh_workload *workload, const zh_yaml_node *map,
                                           zh_error *err);

#ifdef __cplusplus
}
#endif
#endif
