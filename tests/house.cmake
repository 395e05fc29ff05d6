foreach(name rooms headers generated schemas)
  zh_python_test(house.${name} house/${name}.py)
  set_tests_properties(house.${name} PROPERTIES LABELS house)
endforeach()
