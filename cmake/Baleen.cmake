# How Baleen's libraries and tests are declared: one call each, so that every room is built alike.
include_guard(GLOBAL)
include(GNUInstallDirs)

option(BALEEN_WERROR "Warnings in Baleen's own files are errors; the presets for development switch it on" OFF)
set(BALEEN_SANITIZE "" CACHE STRING "Sanitizers, comma separated: address,undefined or thread")
set(BALEEN_DATA "${PROJECT_SOURCE_DIR}/../shared/data" CACHE PATH "Real images that some tests read")

# Options every target shares; being equal everywhere lets all rooms share precompiled headers.
add_library(baleen_options INTERFACE)
target_compile_features(baleen_options INTERFACE cxx_std_20)
# GCC 12 sees overlaps and overflows in std::string's operator+ that are not there (GCC bug 105651).
target_compile_options(baleen_options INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict> $<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overflow>)
# At -O3 it also warns of strings that are never read, and of sizes below zero.
target_compile_options(baleen_options INTERFACE
  $<$<AND:$<CXX_COMPILER_ID:GNU>,$<CONFIG:Release>>:-Wno-maybe-uninitialized> $<$<AND:$<CXX_COMPILER_ID:GNU>,$<CONFIG:Release>>:-Wno-array-bounds>)
# Plain -fPIC for programs too: a precompiled header serves libraries and programs only if their options agree.
target_compile_options(baleen_options INTERFACE -fPIC -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wno-missing-field-initializers)
if(BALEEN_WERROR)
  target_compile_options(baleen_options INTERFACE -Werror)
endif()
if(BALEEN_SANITIZE)
  target_compile_options(baleen_options INTERFACE -fsanitize=${BALEEN_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(baleen_options INTERFACE -fsanitize=${BALEEN_SANITIZE})
endif()
target_include_directories(baleen_options INTERFACE "${PROJECT_SOURCE_DIR}")
# Not mold: Debian 12's (1.10) makes programs that do not start when thread-local data fall on the end of a page (its issue 1151).
find_program(BALEEN_LLD ld.lld)
if(BALEEN_LLD)
  target_link_options(baleen_options INTERFACE -fuse-ld=lld)
endif()

find_program(BALEEN_CCACHE ccache)
if(BALEEN_CCACHE)
  # Sloppiness is what ccache asks for where precompiled headers are used; relative paths let checkouts share their results.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env "CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}" CCACHE_NOHASHDIR=1 CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime "${BALEEN_CCACHE}")
  add_compile_options(-fpch-preprocess)
endif()

include(PrecompiledHeaders)
include(Unity)

# Every header, relative to the root: what is installed, and what a plug-in must have seen in the same version.
set(BALEEN_HEADERS "")
foreach(room core data distributed experiments launch)
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/${room}/*.h")
  list(APPEND BALEEN_HEADERS ${headers})
endforeach()
list(SORT BALEEN_HEADERS)
string(REPLACE ";" "\n" headers "${BALEEN_HEADERS}")
file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/generated/headers.txt" CONTENT "${headers}\n")
set(BALEEN_PLUGIN_STAMP "${PROJECT_BINARY_DIR}/generated/experiments/plugin_stamp.h")
list(TRANSFORM BALEEN_HEADERS PREPEND "${PROJECT_SOURCE_DIR}/" OUTPUT_VARIABLE headers)
add_custom_command(OUTPUT "${BALEEN_PLUGIN_STAMP}" VERBATIM
  COMMAND "${CMAKE_COMMAND}" "-DOUTPUT=${BALEEN_PLUGIN_STAMP}" -DVERSION=${PROJECT_VERSION} "-DROOT=${PROJECT_SOURCE_DIR}"
          "-DHEADERS_FILE=${PROJECT_BINARY_DIR}/generated/headers.txt" -P "${PROJECT_SOURCE_DIR}/cmake/PluginStamp.cmake"
  DEPENDS ${headers} "${PROJECT_BINARY_DIR}/generated/headers.txt" "${PROJECT_SOURCE_DIR}/cmake/PluginStamp.cmake")
add_custom_target(baleen_plugin_stamp DEPENDS "${BALEEN_PLUGIN_STAMP}")

# What a plug-in needs: all headers, and LibTorch.
add_library(baleen_headers INTERFACE)
add_library(Baleen::headers ALIAS baleen_headers)
add_dependencies(baleen_headers baleen_plugin_stamp)
target_compile_features(baleen_headers INTERFACE cxx_std_20)
target_include_directories(baleen_headers INTERFACE "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>"
  "$<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/generated>" $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/baleen>)
target_link_libraries(baleen_headers INTERFACE Baleen::torch_cpu)

# baleen_library(name [PRIVATE_LIBS ...] [LIBS ...]): a static library of every .cpp below the current folder.
function(baleen_library name)
  cmake_parse_arguments(arg "" "" "LIBS;PRIVATE_LIBS;EXCLUDE" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.cpp")
  foreach(pattern IN LISTS arg_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX "${pattern}")
  endforeach()
  if(NOT sources)
    set(sources "${CMAKE_CURRENT_BINARY_DIR}/empty.cpp")
    file(WRITE "${sources}" "")
  endif()
  baleen_unite(${name} units ${sources})
  add_library(${name} STATIC ${units})
  # How Baleen itself is compiled is nobody else's concern.
  target_link_libraries(${name} PUBLIC $<BUILD_INTERFACE:baleen_options> baleen_headers ${arg_LIBS} PRIVATE ${arg_PRIVATE_LIBS})
  baleen_precompile(${name})
  baleen_keep_apart(${name} LIBS baleen_options baleen_headers ${arg_LIBS} ${arg_PRIVATE_LIBS} SOURCES ${units_united})
endfunction()

# baleen_tests(room LIBS ... [APART ...]): each *_test.cpp of the current folder is a ctest entry `room.name`, each *_mpi_test.cpp
# runs under mpirun at 1, 2 and 4 ranks as `room.name.npR`. All but those APART, which are programs `room_name_test`, are linked
# into `room_tests` and `room_mpi_tests`, of which an entry runs the tests of one file.
function(baleen_tests room)
  cmake_parse_arguments(arg "" "" "LIBS;APART" ${ARGN})
  file(GLOB tests CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*_test.cpp")
  foreach(source IN LISTS tests)
    get_filename_component(stem "${source}" NAME_WE)
    if(stem IN_LIST arg_APART)
      baleen_test_program(${room}_${stem} LIBS baleen_test_main ${arg_LIBS} SOURCES "${source}")
      set(command ${room}_${stem})
    elseif(stem MATCHES "_mpi_test$")
      list(APPEND mpi_sources "${source}")
      string(REGEX REPLACE "_mpi_test$" "" short "${stem}")
      baleen_add_mpi_test(${room}.${short} ${room}_mpi_tests ARGUMENTS --file=${stem}.cpp RANKS 1 2 4)
      continue()
    else()
      list(APPEND plain_sources "${source}")
      set(command ${room}_tests --file=${stem}.cpp)
    endif()
    string(REGEX REPLACE "_test$" "" short "${stem}")
    add_test(NAME ${room}.${short} COMMAND ${command})
    set_tests_properties(${room}.${short} PROPERTIES TIMEOUT 300 LABELS unit ENVIRONMENT "${BALEEN_TEST_ENV}")
  endforeach()
  if(plain_sources)
    baleen_test_program(${room}_tests LIBS baleen_test_main ${arg_LIBS} SOURCES ${plain_sources})
  endif()
  if(mpi_sources)
    baleen_test_program(${room}_mpi_tests LIBS baleen_test_mpi_main ${arg_LIBS} SOURCES ${mpi_sources})
  endif()
endfunction()

# baleen_test_program(name LIBS ... SOURCES ...): a program of tests in build/…/tests.
function(baleen_test_program name)
  cmake_parse_arguments(arg "" "" "LIBS;SOURCES" ${ARGN})
  baleen_unite(${name} units ${arg_SOURCES})
  add_executable(${name} ${units})
  baleen_precompile(${name} TESTS)
  target_link_libraries(${name} PRIVATE ${arg_LIBS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/tests")
  baleen_keep_apart(${name} LIBS ${arg_LIBS} SOURCES ${units_united})
endfunction()

# baleen_add_mpi_test(name program RANKS 1 2 4 [ARGUMENTS ...] [TIMEOUT s] [LABELS ...]): one ctest entry per number of ranks.
function(baleen_add_mpi_test name program)
  cmake_parse_arguments(arg "" "TIMEOUT" "RANKS;LABELS;ARGUMENTS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  foreach(ranks IN LISTS arg_RANKS)
    add_test(NAME ${name}.np${ranks}
      COMMAND ${MPIEXEC_EXECUTABLE} -n ${ranks} --oversubscribe --bind-to none $<TARGET_FILE:${program}> ${arg_ARGUMENTS})
    set_tests_properties(${name}.np${ranks} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "mpi;${arg_LABELS}"
      PROCESSORS ${ranks} ENVIRONMENT "${BALEEN_TEST_ENV}")
  endforeach()
endfunction()

# The interpreter that holds the test oracles (PyTorch, torchvision, scikit-learn, …); tests that need it skip without.
find_program(BALEEN_PYTHON NAMES python3 python HINTS "${LIBTORCH_ROOT}/../../../../bin" NO_DEFAULT_PATH)
set(BALEEN_TEST_ENV "OMP_NUM_THREADS=1;OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1;OMPI_MCA_rmaps_base_oversubscribe=1;OMPI_MCA_mpi_yield_when_idle=1;BALEEN_DATA=${BALEEN_DATA};BALEEN_SOURCE=${PROJECT_SOURCE_DIR};BALEEN_BIN=${PROJECT_BINARY_DIR}/bin/baleen")
if(BALEEN_PYTHON)
  list(APPEND BALEEN_TEST_ENV "BALEEN_PYTHON=${BALEEN_PYTHON}")
endif()
