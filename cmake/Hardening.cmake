# What makes a fault in memory hard to exploit, and costs no time. tests/core/test_hardening.py reads it from the file.
# No control-flow notes (CET): the linker keeps them only where every object has them, and the C++ runtime that is
# linked in has none on Debian and manylinux.
function(harden library)
  if(NOT CMAKE_SYSTEM_NAME STREQUAL "Linux")
    return()
  endif()
  target_link_options(${library} PRIVATE -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
  # The fortified functions exist in optimized code alone, and a sanitizer checks more than they do.
  if(NOT CMAKE_CXX_FLAGS MATCHES "-fsanitize" AND NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
    set(fortify -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
  endif()
  foreach(objects IN LISTS ARGN)
    target_compile_options(${objects} PRIVATE "$<$<COMPILE_LANGUAGE:CXX>:-fstack-protector-strong;${fortify}>")
  endforeach()
endfunction()
