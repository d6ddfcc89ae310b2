#include "data/prediction_table.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <c10/util/StringUtil.h>
#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "core/base/digest.h"
#include "core/base/error.h"
#include "data/atomic_hdf5.h"
#include "data/hdf5/file.h"
#include "data/name_list.h"

namespace baleen {
namespace {

constexpr std::string_view kMagic = "baleen predictions 1\n";
constexpr int64_t kFormatVersion = 1;

/// Appends little-endian numbers and length-prefixed strings.
class ByteWriter {
 public:
  void number(uint64_t value) {
    for (int shift = 0; shift < 64; shift += 8)
      bytes_ += static_cast<char>((value >> shift) & 0xFF);
  }
  void text(std::string_view value) {
    number(value.size());
    bytes_ += value;
  }
  void raw(const void* data, size_t size) { bytes_.append(static_cast<const char*>(data), size); }
  std::string& bytes() { return bytes_; }

 private:
  std::string bytes_;
};

class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : bytes_(bytes) {}
  std::string_view raw(uint64_t size) {
    if (size > bytes_.size())
      throw Error(ErrorKind::kData, "a part of a prediction table is cut short");
    const std::string_view head = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return head;
  }
  uint64_t number() {
    uint64_t value = 0;
    const std::string_view eight = raw(8);
    for (size_t i = 0; i < 8; ++i)
      value |= static_cast<uint64_t>(static_cast<uint8_t>(eight[i])) << (8 * i);
    return value;
  }
  std::string text() { return std::string(raw(number())); }
  size_t left() const { return bytes_.size(); }

 private:
  std::string_view bytes_;
};

at::Tensor view_of(const float* values, int64_t rows, int64_t columns) {
  return at::from_blob(const_cast<float*>(values), {rows, columns}, at::TensorOptions(at::kFloat));
}

}  // namespace

PredictionTable::PredictionTable(std::string name, std::vector<std::string> ids,
                                 int64_t num_columns)
    : name_(std::move(name)), ids_(std::move(ids)), num_columns_(num_columns) {
  if (num_columns_ < 1)
    throw Error(ErrorKind::kInternal,
                fmt::format("{}: a prediction table of {} columns", name_, num_columns_));
  row_of_.reserve(ids_.size());
  for (size_t n = 0; n < ids_.size(); ++n)
    if (!row_of_.emplace(ids_[n], static_cast<int64_t>(n)).second)
      throw Error(ErrorKind::kData,
                  fmt::format("{}: sample '{}' is to be predicted twice", name_, ids_[n]));
  values_NK_.assign(ids_.size() * static_cast<size_t>(num_columns_), 0.0f);
  counts_N_.assign(ids_.size(), 0);
}

void PredictionTable::add(const std::vector<std::string>& ids, const at::Tensor& predictions_NK) {
  if (predictions_NK.dim() != 2 || predictions_NK.size(0) != static_cast<int64_t>(ids.size()) ||
      predictions_NK.size(1) != num_columns_)
    throw Error(ErrorKind::kData,
                fmt::format("{}: predictions of shape {} for {} samples and {} columns", name_,
                            c10::str(predictions_NK.sizes()), ids.size(), num_columns_));
  const at::Tensor values = predictions_NK.to(at::kCPU, at::kFloat).contiguous();
  const float* row = values.const_data_ptr<float>();
  for (const std::string& id : ids) {
    const auto entry = row_of_.find(id);
    if (entry == row_of_.end())
      throw Error(ErrorKind::kData,
                  fmt::format("{}: sample '{}' was not to be predicted here", name_, id));
    for (int64_t k = 0; k < num_columns_; ++k)
      if (!std::isfinite(row[k]))
        throw Error(
            ErrorKind::kNumeric,
            fmt::format("{}: the prediction of sample '{}' is {} in column {}", name_, id, row[k],
                        k),
            "the network's weights or its input are not finite; look at the loss before this");
    uint32_t& count = counts_N_[static_cast<size_t>(entry->second)];
    if (count > 0)
      throw Error(ErrorKind::kData, fmt::format("{}: sample '{}' was predicted twice", name_, id));
    ++count;
    ++num_written_;
    std::copy_n(row, num_columns_, values_NK_.begin() + entry->second * num_columns_);
    row += num_columns_;
  }
}

void PredictionTable::merge(const PredictionTable& part) {
  if (part.num_columns_ != num_columns_)
    throw Error(ErrorKind::kData, fmt::format("{}: a part has {} columns instead of {}", name_,
                                              part.num_columns_, num_columns_));
  for (int64_t n = 0; n < part.num_rows(); ++n) {
    if (part.counts_N_[static_cast<size_t>(n)] == 0) continue;
    add({part.ids_[static_cast<size_t>(n)]},
        view_of(part.values_NK_.data() + n * num_columns_, 1, num_columns_));
  }
}

bool PredictionTable::has(const std::string& id) const {
  const auto found = row_of_.find(id);
  return found != row_of_.end() && counts_N_[static_cast<size_t>(found->second)] > 0;
}

void PredictionTable::check_complete() const {
  if (num_written_ == num_rows()) return;
  std::vector<std::string> missing;
  for (size_t n = 0; n < ids_.size(); ++n)
    if (counts_N_[n] == 0) missing.push_back(ids_[n]);
  throw Error(ErrorKind::kData, fmt::format("{}: {} of {} samples were not predicted: {}", name_,
                                            missing.size(), ids_.size(), name_list(missing)));
}

at::Tensor PredictionTable::values() const {
  check_complete();
  return view_of(values_NK_.data(), num_rows(), num_columns_).clone();
}

std::string PredictionTable::serialise() const {
  ByteWriter writer;
  writer.raw(kMagic.data(), kMagic.size());
  writer.text(name_);
  writer.number(static_cast<uint64_t>(num_columns_));
  writer.number(static_cast<uint64_t>(num_written_));
  for (size_t n = 0; n < ids_.size(); ++n)
    if (counts_N_[n]) writer.text(ids_[n]);
  // Values are stored as the machine has them: little-endian IEEE 754 on all that LibTorch
  // supports.
  for (size_t n = 0; n < ids_.size(); ++n)
    if (counts_N_[n])
      writer.raw(values_NK_.data() + n * static_cast<size_t>(num_columns_),
                 static_cast<size_t>(num_columns_) * sizeof(float));
  writer.number(crc32c(writer.bytes()));
  return std::move(writer.bytes());
}

PredictionTable PredictionTable::deserialise(std::string_view bytes) {
  if (bytes.size() < kMagic.size() + 8 || !bytes.starts_with(kMagic))
    throw Error(ErrorKind::kData, "bytes are not a part of a prediction table");
  const std::string_view body = bytes.substr(0, bytes.size() - 8);
  if (ByteReader(bytes.substr(body.size())).number() != crc32c(body))
    throw Error(ErrorKind::kData, "the checksum of a part of a prediction table differs");
  ByteReader reader(body.substr(kMagic.size()));
  std::string name = reader.text();
  const auto columns = static_cast<int64_t>(reader.number());
  const uint64_t rows = reader.number();
  std::vector<std::string> ids;
  for (uint64_t n = 0; n < rows; ++n) ids.push_back(reader.text());
  PredictionTable table(std::move(name), std::move(ids), columns);
  const std::string_view values = reader.raw(table.values_NK_.size() * sizeof(float));
  at::Tensor rows_NK = at::empty({static_cast<int64_t>(rows), columns}, at::kFloat);
  std::memcpy(rows_NK.mutable_data_ptr<float>(), values.data(), values.size());
  table.add(table.ids_, rows_NK);
  return table;
}

void PredictionTable::write(const std::filesystem::path& file) const {
  check_complete();
  with_context([&] { return fmt::format("writing predictions of {}", name_); },
               [&] {
                 write_hdf5_atomically(file, [&](hdf5::File& h5) {
                   h5.set_attribute("format", std::string("baleen predictions"));
                   h5.set_attribute("format_version", kFormatVersion);
                   h5.set_attribute("name", name_);
                   h5.write_strings("ids", ids_);
                   h5.write<float>("predictions", {num_rows(), num_columns_}, values_NK_);
                 });
               });
}

PredictionTable PredictionTable::read(const std::filesystem::path& file) {
  return with_context(
      [&] { return fmt::format("reading predictions from {}", file.string()); },
      [&] {
        const hdf5::File h5 = hdf5::File::open(file);
        if (h5.int_attribute("format_version") > kFormatVersion)
          throw Error(ErrorKind::kData,
                      fmt::format("{}: written by a newer version", file.string()));
        const hdf5::Dataset predictions = h5.open_dataset("predictions");
        if (predictions.shape().size() != 2)
          throw Error(ErrorKind::kData,
                      fmt::format("{}: 'predictions' is not a table", file.string()));
        PredictionTable table(h5.string_attribute("name"), h5.open_dataset("ids").read_strings(),
                              predictions.shape()[1]);
        const std::vector<float> values = predictions.read<float>();
        table.add(table.ids_, view_of(values.data(), predictions.shape()[0], table.num_columns_));
        return table;
      });
}

}  // namespace baleen
