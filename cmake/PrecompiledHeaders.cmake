# Precompiled headers, each file with the smallest one that serves it.
#
# GCC does again in every file what a precompiled header left undone: templates that its inline functions use are
# instantiated at the end of each file, three seconds' worth where torch/nn is in, half a second where only Tensor is. So
# there are several, and a file gets the one that holds what it includes, directly or through Baleen's own headers.
include_guard(GLOBAL)

set(BALEEN_PRECOMPILED plain tensor aten nn)  # by weight; each holds those before it

# A target that compiles cmake/precompiled/KIND.h and nothing else.
function(baleen_add_precompiled kind)
  set(source "${PROJECT_BINARY_DIR}/generated/precompiled_${kind}.cpp")
  file(CONFIGURE OUTPUT "${source}" CONTENT "// Compiled for the precompiled header that comes with it.\n")
  add_library(baleen_precompiled_${kind} OBJECT "${source}")
  target_link_libraries(baleen_precompiled_${kind} PRIVATE baleen_options Baleen::torch_cpu ${ARGN})
  target_precompile_headers(baleen_precompiled_${kind} PRIVATE "${PROJECT_SOURCE_DIR}/cmake/precompiled/${kind}.h")
endfunction()

# baleen_weigh_includes(file out): the index in BALEEN_PRECOMPILED of what `file` (relative to the root) includes.
function(baleen_weigh_includes file out)
  get_property(weight GLOBAL PROPERTY "baleen_weight_${file}")
  if("${weight}" STREQUAL "")
    set(weight 0)
    set_property(GLOBAL PROPERTY "baleen_weight_${file}" 0)  # a header that includes itself in the end adds nothing
    file(STRINGS "${PROJECT_SOURCE_DIR}/${file}" lines REGEX "^#include [<\"]")
    foreach(line IN LISTS lines)
      string(REGEX REPLACE "^#include [<\"]([^>\"]*).*" "\\1" included "${line}")
      set(other 0)
      if(included MATCHES "^torch/(nn|optim)/")
        set(other 3)
      elseif(included MATCHES "^torch/csrc/" OR included STREQUAL "ATen/ATen.h")
        set(other 2)
      elseif(included MATCHES "^ATen/")
        set(other 1)
      elseif(EXISTS "${PROJECT_SOURCE_DIR}/${included}")
        baleen_weigh_includes("${included}" other)
      endif()
      if(other GREATER weight)
        set(weight ${other})
      endif()
    endforeach()
    set_property(GLOBAL PROPERTY "baleen_weight_${file}" ${weight})
  endif()
  set(${out} ${weight} PARENT_SCOPE)
endfunction()

# baleen_precompile(target [TESTS]): gives each source of `target` that lies in the source tree, and each unit of such sources,
# its precompiled header. TESTS: those with GoogleTest in them. Call it where the target is made.
function(baleen_precompile target)
  cmake_parse_arguments(arg "TESTS" "" "" ${ARGN})
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    return()
  endif()
  get_target_property(sources ${target} SOURCES)
  foreach(source IN LISTS sources)
    cmake_path(ABSOLUTE_PATH source NORMALIZE)
    cmake_path(IS_PREFIX PROJECT_BINARY_DIR "${source}" generated)
    get_property(weight GLOBAL PROPERTY "baleen_unit_${source}")
    if(NOT source MATCHES "\\.cpp$" OR (generated AND "${weight}" STREQUAL ""))
      continue()
    elseif(NOT generated)
      cmake_path(RELATIVE_PATH source BASE_DIRECTORY "${PROJECT_SOURCE_DIR}" OUTPUT_VARIABLE file)
      baleen_weigh_includes("${file}" weight)
    endif()
    list(GET BALEEN_PRECOMPILED ${weight} kind)
    if(arg_TESTS)
      string(REPLACE tensor aten kind "${kind}")
      string(PREPEND kind test_)
    endif()
    get_target_property(folder baleen_precompiled_${kind} BINARY_DIR)
    set(header "${folder}/CMakeFiles/baleen_precompiled_${kind}.dir/cmake_pch.hxx")
    set_property(SOURCE "${source}" APPEND PROPERTY COMPILE_OPTIONS -Winvalid-pch -include "${header}")
    if(CMAKE_GENERATOR MATCHES Ninja)
      set_property(SOURCE "${source}" APPEND PROPERTY OBJECT_DEPENDS "${header}.gch")
    endif()
    add_dependencies(${target} baleen_precompiled_${kind})
  endforeach()
endfunction()

foreach(kind IN LISTS BALEEN_PRECOMPILED)
  baleen_add_precompiled(${kind})
endforeach()
