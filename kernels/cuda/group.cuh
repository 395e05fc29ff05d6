/* What the files of groups of GPUs share: the group as its kinds see it. */
#ifndef ZH_KERNELS_CUDA_GROUP_CUH
#define ZH_KERNELS_CUDA_GROUP_CUH

#include "device.cuh"
#include "kernels/device_group.h"

/* What a kind does; sizes have been checked and are not 0, and there are at least two ranks. */
struct zh_group_calls {
  void (*close)(zh_device_group *group);
  zh_status (*wait)(zh_device_group *group, zh_error *err);
  zh_status (*all_reduce)(zh_device_group *group, float *values, size_t count, zh_error *err);
  zh_status (*reduce_scatter)(zh_device_group *group, float *out, const float *in, size_t count, zh_error *err);
  zh_status (*all_gather)(zh_device_group *group, void *all, const void *mine, size_t bytes, zh_error *err);
  zh_status (*all_to_all)(zh_device_group *group, void *in, const void *out, size_t bytes, zh_error *err);
  zh_status (*broadcast)(zh_device_group *group, void *data, size_t bytes, int root, zh_error *err);
  zh_status (*move)(zh_device_group *group, const zh_device_move *work, zh_error *err);
};

struct zh_device_group {
  zh_device *device;
  zh_device_group_kind kind;
  int rank, ranks;
  size_t most_bytes;
  double patience_s;
  const zh_group_calls *calls;
  struct zh_group_peer *peer; /* of PEER */
  struct zh_group_nccl *nccl; /* of NCCL */
};

/* All ranks learn whether any failed; the lowest one's sentence becomes everybody's. */
zh_status zh_group_agree(const zh_exchange *exchange, zh_status mine, zh_error *err);

/* group_peer.cu; what was made is in the group, also after a failure. */
zh_status zh_group_peer_open(zh_device_group *group, const zh_exchange *exchange, zh_error *err);
/* group_nccl.cu */
zh_status zh_group_nccl_open(zh_device_group *group, const zh_exchange *exchange, zh_error *err);
zh_status zh_group_nccl_library(char *out, size_t capacity, zh_error *err);
extern const zh_group_calls zh_group_peer_calls, zh_group_nccl_calls;

/* group.cu */
extern const zh_device_groups zh_cuda_groups;

#endif
