# Cheating and honest models, made in a temporary folder and audited: a subset, against tests/cheaters/thresholds.py.
# The whole corpus: tests/cheaters/measure.py. Counts of files whose figures were added up by hand.
zh_python_test(cheaters cheaters/test_cheaters.py)
zh_python_test(cheaters.counts cheaters/test_counts.py)
