#include "experiments/run_directory.h"

#include <algorithm>
#include <set>
#include <vector>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/base/logging.h"

namespace baleen {
namespace {

/// Whether anything but the traces of a start that died before its first file is in there.
bool holds_foreign_files(const RunDirectory& directory) {
  const std::set<std::string> early = {"lock",  "logs",      "chains", "tb",
                                       "stack", "plan.json", "trials"};
  for (const auto& entry : std::filesystem::directory_iterator(directory.root())) {
    const std::string name = entry.path().filename().string();
    const bool temporary = name.find(".tmp") != std::string::npos;
    if (early.count(name) == 0 && !temporary) return true;
  }
  return false;
}

/// Whether a run was started there. @throws Error kConfiguration where `resume` or what else lies
/// there forbids to go on.
bool find_run(const RunDirectory& directory, const Resume& resume) {
  const std::filesystem::path& root = directory.root();
  // In this order: what a job writes that starts meanwhile is not foreign.
  const bool foreign = std::filesystem::exists(root) &&
                       (!std::filesystem::is_directory(root) || holds_foreign_files(directory));
  // config.resolved.yaml is written last: where it is, a run was started.
  const bool exists = std::filesystem::exists(directory.config());
  if (resume.mode == Resume::Mode::kMust && !exists) {
    throw Error(ErrorKind::kConfiguration, fmt::format("{} holds no run to resume", root.string()),
                "check run_dir or the path after --resume; --resume auto starts a fresh run");
  }
  if (resume.mode == Resume::Mode::kNever && exists) {
    throw Error(ErrorKind::kConfiguration,
                fmt::format("{} holds a run already and --resume never was given", root.string()),
                "set another run_dir, remove the old run, or resume it with --resume auto");
  }
  if (foreign && !exists) {
    throw Error(ErrorKind::kConfiguration,
                fmt::format("{} exists and is not a run directory", root.string()),
                "set run_dir to a new or empty directory");
  }
  return exists;
}

void make_directory(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) throw storage_error("create", path, error.value());
}

/// The stored plan must be this one: everything in the directory belongs to it.
void check_same_plan(const RunDirectory& directory, const Plan& plan) {
  const StoredPlan stored = read_stored_plan(directory.plan());
  if (stored.hash == plan.hash) return;
  const std::string differences = describe_differences(stored, stored_form(plan));
  throw Error(
      ErrorKind::kConfiguration,
      fmt::format("{} holds a run of another plan:\n{}", directory.root().string(),
                  differences.empty() ? "  (by another version of Baleen's planner)" : differences),
      "undo these changes to resume it, or set another run_dir for the new run");
}

void keep_previous_failure(const RunDirectory& directory) {
  std::error_code ignored;  // nothing depends on it
  if (std::filesystem::exists(directory.failure(), ignored)) {
    std::filesystem::rename(directory.failure(), directory.root() / "failure.previous.json",
                            ignored);
  }
}

}  // namespace

std::filesystem::path RunDirectory::log(int rank) const {
  return logs() / fmt::format("rank-{}.log", rank);
}

std::filesystem::path RunDirectory::chain(const std::string& name) const {
  const size_t slash = name.find('/');
  if (slash == std::string::npos) return chains() / name;
  return trial(name.substr(0, slash)).chain(name.substr(slash + 1));
}

std::vector<std::filesystem::path> chain_folders(const RunDirectory& directory,
                                                 std::error_code& error) {
  namespace fs = std::filesystem;
  std::vector<fs::path> folders;
  const auto add = [&folders](const RunDirectory& run) {
    std::error_code ignored;
    if (fs::is_directory(run.chains(), ignored)) folders.push_back(run.chains());
  };
  add(directory);
  fs::directory_iterator trial(directory.trials(), error);
  for (; !error && trial != fs::directory_iterator(); trial.increment(error))
    add(RunDirectory(trial->path()));
  if (error == std::errc::no_such_file_or_directory) error.clear();
  std::sort(folders.begin(), folders.end());
  return folders;
}

Resume Resume::parse(const std::string& text) {
  if (text.empty()) {
    throw Error(ErrorKind::kUsage, "--resume without a value",
                "give auto, never, must, or the path of a run directory");
  }
  if (text == "auto") return {Mode::kAuto, {}};
  if (text == "never") return {Mode::kNever, {}};
  if (text == "must") return {Mode::kMust, {}};
  return {Mode::kMust, text};
}

OpenedRun open_run_directory(const RunDirectory& requested, const Resume& resume, const Plan& plan,
                             const std::string& resolved_yaml, const HolderWait& wait) {
  const RunDirectory directory = resume.path.empty() ? requested : RunDirectory(resume.path);
  (void)find_run(directory, resume);  // a refusal leaves nothing behind
  make_directory(directory.root());
  RunLock lock(directory, wait);
  // Asked again: another job may have started and ended before the lock was ours.
  const bool exists = find_run(directory, resume);
  if (exists) {
    check_same_plan(directory, plan);
  } else {
    remove_abandoned_temporaries(directory.root());
  }
  for (const auto& folder :
       {directory.logs(), directory.chains(), directory.tensorboard(), directory.stack()}) {
    make_directory(folder);
  }
  if (!exists) {
    write_file_atomically(directory.plan(), plan_to_json(plan));
    write_file_atomically(directory.config(), resolved_yaml);
  }
  keep_previous_failure(directory);
  return {directory, std::move(lock), exists};
}

std::string describe_differences(const StoredPlan& stored, const StoredPlan& now) {
  std::set<std::string> keys;
  for (const auto& [key, value] : stored.identity) keys.insert(key);
  for (const auto& [key, value] : now.identity) keys.insert(key);
  const auto value_in = [](const StoredPlan& plan, const std::string& key) {
    const auto found = plan.identity.find(key);
    return found == plan.identity.end() ? std::string("absent") : found->second;
  };
  std::string text;
  for (const std::string& key : keys) {
    const std::string before = value_in(stored, key);
    const std::string after = value_in(now, key);
    if (before == after) continue;
    if (!text.empty()) text += "\n";
    text += fmt::format("  {}: {} in the run, {} now", key, before, after);
  }
  return text;
}

}  // namespace baleen
