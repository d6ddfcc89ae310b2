#include "experiments/gallery/feature_table.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "core/base/error.h"
#include "core/weights/safetensors.h"
#include "data/name_list.h"
#include "data/pack/csv.h"
#include "data/prediction_table.h"

namespace baleen {
namespace {

FeatureTable from_predictions(const std::filesystem::path& file) {
  const PredictionTable table = PredictionTable::read(file);
  return {file.string(), table.ids(), table.values()};
}

FeatureTable from_safetensors(const std::filesystem::path& file) {
  const SafetensorsFile tensors(file);
  const auto ids = tensors.metadata().find("ids");
  if (tensors.entries().size() != 1 || tensors.entries()[0].shape.size() != 2 ||
      ids == tensors.metadata().end()) {
    throw Error(ErrorKind::kData, fmt::format("{} is no table of features", file.string()),
                "it has one matrix, and in the metadata a JSON list `ids` of its rows' samples");
  }
  const auto names = nlohmann::json::parse(ids->second, nullptr, /*allow_exceptions=*/false);
  if (!names.is_array() ||
      std::any_of(names.begin(), names.end(), [](const auto& name) { return !name.is_string(); })) {
    throw Error(
        ErrorKind::kData,
        fmt::format("{}: the metadata entry `ids` is no JSON list of strings", file.string()));
  }
  return {file.string(), names.get<std::vector<std::string>>(),
          tensors.tensor(tensors.entries()[0].name).to(at::kFloat).contiguous()};
}

float number_in(const CsvTable& table, size_t row, size_t column) {
  const std::string& text = table.at(row, column);
  float value = 0.0f;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size()) return value;
  throw Error(ErrorKind::kData,
              fmt::format("{}:{}: '{}' in column '{}' is no number", table.file().string(),
                          table.line(row), text, table.columns()[column]));
}

FeatureTable from_csv(const std::filesystem::path& file) {
  const CsvTable table = CsvTable::read(file);
  const auto width = static_cast<int64_t>(table.columns().size()) - 1;
  FeatureTable read{file.string(), {}, {}};
  std::vector<float> values;
  for (size_t row = 0; row < table.num_rows(); ++row) {
    read.ids.push_back(table.at(row, 0));
    for (size_t column = 1; column < table.columns().size(); ++column)
      values.push_back(number_in(table, row, column));
  }
  read.features_ND = at::tensor(values, at::kFloat).view({read.size(), width});
  return read;
}

void check(const FeatureTable& table) {
  const at::Tensor& features = table.features_ND;
  if (features.dim() != 2 || features.size(0) != table.size()) {
    throw Error(ErrorKind::kData, fmt::format("{}: {} ids and features of {} samples", table.source,
                                              table.size(), features.dim() ? features.size(0) : 0));
  }
  if (features.numel() == 0) {
    throw Error(ErrorKind::kData, fmt::format("{} holds no features", table.source));
  }
  std::unordered_map<std::string, int64_t> seen;
  for (const std::string& id : table.ids) {
    if (++seen[id] > 1)
      throw Error(ErrorKind::kData, fmt::format("{}: sample '{}' occurs twice", table.source, id));
  }
  const at::Tensor finite_N = at::isfinite(features).all(1);
  if (finite_N.all().item<bool>()) return;
  const int64_t first = at::argmin(finite_N.to(at::kInt)).item<int64_t>();
  throw Error(ErrorKind::kNumeric,
              fmt::format("{}: the features of sample '{}' are not finite", table.source,
                          table.ids[static_cast<size_t>(first)]),
              "the network that made them has diverged, or the file is not what it seems");
}

}  // namespace

FeatureTable FeatureTable::select(std::span<const std::string> wanted) const {
  std::unordered_map<std::string, int64_t> row_of;
  for (int64_t row = 0; row < size(); ++row) row_of.emplace(ids[static_cast<size_t>(row)], row);
  std::vector<int64_t> rows;
  std::vector<std::string> missing;
  for (const std::string& id : wanted) {
    const auto found = row_of.find(id);
    if (found == row_of.end()) {
      missing.push_back(id);
    } else {
      rows.push_back(found->second);
    }
  }
  if (!missing.empty()) {
    throw Error(ErrorKind::kData,
                fmt::format("{} has no features of {}", source, name_list(missing)));
  }
  return {source,
          {wanted.begin(), wanted.end()},
          features_ND.index_select(0, at::tensor(rows, at::kLong))};
}

FeatureTable read_features(const std::filesystem::path& file) {
  const std::string kind = file.extension().string();
  if (kind != ".h5" && kind != ".safetensors" && kind != ".csv") {
    throw Error(ErrorKind::kUsage,
                fmt::format("{} is no table of features by its name", file.string()),
                "known: .h5, .safetensors, .csv; a packed dataset needs --weights");
  }
  if (!std::filesystem::exists(file))
    throw Error(ErrorKind::kData, fmt::format("there is no file {}", file.string()));
  FeatureTable table = kind == ".h5"            ? from_predictions(file)
                       : kind == ".safetensors" ? from_safetensors(file)
                                                : from_csv(file);
  check(table);
  return table;
}

void write_features(const std::filesystem::path& file, const FeatureTable& table) {
  PredictionTable predictions("features of " + table.source, table.ids, table.features_ND.size(1));
  predictions.add(table.ids, table.features_ND);
  predictions.write(file);
}

}  // namespace baleen
