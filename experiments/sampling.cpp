#include "experiments/sampling.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <unordered_map>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "data/pack/csv.h"

namespace baleen {
namespace {

std::unordered_map<std::string, double> read_weights(const std::string& file,
                                                     const SampleTable& table) {
  std::unordered_map<std::string, double> weights;
  if (file.empty()) return weights;
  for (int64_t row = 0; row < table.size(); ++row) weights.emplace(table.id(row), 1.0);
  const CsvTable csv = CsvTable::read(file);
  const size_t id = csv.column("id"), weight = csv.column("weight");
  for (size_t row = 0; row < csv.num_rows(); ++row) {
    const std::string& text = csv.at(row, weight);
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value) ||
        value < 0)
      throw Error(ErrorKind::kData,
                  fmt::format("{}:{}: '{}' is no weight", file, csv.line(row), text),
                  "weights are numbers of 0 or more");
    const auto found = weights.find(csv.at(row, id));
    if (found == weights.end())
      throw Error(ErrorKind::kData, fmt::format("{}:{}: there is no training image '{}'", file,
                                                csv.line(row), csv.at(row, id)));
    found->second = value;
  }
  return weights;
}

/// Weight of each label.
std::vector<double> label_weights(const SamplingSection& section, const SampleTable& table,
                                  std::span<const int64_t> rows) {
  const std::vector<std::string>& names = table.label_names();
  std::vector<double> weights(names.size(), 1.0);
  for (const auto& [name, weight] : section.class_weights) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end())
      throw Error(ErrorKind::kConfiguration,
                  fmt::format("training.sampling.class_weights: there is no class '{}'", name),
                  suggestion(name, names));
    weights[static_cast<size_t>(found - names.begin())] = weight;
  }
  if (section.kind != "balanced") return weights;
  if (table.target_kind() != TargetKind::kSingleClass)
    throw Error(ErrorKind::kConfiguration,
                "training.sampling.kind: balanced is for data with one class per image",
                "weigh labels with kind: weighted and class_weights");
  std::vector<int64_t> counts(names.size(), 0);
  for (const int64_t row : rows) ++counts[static_cast<size_t>(table.class_index(row))];
  for (size_t c = 0; c < counts.size(); ++c)
    if (counts[c] > 0) weights[c] = 1.0 / static_cast<double>(counts[c]);
  return weights;
}

}  // namespace

std::vector<double> sampling_weights(const SamplingSection& section, const SampleTable& table,
                                     std::span<const int64_t> rows) {
  const std::vector<double> of_label = label_weights(section, table, rows);
  const auto of_image = read_weights(section.weights_file, table);
  std::vector<double> weights;
  weights.reserve(rows.size());
  for (const int64_t row : rows) {
    double weight = 1.0;
    if (table.target_kind() == TargetKind::kSingleClass) {
      weight = of_label[static_cast<size_t>(table.class_index(row))];
    } else if (table.target_kind() == TargetKind::kMultiLabel) {
      double largest = -1.0;
      const auto flags = table.labels(row);
      for (size_t l = 0; l < flags.size(); ++l)
        if (flags[l]) largest = std::max(largest, of_label[l]);
      if (largest >= 0) weight = largest;
    }
    if (!of_image.empty()) weight *= of_image.at(table.id(row));
    weights.push_back(weight);
  }
  return weights;
}

}  // namespace baleen
