#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/base/format.h"
#include "data/pack/csv.h"
#include "experiments/ensemble/csv_rows.h"
#include "experiments/ensemble/ranked_lists.h"
#include "experiments/ensemble/score_table.h"
#include "experiments/ensemble/stack_inputs.h"
#include "experiments/ensemble/stack_job.h"
#include "experiments/ensemble/vote.h"
#include "experiments/stacking/save_stack.h"

namespace baleen {
namespace {

// Fewer different answers than this in a large file come from a program that went wrong.
constexpr int64_t kFewAnswers = 2;

/// "auto" settled by looking at all rows of the first file: one that a fault spoilt decides
/// nothing.
std::string kind_of(const StackJob& job) {
  if (job.as != "auto") return job.as;
  const std::filesystem::path file(job.inputs.front().path);
  if (file.extension() == ".h5" || file.extension() == ".hdf5") return "probabilities";
  const CsvTable csv = CsvTable::read(file);
  if (csv.columns().size() != 2 || csv.num_rows() == 0) return "probabilities";
  const std::string& column = csv.columns()[1];
  if (column == "tags" || column == "labels") return "tags";
  size_t first_number = csv.num_rows(), first_word = csv.num_rows();
  for (size_t r = 0; r < csv.num_rows(); ++r) {
    if (csv.at(r, 1).empty()) continue;
    size_t& first = number_in(csv.at(r, 1)) ? first_number : first_word;
    first = std::min(first, r);
  }
  if (first_number < csv.num_rows() && first_word < csv.num_rows()) {
    throw Error(ErrorKind::kData,
                fmt::format("{}: line {} holds the number '{}', but line {} the words '{}'",
                            file.string(), csv.line(first_number), csv.at(first_number, 1),
                            csv.line(first_word), csv.at(first_word, 1)),
                "mend the file, or say with --as what it holds");
  }
  return first_number < csv.num_rows() ? "probabilities" : "lists";
}

/// What is for out-of-fold predictions would be passed over here, and a fold taken for a
/// submission: the labels have been forgotten.
void check_submissions(const StackJob& job) {
  const StackJob plain;
  std::vector<std::string> keys;
  const auto is_test = [](const EnsembleInput& input) { return !input.test.empty(); };
  if (std::any_of(job.inputs.begin(), job.inputs.end(), is_test)) keys.push_back("inputs[].test");
  if (!job.folds_from.empty()) keys.push_back("folds_from");
  if (job.submit != plain.submit) keys.push_back("submit");
  if (job.submission.id != plain.submission.id) keys.push_back("submission.id");
  if (!job.submission.column.empty()) keys.push_back("submission.column");
  if (!job.submission.probability_of.empty()) keys.push_back("submission.probability_of");
  if (keys.empty()) return;
  throw Error(ErrorKind::kConfiguration,
              fmt::format("{}: without labels the inputs are submissions, which are combined under "
                          "their own headings",
                          fmt::join(keys, ", ")),
              "--labels FILE says what is true of out-of-fold predictions");
}

void check_no_folds(const ScoreTable& table) {
  if (table.folds.empty()) return;
  throw Error(ErrorKind::kData,
              fmt::format("{} has folds: these are out-of-fold predictions, no submission",
                          table.file.string()),
              "--labels FILE says what is true of them");
}

struct Words {
  std::vector<WordTable> tables;
  std::vector<double> weights;
  std::string text;  ///< what was found, for people
  nlohmann::ordered_json files = nlohmann::ordered_json::array();
};

Words read_words(const StackJob& job) {
  Words words;
  const std::vector<double> weights = weights_of(job);
  for (size_t s = 0; s < job.inputs.size(); ++s) {
    WordTable table = read_word_table(job.inputs[s].path);
    if (!job.inputs[s].name.empty()) table.name = job.inputs[s].name;
    const bool degenerate =
        table.distinct_rows <= kFewAnswers && std::ssize(table.ids) > 10 * kFewAnswers;
    std::string notes;
    if (degenerate)
      notes += fmt::format("; degenerate: {} different answers in all", table.distinct_rows);
    if (table.repeated_rows > 0)
      notes += fmt::format("; {} rows repeat a label, which counts once", table.repeated_rows);
    const bool dropped = degenerate && !job.keep_degenerate;
    words.text += fmt::format("  {:<24} {:>9} rows, weight {:.4f}{}{}\n", table.name,
                              format_count(std::ssize(table.ids)), weights[s], notes,
                              dropped ? "; left out" : "");
    words.files.push_back({{"name", table.name},
                           {"file", job.inputs[s].path},
                           {"rows", table.ids.size()},
                           {"distinct", table.distinct_rows},
                           {"rows_with_repeats", table.repeated_rows},
                           {"weight", weights[s]},
                           {"left_out", dropped}});
    if (dropped) continue;
    words.weights.push_back(weights[s]);
    words.tables.push_back(std::move(table));
  }
  if (words.tables.empty()) {
    throw Error(ErrorKind::kData, "no submission is left: all of them are degenerate",
                "keep_degenerate lets them take part");
  }
  check_weights(words.weights);
  return words;
}

std::vector<std::string> voted(const std::vector<std::vector<std::string>>& lists,
                               const std::vector<double>& weights, double least) {
  double sum = 0;
  for (const double weight : weights) sum += weight;
  std::vector<std::pair<std::string, double>> share;
  for (size_t s = 0; s < lists.size(); ++s) {
    for (const std::string& tag : lists[s]) {
      auto found = std::find_if(share.begin(), share.end(),
                                [&](const auto& entry) { return entry.first == tag; });
      if (found == share.end()) found = share.insert(share.end(), {tag, 0.0});
      found->second += weights[s] / sum;
    }
  }
  std::vector<std::string> result;
  for (const auto& [tag, value] : share) {
    if (value >= least - 1e-12) result.push_back(tag);
  }
  return result;
}

std::string write_words(const StackJob& job, const std::string& kind, const Words& words,
                        const std::vector<std::vector<std::string>>& rows) {
  const std::filesystem::path directory(job.output);
  std::filesystem::create_directories(directory);
  const WordTable& first = words.tables.front();
  write_word_table(directory / "submission.csv", first.id_column, first.words_column, first.ids,
                   rows);
  std::string agreement;
  nlohmann::ordered_json changes = nlohmann::ordered_json::object();
  const auto aligned = align_words(words.tables);
  for (size_t s = 0; s < words.tables.size(); ++s) {
    int64_t changed = 0;
    for (size_t i = 0; i < rows.size(); ++i) {
      std::vector<std::string> a = aligned[i][s], b = rows[i];
      if (kind == "tags") {
        std::sort(a.begin(), a.end());
        std::sort(b.begin(), b.end());
      }
      changed += a != b ? 1 : 0;
    }
    agreement += fmt::format("  {:<24} differs from the ensemble in {:.1f} % of the rows\n",
                             words.tables[s].name, 100.0 * double(changed) / double(rows.size()));
    changes[words.tables[s].name] = changed;
  }
  const nlohmann::ordered_json root = {
      {"format", "baleen-ensemble"}, {"version", 1},           {"as", kind}, {"vote", job.vote},
      {"files", words.files},        {"rows_changed", changes}};
  write_file_atomically(directory / "ensemble.json", root.dump(1) + "\n");
  return fmt::format("{} submissions of {}\n{}{}written: {}\n", words.tables.size(), kind,
                     words.text, agreement, (directory / "submission.csv").string());
}

std::string combine_words(const StackJob& job, const std::string& kind) {
  const Words words = read_words(job);
  std::vector<std::vector<std::string>> rows;
  for (const auto& lists : align_words(words.tables)) {
    rows.push_back(kind == "tags" ? voted(lists, words.weights, job.vote)
                                  : fuse_lists(lists, words.weights, job.list_length));
  }
  return write_words(job, kind, words, rows);
}

std::string combine_numbers(const StackJob& job, const std::string& kind) {
  std::vector<ScoreTable> tables;
  for (const EnsembleInput& input : job.inputs) {
    tables.push_back(read_score_table(input.path, job.id_column));
    check_no_folds(tables.back());
    if (!input.name.empty()) tables.back().name = input.name;
  }
  std::vector<std::string> columns = tables.front().columns;
  if (columns.empty()) {
    for (int64_t c = 0; c < tables.front().values_NL.size(1); ++c)
      columns.push_back(fmt::format("column{}", c));
  }
  std::vector<std::string> models;
  std::vector<at::Tensor> values;
  for (size_t m = 0; m < tables.size(); ++m) {
    const EnsembleInput& input = job.inputs[m];
    if (input.kind == "logits" && columns.size() > 1) {
      throw Error(ErrorKind::kConfiguration,
                  fmt::format("{}: whether logits of {} columns are of classes or of independent "
                              "labels is unknown without labels",
                              input.path, columns.size()),
                  "turn them into probabilities, or give the labels with --labels");
    }
    models.push_back(tables[m].name);
    values.push_back(
        as_scores(align(tables[m], tables.front().ids, columns), input, /*classes=*/false));
  }
  std::vector<double> weights = weights_of(job);
  std::vector<size_t> useless;
  std::vector<std::string> warnings = find_degenerate(models, columns, at::stack(values), useless);
  std::string text = fmt::format("{} tables of {} rows and {} columns\n", models.size(),
                                 format_count(values.front().size(0)), columns.size());
  for (const std::string& warning : warnings) text += "warning: " + warning + "\n";
  for (size_t u = useless.size(); u-- > 0 && !job.keep_degenerate;) {
    const auto place = static_cast<std::ptrdiff_t>(useless[u]);
    text += fmt::format("left out: {}\n", models[useless[u]]);
    models.erase(models.begin() + place);
    values.erase(values.begin() + place);
    weights.erase(weights.begin() + place);
  }
  if (values.empty()) {
    throw Error(ErrorKind::kData, "no table is left: the numbers of all of them never vary",
                "keep_degenerate lets them take part");
  }
  const at::Tensor p_MNL = at::stack(values);
  at::Tensor combined;
  if (job.combine == "geometric") {
    combined = geometric_mean(p_MNL, weights);
  } else if (job.combine == "rank") {
    combined = rank_mean(p_MNL, weights);
  } else if (job.combine == "majority") {
    combined =
        decide_votes(vote_share(p_MNL.gt(0.5).to(at::kDouble), weights), job.vote).to(at::kDouble);
  } else {
    combined = arithmetic_mean(p_MNL, weights);
  }
  const std::filesystem::path directory(job.output);
  std::filesystem::create_directories(directory);
  const std::filesystem::path file = directory / "submission.csv";
  if (kind == "scores") {
    std::vector<std::vector<std::string>> lists;
    for (int64_t n = 0; n < combined.size(0); ++n) {
      lists.push_back(list_of_scores(combined[n], columns, job.new_label, job.new_label_threshold,
                                     job.list_length));
    }
    write_word_table(file, tables.front().id_column, "labels", tables.front().ids, lists);
  } else {
    write_file_atomically(file, scores_to_csv(tables.front().id_column, tables.front().ids, nullptr,
                                              columns, combined));
  }
  const nlohmann::ordered_json root = {
      {"format", "baleen-ensemble"}, {"version", 1},     {"as", kind},
      {"combine", job.combine},      {"models", models}, {"weights", weights},
      {"warnings", warnings}};
  write_file_atomically(directory / "ensemble.json", root.dump(1) + "\n");
  return text + fmt::format("{} mean of {}\nwritten: {}\n", job.combine, fmt::join(models, ", "),
                            file.string());
}

}  // namespace

std::string combine_submissions(const StackJob& job) {
  check_submissions(job);
  const std::string kind = kind_of(job);
  return kind == "tags" || kind == "lists" ? combine_words(job, kind) : combine_numbers(job, kind);
}

}  // namespace baleen
