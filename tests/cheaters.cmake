# Not in the list of tests/CMakeLists.txt yet: the audit does not reach tests/cheaters/thresholds.py (docs/audit.md says
# by kind and strength what it finds and what it misses). It joins the list when it does.
# Cheating and honest models, made in a temporary folder and audited: a subset, against tests/cheaters/thresholds.py.
# The whole corpus: tests/cheaters/measure.py.
zh_python_test(cheaters cheaters/test_cheaters.py)
