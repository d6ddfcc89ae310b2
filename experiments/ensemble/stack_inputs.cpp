#include "experiments/ensemble/stack_inputs.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/base/error.h"
#include "core/matching/decisions.h"
#include "data/oof.h"
#include "experiments/ensemble/score_table.h"
#include "experiments/run_directory.h"
#include "experiments/stacking/stack_input.h"
#include "experiments/stacking/temperature.h"

namespace baleen {
namespace {

/// A model as it was read, with what its input says about it.
struct Member {
  ScoreTable table;
  std::optional<ScoreTable> test;
  const EnsembleInput* input = nullptr;
};

bool is_combination(const std::string& name) {
  static const std::set<std::string> kNames = {
      "mean", "geometric", "rank", "vote", "stable", "greedy", "blend", "ridge level 1", "stack"};
  return kNames.contains(name);
}

/// "planet" of runs/planet/ and of "." within it.
std::string folder_name(const std::filesystem::path& run) {
  const std::filesystem::path path = std::filesystem::absolute(run).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

/// Sees to names that differ from each other and from those of the combinations. Runs share names
/// of backbones: there the folder tells which is meant.
void give_names(std::vector<Member>& members) {
  std::map<std::string, int64_t> count;
  for (const Member& member : members) ++count[member.table.name];
  for (Member& member : members) {
    std::string& name = member.table.name;
    if (!is_run(*member.input) || !member.input->name.empty()) continue;
    if (count.at(name) > 1 || is_combination(name))
      name = folder_name(member.input->path) + "/" + name;
  }
  std::set<std::string> names;
  for (const Member& member : members) {
    const std::string& name = member.table.name;
    if (is_combination(name)) {
      throw Error(ErrorKind::kConfiguration,
                  fmt::format("{}: the model is called '{}', as is a combination of the models",
                              member.table.file.string(), name),
                  "give it another name (inputs[].name)");
    }
    if (names.insert(name).second) continue;
    throw Error(ErrorKind::kConfiguration, fmt::format("two models are called '{}'", name),
                "give one of them another name (inputs[].name)");
  }
}

std::vector<Member> read_members(const StackJob& job) {
  std::vector<Member> members;
  for (const EnsembleInput& input : job.inputs) {
    if (is_run(input)) {
      std::vector<ScoreTable> tables = read_run_tables(input.path, false);
      std::vector<ScoreTable> tests = read_run_tables(input.path, true);
      for (size_t m = 0; m < tables.size(); ++m) {
        if (!input.name.empty()) tables[m].name = input.name + "/" + tables[m].name;
        Member member{.table = std::move(tables[m]), .test = {}, .input = &input};
        if (!tests.empty()) member.test = std::move(tests[m]);
        members.push_back(std::move(member));
      }
      continue;
    }
    Member member{
        .table = read_score_table(input.path, job.id_column), .test = {}, .input = &input};
    if (!input.name.empty()) member.table.name = input.name;
    if (!input.test.empty()) member.test = read_score_table(input.test, job.id_column);
    members.push_back(std::move(member));
  }
  give_names(members);
  return members;
}

LabelTable labels_of_run(const StackJob& job) {
  for (const EnsembleInput& input : job.inputs) {
    if (!is_run(input)) continue;
    const OofData data = read_oof(RunDirectory(input.path).oof());
    const StackInput stack = make_stack_input(data);
    LabelTable table;
    table.kind = data.target_kind;
    table.file = RunDirectory(input.path).oof();
    table.ids = data.ids;
    table.labels = data.labels;
    table.targets_NL = stack.targets_NL.to(at::kDouble);
    return table;
  }
  throw Error(ErrorKind::kUsage, "there are no labels: none of the inputs is a run",
              "give them with --labels FILE");
}

/// Columns of the labels, in the order of the first table that names its own.
std::vector<std::string> label_names(const std::vector<Member>& members, const LabelTable& labels) {
  for (const Member& member : members) {
    if (!member.table.columns.empty()) return member.table.columns;
  }
  return labels.labels;
}

/// Folds by id from the tables that have some; all of them must agree.
std::vector<int64_t> folds_of_tables(const std::vector<Member>& members,
                                     const std::vector<std::string>& ids) {
  std::map<std::string, int64_t> fold_of;
  const ScoreTable* first = nullptr;
  for (const Member& member : members) {
    const ScoreTable& table = member.table;
    if (table.folds.empty()) continue;
    for (size_t i = 0; i < table.ids.size(); ++i) {
      const auto [found, fresh] = fold_of.emplace(table.ids[i], table.folds[i]);
      if (fresh || found->second == table.folds[i]) continue;
      throw Error(ErrorKind::kData,
                  fmt::format("{}: {} puts '{}' into fold {}, but {} into fold {}",
                              table.file.string(), table.places[i], table.ids[i], table.folds[i],
                              first->file.string(), found->second),
                  "predictions must be out of the same folds to be stacked");
    }
    if (!first) first = &table;
  }
  std::vector<int64_t> folds;
  if (!first) return folds;
  for (const std::string& id : ids) {
    const auto found = fold_of.find(id);
    if (found == fold_of.end()) {
      throw Error(ErrorKind::kData,
                  fmt::format("{}: sample '{}' has no fold", first->file.string(), id));
    }
    folds.push_back(found->second);
  }
  return folds;
}

/// `missing_models: drop`: takes out the members that lack whole folds of what the longest table
/// has. What else they lack is a mistake, which align() names.
void drop_incomplete(std::vector<Member>& members, const StackJob& job,
                     std::vector<std::string>& warnings) {
  if (job.stacking.missing_models != "drop") return;
  const std::vector<std::string> ids =
      std::max_element(members.begin(), members.end(), [](const Member& a, const Member& b) {
        return a.table.ids.size() < b.table.ids.size();
      })->table.ids;
  const std::vector<int64_t> folds = job.folds_from.empty() ? folds_of_tables(members, ids)
                                                            : read_fold_column(job.folds_from, ids);
  if (folds.empty()) return;
  const auto lacks_folds = [&](const Member& member) {
    const std::set<std::string> own(member.table.ids.begin(), member.table.ids.end());
    std::map<int64_t, std::pair<size_t, size_t>> found_of_fold;  // of how many
    size_t known = 0;
    for (size_t i = 0; i < ids.size(); ++i) {
      auto& [found, all] = found_of_fold[folds[i]];
      found += own.count(ids[i]);
      known += own.count(ids[i]);
      ++all;
    }
    std::vector<int64_t> lacking;
    for (const auto& [fold, count] : found_of_fold) {
      if (count.first == count.second) continue;
      if (count.first > 0) return false;
      lacking.push_back(fold);
    }
    if (lacking.empty() || known < own.size()) return false;
    warnings.push_back(fmt::format("{} has no predictions for fold {} and is left out",
                                   member.table.name, fmt::join(lacking, ", ")));
    return true;
  };
  std::erase_if(members, lacks_folds);
}

std::vector<int64_t> drawn_folds(const StackJob& job, const StackInput& input,
                                 std::vector<std::string>& warnings) {
  FoldSubject subject;
  subject.target_kind = input.classes ? TargetKind::kSingleClass : TargetKind::kMultiLabel;
  subject.ids = input.ids;
  subject.label_names = input.labels;
  const at::Tensor targets_NL = input.targets_NL.contiguous();
  const double* y = targets_NL.const_data_ptr<double>();
  for (size_t i = 0; i < input.ids.size(); ++i) {
    std::vector<int64_t>& row = subject.labels.emplace_back();
    for (size_t l = 0; l < input.labels.size(); ++l) {
      if (*y++ != 0) row.push_back(static_cast<int64_t>(l));
    }
  }
  const FoldAssignment folds = make_folds(subject, job.folds);
  warnings.insert(warnings.end(), folds.warnings.begin(), folds.warnings.end());
  return folds.folds;
}

void keep_models(StackInput& input, std::vector<double>& weights, std::vector<size_t> useless,
                 std::vector<std::string>& left_out) {
  std::vector<int64_t> kept;
  std::vector<std::string> models;
  std::vector<double> kept_weights;
  for (size_t m = 0; m < input.models.size(); ++m) {
    if (std::find(useless.begin(), useless.end(), m) != useless.end()) {
      left_out.push_back(input.models[m]);
      continue;
    }
    kept.push_back(static_cast<int64_t>(m));
    models.push_back(input.models[m]);
    kept_weights.push_back(weights[m]);
  }
  if (kept.empty()) {
    throw Error(ErrorKind::kData, "no model is left: the predictions of all of them never vary",
                "keep_degenerate lets them take part");
  }
  const at::Tensor rows = at::tensor(kept, at::kLong);
  input.oof_MNL = input.oof_MNL.index_select(0, rows);
  if (input.test_MTL.defined()) input.test_MTL = input.test_MTL.index_select(0, rows);
  input.models = std::move(models);
  weights = std::move(kept_weights);
}

}  // namespace

bool is_run(const EnsembleInput& input) {
  const std::filesystem::path path(input.path);
  if (!std::filesystem::is_directory(path)) return false;
  if (std::filesystem::exists(RunDirectory(path).oof())) return true;
  throw Error(ErrorKind::kData, fmt::format("{} has no oof.h5", input.path),
              "give a finished run, or a file of predictions");
}

at::Tensor as_scores(const at::Tensor& values_NL, const EnsembleInput& input, bool classes) {
  static const std::map<std::string, DistanceMap> kMaps = {
      {"distances_inverse", DistanceMap::kReciprocal},
      {"distances_nested_log", DistanceMap::kLogarithmic},
      {"distances_softmax", DistanceMap::kSoftmax},
      {"distances_student_t", DistanceMap::kStudent},
      {"distances_gaussian", DistanceMap::kGaussian}};
  if (input.kind == "probabilities") return values_NL;
  if (input.kind == "logits") return classes ? at::softmax(values_NL, 1) : at::sigmoid(values_NL);
  const DistanceMap map = kMaps.at(input.kind);
  // At a perplexity of 1, the default of `parameter`, rows would hold nothing but zeros and ones.
  if (map == DistanceMap::kGaussian &&
      !(input.parameter > 1 && input.parameter < double(values_NL.size(1)))) {
    throw Error(ErrorKind::kConfiguration,
                fmt::format("{}: a perplexity lies above 1 and below the number of columns, {}; it "
                            "is {}",
                            input.path, values_NL.size(1), input.parameter),
                "set inputs[].parameter");
  }
  return map_distances(values_NL,
                       {.map = map, .temperature = input.parameter, .perplexity = input.parameter});
}

LoadedStack load_stack(const StackJob& job) {
  LoadedStack loaded;
  std::vector<Member> members = read_members(job);
  drop_incomplete(members, job, loaded.warnings);
  const LabelTable labels =
      job.labels.empty() ? labels_of_run(job) : read_label_table(job.labels, job.id_column);
  StackInput& input = loaded.input;
  input.ids = members.front().table.ids;
  input.labels = label_names(members, labels);
  input.classes = labels.kind == TargetKind::kSingleClass;
  input.targets_NL = align_targets(labels, input.ids, input.labels);
  input.metric = input.classes ? accuracy_of_classes()
                 : input.labels.size() == 1
                     ? accuracy_at_half()
                     : f_score(job.thresholds, exclusive_groups(job.thresholds, input.labels));
  std::vector<at::Tensor> oof, test;
  size_t with_test = 0;
  for (const Member& member : members) {
    input.models.push_back(member.table.name);
    loaded.weights.push_back(member.input->public_score
                                 ? *member.input->public_score * *member.input->public_score
                                 : member.input->weight);
    oof.push_back(
        as_scores(align(member.table, input.ids, input.labels), *member.input, input.classes));
    if (!member.test) continue;
    if (with_test++ == 0) input.test_ids = member.test->ids;
    test.push_back(
        as_scores(align(*member.test, input.test_ids, input.labels), *member.input, input.classes));
  }
  if (with_test > 0 && with_test < members.size()) {
    throw Error(
        ErrorKind::kConfiguration,
        fmt::format("{} of {} models have predictions for the test set", with_test, members.size()),
        "give them for every model, or for none");
  }
  input.oof_MNL = at::stack(oof);
  if (with_test > 0) input.test_MTL = at::stack(test);

  std::vector<size_t> useless;
  for (std::string& warning : find_degenerate(input.models, input.labels, input.oof_MNL, useless))
    loaded.warnings.push_back(std::move(warning));
  if (!job.keep_degenerate && !useless.empty())
    keep_models(input, loaded.weights, useless, loaded.left_out);

  if (!job.folds_from.empty()) {
    input.folds = read_fold_column(job.folds_from, input.ids);
    loaded.fold_source = job.folds_from;
  } else {
    input.folds = folds_of_tables(members, input.ids);
    loaded.fold_source = "the inputs";
  }
  if (input.folds.empty()) {
    input.folds = drawn_folds(job, input, loaded.warnings);
    loaded.fold_source = fmt::format("drawn with seed {}", job.folds.seed);
  }
  for (const ModelTemperature& fit :
       calibrate_inputs(input, job.stacking, job.new_label, job.new_label_threshold))
    loaded.temperatures.push_back(print_temperature(fit));
  return loaded;
}

}  // namespace baleen
