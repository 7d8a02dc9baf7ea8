# ONNX Runtime's headers and Google Highway's sources. Neither is in a Python wheel, so each is looked for in
# five places, in this order: the path the user gives, an installed copy, the source archive of this project, the
# official release archive with a pinned SHA-256 (fails within seconds where there is no network), and Debian's or
# Ubuntu's package, fetched without installing it. Each of them says what was tried.

set(NATIVE_SOURCES_DIR "${CMAKE_CURRENT_BINARY_DIR}/native_sources")
set(ONNXRUNTIME_RELEASE 1.23.2)
set(ONNXRUNTIME_SHA256 1fa4dcaef22f6f7d5cd81b28c2800414350c10116f5fdd46a2160082551c5f9b)
set(ONNXRUNTIME_URL "https://github.com/microsoft/onnxruntime/releases/download/v${ONNXRUNTIME_RELEASE}/onnxruntime-linux-x64-${ONNXRUNTIME_RELEASE}.tgz"
  CACHE STRING "Archive with ONNX Runtime's headers, the same for every platform")
set(HIGHWAY_RELEASE 1.2.0)
set(HIGHWAY_SHA256 7e0be78b8318e8bdbf6fa545d2ecb4c90f947df03f7aadc42c1967f019e63343)
set(HIGHWAY_URL "https://github.com/google/highway/archive/refs/tags/${HIGHWAY_RELEASE}.tar.gz"
  CACHE STRING "Archive with Google Highway's sources")

# The folder below NATIVE_SOURCES_DIR that holds `file` (a path such as hwy/targets.cc), or NOTFOUND.
function(_folder_of file result)
  get_filename_component(basename "${file}" NAME)
  file(GLOB_RECURSE found "${NATIVE_SOURCES_DIR}/${basename}")
  list(FILTER found INCLUDE REGEX "/${file}$")
  set(folder NOTFOUND)
  if(found)
    list(GET found 0 first)
    string(REGEX REPLACE "/${file}$" "" folder "${first}")
  endif()
  set(${result} "${folder}" PARENT_SCOPE)
endfunction()

# Downloads and unpacks an archive below NATIVE_SOURCES_DIR; `tried` grows by what happened.
function(_fetch_archive name url sha256)
  set(archive "${NATIVE_SOURCES_DIR}/${name}.tar.gz")
  file(DOWNLOAD "${url}" "${archive}" TIMEOUT 120 INACTIVITY_TIMEOUT 10 STATUS status)
  list(GET status 0 code)
  list(GET status 1 text)
  if(code EQUAL 0)
    file(SHA256 "${archive}" actual)
    if(actual STREQUAL sha256)
      file(ARCHIVE_EXTRACT INPUT "${archive}" DESTINATION "${NATIVE_SOURCES_DIR}/${name}")
      set(text "unpacked")
    else()
      set(text "SHA-256 is ${actual}, expected ${sha256}")
    endif()
  endif()
  file(REMOVE "${archive}")
  message(STATUS "${name}: release archive ${url}: ${text}")
endfunction()

function(_fetch_debian name)
  execute_process(
    COMMAND bash "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/fetch_debian.sh" ${name} "${NATIVE_SOURCES_DIR}"
    RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(code EQUAL 0)
    message(STATUS "${name}: Debian package: unpacked")
  else()
    string(STRIP "${output}" output)
    message(STATUS "${name}: Debian package: not found (${output})")
  endif()
endfunction()

# name: what is looked for; variable: the user's path; file: what the folder must hold.
function(_find_native name variable file url sha256 installed result)
  set(${variable} "" CACHE PATH "Folder that holds ${file}")
  set(folder NOTFOUND)
  if(${variable})
    if(NOT EXISTS "${${variable}}/${file}")
      message(FATAL_ERROR "${name}: -D${variable}=${${variable}} has no ${file}")
    endif()
    set(folder "${${variable}}")
  elseif(installed)
    set(folder "${installed}")
  elseif(EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/third_party/${name}/${file}")
    set(folder "${CMAKE_CURRENT_SOURCE_DIR}/third_party/${name}")
  else()
    message(STATUS "${name}: -D${variable} not given, no usable installed copy")
    _folder_of(${file} folder)
    if(NOT folder)
      _fetch_archive(${name} "${url}" ${sha256})
      _folder_of(${file} folder)
    endif()
    if(NOT folder)
      _fetch_debian(${name})
      _folder_of(${file} folder)
    endif()
  endif()
  if(NOT folder)
    message(FATAL_ERROR "${name}: ${file} was not found. Tried -D${variable}, an installed copy, ${url} "
      "and Debian's package (see above). Download the archive, unpack it and pass -D${variable}=FOLDER "
      "(pip: -C cmake.define.${variable}=FOLDER).")
  endif()
  message(STATUS "${name}: ${folder}")
  set(ORT_RRELU_FOUND_${name} "${folder}" CACHE INTERNAL "For scripts that build anew with the same")
  set(${result} "${folder}" PARENT_SCOPE)
endfunction()

function(find_onnxruntime_headers result)
  find_path(installed_headers onnxruntime_c_api.h
    PATH_SUFFIXES onnxruntime onnxruntime/core/session NO_CACHE)
  set(installed "")
  if(installed_headers)
    file(STRINGS "${installed_headers}/onnxruntime_c_api.h" line REGEX "#define ORT_API_VERSION")
    string(REGEX MATCH "[0-9]+" version "${line}")
    if(version GREATER_EQUAL 19)
      set(installed "${installed_headers}")
    else()
      message(STATUS "onnxruntime: ${installed_headers} is version 1.${version}, 1.19 or newer is needed")
    endif()
  endif()
  _find_native(onnxruntime ONNXRUNTIME_INCLUDE_DIR onnxruntime_c_api.h
    "${ONNXRUNTIME_URL}" ${ONNXRUNTIME_SHA256} "${installed}" folder)
  set(${result} "${folder}" PARENT_SCOPE)
endfunction()

# An installed Highway is a shared library on most systems; the sources are compiled in instead.
function(find_highway_sources result)
  find_path(installed_sources hwy/targets.cc PATHS /usr/src/highway /usr/local/src/highway NO_CACHE)
  if(NOT installed_sources)
    set(installed_sources "")
  endif()
  _find_native(highway HIGHWAY_SOURCE_DIR hwy/targets.cc
    "${HIGHWAY_URL}" ${HIGHWAY_SHA256} "${installed_sources}" folder)
  set(${result} "${folder}" PARENT_SCOPE)
endfunction()
