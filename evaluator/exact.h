/* Exact decimal quantities: money in whole 分, rates in parts per million, counts of parameters. No
 * binary fraction ever stands for an amount. */
#ifndef ZH_EVALUATOR_EXACT_H
#define ZH_EVALUATOR_EXACT_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"
#include "core/yaml.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ZH_FEN_PER_WAN_YUAN = 1000000, ZH_RATE_ONE = 1000000 };

/* "4000.01 万元", "2 亿元", "15 元" → 分. Finer than one 分, negative, or beyond int64 is an error
 * with a caret. */
ZH_MUST_CHECK zh_status zh_money_read(int64_t *fen, const zh_yaml_node *node, zh_error *err);
/* "50 %" → 500000 millionths, 0 to 1000000. */
ZH_MUST_CHECK zh_status zh_rate_read(int64_t *millionths, const zh_yaml_node *node, zh_error *err);
/* "100000000000 parameters". */
ZH_MUST_CHECK zh_status zh_parameters_read(int64_t *count, const zh_yaml_node *node, zh_error *err);
/* "100 Gb/s": a whole number of `unit`. */
ZH_MUST_CHECK zh_status zh_count_read(int64_t *count, const char *unit, const zh_yaml_node *node,
                                      zh_error *err);

/* rate × base, whole 分 rounded down (the result is an upper bound), and at most cap. */
int64_t zh_award_share(int64_t base_fen, int64_t rate_millionths, int64_t cap_fen);

/* 40000100 分 → "40.0001" (万元, no trailing zeros); "400,001" (元, digits grouped, 分 only where
 * there are any). Return out. */
char *zh_wan_yuan_text(char *out, size_t capacity, int64_t fen);
char *zh_yuan_text(char *out, size_t capacity, int64_t fen);
/* 500000 → "50 %", 125000 → "12.5 %". */
char *zh_rate_text(char *out, size_t capacity, int64_t millionths);

#ifdef __cplusplus
}
#endif
#endif
