#include "experiments/ensemble/stack_job.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/base/nearest.h"
#include "data/name_list.h"
#include "data/pack/csv.h"
#include "experiments/ensemble/contestants.h"
#include "experiments/ensemble/ranked_lists.h"
#include "experiments/ensemble/stack_inputs.h"
#include "experiments/ensemble/verdict_page.h"
#include "experiments/stacking/fit_on_ranks.h"
#include "experiments/stacking/save_stack.h"

namespace baleen {
namespace {

int64_t label_of(const std::string& name, const std::vector<std::string>& labels) {
  const auto found = std::find(labels.begin(), labels.end(), name);
  if (found == labels.end()) {
    throw Error(ErrorKind::kConfiguration,
                fmt::format("submission.probability_of: there is no label '{}'", name),
                suggestion(name, labels));
  }
  return found - labels.begin();
}

/// One column with one label's scores.
void write_scores(const std::filesystem::path& file, const SubmissionFormat& format, int64_t label,
                  const Contestant& chosen, const StackInput& input) {
  const std::string& name = input.labels[static_cast<size_t>(label)];
  write_file_atomically(file, scores_to_csv(format.id, input.test_ids, nullptr,
                                            {format.column.empty() ? name : format.column},
                                            chosen.test_TL.slice(1, label, label + 1)));
}

/// What is handed in: tags for labels, the class, or the probability of one label.
void write_submission(const std::filesystem::path& file, const SubmissionFormat& format,
                      const StackVerdict& verdict, const Contestant& chosen,
                      const StackInput& input) {
  if (!format.probability_of.empty())
    return write_scores(file, format, label_of(format.probability_of, input.labels), chosen, input);
  if (verdict.metric == StackMetric::kBinary) return write_scores(file, format, 0, chosen, input);
  std::vector<std::vector<std::string>> words(input.test_ids.size());
  const at::Tensor decided = verdict.metric == StackMetric::kF
                                 ? chosen.decided_TL.to(at::kBool).contiguous()
                                 : at::one_hot(chosen.test_TL.argmax(1), chosen.test_TL.size(1))
                                       .to(at::kBool)
                                       .contiguous();
  const bool* on = decided.const_data_ptr<bool>();
  for (std::vector<std::string>& row : words) {
    for (const std::string& label : input.labels) {
      if (*on++) row.push_back(label);
    }
  }
  std::string column = format.column;
  if (column.empty()) column = verdict.metric == StackMetric::kF ? "tags" : "class";
  write_word_table(file, format.id, column, input.test_ids, words);
}

std::string judge_and_write(const StackJob& job, const LoadedStack& loaded,
                            std::optional<StackResult> fitted) {
  if (!job.submission.probability_of.empty())
    (void)label_of(job.submission.probability_of, loaded.input.labels);
  const StackVerdict verdict = judge(loaded, job, std::move(fitted));
  const Contestant& chosen = verdict.find(job.submit);
  const bool with_test = !loaded.input.test_ids.empty();
  if (with_test && !chosen.test_TL.defined()) {
    throw Error(ErrorKind::kConfiguration,
                fmt::format("submit: '{}' gives no test predictions", job.submit),
                "choose another name of the table");
  }
  const std::filesystem::path directory(job.output), submission = directory / "submission.csv";
  save_scores(loaded.input, chosen.oof_NL, with_test ? chosen.test_TL : at::Tensor(), directory);
  std::string text = print_verdict(verdict, loaded, job);
  if (with_test) {
    write_submission(submission, job.submission, verdict, chosen, loaded.input);
  } else {
    remove_earlier(submission);
  }
  write_file_atomically(directory / "scores.json", verdict_to_json(verdict, loaded, job));
  write_file_atomically(directory / "stack.html", render_verdict(verdict, loaded, job));
  save_fits(verdict.stack, directory);
  if (job.submit != verdict.contestants[verdict.best].name) {
    text += fmt::format("{} holds '{}'; --set submit={} would take the best.\n",
                        (directory / (with_test ? "test.csv" : "oof.csv")).string(), job.submit,
                        csv_field(verdict.contestants[verdict.best].name));
  }
  return text + fmt::format("written: {}\n", directory.string());
}

std::string stack_labelled(const StackJob& job, Communicator* world) {
  if (!world) return judge_and_write(job, load_stack(job), {});
  // What is wrong with the files is wrong everywhere; the first rank says it.
  std::optional<LoadedStack> loaded;
  on_first_rank(*world, [&] { loaded = load_stack(job); });
  agreed(*world, [&] {
    if (!loaded) loaded = load_stack(job);
  });
  StackResult fitted = fit_on_ranks(loaded->input, job.stacking, *world);
  std::string text;
  on_first_rank(*world, [&] { text = judge_and_write(job, *loaded, std::move(fitted)); });
  return text;
}

bool any_run(const StackJob& job) {
  for (const EnsembleInput& input : job.inputs) {
    if (is_run(input)) return true;
  }
  return false;
}

}  // namespace

void validate(StackJob& job, config::Problems& problems) {
  if (job.inputs.empty()) problems.add("inputs", "there is nothing to stack: inputs is empty");
  if (job.thresholds.minimum > job.thresholds.maximum)
    problems.add("thresholds", "thresholds.minimum is above thresholds.maximum");
}

std::vector<double> weights_of(const StackJob& job) {
  std::vector<double> weights;
  for (const EnsembleInput& input : job.inputs) {
    weights.push_back(input.public_score ? *input.public_score * *input.public_score
                                         : input.weight);
  }
  return weights;
}

std::vector<std::string> find_degenerate(const std::vector<std::string>& models,
                                         const std::vector<std::string>& labels,
                                         const at::Tensor& p_MNL, std::vector<size_t>& useless) {
  std::vector<std::string> warnings;
  for (size_t m = 0; m < models.size(); ++m) {
    const at::Tensor table_NL = p_MNL[static_cast<int64_t>(m)];
    const at::Tensor spread_L = table_NL.amax(0) - table_NL.amin(0);
    std::vector<std::string> constant;
    for (size_t l = 0; l < labels.size(); ++l) {
      if (spread_L[static_cast<int64_t>(l)].item<double>() == 0) constant.push_back(labels[l]);
    }
    if (constant.size() == labels.size()) {
      useless.push_back(m);
      warnings.push_back(
          fmt::format("{} is degenerate: it predicts the same for every sample", models[m]));
    } else if (!constant.empty()) {
      warnings.push_back(
          fmt::format("{} predicts the same for every sample in {} of {} columns: {}", models[m],
                      constant.size(), labels.size(), name_list(constant)));
    }
    for (size_t other = 0; other < m; ++other) {
      if (!at::equal(table_NL, p_MNL[static_cast<int64_t>(other)])) continue;
      warnings.push_back(fmt::format("{} holds the same numbers as {}", models[m], models[other]));
      break;
    }
  }
  return warnings;
}

std::string run_stack_job(const StackJob& job, Communicator* world) {
  if (!job.labels.empty() || any_run(job)) return stack_labelled(job, world);
  std::string text;
  if (!world) return combine_submissions(job);
  on_first_rank(*world, [&] { text = combine_submissions(job); });
  return text;
}

}  // namespace baleen
