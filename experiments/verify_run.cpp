#include "experiments/verify_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/base/atomic_file.h"
#include "core/base/digest.h"
#include "core/base/error.h"
#include "core/config/document.h"
#include "core/training/checkpoint.h"
#include "data/oof.h"
#include "experiments/journal.h"
#include "experiments/plan.h"
#include "experiments/run_directory.h"

namespace baleen {
namespace {

/// Runs a check; what it throws as damage becomes a problem, what the system refuses passes
/// through.
template <class Check>
void collect(std::vector<std::string>& problems, Check&& check) {
  try {
    check();
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kStorage) throw;
    problems.push_back(error.message());
  }
}

void check_digests(const RunDirectory& run, const std::map<std::string, std::string>& digests,
                   const std::string& owner, std::vector<std::string>& problems) {
  for (const auto& [name, expected] : digests) {
    const std::filesystem::path file = run.root() / name;
    if (!std::filesystem::exists(file)) {
      problems.push_back(fmt::format("{} is missing, which {} left behind", file.string(), owner));
      continue;
    }
    const std::string found = digest_hex(read_file(file));
    if (found != expected) {
      problems.push_back(fmt::format("{} has the digest {}, but {} was finished with {}",
                                     file.string(), found, owner, expected));
    }
  }
}

void check_journal(const RunDirectory& run, std::vector<std::string>& problems) {
  const JournalState journal = read_journal(run.journal());
  collect(problems, [&] {
    const std::string hash = read_stored_plan(run.plan()).hash;
    if (hash != journal.plan_hash) {
      problems.push_back(fmt::format("{} belongs to the plan {}, but {} is the plan {}",
                                     run.journal().string(), journal.plan_hash, run.plan().string(),
                                     hash));
    }
  });
  for (const auto& [name, record] : journal.finished_chains) {
    check_digests(run, record.digests, "chain " + name, problems);
  }
  for (const auto& [name, record] : journal.finished_steps)
    check_digests(run, record.digests, name, problems);
  for (const auto& [number, record] : journal.finished_trials)
    check_digests(run, record.digests, fmt::format("trial {:04}", number), problems);
}

/// Folders below `chains` that hold checkpoints.
std::vector<std::filesystem::path> checkpoint_folders(const std::filesystem::path& chains) {
  std::vector<std::filesystem::path> folders;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(chains)) {
    if (entry.path().extension() != ".json") continue;
    const auto with = [&](const char* extension) {
      return std::filesystem::exists(
          std::filesystem::path(entry.path()).replace_extension(extension));
    };
    if (!with(".safetensors") && !with(".2.safetensors")) continue;
    const std::filesystem::path folder = entry.path().parent_path();
    if (std::find(folders.begin(), folders.end(), folder) == folders.end())
      folders.push_back(folder);
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

}  // namespace

std::vector<std::string> verify_run(const std::filesystem::path& directory) {
  const RunDirectory run(directory);
  if (!std::filesystem::exists(run.journal())) {
    throw Error(ErrorKind::kData,
                fmt::format("{} holds no run: there is no {}", directory.string(),
                            run.journal().filename().string()),
                "give the directory that `baleen run` printed, runs/<name> as a rule");
  }
  std::vector<std::string> problems;
  collect(problems, [&] { (void)config::Document::load(run.config()); });
  collect(problems, [&] { check_journal(run, problems); });
  std::error_code unreadable;
  for (const std::filesystem::path& chains : chain_folders(run, unreadable)) {
    for (const std::filesystem::path& folder : checkpoint_folders(chains)) {
      for (std::string& problem : CheckpointStore::verify(folder))
        problems.push_back(std::move(problem));
    }
  }
  if (unreadable) throw storage_error("list", run.trials(), unreadable.value());
  if (std::filesystem::exists(run.oof())) collect(problems, [&] { (void)read_oof(run.oof()); });
  return problems;
}

}  // namespace baleen
