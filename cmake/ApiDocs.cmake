# api_docs: the HTML reference of the headers, in the build folder's api/. A warning is an error; lint.api_docs runs the same.
find_program(BALEEN_DOXYGEN doxygen)
if(BALEEN_DOXYGEN)
  add_custom_target(api_docs VERBATIM WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
    COMMAND "${CMAKE_COMMAND}" -E env "BALEEN_VERSION=${PROJECT_VERSION}" "BALEEN_API_DOCS=${PROJECT_BINARY_DIR}/api"
            "${BALEEN_DOXYGEN}" docs/Doxyfile
    COMMENT "HTML reference of the headers: ${PROJECT_BINARY_DIR}/api/index.html")
endif()
