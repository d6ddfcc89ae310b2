#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace baleen {

/// Predictions [N, K] keyed by sample id, each of which must be written exactly once.
///
/// A rank fills its own part; parts travel as bytes (serialise) and are put together by merge().
/// check_complete() is the proof that nothing is missing. Errors name the model and the samples.
class PredictionTable {
 public:
  /// @param name whose predictions these are, for messages, e.g. "resnet18/fold2"
  /// @param ids the samples that are to be predicted, unique; they give the order of the rows
  PredictionTable(std::string name, std::vector<std::string> ids, int64_t num_columns);

  const std::string& name() const { return name_; }
  int64_t num_rows() const { return static_cast<int64_t>(ids_.size()); }
  int64_t num_columns() const { return num_columns_; }
  int64_t num_written() const { return num_written_; }
  const std::vector<std::string>& ids() const { return ids_; }
  bool has(const std::string& id) const;  ///< whether that row was written

  /// Writes rows. @param predictions_NK float32 on the CPU, one row per id.
  /// @throws Error kData for an unknown id or one written before; kNumeric for a value that is not
  /// finite.
  void add(const std::vector<std::string>& ids, const at::Tensor& predictions_NK);

  /// Writes the rows that `part` holds. @throws as add(); kData when the columns differ.
  void merge(const PredictionTable& part);

  /// @throws Error kData naming samples that were not predicted.
  void check_complete() const;

  /// float32 [N, K] in the order of ids(). @throws as check_complete().
  at::Tensor values() const;

  /// The written rows as bytes with a checksum; the same table gives the same bytes.
  std::string serialise() const;
  /// A table of exactly the rows in `bytes`. @throws Error kData when they are cut short or
  /// altered.
  static PredictionTable deserialise(std::string_view bytes);

  /// HDF5 file with `ids` [N], `predictions` float32 [N, K], attribute `name`. @throws Error
  /// kStorage, kData.
  void write(const std::filesystem::path& file) const;
  static PredictionTable read(const std::filesystem::path& file);

 private:
  std::string name_;
  std::vector<std::string> ids_;
  int64_t num_columns_;
  int64_t num_written_ = 0;
  std::unordered_map<std::string, int64_t> row_of_;
  std::vector<float> values_NK_;
  std::vector<uint32_t> counts_N_;
};

}  // namespace baleen
