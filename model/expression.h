/* Small arithmetic in model/families/: "hidden / heads", "1 / sqrt(x)". */
#ifndef ZH_MODEL_EXPRESSION_H
#define ZH_MODEL_EXPRESSION_H

/* The value of a name, NaN where it is unknown; name is not NUL-terminated. */
typedef double (*zh_name_value)(void *user, const char *name, int length);
/* Numbers, names, + - * /, sqrt( ), parentheses, and a = b, which is 1 or 0. NaN where the text is
 * no such expression. */
double zh_expression(const char *text, zh_name_value value_of, void *user);

#endif
