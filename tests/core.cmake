foreach(source test_base64.c test_digest.c test_files.c test_json.c test_philox.c test_progress.c test_statistics.c
    test_status.c test_text.c test_yaml.c)
  zh_unit_test(core ${source} zh_core)
endforeach()
