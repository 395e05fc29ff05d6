zh_python_test(house.rooms house/rooms.py)
zh_python_test(house.headers house/headers.py)
set_tests_properties(house.rooms house.headers PROPERTIES LABELS house)
