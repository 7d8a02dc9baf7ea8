# The bill of materials of a wheel, in its .dist-info/sboms (PEP 770): the libraries that are compiled or linked into
# ours, with the versions that were found.

# The values of `#define name number` in a file, in the order of the names, with dots between.
function(_version_in file names result)
  set(numbers "")
  foreach(name IN LISTS names)
    file(STRINGS "${file}" line REGEX "#define ${name} +[0-9]+" LIMIT_COUNT 1)
    string(REGEX MATCH "[0-9]+$" number "${line}")
    list(APPEND numbers "${number}")
  endforeach()
  list(JOIN numbers "." version)
  set(${result} "${version}" PARENT_SCOPE)
endfunction()

# The C++ library where it is linked in: on Linux, and wherever zig compiles.
function(_cxx_runtime result)
  set(${result} "" PARENT_SCOPE)
  if(MSVC OR NOT (CMAKE_SYSTEM_NAME STREQUAL "Linux" OR MINGW OR CMAKE_CXX_COMPILER MATCHES "zig[^/]*$"))
    return()
  endif()
  set(probe "${CMAKE_CURRENT_BINARY_DIR}/cxx_runtime.cc")
  file(WRITE "${probe}" "#include <cstddef>\n")
  separate_arguments(arguments NATIVE_COMMAND "${CMAKE_CXX_COMPILER_ARG1} ${CMAKE_CXX_FLAGS}")
  execute_process(COMMAND "${CMAKE_CXX_COMPILER}" ${arguments} -E -dM "${probe}" OUTPUT_VARIABLE macros ERROR_QUIET)
  if(macros MATCHES "#define _LIBCPP_VERSION ([0-9]+)([0-9][0-9])([0-9][0-9])\n")
    math(EXPR minor "${CMAKE_MATCH_2}")
    math(EXPR patch "${CMAKE_MATCH_3}")
    set(${result} libc++ "${CMAKE_MATCH_1}.${minor}.${patch}" "Apache-2.0 WITH LLVM-exception" PARENT_SCOPE)
  elseif(macros MATCHES "#define _GLIBCXX_RELEASE ([0-9]+)")
    set(version "${CMAKE_MATCH_1}")
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      set(version "${CMAKE_CXX_COMPILER_VERSION}")
    endif()
    set(${result} libstdc++ "${version}" "GPL-3.0-or-later WITH GCC-exception-3.1" PARENT_SCOPE)
  else()
    message(WARNING "Bill of materials: which C++ library is linked in was not found out")
  endif()
endfunction()

# ORT_RRELU_MORE_PARTS: what else a compiler links in, as NAME;VERSION;LICENSE;...
function(install_bill_of_materials onnxruntime_headers highway_sources)
  _version_in("${highway_sources}/hwy/base.h" "HWY_MAJOR;HWY_MINOR;HWY_PATCH" highway)
  _version_in("${onnxruntime_headers}/onnxruntime_c_api.h" ORT_API_VERSION onnxruntime)
  _cxx_runtime(cxx_runtime)
  set(cuda "")
  if(ORT_RRELU_HAS_CUDA)
    set(cuda cudart_static "${CMAKE_CUDA_COMPILER_VERSION}" "NVIDIA CUDA Toolkit EULA")
  endif()
  set(path "${CMAKE_CURRENT_BINARY_DIR}/ort-rrelu.cdx.json")
  execute_process(
    COMMAND "${Python3_EXECUTABLE}" "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/sbom.py" "${path}"
      ort-rrelu "${ORT_RRELU_VERSION}" Apache-2.0
      highway "${highway}" "Apache-2.0 OR BSD-3-Clause"
      onnxruntime "1.${onnxruntime}" MIT
      ${cxx_runtime} ${cuda} ${ORT_RRELU_MORE_PARTS}
    COMMAND_ERROR_IS_FATAL ANY)
  install(FILES "${path}" DESTINATION "${SKBUILD_METADATA_DIR}/sboms")
endfunction()
