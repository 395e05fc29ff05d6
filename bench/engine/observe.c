/* Observation of a pass: all threads come; thread 0 reports while the others wait. */
#include <string.h>

#include "bench/engine/pass.h"

void zh_pass_report(const zh_worker *w, zh_operation operation) {
  zh_engine *e = w->p->e;
  if (!e->observer) return;
  if (w->thread == 0) {
    if (operation.layer >= 0) operation.layer += (int)e->weights.first_layer;
    bool gathered = operation.layer < 0 && operation.op != ZH_OP_EMBEDDING;
    operation.token = gathered ? e->gathered : w->p->token;
    operation.position = gathered ? e->gathered + e->micro_batch : w->p->position;
    operation.sequence = gathered ? e->gathered + 2 * (size_t)e->micro_batch : w->p->sequence;
    e->observer(e->observer_user, &operation);
  }
  zh_pass_barrier(w);
}

void zh_pass_report_product(const zh_worker *w, int layer, const char *name,
                            const zh_weight *weight, const zh_weight *bias, const float *input,
                            const float *output, size_t tokens) {
  zh_pass_report(w,
                 (zh_operation){.op = ZH_OP_MATMUL,
                                .layer = layer,
                                .name = name,
                                .weight = weight,
                                .bias = bias && bias->tensor ? bias : NULL,
                                .tokens = tokens,
                                .way = zh_weight_way(weight, &w->p->e->kernels->rounds, w->p->way),
                                .in_width = weight->matrix.columns,
                                .out_width = weight->matrix.rows,
                                .input = input,
                                .output = output});
}

void zh_pass_report_norm(const zh_worker *w, int layer, const char *name, const zh_weight *weight,
                         const float *input, const float *output, size_t tokens) {
  size_t hidden = w->p->e->architecture.hidden;
  zh_pass_report(w, (zh_operation){.op = ZH_OP_RMSNORM,
                                   .layer = layer,
                                   .name = name,
                                   .weight = weight,
                                   .tokens = tokens,
                                   .in_width = hidden,
                                   .out_width = hidden,
                                   .input = input,
                                   .output = output});
}

void zh_pass_report_rows(const zh_worker *w, zh_operator op, int layer, const char *name,
                         size_t width, const float *input, const float *second,
                         const float *output) {
  zh_pass_report(w, (zh_operation){.op = op,
                                   .layer = layer,
                                   .name = name,
                                   .tokens = w->p->tokens,
                                   .in_width = width,
                                   .out_width = width,
                                   .input = input,
                                   .second = second,
                                   .output = output});
}

/* Copies what an in-place operator is about to change. */
void zh_pass_keep(const zh_worker *w, size_t at, const float *from, size_t floats) {
  zh_engine *e = w->p->e;
  if (!e->observer) return;
  if (w->thread == 0) memcpy(e->before + at, from, floats * sizeof(float));
  zh_pass_barrier(w);
}
