#include "launch/supervisor/sbatch.h"

#include <fmt/format.h>

#include "launch/supervisor/mpirun_line.h"

namespace baleen {
namespace {

// Bash, not POSIX sh: a trap is run while `wait` waits.
constexpr const char* kBody = R"(
# Slurm announces the end {notice} s ahead with SIGUSR1, and preemption with SIGTERM: the ranks then save and leave with 75.
job=""
ask_to_save() {{
  if [[ -n $job ]]; then kill -USR1 "$job" 2>/dev/null; fi
}}
trap ask_to_save USR1 TERM

{command} &
job=$!
while wait "$job"; code=$?; kill -0 "$job" 2>/dev/null; do :; done  # a signal ends `wait`, not the job
wait "$job" 2>/dev/null; last=$?
if [[ $last -ne 127 ]]; then code=$last; fi
echo "$(date '+%F %T') job ${{SLURM_JOB_ID:-?}}, start ${{SLURM_RESTART_COUNT:-0}}: exit code $code"

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
  const std::string start =
      (options.supervised ? "" : "srun --mpi=pmix --kill-on-bad-exit=1 ") + paste_ready(command);
  return text + fmt::format(fmt::runtime(kBody), fmt::arg("notice", options.notice_s),
                            fmt::arg("command", start),
                            fmt::arg("max_requeues", options.max_requeues));
}

}  // namespace baleen
