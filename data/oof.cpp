#include "data/oof.h"

#include <ATen/ops/empty.h>
#include <c10/util/StringUtil.h>
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "data/atomic_hdf5.h"
#include "data/hdf5/file.h"
#include "data/pack/csv.h"

namespace baleen {
namespace {

constexpr int64_t kFormatVersion = 1;
constexpr const char* kFormat = "baleen out-of-fold predictions";

const char* name_of(TargetKind kind) {
  switch (kind) {
    case TargetKind::kMultiLabel:
      return "multi_label";
    case TargetKind::kSingleClass:
      return "single_class";
    case TargetKind::kNone:
      return "none";
  }
  return "none";
}

TargetKind target_kind_from_name(const std::string& name, const std::string& file) {
  for (TargetKind kind : {TargetKind::kMultiLabel, TargetKind::kSingleClass, TargetKind::kNone})
    if (name == name_of(kind)) return kind;
  throw Error(ErrorKind::kData, fmt::format("{}: unknown target kind '{}'", file, name));
}

void expect_shape(const at::Tensor& tensor, at::IntArrayRef shape, const char* name) {
  if (!tensor.defined())
    throw Error(ErrorKind::kInternal, fmt::format("oof: '{}' is missing", name));
  if (tensor.sizes() != shape)
    throw Error(ErrorKind::kInternal, fmt::format("oof: '{}' has shape {} instead of {}", name,
                                                  c10::str(tensor.sizes()), c10::str(shape)));
}

void expect_targets(const at::Tensor& targets, TargetKind kind, int64_t rows, int64_t columns,
                    const char* name) {
  if (kind == TargetKind::kMultiLabel) expect_shape(targets, {rows, columns}, name);
  if (kind == TargetKind::kSingleClass) expect_shape(targets, {rows}, name);
}

void check_shapes(const OofData& data) {
  const auto n = static_cast<int64_t>(data.ids.size());
  const auto k = static_cast<int64_t>(data.labels.size());
  const auto m = static_cast<int64_t>(data.models.size());
  const auto t = static_cast<int64_t>(data.test_ids.size());
  expect_shape(data.oof_MNK, {m, n, k}, "oof");
  if (data.folds.size() != data.ids.size())
    throw Error(ErrorKind::kInternal,
                fmt::format("oof: {} folds for {} samples", data.folds.size(), n));
  expect_targets(data.targets, data.target_kind, n, k, "targets");
  if (data.test_targets.defined())
    expect_targets(data.test_targets, data.target_kind, t, k, "test_targets");
  if (data.test_MTK.defined()) expect_shape(data.test_MTK, {m, t, k}, "test");
  if (data.test_folds_MFTK.defined())
    expect_shape(data.test_folds_MFTK, {m, data.num_folds, t, k}, "test_folds");
}

void write_tensor(hdf5::File& file, const char* name, const at::Tensor& tensor) {
  if (!tensor.defined()) return;
  const hdf5::Shape shape = tensor.sizes().vec();
  const auto count = static_cast<size_t>(tensor.numel());
  if (tensor.scalar_type() == at::kLong) {
    const at::Tensor values = tensor.cpu().contiguous();
    file.write<int64_t>(name, shape,
                        std::span<const int64_t>(values.const_data_ptr<int64_t>(), count));
  } else {
    const at::Tensor values = tensor.to(at::kCPU, at::kFloat).contiguous();
    file.write<float>(name, shape, std::span<const float>(values.const_data_ptr<float>(), count));
  }
}

template <class T>
at::Tensor read_tensor(const hdf5::File& file, const char* name, at::ScalarType type) {
  const hdf5::Dataset dataset = file.open_dataset(name);
  at::Tensor tensor = at::empty(dataset.shape(), type);
  const std::vector<T> values = dataset.read<T>();
  std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<T>());
  return tensor;
}

at::Tensor read_targets(const hdf5::File& file, const char* name, TargetKind kind) {
  if (!file.contains(name)) return {};
  return kind == TargetKind::kSingleClass ? read_tensor<int64_t>(file, name, at::kLong)
                                          : read_tensor<float>(file, name, at::kFloat);
}

void append_target_names(std::string& line, const OofData& data) {
  if (data.target_kind == TargetKind::kSingleClass) line += ",target";
  if (data.target_kind == TargetKind::kMultiLabel)
    for (const std::string& label : data.labels) line += ',' + csv_field("target:" + label);
}

void append_targets(std::string& line, const OofData& data, const at::Tensor& targets,
                    int64_t row) {
  if (data.target_kind == TargetKind::kSingleClass)
    line +=
        ',' + csv_field(data.labels[static_cast<size_t>(targets.const_data_ptr<int64_t>()[row])]);
  if (data.target_kind == TargetKind::kMultiLabel) {
    const auto columns = static_cast<int64_t>(data.labels.size());
    for (int64_t k = 0; k < columns; ++k)
      line += targets.const_data_ptr<float>()[row * columns + k] > 0.5f ? ",1" : ",0";
  }
}

void append_prediction_names(std::string& line, const OofData& data) {
  for (const std::string& model : data.models)
    for (const std::string& label : data.labels) line += ',' + csv_field(model + ":" + label);
  line += '\n';
}

void append_predictions(std::string& line, const at::Tensor& values_MNK, int64_t row) {
  const int64_t rows = values_MNK.size(1);
  const int64_t columns = values_MNK.size(2);
  const float* values = values_MNK.const_data_ptr<float>();
  for (int64_t m = 0; m < values_MNK.size(0); ++m)
    for (int64_t k = 0; k < columns; ++k)
      fmt::format_to(std::back_inserter(line), ",{}", values[(m * rows + row) * columns + k]);
  line += '\n';
}

}  // namespace

void write_oof(const std::filesystem::path& file, const OofData& data) {
  check_shapes(data);
  with_context([&] { return fmt::format("writing {}", file.string()); },
               [&] {
                 write_hdf5_atomically(file, [&](hdf5::File& h5) {
                   h5.set_attribute("format", std::string(kFormat));
                   h5.set_attribute("format_version", kFormatVersion);
                   h5.set_attribute("config_hash", data.config_hash);
                   h5.set_attribute("target_kind", std::string(name_of(data.target_kind)));
                   h5.set_attribute("num_folds", data.num_folds);
                   h5.write_strings("ids", data.ids);
                   h5.write_strings("labels", data.labels);
                   h5.write_strings("models", data.models);
                   h5.write<int64_t>("folds", {static_cast<int64_t>(data.folds.size())},
                                     data.folds);
                   if (data.target_kind != TargetKind::kNone)
                     write_tensor(h5, "targets", data.targets);
                   write_tensor(h5, "oof", data.oof_MNK);
                   if (!data.test_ids.empty()) h5.write_strings("test_ids", data.test_ids);
                   if (data.target_kind != TargetKind::kNone)
                     write_tensor(h5, "test_targets", data.test_targets);
                   write_tensor(h5, "test", data.test_MTK);
                   write_tensor(h5, "test_folds", data.test_folds_MFTK);
                 });
               });
}

OofData read_oof(const std::filesystem::path& file) {
  return with_context(
      [&] { return fmt::format("reading {}", file.string()); },
      [&] {
        const hdf5::File h5 = hdf5::File::open(file);
        if (!h5.has_attribute("format") || h5.string_attribute("format") != kFormat)
          throw Error(ErrorKind::kData,
                      fmt::format("{}: not a file of {}", file.string(), kFormat));
        if (h5.int_attribute("format_version") > kFormatVersion)
          throw Error(
              ErrorKind::kData,
              fmt::format("{}: format version {}, but this program reads up to {}", file.string(),
                          h5.int_attribute("format_version"), kFormatVersion),
              "use a newer version of the program");
        OofData data;
        data.config_hash = h5.string_attribute("config_hash");
        data.target_kind = target_kind_from_name(h5.string_attribute("target_kind"), file.string());
        data.num_folds = h5.int_attribute("num_folds");
        data.ids = h5.open_dataset("ids").read_strings();
        data.labels = h5.open_dataset("labels").read_strings();
        data.models = h5.open_dataset("models").read_strings();
        data.folds = h5.open_dataset("folds").read<int64_t>();
        data.targets = read_targets(h5, "targets", data.target_kind);
        data.oof_MNK = read_tensor<float>(h5, "oof", at::kFloat);
        if (h5.contains("test_ids")) data.test_ids = h5.open_dataset("test_ids").read_strings();
        data.test_targets = read_targets(h5, "test_targets", data.target_kind);
        if (h5.contains("test")) data.test_MTK = read_tensor<float>(h5, "test", at::kFloat);
        if (h5.contains("test_folds"))
          data.test_folds_MFTK = read_tensor<float>(h5, "test_folds", at::kFloat);
        try {
          check_shapes(data);
        } catch (const Error& error) {
          throw Error(ErrorKind::kData, fmt::format("{}: {}", file.string(), error.message()));
        }
        return data;
      });
}

void write_oof_csv(const std::filesystem::path& file, const OofData& data) {
  check_shapes(data);
  std::string text = "id,fold";
  append_target_names(text, data);
  append_prediction_names(text, data);
  for (size_t n = 0; n < data.ids.size(); ++n) {
    text += fmt::format("{},{}", csv_field(data.ids[n]), data.folds[n]);
    append_targets(text, data, data.targets, static_cast<int64_t>(n));
    append_predictions(text, data.oof_MNK, static_cast<int64_t>(n));
  }
  write_file_atomically(file, text);
}

void write_test_csv(const std::filesystem::path& file, const OofData& data) {
  check_shapes(data);
  if (!data.test_MTK.defined())
    throw Error(ErrorKind::kInternal, "there are no test predictions to write");
  const bool with_targets = data.test_targets.defined();
  std::string text = "id";
  if (with_targets) append_target_names(text, data);
  append_prediction_names(text, data);
  for (size_t t = 0; t < data.test_ids.size(); ++t) {
    text += csv_field(data.test_ids[t]);
    if (with_targets) append_targets(text, data, data.test_targets, static_cast<int64_t>(t));
    append_predictions(text, data.test_MTK, static_cast<int64_t>(t));
  }
  write_file_atomically(file, text);
}

}  // namespace baleen
