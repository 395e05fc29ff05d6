zh_unit_test(reports test_number.c zh_reports)
zh_unit_test(reports test_html.c zh_reports)
zh_unit_test(reports test_write.c zh_reports)
zh_python_test(reports.pages unit/reports/test_pages.py)
