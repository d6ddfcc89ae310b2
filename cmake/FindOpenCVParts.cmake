# The parts of OpenCV that Baleen uses, as imported targets opencv_core, opencv_imgproc, opencv_imgcodecs, opencv_features2d,
# opencv_calib3d. OpenCV's own package is taken where it is installed; Debian ships it only with libopencv-dev, which drags in
# a whole desktop, so that the small packages are found by hand. Of the last two parts, launch/install.sh installs the
# libraries, which lie beside the others', and unpacks the headers into build/opencv: OPENCV_CALIB3D_INCLUDE_DIR is for the file
# that includes them, so that no other is compiled anew where they move.
set(_opencv_parts core imgproc imgcodecs features2d calib3d)
find_package(OpenCV QUIET CONFIG COMPONENTS ${_opencv_parts})
if(OpenCV_FOUND)
  set(OpenCVParts_FOUND TRUE)
  return()
endif()
find_path(OPENCV_INCLUDE_DIR opencv2/core.hpp PATH_SUFFIXES opencv4)
find_path(OPENCV_CALIB3D_INCLUDE_DIR opencv2/calib3d.hpp PATH_SUFFIXES opencv4 HINTS "${PROJECT_SOURCE_DIR}/build/opencv/usr/include")
set(_opencv_libraries)
foreach(part IN LISTS _opencv_parts)
  find_library(OPENCV_${part}_LIBRARY opencv_${part})
  if(NOT OPENCV_${part}_LIBRARY AND OPENCV_core_LIBRARY)
    # Without its -dev package a library has its version in its name: the same as the core's.
    file(REAL_PATH "${OPENCV_core_LIBRARY}" _opencv_library)
    string(REPLACE opencv_core opencv_${part} _opencv_library "${_opencv_library}")
    if(EXISTS "${_opencv_library}")
      set(OPENCV_${part}_LIBRARY "${_opencv_library}" CACHE FILEPATH "OpenCV's part ${part}" FORCE)
    endif()
  endif()
  list(APPEND _opencv_libraries OPENCV_${part}_LIBRARY)
endforeach()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(OpenCVParts REQUIRED_VARS OPENCV_INCLUDE_DIR ${_opencv_libraries}
  REASON_FAILURE_MESSAGE "launch/install.sh installs what is missing")
if(OpenCVParts_FOUND)
  foreach(part IN LISTS _opencv_parts)
    if(NOT TARGET opencv_${part})
      add_library(opencv_${part} SHARED IMPORTED GLOBAL)
      set_target_properties(opencv_${part} PROPERTIES IMPORTED_LOCATION "${OPENCV_${part}_LIBRARY}"
        INTERFACE_INCLUDE_DIRECTORIES "${OPENCV_INCLUDE_DIR}")
    endif()
  endforeach()
endif()
