/* Half and bfloat16 to and from fp32, by the formats' definitions (IEEE 754-2019 binary16; the
 * upper half of fp32). */
#ifndef ZH_CORE_HALVES_H
#define ZH_CORE_HALVES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

float zh_f16_to_f32(uint16_t bits);
uint16_t zh_f32_to_f16(float value); /* round to nearest even */
float zh_bf16_to_f32(uint16_t bits);
uint16_t zh_f32_to_bf16(float value); /* round to nearest even */

#ifdef __cplusplus
}
#endif
#endif
