# Finds LibTorch without its own CMake package, which asks for a whole CUDA toolkit even where only the CPU is used.
#
#   LIBTORCH_ROOT  a directory that holds include/ and lib/libtorch_cpu.so: site-packages/torch of a pip wheel,
#                  an unzipped LibTorch, or one's own build. Searched for, in this order: -DLIBTORCH_ROOT, the
#                  environment variable of that name, build/venv of the source tree, the python3 on PATH.
#
# Imported targets:
#   Baleen::torch_cpu   libtorch_cpu and libc10; always
#   Baleen::torch_cuda  adds libtorch_cuda, libc10_cuda, and the CUDA and NCCL headers; only where all are found
include_guard(GLOBAL)

set(LIBTORCH_ROOT "$ENV{LIBTORCH_ROOT}" CACHE PATH "Unzipped LibTorch, or site-packages/torch of the pip wheel")
if(NOT LIBTORCH_ROOT)
  file(GLOB _baleen_torch "${PROJECT_SOURCE_DIR}/build/venv/lib/python3*/site-packages/torch")
  if(NOT _baleen_torch)
    find_package(Python3 COMPONENTS Interpreter QUIET)
    if(Python3_Interpreter_FOUND)
      execute_process(
        COMMAND "${Python3_EXECUTABLE}" -c
          "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')"
        OUTPUT_VARIABLE _baleen_torch OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    endif()
  endif()
  set(LIBTORCH_ROOT "${_baleen_torch}" CACHE PATH "" FORCE)
endif()
if(NOT EXISTS "${LIBTORCH_ROOT}/lib/libtorch_cpu.so")
  message(FATAL_ERROR
    "LibTorch not found (looked in '${LIBTORCH_ROOT}'). Run ./tests/run.sh --install-only to install the pinned wheel into "
    "build/venv, or pass -DLIBTORCH_ROOT=<unzipped LibTorch, or site-packages/torch>.")
endif()

set(_baleen_version_h "${LIBTORCH_ROOT}/include/torch/headeronly/version.h")
if(NOT EXISTS "${_baleen_version_h}")  # before 2.9 it lived with the C++ front end
  set(_baleen_version_h "${LIBTORCH_ROOT}/include/torch/csrc/api/include/torch/version.h")
endif()
file(STRINGS "${_baleen_version_h}" _baleen_v REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
string(REGEX REPLACE "[^0-9]*([0-9]+)[^0-9]+([0-9]+)[^0-9]+([0-9]+).*" "\\1.\\2.\\3" LIBTORCH_VERSION "${_baleen_v}")

# The OpenMP that LibTorch's operators run on: a second one would be a second set of threads.
file(GLOB _baleen_openmp "${LIBTORCH_ROOT}/lib/libgomp*.so*" "${LIBTORCH_ROOT}/lib/libiomp5.so")
if(NOT _baleen_openmp)
  find_package(OpenMP REQUIRED COMPONENTS CXX)
  set(_baleen_openmp "${OpenMP_CXX_LIBRARIES}")
endif()

add_library(Baleen::c10 SHARED IMPORTED GLOBAL)
set_target_properties(Baleen::c10 PROPERTIES IMPORTED_LOCATION "${LIBTORCH_ROOT}/lib/libc10.so")
add_library(Baleen::torch_cpu SHARED IMPORTED GLOBAL)
set_target_properties(Baleen::torch_cpu PROPERTIES
  IMPORTED_LOCATION "${LIBTORCH_ROOT}/lib/libtorch_cpu.so"
  INTERFACE_COMPILE_DEFINITIONS USE_DISTRIBUTED
  INTERFACE_INCLUDE_DIRECTORIES "${LIBTORCH_ROOT}/include;${LIBTORCH_ROOT}/include/torch/csrc/api/include"
  INTERFACE_LINK_LIBRARIES "Baleen::c10;${_baleen_openmp}")

if(EXISTS "${LIBTORCH_ROOT}/lib/libtorch_cuda.so")
  # The wheel's sibling packages come first: they are the very versions that its libraries were built with.
  file(GLOB _baleen_cuda_inc "${LIBTORCH_ROOT}/../nvidia/*/include")
  find_path(BALEEN_CUDA_INCLUDE cuda_runtime_api.h HINTS ${_baleen_cuda_inc}
            PATHS "$ENV{CUDA_HOME}/include" /usr/local/cuda/include NO_DEFAULT_PATH)
  find_path(BALEEN_CUDA_CRT_INCLUDE crt/host_config.h HINTS ${_baleen_cuda_inc}
            PATHS "$ENV{CUDA_HOME}/include" /usr/local/cuda/include NO_DEFAULT_PATH)
  find_path(BALEEN_NCCL_INCLUDE nccl.h HINTS ${_baleen_cuda_inc}
            PATHS "$ENV{NCCL_HOME}/include" /usr/local/cuda/include /usr/include NO_DEFAULT_PATH)
  if(BALEEN_CUDA_INCLUDE AND BALEEN_CUDA_CRT_INCLUDE AND BALEEN_NCCL_INCLUDE)
    find_library(BALEEN_CUDART NAMES cudart libcudart.so.13 libcudart.so.12 NAMES_PER_DIR
                 HINTS "${BALEEN_CUDA_INCLUDE}/../lib" "${BALEEN_CUDA_INCLUDE}/../lib64")
    find_library(BALEEN_NCCL NAMES nccl libnccl.so.2 NAMES_PER_DIR HINTS "${BALEEN_NCCL_INCLUDE}/../lib")
    add_library(Baleen::c10_cuda SHARED IMPORTED GLOBAL)
    set_target_properties(Baleen::c10_cuda PROPERTIES IMPORTED_LOCATION "${LIBTORCH_ROOT}/lib/libc10_cuda.so")
    add_library(Baleen::torch_cuda SHARED IMPORTED GLOBAL)
    set_target_properties(Baleen::torch_cuda PROPERTIES
      IMPORTED_LOCATION "${LIBTORCH_ROOT}/lib/libtorch_cuda.so"
      INTERFACE_COMPILE_DEFINITIONS "USE_C10D_NCCL"
      INTERFACE_INCLUDE_DIRECTORIES
        "${BALEEN_CUDA_INCLUDE};${BALEEN_CUDA_CRT_INCLUDE};${BALEEN_NCCL_INCLUDE}"
      INTERFACE_LINK_LIBRARIES "Baleen::torch_cpu;Baleen::c10_cuda;${BALEEN_CUDART};${BALEEN_NCCL}")
  endif()
endif()

if(TARGET Baleen::torch_cuda)
  message(STATUS "LibTorch ${LIBTORCH_VERSION} at ${LIBTORCH_ROOT}, CUDA headers at ${BALEEN_CUDA_INCLUDE}")
else()
  message(STATUS "LibTorch ${LIBTORCH_VERSION} at ${LIBTORCH_ROOT}, without CUDA: the plugin is not built")
endif()
