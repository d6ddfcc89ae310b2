#include "experiments/sweep/finish_sweep.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>

#include "core/base/atomic_file.h"
#include "core/base/digest.h"
#include "core/base/logging.h"
#include "core/base/stopwatch.h"
#include "core/config/encode.h"
#include "experiments/collective.h"
#include "experiments/json_error.h"
#include "experiments/sweep/prepared_sweep.h"
#include "experiments/sweep/sweep_outline.h"

namespace baleen {
namespace {

using Kind = JournalRecord::Kind;
using nlohmann::json;

/// The trial's own journal: its chains as the sweep's has them, under the names of a run of its
/// own.
void copy_chains(const PreparedTrial& trial, const JournalState& sweep, const RunDirectory& root,
                 const RunDirectory& own, Journal& journal) {
  JournalRecord start;
  start.kind = Kind::kRunStarted;
  start.plan_hash = trial.plan.hash;
  std::set<int> ranks;
  for (const ChainSpec& chain : trial.plan.chains) {
    const JournalRecord& done = sweep.finished_chains.at(trial.trial->name + "/" + chain.name);
    ranks.insert(done.ranks.begin(), done.ranks.end());
  }
  start.ranks.assign(ranks.begin(), ranks.end());
  journal.append(start);
  for (const ChainSpec& chain : trial.plan.chains) {
    JournalRecord done = sweep.finished_chains.at(trial.trial->name + "/" + chain.name);
    done.name = chain.name;
    std::map<std::string, std::string> digests;
    for (const auto& [file, digest] : done.digests)
      digests[(root.root() / file).lexically_relative(own.root()).string()] = digest;
    done.digests = std::move(digests);
    journal.append(std::move(done));
  }
}

/// "oof" and "stack" out of the table of scores that the finished trial has written.
std::map<std::string, double> pooled_scores(const RunDirectory& directory) {
  std::map<std::string, double> scores;
  const std::filesystem::path file = directory.stack() / "scores.json";
  if (!std::filesystem::exists(file)) return scores;
  const json table = json::parse(read_file(file), nullptr, false);
  if (!table.is_object() || !table.contains("candidates")) return scores;
  for (const json& candidate : table["candidates"]) {
    const std::string name = candidate.value("name", "");
    if (!candidate.contains("oof_score")) continue;
    const double score = number_or_nan(candidate["oof_score"]);
    // The mean of models stands behind them; where there is one model, there may be no mean.
    if (name == "stack") {
      scores["stack"] = score;
    } else if (name == "mean of models" || scores.count("oof") == 0) {
      scores["oof"] = score;
    }
  }
  return scores;
}

/// @returns the record for the sweep's journal
JournalRecord finish_trial(const PreparedSweep& sweep, int64_t number, const RunDirectory& root,
                           const JournalState& chains, const FinishRun& finish,
                           const CheckStop& check_stop) {
  const PreparedTrial& trial = sweep.trials[static_cast<size_t>(number)];
  const RunDirectory directory = root.trial(trial.trial->name);
  const Stopwatch watch;
  std::filesystem::create_directories(directory.stack());
  // A finish that was cut short is done again as a whole.
  std::filesystem::remove(directory.journal());
  write_file_atomically(directory.plan(), plan_to_json(trial.plan));
  write_file_atomically(directory.config(), config::to_yaml(trial.trial->recipe));
  Journal journal(directory.journal());
  copy_chains(trial, chains, root, directory, journal);
  const std::string table = finish(sweep.run_of(number), directory, journal, check_stop);
  write_file_atomically(directory.stack() / "scores.txt", table);
  JournalRecord end;
  end.kind = Kind::kRunFinished;
  journal.append(end);

  JournalRecord record;
  record.kind = Kind::kTrialFinished;
  record.trial = number;
  record.seconds = watch.elapsed_s();
  record.metrics = pooled_scores(directory);
  if (std::filesystem::exists(directory.oof()))
    record.digests[directory.oof().lexically_relative(root.root()).string()] =
        digest_hex(read_file(directory.oof()));
  return record;
}

std::string to_text(const JournalRecord& record) {
  json metrics = json::object();
  for (const auto& [name, value] : record.metrics) metrics[name] = finite_or_null(value);
  return json{{"trial", record.trial},
              {"seconds", record.seconds},
              {"digests", record.digests},
              {"metrics", metrics}}
      .dump();
}

JournalRecord from_text(const std::string& text) {
  const json j = json::parse(text);
  JournalRecord record;
  record.kind = Kind::kTrialFinished;
  record.trial = j.at("trial");
  record.seconds = j.at("seconds");
  record.digests = j.at("digests").get<std::map<std::string, std::string>>();
  for (const auto& [name, value] : j.at("metrics").items())
    record.metrics[name] = number_or_nan(value);
  return record;
}

/// Trials whose chains are all trained, but which are not finished themselves.
std::vector<int64_t> unfinished(const PreparedSweep& sweep, const JournalState& journal) {
  SweepState state(sweep.rules);
  for (const JournalRecord& record : journal.records) state.apply(record);
  std::vector<int64_t> trials;
  for (int64_t t = 0; t < state.num_trials(); ++t)
    if (state.phase(t) == TrialPhase::kFinished && journal.finished_trials.count(t) == 0)
      trials.push_back(t);
  return trials;
}

}  // namespace

void finish_trials(const PreparedRun& run, const RunDirectory& directory, Journal* journal,
                   const FinishRun& finish, const std::function<bool()>& stop_requested,
                   Communicator& world, ControlChannel& control) {
  const PreparedSweep& sweep = *run.sweep;
  // Every rank reads the journal itself: rank 0 has synced it, and writes nothing meanwhile.
  world.barrier();
  const JournalState known = agreed(world, [&] { return read_journal(directory.journal()); });
  const std::vector<int64_t> trials = unfinished(sweep, known);
  const auto size = static_cast<size_t>(world.size());
  for (size_t first = 0; first < trials.size(); first += size) {
    if (world.any(stop_requested && stop_requested())) throw_interrupted();
    const size_t mine = first + static_cast<size_t>(world.rank());
    std::string text;
    work_on_every_rank(world, control, stop_requested, [&](const CheckStop& check_stop) {
      if (mine >= trials.size()) return;
      with_context(
          [&] { return "finishing trial " + trial_name(trials[mine]); },
          [&] {
            text = to_text(finish_trial(sweep, trials[mine], directory, known, finish, check_stop));
          });
    });
    const std::vector<std::string> all = world.gather(text, 0);
    on_first_rank(world, [&] {
      for (const std::string& record : all)
        if (!record.empty()) journal->append(from_text(record));
    });
  }
}

std::string finish_sweep(const PreparedRun& run, const RunDirectory& directory, Journal& journal) {
  const SweepOutline outline = outline_of(*run.sweep);
  const SweepResults results = results_of(outline, journal.state());
  write_trials_csv(directory, outline, journal.state());
  std::string text = describe_results(outline, results, 20);
  if (results.best < 0) return text + "no trial was trained to its end\n";
  const Trial& best = *run.sweep->trials[static_cast<size_t>(results.best)].trial;
  write_file_atomically(
      directory.root() / "best.yaml",
      fmt::format("# Trial {} of the sweep {}: {}\n# `baleen run` makes the same of it again; its "
                  "results are in trials/{}.\n{}",
                  best.name, run.sweep->name, describe_values(*run.sweep->spec, best), best.name,
                  config::to_yaml(best.recipe)));
  return text + fmt::format("best: trial {} ({})\n  recipe {}, results {}\n", best.name,
                            describe_values(*run.sweep->spec, best),
                            (directory.root() / "best.yaml").string(),
                            directory.trial(best.name).root().string());
}

void write_trials_csv(const RunDirectory& directory, const SweepOutline& outline,
                      const JournalState& journal) {
  write_file_atomically(directory.root() / "trials.csv",
                        trials_csv(outline, results_of(outline, journal)));
}

}  // namespace baleen
