#include "experiments/snapshots.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>

#include "core/weights/state.h"
#include "experiments/collective.h"
#include "experiments/plan.h"
#include "experiments/recipe.h"

namespace baleen {

std::vector<SnapshotMoment> snapshot_moments(const Recipe& recipe, const ChainSpec& chain) {
  std::vector<SnapshotMoment> moments;
  const SnapshotSection& section = recipe.snapshots;
  if (section.last < 2) return moments;
  const std::vector<StageOptions>& stages = recipe.stages_of(chain.backbone);
  for (const StagePlan& plan : chain.stages) {
    const StageOptions& stage = stages.at(static_cast<size_t>(plan.index));
    const int64_t total = plan.steps();
    const bool last_stage = plan.index + 1 == std::ssize(chain.stages);
    const auto add = [&](int64_t steps) {
      if (last_stage && steps == total) return;  // the final weights
      moments.push_back({0, plan.index, steps, steps == total});
    };
    if (section.at == "stages") {
      add(total);
    } else if (stage.schedule.kind == "cosine") {
      const int64_t cycle = Schedule(stage.schedule, stage.optimizer.lr,
                                     ScheduleSpan{plan.steps_per_epoch, plan.epochs})
                                .cycle_steps();
      for (int64_t end = cycle; end < total; end += cycle) add(end);
      add(total);
    }
  }
  const auto kept = std::min<int64_t>(section.last - 1, std::ssize(moments));
  moments.erase(moments.begin(), moments.end() - kept);
  for (size_t i = 0; i < moments.size(); ++i) moments[i].number = static_cast<int64_t>(i) + 1;
  return moments;
}

std::string snapshot_name(const SnapshotMoment& moment) {
  return fmt::format("snapshot{}", moment.number);
}

std::filesystem::path snapshot_file(const std::filesystem::path& chain_directory,
                                    const SnapshotMoment& moment) {
  return chain_directory / fmt::format("snapshot-{}.safetensors", moment.number);
}

PredictionTable predict_with_snapshots(
    Backbone& network, const Loss& loss, const PredictionJob& job, const SnapshotEnsemble& ensemble,
    Communicator& group,
    const std::function<void(const SnapshotMoment&, const PredictionTable&)>& keep) {
  PredictionTable last = predict_rows(network, loss, job, group);
  if (ensemble.moments.empty()) return last;
  at::Tensor sum = last.values().to(at::kDouble);
  const NamedTensors final_weights = state_of(network);
  for (size_t i = 0; i < ensemble.moments.size(); ++i) {
    const SnapshotMoment& moment = ensemble.moments[i];
    const std::filesystem::path file = snapshot_file(ensemble.directory, moment);
    agreed(group, [&] { load_state(network, SafetensorsFile(file).tensors(), file.string()); });
    PredictionJob own = job;
    own.name = fmt::format("{}, {}", job.name, snapshot_name(moment));
    if (!own.parts_name.empty()) own.parts_name += "-" + snapshot_name(moment);
    if (ensemble.own_sizes) {
      own.image.size_px = ensemble.sizes_px[i];
      own.looks.sizes_px = {ensemble.sizes_px[i]};
    }
    const PredictionTable table = predict_rows(network, loss, own, group);
    if (keep) keep(moment, table);
    sum += table.values().to(at::kDouble);
  }
  load_state(network, final_weights, "the final weights");
  PredictionTable mean(job.name, last.ids(), job.num_outputs);
  mean.add(last.ids(),
           (sum / static_cast<double>(ensemble.moments.size() + 1)).to(at::kFloat).contiguous());
  return mean;
}

}  // namespace baleen
