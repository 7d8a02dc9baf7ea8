# What C and C++ programs need beside the library: the header of its C API, and the files with which
# find_package(ort_rrelu) and pkg-config find both, wherever the wheel or `cmake --install` put them.

include(CMakePackageConfigHelpers)
set(package ort_rrelu/share/cmake/ort_rrelu)
install(FILES ops/rrelu.h DESTINATION ort_rrelu/include/ort_rrelu)

# Not ort_rrelu-config.cmake: that one would include ort_rrelu-config-version.cmake as one of its own.
install(EXPORT ort_rrelu NAMESPACE ort_rrelu:: FILE ort_rreluConfig.cmake DESTINATION ${package})
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/ort_rreluConfigVersion.cmake"
  VERSION "${ORT_RRELU_VERSION}" COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/ort_rreluConfigVersion.cmake" DESTINATION ${package})

file(GENERATE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/ort_rrelu.pc" CONTENT
"prefix=\${pcfiledir}/../..
library=\${prefix}/$<TARGET_FILE_NAME:ort_rrelu>

Name: ort_rrelu
Description: RReLU as a custom operator for ONNX Runtime
Version: ${ORT_RRELU_VERSION}
Cflags: -I\${prefix}/include
Libs: -L\${prefix} -lort_rrelu
")
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/ort_rrelu.pc" DESTINATION ort_rrelu/share/pkgconfig)
