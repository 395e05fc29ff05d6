/* Describes operands to the tensor memory accelerator, which then copies them by tiles. */
#include "hopper.cuh"

#ifdef __CUDACC__

typedef CUresult (*encode_tiled)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *, const cuuint64_t *,
                                 const cuuint64_t *, const cuuint32_t *, const cuuint32_t *, CUtensorMapInterleave,
                                 CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

/* The driver's function, which no library is linked for; NULL: too old a driver. */
static encode_tiled find_encode() {
  void *found = nullptr;
  cudaDriverEntryPointQueryResult result;
  if (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &result) !=
          cudaSuccess ||
      result != cudaDriverEntryPointSuccess)
    return nullptr;
  return reinterpret_cast<encode_tiled>(found);
}

zh_status zh_cuda_tensor_map(zh_device *device, zh_tensor_map *out, const zh_tensor_shape *s, zh_error *err) {
  static const encode_tiled encode = find_encode();
  const cuuint64_t sizes[2] = {s->columns, s->rows}, strides[1] = {s->row_bytes};
  const cuuint32_t box[2] = {(cuuint32_t)(s->bytes ? ZH_BOX_BYTES : ZH_BOX_COLUMNS), s->box_rows}, steps[2] = {1, 1};
  CUtensorMapDataType type = s->bytes ? CU_TENSOR_MAP_DATA_TYPE_UINT8 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  if (!encode)
    return zh_fail(err, ZH_ERR_LACKING, "GPU %d: the driver cannot describe tiles; one of CUDA 12 can", device->index);
  CUresult status = encode(out, type, 2, const_cast<void *>(s->base), sizes, strides, box, steps,
                           CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                           CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (status == CUDA_SUCCESS) return ZH_OK;
  return zh_fail(err, ZH_ERR_IO,
                 "GPU %d: tiles of a matrix of %llu x %llu, rows %llu bytes apart, cannot be described (%d)",
                 device->index, (unsigned long long)s->rows, (unsigned long long)s->columns,
                 (unsigned long long)s->row_bytes, (int)status);
}

#else

zh_status zh_cuda_tensor_map(zh_device *, zh_tensor_map *out, const zh_tensor_shape *s, zh_error *err) {
  if ((uintptr_t)s->base % 16 || s->row_bytes % 16 || s->box_rows > 256)
    return zh_fail(err, ZH_ERR_ARG, "a matrix at %p, rows %llu bytes apart, cannot be copied by tiles", s->base,
                   (unsigned long long)s->row_bytes);
  *out = {zh_at<const unsigned char>(s->base), s->rows, s->columns, s->row_bytes, s->box_rows, s->bytes ? 1u : 2u};
  return ZH_OK;
}

#endif
