#pragma once

#include <string>

namespace baleen {

/// How long another start waits for the locks of the last one: a file server keeps those of a lost
/// host for a while (NFSv4: 90 s by default).
inline constexpr int kHeldRunWait_s = 300;

struct RestartOptions {
  int max_restarts = 3;     ///< in a row without progress
  double first_wait_s = 2;  ///< before the first of them; doubled for each further one
  double longest_wait_s = 300;
};

/// What an exit code of the job means for a supervisor.
struct Outcome {
  bool done = false;      ///< nothing is left to do, or somebody asked for the end
  bool mendable = false;  ///< worth another start
  std::string meaning;    ///< in words: "a peer was lost"
};

/// Mistakes (usage, configuration, data) and numeric failures come again until somebody mends them;
/// crashes, hangs, lost peers and refused writes may not. 75 means that somebody asked for the end.
Outcome judge(int exit_code);

/// Decides whether to start again, and after how long.
class RestartPolicy {
 public:
  explicit RestartPolicy(RestartOptions options) : options_(options) {}

  struct Decision {
    bool restart = false;
    double wait_s = 0;
    int attempt = 0;  ///< which one in a row without progress this will be, from 1
  };
  /// @param progressed work was finished since the last start: the count begins anew
  Decision after(int exit_code, bool progressed);

 private:
  RestartOptions options_;
  int fruitless_ = 0;
};

}  // namespace baleen
