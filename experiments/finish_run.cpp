#include "experiments/finish_run.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "core/base/atomic_file.h"
#include "core/base/digest.h"
#include "core/base/logging.h"
#include "data/oof_assembly.h"
#include "experiments/chain_predictions.h"
#include "experiments/classification_chain.h"
#include "experiments/records/metrics_log.h"
#include "experiments/stacking/save_stack.h"
#include "experiments/stacking/stack_input.h"

namespace baleen {
namespace {

std::vector<std::string> ids_of(const PackedDataset& dataset, const std::vector<int64_t>& rows) {
  std::vector<std::string> ids;
  ids.reserve(rows.size());
  for (int64_t row : rows) ids.push_back(dataset.id(row));
  return ids;
}

OofData assemble(const PreparedRun& run, const RunDirectory& directory,
                 const CheckStop& check_stop) {
  std::vector<std::string> test_ids;
  if (run.test) test_ids = ids_of(*run.test, run.test->originals());
  OofAssembly assembly(run.subject, run.folds, model_names(run), test_ids);
  for (const ChainSpec& chain : run.plan.chains) {
    check_stop();
    const ChainFiles files(directory.chain(chain.name));
    const std::string model = model_name(run.recipe, chain);
    const std::vector<std::string> trained =
        ids_of(*run.dataset, run.folds.positions_outside(chain.fold));
    assembly.add(model, chain.fold, PredictionTable::read(files.held_out()), trained);
    if (run.test) assembly.add_test(model, chain.fold, PredictionTable::read(files.test()));
    if (!run.recipe.snapshots.columns) continue;
    for (const SnapshotMoment& moment : snapshot_moments(run.recipe, chain)) {
      const std::string column = fmt::format("{}-{}", model, snapshot_name(moment));
      assembly.add(column, chain.fold,
                   PredictionTable::read(files.of_snapshot(files.held_out(), moment)), trained);
      if (run.test)
        assembly.add_test(column, chain.fold,
                          PredictionTable::read(files.of_snapshot(files.test(), moment)));
    }
  }
  OofData data = assembly.finish();
  data.target_kind = run.dataset->target_kind();
  data.targets = targets_of(*run.dataset, run.dataset->originals());
  if (run.test && run.test->target_kind() == run.dataset->target_kind()) {
    data.test_targets = targets_of(*run.test, run.test->originals());
  }
  data.config_hash = run.plan.recipe_hash;
  return data;
}

}  // namespace

void journalled_step(Journal& journal, const RunDirectory& directory, const std::string& name,
                     const std::vector<std::filesystem::path>& files,
                     const std::function<void()>& action) {
  const auto start = std::chrono::steady_clock::now();
  with_context([&] { return "in the step '" + name + "' after training"; }, action);
  JournalRecord record;
  record.kind = JournalRecord::Kind::kStepFinished;
  record.name = name;
  record.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (const auto& file : files) {
    record.digests[std::filesystem::relative(file, directory.root()).string()] =
        digest_hex(read_file(file));
  }
  journal.append(record);
}

void merge_metrics(const PreparedRun& run, const RunDirectory& directory) {
  std::vector<MetricsRecord> all;
  for (const ChainSpec& chain : run.plan.chains) {
    const auto records =
        latest_records(read_metrics(ChainFiles(directory.chain(chain.name)).metrics()));
    all.insert(all.end(), records.begin(), records.end());
  }
  const std::filesystem::path temporary = temporary_path_for(directory.metrics_jsonl());
  {
    MetricsLog log(temporary);
    for (const MetricsRecord& record : all) log.append(record);
  }
  publish_file(temporary, directory.metrics_jsonl());
  write_metrics_csv(directory.metrics_csv(), all);
}

std::string model_name(const Recipe& recipe, const ChainSpec& chain) {
  if (recipe.chain_seeds().size() <= 1) return chain.backbone_label;
  return fmt::format("{}-s{}", chain.backbone_label, chain.seed);
}

std::vector<std::string> model_names(const PreparedRun& run) {
  std::vector<std::string> models;
  for (const ChainSpec& chain : run.plan.chains) {
    const std::string name = model_name(run.recipe, chain);
    if (std::find(models.begin(), models.end(), name) != models.end()) continue;
    models.push_back(name);
    if (!run.recipe.snapshots.columns) continue;
    for (const SnapshotMoment& moment : snapshot_moments(run.recipe, chain))
      models.push_back(fmt::format("{}-{}", name, snapshot_name(moment)));
  }
  return models;
}

std::optional<Evaluation> finish_run(const PreparedRun& run, const RunDirectory& directory,
                                     Journal& journal, const CheckStop& check_stop) {
  OofData data;
  journalled_step(journal, directory, "assembly", {directory.oof()}, [&] {
    data = assemble(run, directory, check_stop);
    write_oof(directory.oof(), data);
    check_stop();
    write_oof_csv(directory.root() / "oof.csv", data);
    check_stop();
    if (run.test) write_test_csv(directory.root() / "test.csv", data);
  });
  const auto merge = [&] {
    journalled_step(journal, directory, "records", {directory.metrics_csv()},
                    [&] { merge_metrics(run, directory); });
  };
  if (!run.left_out.empty() && run.recipe.stacking.missing_models == "refuse") {
    merge();
    return std::nullopt;
  }
  Evaluation evaluation;
  const std::filesystem::path scores = directory.stack() / "scores.json";
  journalled_step(journal, directory, "stacking", {}, [&] {
    std::filesystem::create_directories(directory.stack());
    const auto [input, fits] =
        calibrated_stack_input(data, run.recipe.stacking, run.recipe.thresholds, check_stop);
    std::string temperatures;
    for (const ModelTemperature& fit : fits) temperatures += print_temperature(fit) + "\n";
    if (!temperatures.empty())
      write_file_atomically(directory.stack() / "temperatures.txt", temperatures);
    StackResult stack = fit_stack(input, run.recipe.stacking, false, {}, check_stop);
    for (const IncompleteModel& model : run.left_out) stack.dropped.push_back(model.name);
    check_stop();
    save_stack(stack, input, directory.stack());
    evaluation = evaluate(data, stack, run.recipe.thresholds, check_stop);
    write_file_atomically(scores, evaluation_to_json(evaluation, data));
  });
  merge();
  return evaluation;
}

}  // namespace baleen
