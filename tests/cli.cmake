# The program's face, from outside: exit statuses, words, JSON; its scripts with a faked package manager; installation.
zh_unit_test(cli test_machine.c zh_bench)
zh_python_test(cli.words system/cli_words.py)
zh_python_test(cli.doctor system/cli_doctor.py)
zh_python_test(cli.show system/cli_show.py)
zh_python_test(cli.scripts system/cli_scripts.py)
zh_python_test(cli.install system/cli_install.py)
zh_python_test(cli.way system/cli_way.py)
zh_python_test(cli.live system/cli_live.py)
