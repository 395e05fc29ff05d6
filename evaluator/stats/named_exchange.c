/* Tests of exchangeability by name. */
#include <stdlib.h>

#include "evaluator/stats/exchange.h"
#include "evaluator/stats/named.h"

static zh_status order(json_t **out, const zh_given *given, zh_error *err) {
  zh_numbers table;
  zh_draws draws;
  zh_order_test test;
  ZH_TRY(zh_given_draws(&draws, given, err));
  ZH_TRY(zh_given_table(&table, given, "rows", err));
  zh_status status = table.columns < 2
                         ? zh_fail(err, ZH_ERR_USAGE,
                                   "order: each row needs two numbers or more, "
                                   "the published order first")
                         : zh_test_order(&test, table.values, table.rows, table.columns,
                                         draws.replicates, draws.seed, err);
  zh_numbers_clear(&table);
  ZH_TRY(status);
  return zh_named_done(out,
                       json_pack("{s:I, s:I, s:o, s:o, s:o, s:f}", "rows", (json_int_t)test.rows,
                                 "orders", (json_int_t)test.columns, "difference",
                                 zh_json_number(test.difference), "t", zh_json_number(test.t),
                                 "p_t", zh_json_number(test.p_t), "p_exact", test.p),
                       err);
}

static zh_status poisson_binomial(json_t **out, const zh_given *given, zh_error *err) {
  int64_t k;
  zh_numbers chances;
  double tail = 1;
  ZH_TRY(zh_given_whole(&k, given, "k", 0, 1 << 20, err));
  ZH_TRY(zh_given_list(&chances, given, "p", err));
  zh_status status = ZH_OK;
  for (size_t i = 0; status == ZH_OK && i < chances.columns; i++)
    if (!(chances.values[i] >= 0 && chances.values[i] <= 1))
      status =
          zh_fail(err, ZH_ERR_USAGE, "poisson-binomial: chance %zu is not between 0 and 1", i + 1);
  if (status == ZH_OK)
    status = zh_poisson_binomial_tail(&tail, (size_t)k, chances.values, chances.columns, err);
  zh_numbers_clear(&chances);
  ZH_TRY(status);
  return zh_named_done(out, json_pack("{s:I, s:f}", "k", (json_int_t)k, "p_at_least", tail), err);
}

static zh_status mann_whitney(json_t **out, const zh_given *given, zh_error *err) {
  zh_numbers x, y;
  zh_mann_whitney test;
  ZH_TRY(zh_given_list(&x, given, "x", err));
  zh_status status = zh_given_list(&y, given, "y", err);
  if (status == ZH_OK)
    status = zh_test_mann_whitney(&test, x.values, x.columns, y.values, y.columns, err);
  zh_numbers_clear(&x);
  zh_numbers_clear(&y);
  ZH_TRY(status);
  return zh_named_done(out,
                       json_pack("{s:f, s:f, s:f, s:s}", "auc", test.auc, "p_greater",
                                 test.p_greater, "p_two_sided", test.p_two_sided, "method",
                                 test.exact ? "exact" : "asymptotic"),
                       err);
}

static zh_status conformal(json_t **out, const zh_given *given, zh_error *err) {
  zh_numbers x, y;
  double *p = NULL;
  ZH_TRY(zh_given_list(&x, given, "x", err));
  zh_status status = zh_given_list(&y, given, "y", err);
  if (status == ZH_OK && (p = malloc((x.columns + 1) * sizeof *p)) == NULL)
    status = zh_fail(err, ZH_ERR_MEMORY, "out of memory");
  if (status == ZH_OK) status = zh_conformal_p(p, x.values, x.columns, y.values, y.columns, err);
  if (status == ZH_OK)
    status = zh_named_done(out, json_pack("{s:o}", "p", zh_number_list(p, x.columns)), err);
  free(p);
  zh_numbers_clear(&x);
  zh_numbers_clear(&y);
  return status;
}

const zh_method zh_exchange_methods[] = {{"order", "rows ?replicates ?seed", order},
                                         {"poisson-binomial", "k p", poisson_binomial},
                                         {"mann-whitney", "x y", mann_whitney},
                                         {"conformal", "x y", conformal},
                                         {NULL, NULL, NULL}};
