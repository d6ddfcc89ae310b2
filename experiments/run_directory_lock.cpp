#include "core/base/logging.h"
#include "experiments/run_directory.h"

namespace baleen {

RunLock::RunLock(const RunDirectory& directory, const HolderWait& wait)
    : lock_(directory.lock(),
            {.subject = directory.root().string(),
             .hint = "wait for that job or end it; two jobs can't share a run directory",
             .wait_s = wait.seconds,
             .check_stop = wait.check_stop}) {
  if (recovered())
    log_warning("{} ended without releasing the run: going on from its last record",
                lock_.abandoned_by());
}

}  // namespace baleen
