#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "experiments/training_on_top.h"

namespace baleen {

/// The mean of several models' probabilities by sample id.
///
/// A run's out-of-fold predictions were proved, when it ended, to come from models that were not
/// trained on the sample. A table proves that by a column `fold` that agrees with the folds of the
/// run that learns from it.
class Teacher {
 public:
  /// @param labels K names that the predictions must be of; columns are matched by name
  /// @param classes probabilities of a sample add up to 1 (and are brought to it exactly)
  /// @throws Error kData naming the file and sample of what is no probability, or does not add up
  /// to 1 within 0.001.
  Teacher(const DistillationSection& section, const std::vector<std::string>& labels, bool classes);

  /// float32 [N, K], each row the mean over those that know the sample. @throws Error kData naming
  /// the first id that none of them knows.
  at::Tensor rows(std::span<const std::string> ids) const;

  /// @param folds of each sample, as the run that learns divides them
  /// @throws Error kData naming teacher, sample and fold where a table's model was, or may have
  /// been, trained on a sample, unless the recipe allows that.
  void check_unseen(std::span<const std::string> ids, std::span<const int64_t> folds) const;

  /// Frees the predictions; check_unseen() still works.
  void drop_values();

 private:
  struct Source {
    std::string path;
    bool run = false;
    std::unordered_map<std::string, int64_t> row_of;
    std::vector<int64_t> folds;  ///< of a table's rows; empty: it does not say
    at::Tensor values_NK;        ///< float32
  };
  Source read_run(const std::string& path) const;
  Source read_table(const std::string& path) const;
  at::Tensor checked(const at::Tensor& values_NK, std::span<const std::string> ids,
                     const std::string& path) const;

  std::vector<std::string> labels_;
  bool classes_, allow_seen_;
  std::vector<Source> sources_;
};

}  // namespace baleen
