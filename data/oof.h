#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/packed_dataset.h"

namespace baleen {

/// Everything that stacking and the report need: out-of-fold and test predictions of M models. The
/// content of oof.h5.
///
/// N samples, K outputs, T test samples, F folds. The test part is empty where there is no test
/// set.
struct OofData {
  TargetKind target_kind = TargetKind::kNone;
  std::vector<std::string> ids;       ///< N
  std::vector<std::string> labels;    ///< K names of the outputs
  std::vector<std::string> models;    ///< M
  std::vector<int64_t> folds;         ///< N, in [0, F)
  int64_t num_folds = 0;              ///< F
  at::Tensor targets;                 ///< float32 [N, K] or int64 [N]
  at::Tensor oof_MNK;                 ///< float32, each row by the model that did not train on it
  std::vector<std::string> test_ids;  ///< T
  at::Tensor test_targets;            ///< as targets, or undefined where they are unknown
  at::Tensor test_MTK;                ///< float32, mean over folds; undefined without a test set
  at::Tensor test_folds_MFTK;         ///< float32, each fold's own; may be undefined
  std::string config_hash;            ///< of the run that made it
};

/// Writes oof.h5: to a temporary name, synced, renamed. The same data give the same bytes. Layout:
/// data/README.md.
/// @throws Error kStorage when it can't be written; kInternal when the shapes contradict each
/// other.
void write_oof(const std::filesystem::path& file, const OofData& data);

/// @throws Error kData naming the file when it is missing, damaged, or of a newer version.
OofData read_oof(const std::filesystem::path& file);

/// One line per sample: id, fold, the targets, then each model's predictions as columns
/// `model:label`.
/// @throws Error kStorage.
void write_oof_csv(const std::filesystem::path& file, const OofData& data);

/// The test set's part as CSV: id, targets where known, then each model's mean predictions.
void write_test_csv(const std::filesystem::path& file, const OofData& data);

}  // namespace baleen
