/* Which experts tokens go to, as bench/engine/route.c has it, and the lists by which experts' products find their
 * tokens. */
#include "route.cuh"
#include "persist.cuh"

using namespace zh_routes;

namespace {

enum { LISTERS = 1024 };

/* A warp has a token. */
ZH_KERNEL void choose_experts(view v) {
  ZH_SHARED(float, score, ZH_DEVICE_EXPERTS_MAX);
  ZH_SHARED(float, rank, ZH_DEVICE_EXPERTS_MAX);
  ZH_SHARED(float, of_group, ZH_DEVICE_GROUPS_MAX);
  ZH_SHARED(uint32_t, kept, ZH_DEVICE_GROUPS_MAX);
  ZH_SHARED(float, picked, ZH_DEVICE_USED_MAX);
  ZH_SHARED(double, parts, WARP);
  choose(v, blockIdx.x, {score, rank, of_group, kept, picked, parts});
}

ZH_KERNEL void __launch_bounds__(LISTERS) list_choices(view v) {
  ZH_SHARED(uint32_t, count, ZH_DEVICE_EXPERTS_MAX);
  list(v, count);
}

zh_status record(zh_device *device, const zh_device_route *w, const view &v, zh_error *err) {
  size_t choices = w->tokens * w->used * sizeof(uint32_t);
  zh_touched choice = zh_touch(w->choice, choices);
  zh_status status =
      zh_record(device, ZH_STEP_ROUTE, 0, dim3(v.tokens), v, ROOM, {choice, zh_touch(w->weight, choices)},
                {zh_touch_rows(w->logits, w->tokens, w->experts, w->experts)}, err);
  if (status != ZH_OK) return status;
  size_t words = zh_device_list_words(w->tokens, v.here, w->used);
  size_t counts = w->counted ? ZH_COUNTS * sizeof(uint64_t) : 0;
  return zh_record(device, ZH_STEP_LIST, 0, dim3(1), v, ZH_DEVICE_EXPERTS_MAX * sizeof(uint32_t),
                   {zh_touch(w->lists, words * sizeof(uint32_t)), zh_touch(w->counted, counts)}, {choice}, err);
}

} // namespace

zh_status zh_cuda_route(zh_device *device, const zh_device_route *w, zh_error *err) {
  if (w->tokens == 0) return ZH_OK;
  if (w->used < 1 || w->used > w->experts || w->experts > ZH_DEVICE_EXPERTS_MAX || w->used > ZH_DEVICE_USED_MAX ||
      w->first > w->experts || w->here > w->experts - w->first ||
      w->groups > ZH_DEVICE_GROUPS_MAX ||
      (w->groups > 1 && (w->experts % w->groups != 0 || w->groups_used < 1 || w->groups_used > w->groups)))
    return zh_fail(err, ZH_ERR_ARG, "a router of %u of %u experts in %u groups is more than this GPU's kernel takes",
                   w->used, w->experts, w->groups);
  view v = {zh_at<uint32_t>(w->choice),
            zh_at<uint32_t>(w->lists),
            zh_at<float>(w->weight),
            zh_at<const float>(w->logits),
            zh_at<const float>(w->bias),
            zh_at<const float>(w->selection_bias),
            (uint32_t)w->tokens,
            w->experts,
            w->used,
            w->groups,
            w->groups_used,
            w->score,
            w->best_two,
            w->renormalise,
            w->scale,
            zh_at<uint64_t>(w->counted),
            w->first,
            w->here ? w->here : w->experts,
            w->ranks ? w->ranks : 1};
  if (device->recording) return record(device, w, v, err);
  ZH_LAUNCH(choose_experts, (unsigned)w->tokens, WARP, 0, device->stream, v);
  ZH_LAUNCH(list_choices, 1, LISTERS, 0, device->stream, v);
  return zh_cuda_launched(device, "routing to experts", err);
}
