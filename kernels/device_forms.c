/* How weights lie on a device: planes of numbers and of what scales them. */
#include <string.h>

#include "core/halves.h"
#include "kernels/device.h"

const char *const zh_device_form_names[ZH_FORMS + 1] = {"f32",  "f16",    "bf16",   "e4m3", "q8",
                                                         "q4",   "q4_1",   "q4_k",   NULL};

zh_device_form zh_device_form_of(zh_dtype type) {
  switch (type) {
    case ZH_F16: return ZH_FORM_F16;
    case ZH_BF16: return ZH_FORM_BF16;
    case ZH_Q8_0: return ZH_FORM_Q8;
    case ZH_Q4_0: return ZH_FORM_Q4;
    case ZH_Q4_1: return ZH_FORM_Q4_1;
    case ZH_Q4_K: return ZH_FORM_Q4_K;
    default: return ZH_FORM_F32;
  }
}
