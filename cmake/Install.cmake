# What `cmake --install` puts where: the program, headers, static libraries, recipes, scripts, the extension example, the package
# that find_package(Baleen) finds, man pages and completion for shells.
include(CMakePackageConfigHelpers)
set(BALEEN_PACKAGE_DIR "${CMAKE_INSTALL_LIBDIR}/cmake/Baleen")

install(TARGETS baleen_headers baleen_core baleen_data baleen_distributed baleen_experiments baleen_launch
  EXPORT BaleenTargets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
foreach(part headers core data distributed experiments launch)
  set_target_properties(baleen_${part} PROPERTIES EXPORT_NAME ${part})
endforeach()
install(EXPORT BaleenTargets NAMESPACE Baleen:: DESTINATION "${BALEEN_PACKAGE_DIR}")

# Libraries stay where they are. CMake itself remembers only places outside the source tree, and LibTorch may lie in build/venv.
set(BALEEN_INSTALL_RPATH "${LIBTORCH_ROOT}/lib")
foreach(library IN ITEMS "${BALEEN_CUDART}" "${BALEEN_NCCL}")
  if(EXISTS "${library}")
    get_filename_component(folder "${library}" DIRECTORY)
    get_filename_component(folder "${folder}" REALPATH)
    list(APPEND BALEEN_INSTALL_RPATH "${folder}")
  endif()
endforeach()
set_target_properties(baleen PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON INSTALL_RPATH "${BALEEN_INSTALL_RPATH}")
install(TARGETS baleen RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
if(TARGET baleen_cuda)  # looked for beside the program; optional, so that building the program alone is enough
  set_target_properties(baleen_cuda PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON INSTALL_RPATH "${BALEEN_INSTALL_RPATH}")
  install(TARGETS baleen_cuda LIBRARY DESTINATION "${CMAKE_INSTALL_BINDIR}" OPTIONAL)
endif()

foreach(header IN LISTS BALEEN_HEADERS)
  get_filename_component(folder "${header}" DIRECTORY)
  install(FILES "${PROJECT_SOURCE_DIR}/${header}" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/baleen/${folder}")
endforeach()
install(FILES "${BALEEN_PLUGIN_STAMP}" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/baleen/experiments")

install(DIRECTORY experiments/recipes DESTINATION "${CMAKE_INSTALL_DATADIR}/baleen")
install(DIRECTORY docs/examples DESTINATION "${CMAKE_INSTALL_DATADIR}/baleen")
install(DIRECTORY launch/ DESTINATION "${CMAKE_INSTALL_DATADIR}/baleen" FILES_MATCHING
  PATTERN "*.py" PATTERN "verbs" EXCLUDE PATTERN "doctor" EXCLUDE PATTERN "__pycache__" EXCLUDE)
install(DIRECTORY docs/ DESTINATION "${CMAKE_INSTALL_DOCDIR}" FILES_MATCHING PATTERN "*.md" PATTERN "examples" EXCLUDE)
install(FILES README.md CHANGELOG.md LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}")

configure_package_config_file(cmake/BaleenConfig.cmake.in "${PROJECT_BINARY_DIR}/package/BaleenConfig.cmake"
  INSTALL_DESTINATION "${BALEEN_PACKAGE_DIR}" PATH_VARS CMAKE_INSTALL_BINDIR)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/package/BaleenConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/package/BaleenConfig.cmake" "${PROJECT_BINARY_DIR}/package/BaleenConfigVersion.cmake"
  cmake/BaleenExtend.cmake cmake/LibTorch.cmake cmake/FindOpenCVParts.cmake DESTINATION "${BALEEN_PACKAGE_DIR}")

# Pages and scripts are made from the command line that is installed, when it is installed: they can't be of another version.
set(BALEEN_REFERENCE_DIR "${PROJECT_BINARY_DIR}/reference")
install(CODE "
  file(REMOVE_RECURSE \"${BALEEN_REFERENCE_DIR}\")
  file(MAKE_DIRECTORY \"${BALEEN_REFERENCE_DIR}\")
  execute_process(COMMAND \"$<TARGET_FILE:baleen>\" docs man --out \"${BALEEN_REFERENCE_DIR}/man1\" COMMAND_ERROR_IS_FATAL ANY)
  foreach(shell bash zsh fish)
    execute_process(COMMAND \"$<TARGET_FILE:baleen>\" docs completion \${shell} OUTPUT_FILE \"${BALEEN_REFERENCE_DIR}/\${shell}\"
      COMMAND_ERROR_IS_FATAL ANY)
  endforeach()")
install(DIRECTORY "${BALEEN_REFERENCE_DIR}/man1" DESTINATION "${CMAKE_INSTALL_MANDIR}")
install(FILES "${BALEEN_REFERENCE_DIR}/bash" DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions" RENAME baleen)
install(FILES "${BALEEN_REFERENCE_DIR}/zsh" DESTINATION "${CMAKE_INSTALL_DATADIR}/zsh/site-functions" RENAME _baleen)
install(FILES "${BALEEN_REFERENCE_DIR}/fish" DESTINATION "${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d" RENAME baleen.fish)
