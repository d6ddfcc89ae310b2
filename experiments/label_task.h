#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "experiments/task.h"
#include "experiments/teacher.h"

namespace baleen {

/// Learns the dataset's own labels or classes, as far as the recipe does not say otherwise: from a
/// teacher's probabilities, too; without the images of a class that has nothing in common; with
/// mirrored images as classes of their own.
class LabelTask final : public Task {
 public:
  /// @param table what is trained on: the dataset's rows, then extra ones
  /// @throws Error kData, kConfiguration of teachers and classes that do not fit.
  LabelTask(const Recipe& recipe, std::shared_ptr<const PackedDataset> dataset,
            std::shared_ptr<const SampleTable> table);

  int64_t num_outputs() const override;
  int64_t num_network_outputs() const override;
  LossTargets targets() const override;
  const char* name() const override;
  const char* main_metric() const override;
  std::string digest() const override { return digest_; }
  std::unique_ptr<BatchSource> with_targets(std::unique_ptr<BatchSource> source,
                                            const TrainingFeedOptions& feed) const override;
  /// Of images of known classes only, where one is `unknown` and not learnt as a class.
  std::map<std::string, double> metrics(const at::Tensor& predictions_NK,
                                        const std::vector<int64_t>& rows,
                                        const ImageFeedOptions&) const override;
  std::unique_ptr<Loss> make_loss(const LossRegistry& registry,
                                  const LossOptions& options) const override;
  std::shared_ptr<Backbone> adapt(std::shared_ptr<Backbone> network) const override;
  bool trains_on(int64_t row) const override;
  void check_folds(const FoldAssignment& folds) const override;

  /// The teacher's answers for a row of the table, float32 [K], and its weight; for tests.
  std::pair<at::Tensor, double> soft_target(int64_t row) const;

 private:
  bool is_classes() const { return dataset_->target_kind() == TargetKind::kSingleClass; }
  bool is_unknown(int64_t row) const;
  bool learns_softly() const { return soft_RK_.defined(); }
  void make_soft_targets();

  std::shared_ptr<const PackedDataset> dataset_;
  std::shared_ptr<const SampleTable> table_;
  bool flips_;
  int64_t unknown_ = -1;    ///< class; -1: none
  std::string unknown_as_;  ///< class, drop, uniform, teacher
  DistillationSection distillation_;
  std::optional<Teacher> teacher_;
  at::Tensor soft_RK_;   ///< by row of the table: the teacher's answers; undefined: all is hard
  at::Tensor weight_R_;  ///< of those
  std::string digest_;
};

/// The class that a recipe calls unknown. @returns -1 without one
/// @throws Error kConfiguration when there is no such class, naming the nearest.
int64_t unknown_class(const TaskSection& task, const PackedDataset& dataset);

/// Rows of the training table that the chains of a fold learn from, ascending: those outside the
/// fold, then the extra ones, without those that the task leaves out.
std::vector<int64_t> training_rows(const FoldAssignment& folds, int64_t fold, const Task& task,
                                   int64_t table_size);

}  // namespace baleen
