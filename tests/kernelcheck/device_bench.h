/* Times of an accelerator's operators: what bench files share. Times are between events, of several
 * calls in a row whose weights or caches rotate through copies that together are four times its
 * second-level cache; beside them, in turn, sum_of_bits reads as many bytes: what "of read" divides
 * by. */
#ifndef ZH_TESTS_KERNELCHECK_DEVICE_BENCH_H
#define ZH_TESTS_KERNELCHECK_DEVICE_BENCH_H

#include "tests/kernelcheck/device.h"

enum { MOST_COPIES = 64 };

typedef struct device_timing {
  zh_status (*enqueue)(void *user, size_t copy, zh_error *err);
  void *user;
  size_t copies;
  double bytes, operations; /* of a call; operations 0: not said */
  double peak;              /* operations a second of the same run's peak loop; 0: not said */
} device_timing;

/* Operations a second of the loops that products of many tokens stand against; 0: not known. */
typedef struct device_peaks {
  double bf16, e4m3;
} device_peaks;

void device_must(zh_status status, const zh_error *err);
size_t device_copies_of(double bytes); /* that are needed of so many */
void device_report_timing(const char *what, const device_timing *t);
/* Products of many tokens by each variant in turn that has something of its own for the form,
 * others once. `whole`: the library's too, of bf16. words: room for a variant's name behind them.
 */
void device_time_variants(char *words, size_t capacity, device_timing *t, zh_device_form form,
                          zh_way way, bool whole, const device_peaks *peaks);
/* Numbers and scales on the device, for a matrix of this shape. */
void device_fill_weights(zh_device_matrix *m);

void bench_device_grouped(const device_peaks *peaks);

#endif
