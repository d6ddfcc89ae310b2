#include "tests/support/command.h"

#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>

namespace baleen::testing {

CommandResult run_command(const std::string& line) {
  FILE* pipe = popen(("exec 2>&1; " + line).c_str(), "r");
  if (!pipe) throw std::runtime_error("popen failed for " + line);
  CommandResult result;
  char buffer[4096];
  while (const size_t count = fread(buffer, 1, sizeof buffer, pipe))
    result.output.append(buffer, count);
  const int status = pclose(pipe);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

CommandResult run_baleen(const std::string& arguments) {
  const char* program = std::getenv("BALEEN_BIN");
  if (!program) throw std::runtime_error("BALEEN_BIN is not set: run this test through ctest");
  return run_command(std::string(program) + " " + arguments);
}

}  // namespace baleen::testing
