#include "launch/supervisor/sbatch.h"

#include <fmt/format.h>

#include <algorithm>

#include "launch/supervisor/mpirun_line.h"
#include "launch/supervisor/restart_policy.h"

namespace baleen {
namespace {

// Bash, not POSIX sh: a trap is run while `wait` waits.
constexpr const char* kBody = R"(
# Slurm announces the end {notice} s ahead with SIGUSR1, and preemption with SIGTERM: the ranks then save and leave with 75.
# A second signal would end them at once, so that only the first is handed on.
job="" asked=""
ask_to_save() {{
  if [[ -n $job && -z $asked ]]; then asked=1; kill -USR1 "$job" 2>/dev/null; fi
}}
trap ask_to_save USR1 TERM
{prepare}
{command} &
job=$!
while wait "$job"; code=$?; kill -0 "$job" 2>/dev/null; do :; done  # a signal ends `wait`, not the job
wait "$job" 2>/dev/null; last=$?
if [[ $last -ne 127 ]]; then code=$last; fi
{confirm}echo "$(date '+%F %T') job ${{SLURM_JOB_ID:-?}}, start ${{SLURM_RESTART_COUNT:-0}}: exit code $code"

case $code in
  0) ;;
  1 | 2 | 3 | 4 | 88) ;;  # would come again: somebody has to mend it first (docs/exit-codes.md)
  *)
    if [[ -n ${{SLURM_JOB_ID:-}} && ${{SLURM_RESTART_COUNT:-0}} -lt {max_requeues} ]]; then
      scontrol requeue "$SLURM_JOB_ID" && sleep 60  # Slurm ends this script when it takes the job back
    fi ;;
esac
exit "$code"
)";

// Slurm 22.05 fails to start a step while the last one is still being cleaned up, and srun then
// ends with 0: nothing trained must not look like everything done.
constexpr const char* kPrepare = R"(
started=.baleen-started-${{SLURM_JOB_ID:-0}}  # the tasks leave it, since srun can end with 0 without having started any
rm -f "$started"
start=({first})
# Another start goes on, and waits while the file server still holds the locks of a lost node.
if [[ ${{SLURM_RESTART_COUNT:-0}} -gt 0 ]]; then start=({again}); fi)";
constexpr const char* kSrun =
    R"(srun --mpi=pmix --kill-on-bad-exit=1 bash -c 'touch "$0"; exec "$@"' "$started" \
  )";
constexpr const char* kConfirm =
    R"(if [[ $code -eq 0 && ! -e $started ]]; then code=87; fi
rm -f "$started"
)";

}  // namespace

std::string sbatch_script(const SbatchOptions& options, const std::vector<std::string>& command) {
  std::string text = "#!/bin/bash\n";
  const auto directive = [&](const std::string& line) { text += "#SBATCH " + line + "\n"; };
  directive("--job-name=" + options.job_name);
  directive(fmt::format("--nodes={}", options.num_nodes));
  directive(fmt::format("--ntasks={}", options.num_ranks));
  directive(fmt::format("--cpus-per-task={}", options.threads_per_rank));
  if (options.gpus) directive("--gpus-per-task=1");
  directive("--time=" + options.time);
  if (!options.partition.empty()) directive("--partition=" + options.partition);
  directive(fmt::format("--signal=B:USR1@{}", options.notice_s));
  directive("--requeue");
  directive("--open-mode=append");
  directive(fmt::format("--output={}-%j.log", options.job_name));
  for (const std::string& line : options.extra) directive(line);
  const std::string start = options.supervised ? paste_ready(command)
                                               : kSrun + paste_ready(command) + R"( "${start[@]}")";
  const bool waits = std::find(command.begin(), command.end(), "--wait") != command.end();
  const std::string prepare =
      fmt::format(fmt::runtime(kPrepare), fmt::arg("first", options.fresh ? "--resume never" : ""),
                  fmt::arg("again", waits ? "" : fmt::format("--wait {}", kHeldRunWait_s)));
  return text + fmt::format(fmt::runtime(kBody), fmt::arg("notice", options.notice_s),
                            fmt::arg("prepare", options.supervised ? "" : prepare),
                            fmt::arg("command", start),
                            fmt::arg("confirm", options.supervised ? "" : kConfirm),
                            fmt::arg("max_requeues", options.max_requeues));
}

}  // namespace baleen
