#include "experiments/stacking/stack_tables.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"

namespace baleen {
namespace {

constexpr double kLeastProbability = 1e-6;
// Small enough for a piece's intermediate tables to stay in the processor's cache.
constexpr int64_t kPieceRows = 512;

void check_shapes(const StackInput& input) {
  const auto num_models = static_cast<int64_t>(input.models.size());
  const auto num_labels = static_cast<int64_t>(input.labels.size());
  const auto num_samples = static_cast<int64_t>(input.ids.size());
  const auto num_tests = static_cast<int64_t>(input.test_ids.size());
  const auto expect = [](const char* what, const at::Tensor& values, std::vector<int64_t> shape) {
    if (values.defined() && values.sizes() == at::IntArrayRef(shape)) return;
    throw Error(ErrorKind::kData, fmt::format("stack: {} has shape {} instead of {}", what,
                                              values.defined() ? c10::str(values.sizes()) : "none",
                                              c10::str(at::IntArrayRef(shape))));
  };
  if (num_models < 1 || num_labels < 1 || num_samples < 1) {
    throw Error(ErrorKind::kData, fmt::format("stack: {} models, {} labels and {} samples",
                                              num_models, num_labels, num_samples));
  }
  if (input.folds.size() != input.ids.size()) {
    throw Error(ErrorKind::kData, fmt::format("stack: {} folds for {} samples", input.folds.size(),
                                              input.ids.size()));
  }
  expect("the table of out-of-fold predictions", input.oof_MNL,
         {num_models, num_samples, num_labels});
  expect("the table of targets", input.targets_NL, {num_samples, num_labels});
  if (num_tests > 0) {
    expect("the table of test predictions", input.test_MTL, {num_models, num_tests, num_labels});
  }
}

/// As it is where it is float or double on the CPU, else a copy in double.
at::Tensor readable(const at::Tensor& values) {
  const at::Tensor here = values.detach();
  const bool plain =
      here.is_cpu() && (here.scalar_type() == at::kFloat || here.scalar_type() == at::kDouble);
  return (plain ? here : here.to(at::kCPU, at::kDouble)).contiguous();
}

template <class T>
void gather(const T* table, const int64_t* rows, int64_t count, int64_t columns, double* out) {
  for (int64_t r = 0; r < count; ++r) {
    const T* row = table + rows[r] * columns;
    for (int64_t c = 0; c < columns; ++c) out[r * columns + c] = static_cast<double>(row[c]);
  }
}

at::Tensor gathered(const at::Tensor& table_NL, const int64_t* rows, int64_t count) {
  at::Tensor result = at::empty({count, table_NL.size(1)}, at::kDouble);
  double* out = result.data_ptr<double>();
  if (table_NL.scalar_type() == at::kFloat) {
    gather(table_NL.const_data_ptr<float>(), rows, count, table_NL.size(1), out);
  } else {
    gather(table_NL.const_data_ptr<double>(), rows, count, table_NL.size(1), out);
  }
  return result;
}

/// What is wrong with a model's rows: a fold of nothing but NaN, or else the first bad row.
struct Faults {
  int64_t missing_fold = -1;
  int64_t bad_row = -1;
};

template <class T>
Faults find_faults(const T* table, const std::vector<int64_t>& folds, int64_t num_folds,
                   int64_t columns) {
  Faults faults;
  std::vector<bool> seen(static_cast<size_t>(num_folds), false);
  for (size_t n = 0; n < folds.size(); ++n) {
    const T* row = table + static_cast<int64_t>(n) * columns;
    bool finite = true;
    bool nan = true;
    for (int64_t c = 0; c < columns; ++c) {
      finite = finite && std::isfinite(row[c]);
      nan = nan && std::isnan(row[c]);
    }
    if (!nan) seen[static_cast<size_t>(folds[n])] = true;
    if (!finite && faults.bad_row < 0) faults.bad_row = static_cast<int64_t>(n);
  }
  const auto missing = std::find(seen.begin(), seen.end(), false);
  if (missing != seen.end()) faults.missing_fold = missing - seen.begin();
  return faults;
}

std::vector<int64_t> complete_models(const StackInput& input, const at::Tensor& oof_MNL,
                                     int64_t num_folds, const StackOptions& options) {
  std::vector<int64_t> kept;
  for (size_t m = 0; m < input.models.size(); ++m) {
    const at::Tensor table_NL = oof_MNL[static_cast<int64_t>(m)];
    const Faults faults = table_NL.scalar_type() == at::kFloat
                              ? find_faults(table_NL.const_data_ptr<float>(), input.folds,
                                            num_folds, table_NL.size(1))
                              : find_faults(table_NL.const_data_ptr<double>(), input.folds,
                                            num_folds, table_NL.size(1));
    if (faults.missing_fold >= 0) {
      if (options.missing_models == "drop") continue;
      throw Error(ErrorKind::kData,
                  fmt::format("stack: model {} has no predictions for fold {}", input.models[m],
                              faults.missing_fold),
                  "finish that chain (resume the run), or set stack.missing_models to drop");
    }
    if (faults.bad_row >= 0) {
      throw Error(ErrorKind::kNumeric,
                  fmt::format("stack: the prediction of model {} for sample {} is not finite",
                              input.models[m], input.ids[static_cast<size_t>(faults.bad_row)]),
                  "its training diverged: look at the model's curves");
    }
    kept.push_back(static_cast<int64_t>(m));
  }
  if (kept.empty()) {
    throw Error(ErrorKind::kData, "stack: no model has predictions for every fold",
                "finish the chains (resume the run)");
  }
  return kept;
}

void check_targets(const StackInput& input, const at::Tensor& targets_NL) {
  const double* y = targets_NL.const_data_ptr<double>();
  const int64_t columns = targets_NL.size(1);
  for (int64_t i = 0; i < targets_NL.numel(); ++i) {
    if (y[i] == 0 || y[i] == 1) continue;
    throw Error(ErrorKind::kData,
                fmt::format("stack: the target of sample {}, label {} is neither 0 nor 1",
                            input.ids[static_cast<size_t>(i / columns)],
                            input.labels[static_cast<size_t>(i % columns)]));
  }
}

}  // namespace

at::Tensor level1_input(const at::Tensor& probabilities, const StackOptions& options) {
  if (options.inputs == "probabilities") return probabilities;
  return at::logit(probabilities, kLeastProbability);
}

StackTables::StackTables(const StackInput& input, const StackOptions& options)
    : logits_(options.inputs != "probabilities") {
  check_shapes(input);
  int64_t num_folds = 0;
  for (size_t i = 0; i < input.folds.size(); ++i) {
    if (input.folds[i] < 0) {
      throw Error(ErrorKind::kData, fmt::format("stack: sample {} has no fold", input.ids[i]));
    }
    num_folds = std::max(num_folds, input.folds[i] + 1);
  }
  for (int64_t fold = 0; fold < num_folds; ++fold) {
    starts_.push_back(static_cast<int64_t>(rows_N_.size()));
    for (size_t i = 0; i < input.folds.size(); ++i) {
      if (input.folds[i] == fold) rows_N_.push_back(static_cast<int64_t>(i));
    }
    const int64_t count = static_cast<int64_t>(rows_N_.size()) - starts_.back();
    if (count == 0 || count == static_cast<int64_t>(input.folds.size())) {
      throw Error(ErrorKind::kData,
                  fmt::format("stack: fold {} of {} holds {} of {} samples", fold, num_folds, count,
                              input.folds.size()),
                  "stacking needs at least two folds, each with samples");
    }
    for (int64_t first = 0; first < count; first += kPieceRows) {
      pieces_.push_back({fold, starts_.back() + first, std::min(kPieceRows, count - first)});
    }
  }
  starts_.push_back(static_cast<int64_t>(rows_N_.size()));
  oof_MNL_ = readable(input.oof_MNL);
  const at::Tensor targets_NL = readable(input.targets_NL);
  y_NL_ = gathered(targets_NL, rows_N_.data(), num_rows());
  if (targets_NL.scalar_type() == at::kDouble) {
    check_targets(input, targets_NL);
  } else {
    check_targets(input, targets_NL.to(at::kDouble));
  }
  kept_M_ = complete_models(input, oof_MNL_, num_folds, options);
  centre_L_ = at::zeros({num_labels()}, at::kDouble);
  for (int64_t m = 0; m < num_models(); ++m) {
    for (const RowPiece& piece : pieces_) centre_L_ += probabilities(m, piece).sum(0);
  }
  centre_L_ /= double(num_models() * num_rows());
}

at::Tensor StackTables::probabilities(int64_t m, const RowPiece& piece) const {
  return gathered(oof_MNL_[kept_M_[static_cast<size_t>(m)]], rows_N_.data() + piece.first,
                  piece.count);
}

at::Tensor StackTables::inputs(int64_t m, const RowPiece& piece) const {
  at::Tensor values = probabilities(m, piece);
  return logits_ ? at::logit(values, kLeastProbability) : values;
}

std::vector<RowPiece> StackTables::pieces_without(const std::vector<int64_t>& folds) const {
  std::vector<RowPiece> result;
  std::copy_if(pieces_.begin(), pieces_.end(), std::back_inserter(result),
               [&](const RowPiece& piece) {
                 return std::find(folds.begin(), folds.end(), piece.fold) == folds.end();
               });
  return result;
}

at::Tensor StackTables::inputs_without(int64_t m, const std::vector<int64_t>& folds) const {
  std::vector<at::Tensor> parts;
  for (const RowPiece& piece : pieces_without(folds)) parts.push_back(inputs(m, piece));
  return at::cat(parts);
}

at::Tensor StackTables::targets_without(const std::vector<int64_t>& folds) const {
  std::vector<at::Tensor> parts;
  for (const RowPiece& piece : pieces_without(folds)) parts.push_back(targets(piece));
  return at::cat(parts);
}

at::Tensor StackTables::in_input_order(const at::Tensor& table_NL) const {
  at::Tensor result = at::empty_like(table_NL);
  result.index_copy_(0, at::tensor(rows_N_, at::kLong), table_NL);
  return result;
}

}  // namespace baleen
