/* The activation of an FFN, as the architecture says. */
#include "bench/engine/pass.h"

/* gpt-oss: g / (1 + exp(-1.702 g)) (u + 1) = silu(1.702 g) ((u + 1) / 1.702), both clamped first.
 */
static void clamped_multiply(const zh_kernels *kernels, float limit, float *y, const float *gate,
                             const float *up, size_t begin, size_t end) {
  enum { SOME = 256 };
  const float slope = 1.702f;
  float g[SOME], u[SOME];
  for (size_t i = begin; i < end; i += SOME) {
    size_t count = end - i < SOME ? end - i : SOME;
    for (size_t k = 0; k < count; ++k) {
      float x = gate[i + k], z = up[i + k];
      g[k] = slope * (x > limit ? limit : x);
      u[k] = ((z > limit ? limit : z < -limit ? -limit : z) + 1) / slope;
    }
    kernels->silu_multiply(y + i, g, u, 0, count);
  }
}

void zh_pass_activate(const zh_worker *w, float *y, const float *gate, const float *up,
                      size_t begin, size_t end) {
  const zh_engine *e = w->p->e;
  const zh_architecture *a = &e->architecture;
  switch (a->activation) {
  case ZH_ACTIVATION_GELU:
    e->kernels->gelu_multiply(y, gate, up, begin, end);
    break;
  case ZH_ACTIVATION_GELU_TANH:
    e->kernels->gelu_tanh_multiply(y, gate, up, begin, end);
    break;
  case ZH_ACTIVATION_CLAMPED:
    clamped_multiply(e->kernels, a->activation_limit, y, gate, up, begin, end);
    break;
  default:
    e->kernels->silu_multiply(y, gate, up, begin, end);
  }
}

void zh_pass_activate_own_rows(const zh_worker *w, size_t width) {
  const zh_engine *e = w->p->e;
  size_t begin, end;
  zh_share(&begin, &end, width, ZH_ROW_GRAIN, w->thread, w->threads);
  for (size_t t = 0; begin < end && t < w->p->tokens; ++t)
    zh_pass_activate(w, e->inner + t * width, e->gate + t * width, e->up + t * width, begin, end);
}
