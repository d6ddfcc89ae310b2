#pragma once

#include <functional>

#include "experiments/extensions.h"

namespace baleen {

/// All that the program `baleen` does: reads the command line, runs one verb, and turns whatever is
/// thrown on this rank into a message, a record and an exit code. A program of one's own is a
/// main() that calls this. Call it once, first of all.
/// @param extend adds networks, losses and augmentations to the built-in ones; may be empty
/// @returns the exit code (docs/exit-codes.md)
int run_program(int argc, char** argv, const std::function<void(Extensions&)>& extend = {});

}  // namespace baleen
