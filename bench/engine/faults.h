/* Faults put in on purpose, for those who doubt the self-check (--inject). Some hold from the
 * beginning, others strike one timed pass. Words and what each does: docs/metrics.md. */
#ifndef ZH_BENCH_ENGINE_FAULTS_H
#define ZH_BENCH_ENGINE_FAULTS_H

#include "bench/engine/trial.h"

/* Of ranks that compute together one has the fault, drawn by the seed; but what changes which
 * operators run, or which tokens are fed, is the same on all of them. */
bool zh_fault_strikes_here(const zh_trial *trial);
/* Puts in what holds from the beginning. */
ZH_MUST_CHECK zh_status zh_fault_install(zh_trial *trial, zh_error *err);
/* Puts what strikes once into the next forward pass of `tokens` tokens; once only. any_bit: every
 * bit of the cache is held against the checked pass's, so that any may be flipped. */
void zh_fault_strike(zh_trial *trial, size_t tokens, bool any_bit);

#endif
