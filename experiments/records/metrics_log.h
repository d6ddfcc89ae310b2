#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/atomic_file.h"

namespace baleen {

/// What one epoch of one chain came to: a line of metrics.jsonl. NaN: not measured, or not finite.
struct MetricsRecord {
  std::string run;
  std::string chain;
  std::string backbone;
  int64_t fold = 0;
  int64_t stage = 0;      ///< from 0
  int64_t size_px = 0;    ///< side of the stage's square input
  int64_t epoch = 0;      ///< epochs of the chain that are finished, over all its stages: from 1
  int64_t step = 0;       ///< optimizer steps of the chain that are finished
  double lr = 0;          ///< learning rate of the last step
  double train_loss = 0;  ///< mean over the epoch
  std::map<std::string, double> val;  ///< held-out fold: "loss", "f2", "accuracy", …
  double samples_per_s = 0;           ///< training, all ranks of the chain together
  double seconds = 0;                 ///< of the epoch, evaluation included
  double time_s = 0;                  ///< end of the epoch, since 1970, UTC
};

/// Appends to metrics.jsonl. One process at a time; a record survives the process once append()
/// returns.
class MetricsLog {
 public:
  /// Opens or creates the file; cuts off a last line that a crash left torn.
  /// @throws Error kStorage naming the file.
  explicit MetricsLog(const std::filesystem::path& file);

  /// @throws Error kStorage naming the file.
  void append(const MetricsRecord& record);

 private:
  std::optional<AppendFile> file_;
};

/// Every record in the order written. A last line without its end (a crash, or a writer at work) is
/// left out.
/// @throws Error kData naming file and line for any other line that is not a record; kData when
/// there is no file.
std::vector<MetricsRecord> read_metrics(const std::filesystem::path& file);

/// The last record of each epoch, by chain (in order of appearance) and epoch: an interrupted chain
/// repeats the epochs after its last checkpoint.
std::vector<MetricsRecord> latest_records(const std::vector<MetricsRecord>& records);

/// metrics.csv: one line per record, one column `val_<name>` per metric that occurs; empty where
/// not measured.
/// @throws Error kStorage naming the file.
void write_metrics_csv(const std::filesystem::path& file,
                       const std::vector<MetricsRecord>& records);

}  // namespace baleen
