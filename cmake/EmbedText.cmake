# baleen_embed_text(target function file …): gives the target a source file that defines
# `std::string_view baleen::function()` with the content of the file (read anew when the file changes).
function(baleen_embed_text target)
  set(generated "${CMAKE_CURRENT_BINARY_DIR}/${target}_texts.cpp")
  set(text "#include <string_view>\n\nnamespace baleen {\n")
  while(ARGN)
    list(POP_FRONT ARGN function file)
    set(content "")
    if(file)
      set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
      file(READ "${file}" content)
    endif()
    # Compilers limit the length of one literal in the standard's minimum only; GCC and Clang take any.
    string(APPEND text "std::string_view ${function}() {\n"
      "  static constexpr char kText[] = R\"baleen~(${content})baleen~\";\n  return {kText, sizeof kText - 1};\n}\n")
  endwhile()
  string(APPEND text "}  // namespace baleen\n")
  file(CONFIGURE OUTPUT "${generated}" CONTENT "@text@" @ONLY)
  target_sources(${target} PRIVATE "${generated}")
  set_source_files_properties("${generated}" PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
endfunction()
