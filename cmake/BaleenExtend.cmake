# How programs and plug-ins are put together; used by Baleen's own build and installed for everyone else's.
include_guard()

# baleen_whole_program(target): links all of Baleen into a program, also what the program itself does not use, and exports it:
# plug-ins take their Baleen from the program that opens them, so that there is one copy of everything.
function(baleen_whole_program target)
  target_link_libraries(${target} PRIVATE ${BALEEN_LIBRARIES})
  list(JOIN BALEEN_LIBRARIES "," libraries)
  set_target_properties(${target} PROPERTIES ENABLE_EXPORTS ON LINK_LIBRARY_OVERRIDE "WHOLE_ARCHIVE,${libraries}")
endfunction()

# baleen_add_program(name source...): Baleen with extensions linked in; main() calls baleen::run_program().
function(baleen_add_program name)
  add_executable(${name} ${ARGN})
  baleen_whole_program(${name})
  if(EXISTS "${BALEEN_CUDA_PLUGIN}")  # GPUs: the program looks for it beside itself
    add_custom_command(TARGET ${name} POST_BUILD VERBATIM
      COMMAND "${CMAKE_COMMAND}" -E create_symlink "${BALEEN_CUDA_PLUGIN}" "$<TARGET_FILE_DIR:${name}>/libbaleen_cuda.so")
  endif()
endfunction()

# baleen_add_plugin(name source...): a library lib<name>.so for the key `plugins` of a recipe; one source has BALEEN_PLUGIN().
function(baleen_add_plugin name)
  add_library(${name} MODULE ${ARGN})
  target_link_libraries(${name} PRIVATE Baleen::headers)
  # fmt of its own: a program that opens plug-ins need not export one.
  target_compile_definitions(${name} PRIVATE FMT_HEADER_ONLY)
  # Its own functions stay its own, even where the program or another plug-in has some of the same name.
  target_link_options(${name} PRIVATE -Wl,-Bsymbolic-functions)
endfunction()
