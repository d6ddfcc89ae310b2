#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/base/error.h"

namespace CLI {
class App;
}

namespace baleen {

class MpiEnvironment;
struct Extensions;

/// What the program offers to a verb while it runs.
struct VerbContext {
  const Extensions* extensions = nullptr;  ///< built-in, and what this program adds
  /// Set for verbs that say `needs_mpi`, or `shares_work` where there are several ranks.
  MpiEnvironment* mpi = nullptr;
  const std::atomic<bool>* stop = nullptr;  ///< becomes true when a signal asks the program to stop
  std::string command_line;                 ///< as typed, for records
  /// Lets this rank's log lines, debug level and up, go to a file too.
  std::function<void(const std::filesystem::path&)> log_to_file;
  /// Set by a verb that keeps a record of failures: called on each rank with the error that ends
  /// it. Must not throw.
  std::function<void(const Error&)> on_failure;
};

/// A file or folder that a verb reads or writes, for its man page.
struct VerbFile {
  std::string path;  ///< as one would say it: "RUN/oof.h5"
  std::string what;
};

/// One entry of the command line: its name, its options, and what it does.
///
/// The options live in an object that both functions own, so that a verb is one file and nothing
/// else knows its options.
struct Verb {
  std::string name;
  std::string summary;          ///< one line for the list of verbs
  std::string examples;         ///< shown below its --help; may be empty
  std::vector<VerbFile> files;  ///< what it reads and writes, for its man page; may be empty
  bool needs_mpi = false;
  bool shares_work = false;  ///< MPI is started where a launcher started several ranks
  bool heeds_stop = false;   ///< looks at VerbContext::stop; else signals end it at once
  bool hidden = false;       ///< left out of the list: for maintainers
  std::function<void(CLI::App&)> declare_options;
  /// @return the process's exit code; failures are thrown
  std::function<int(VerbContext&)> run;
};

}  // namespace baleen
