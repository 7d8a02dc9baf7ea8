# The source archive (sdist) for builds without a network: what is put into it, and whether one is whole. Into it go
# the used files of Highway and of ONNX Runtime's headers, beside their licences in third_party/, and FILES, a list.

set(SOURCE_ARCHIVE_EXTRAS "${CMAKE_CURRENT_SOURCE_DIR}/build/sdist/files")  # pyproject.toml adds this folder to an sdist
set(SOURCE_ARCHIVE_LIST "${CMAKE_CURRENT_SOURCE_DIR}/FILES")

# Fails if files are missing. In a checkout there is no list.
function(check_source_archive)
  if(NOT EXISTS "${SOURCE_ARCHIVE_LIST}")
    return()
  endif()
  file(STRINGS "${SOURCE_ARCHIVE_LIST}" names)
  set(missing "")
  foreach(name IN LISTS names)
    if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${name}")
      string(APPEND missing "\n  ${name}")
    endif()
  endforeach()
  if(missing)
    message(FATAL_ERROR "Files of this source archive are missing in ${CMAKE_CURRENT_SOURCE_DIR}:${missing}\n"
      "Unpack the archive again. If they are still missing, the archive is damaged: download it again.")
  endif()
endfunction()

# What `files` include, in turn, by paths from `folder`; for every processor, since #if is not evaluated.
function(_included folder files result)
  set(found "")
  while(files)
    list(POP_FRONT files name)
    if(name IN_LIST found OR NOT EXISTS "${folder}/${name}")
      continue()
    endif()
    list(APPEND found "${name}")
    file(STRINGS "${folder}/${name}" lines REGEX "^ *# *include +\"[^\"]+\"")
    foreach(line IN LISTS lines)
      string(REGEX REPLACE "^[^\"]*\"([^\"]+)\".*" "\\1" name "${line}")
      list(APPEND files "${name}")
    endforeach()
  endwhile()
  set(${result} "${found}" PARENT_SCOPE)
endfunction()

function(_copy_used name folder files)
  _included("${folder}" "${files}" used)
  foreach(file IN LISTS used)
    get_filename_component(directory "${SOURCE_ARCHIVE_EXTRAS}/third_party/${name}/${file}" DIRECTORY)
    file(COPY "${folder}/${file}" DESTINATION "${directory}")
  endforeach()
endfunction()

function(_list_files)
  set(folders ops cmake python third_party)
  list(TRANSFORM folders REPLACE "(.+)" "${CMAKE_CURRENT_SOURCE_DIR}/\\1/*" OUTPUT_VARIABLE own)
  file(GLOB_RECURSE own RELATIVE "${CMAKE_CURRENT_SOURCE_DIR}" ${own})
  file(GLOB_RECURSE extras RELATIVE "${SOURCE_ARCHIVE_EXTRAS}" "${SOURCE_ARCHIVE_EXTRAS}/third_party/*")
  set(names CMakeLists.txt LICENSE README.md pyproject.toml ${own} ${extras})
  # What pyproject.toml leaves out: hidden files but for .clang-tidy, keys, what Python keeps.
  list(FILTER names EXCLUDE REGEX "(^|/)\\.([^c]|c[^l])|\\.(env|key|pem|pyc)$|(^|/)__pycache__/|\\.egg-info/")
  list(REMOVE_DUPLICATES names)
  list(SORT names)
  list(JOIN names "\n" text)
  file(WRITE "${SOURCE_ARCHIVE_EXTRAS}/FILES" "${text}\n")
endfunction()

# An sdist that is made from an unpacked sdist has all of it already.
function(prepare_source_archive onnxruntime_headers highway_sources)
  file(REMOVE_RECURSE "${SOURCE_ARCHIVE_EXTRAS}")
  file(MAKE_DIRECTORY "${SOURCE_ARCHIVE_EXTRAS}")
  if(EXISTS "${SOURCE_ARCHIVE_LIST}")
    return()
  endif()
  _copy_used(onnxruntime "${onnxruntime_headers}" onnxruntime_c_api.h)
  _copy_used(highway "${highway_sources}"
    "hwy/highway.h;hwy/foreach_target.h;hwy/cache_control.h;hwy/abort.cc;hwy/per_target.cc;hwy/targets.cc")
  _list_files()
endfunction()
