#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

#include "core/base/atomic_file.h"
#include "experiments/records/metrics_log.h"

namespace baleen {

/// Writes scalars as a TensorBoard event file.
///
/// The file is a sequence of TFRecords: length (uint64), its masked CRC32C, the bytes of an `Event`
/// protocol buffer, their masked CRC32C, all little-endian. One writer per folder at a time;
/// TensorBoard joins the files of one folder to one run.
class TensorBoardWriter {
 public:
  /// Opens a new event file in the folder, which is made if it is missing.
  /// @param restart_step where a resumed chain goes on: TensorBoard forgets the folder's points
  /// from this step on
  /// @throws Error kStorage naming the file.
  explicit TensorBoardWriter(const std::filesystem::path& folder,
                             std::optional<int64_t> restart_step = {});

  /// One point of the curve `tag`. @param time_s since 1970, UTC. Readers see it at once. @throws
  /// Error kStorage.
  void add_scalar(std::string_view tag, double value, int64_t step, double time_s);

  /// The finite values of an epoch: train/loss, train/lr, train/samples_per_s, train/size_px and
  /// `val/<name>`.
  void add(const MetricsRecord& record);

  const std::filesystem::path& path() const { return file_->path(); }

 private:
  std::optional<AppendFile> file_;
};

}  // namespace baleen
