#include "experiments/stacking/stack_tables.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/error.h"
#include "experiments/stacking/columns.h"
#include "experiments/stacking/on_threads.h"

namespace baleen {
namespace {

constexpr double kLeastProbability = 1e-6;
// Small enough for a piece's intermediate tables to stay in the processor's cache.
constexpr int64_t kPieceRows = 512;

void check_shapes(const StackInput& input, bool may_be_empty) {
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
  if (num_models < 1 || num_labels < 1 || (num_samples < 1 && !may_be_empty)) {
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

/// Rows of a table [N, C] as padded columns [C, P].
at::Tensor gathered(const at::Tensor& table_NC, const int64_t* rows, int64_t count) {
  at::Tensor result = at::empty({table_NC.size(1), padded_rows(count)}, at::kDouble);
  const Columns out = columns_of(result, count);
  if (table_NC.scalar_type() == at::kFloat) {
    gather_rows(table_NC.const_data_ptr<float>(), rows, out);
  } else {
    gather_rows(table_NC.const_data_ptr<double>(), rows, out);
  }
  return result;
}

/// What is wrong with a model's rows: a fold of nothing but NaN, or else the first bad row. Folds
/// that live on other ranks are their business.
struct Faults {
  int64_t missing_fold = -1;
  int64_t bad_row = -1;
};

template <class T>
Faults find_faults(const T* table, const std::vector<int64_t>& folds, int64_t num_folds,
                   int64_t columns) {
  Faults faults;
  std::vector<bool> seen(static_cast<size_t>(num_folds), true);
  for (const int64_t fold : folds) seen[static_cast<size_t>(fold)] = false;
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

/// [collective] The models that have predictions for all rows.
std::vector<int64_t> complete_models(const StackInput& input, const at::Tensor& oof_MNL,
                                     int64_t num_folds, const StackOptions& options,
                                     const StackRanks& ranks) {
  const at::Tensor lacking_M = at::zeros({std::ssize(input.models)}, at::kDouble);
  std::vector<Faults> faults_M(input.models.size());
  on_threads(std::ssize(input.models), [&](int64_t m) {
    const at::Tensor table_NL = oof_MNL[m];
    faults_M[static_cast<size_t>(m)] = table_NL.scalar_type() == at::kFloat
                                           ? find_faults(table_NL.const_data_ptr<float>(),
                                                         input.folds, num_folds, table_NL.size(1))
                                           : find_faults(table_NL.const_data_ptr<double>(),
                                                         input.folds, num_folds, table_NL.size(1));
  });
  ranks.agree([&] {
    for (size_t m = 0; m < input.models.size(); ++m) {
      const Faults& faults = faults_M[m];
      if (faults.missing_fold >= 0) {
        lacking_M[static_cast<int64_t>(m)] = 1;
        if (options.missing_models == "drop") continue;
        throw Error(ErrorKind::kData,
                    fmt::format("stack: model {} has no predictions for fold {}", input.models[m],
                                faults.missing_fold),
                    "finish that chain (resume the run), or set stacking.missing_models to drop");
      }
      if (faults.bad_row >= 0) {
        throw Error(ErrorKind::kNumeric,
                    fmt::format("stack: the prediction of model {} for sample {} is not finite",
                                input.models[m], input.ids[static_cast<size_t>(faults.bad_row)]),
                    "its training diverged: look at the model's curves");
      }
    }
  });
  ranks.add_up({lacking_M});
  std::vector<int64_t> kept;
  for (int64_t m = 0; m < lacking_M.numel(); ++m) {
    if (lacking_M[m].item<double>() == 0) kept.push_back(m);
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

void StackTables::check_stop() const {
  if (!check_stop_ || !ranks_.alone()) return;
  const std::unique_lock lock(stop_mutex_, std::try_to_lock);
  if (lock) check_stop_();
}

StackTables::StackTables(const StackInput& input, const StackOptions& options,
                         const StackRanks& ranks, std::function<void()> check_stop)
    : ranks_(ranks),
      check_stop_(std::move(check_stop)),
      metric_(input.metric    ? input.metric
              : input.classes ? accuracy_of_classes()
                              : f_score({})),
      logits_(options.inputs != "probabilities") {
  double last_fold = -1;
  ranks_.agree([&] {
    check_shapes(input, !ranks_.alone());
    for (size_t i = 0; i < input.folds.size(); ++i) {
      if (input.folds[i] < 0) {
        throw Error(ErrorKind::kData, fmt::format("stack: sample {} has no fold", input.ids[i]));
      }
      last_fold = std::max(last_fold, double(input.folds[i]));
    }
  });
  for (const at::Tensor& there : ranks_.gather(at::scalar_tensor(last_fold, at::kDouble)))
    last_fold = std::max(last_fold, there.item<double>());
  const auto num_folds = static_cast<int64_t>(last_fold) + 1;

  const at::Tensor counts_K = at::zeros({num_folds}, at::kDouble);
  for (int64_t fold = 0; fold < num_folds; ++fold) {
    const int64_t start = num_rows();
    for (size_t i = 0; i < input.folds.size(); ++i) {
      if (input.folds[i] == fold) rows_N_.push_back(static_cast<int64_t>(i));
    }
    const int64_t count = num_rows() - start;
    counts_K[fold] = double(count);
    for (int64_t first = 0; first < count; first += kPieceRows) {
      pieces_.push_back({.index = std::ssize(pieces_),
                         .fold = fold,
                         .part = fold * kPartsOfFold + first * kPartsOfFold / count,
                         .first = start + first,
                         .count = std::min(kPieceRows, count - first)});
    }
  }
  divide_folds(counts_K);

  oof_MNL_ = readable(input.oof_MNL);
  const at::Tensor targets_NL = readable(input.targets_NL);
  num_labels_ = targets_NL.size(1);
  ranks_.agree([&] { check_targets(input, targets_NL.to(at::kDouble)); });
  positives_KL_ = at::zeros({num_folds, num_labels_}, at::kDouble);
  targets_P_.resize(pieces_.size());
  on_threads(std::ssize(pieces_), [&](int64_t p) {
    const RowPiece& piece = pieces_[static_cast<size_t>(p)];
    targets_P_[static_cast<size_t>(p)] =
        gathered(targets_NL, rows_N_.data() + piece.first, piece.count);
  });
  for (const RowPiece& piece : pieces_) {
    add_sums(columns_of(targets(piece), piece.count),
             positives_KL_.data_ptr<double>() + piece.fold * num_labels_);
  }
  ranks_.add_up({positives_KL_});

  kept_M_ = complete_models(input, oof_MNL_, num_folds, options, ranks_);
  find_means();
}

void StackTables::find_means() {
  const at::Tensor inputs_MKL = at::zeros({num_models(), num_folds(), num_labels_}, at::kDouble);
  const at::Tensor probabilities_MKL = at::zeros_like(inputs_MKL);
  on_threads(num_models(), [&](int64_t m) {
    const auto add = [&](const at::Tensor& values_LP, const RowPiece& piece,
                         const at::Tensor& sums_MKL) {
      add_sums(columns_of(values_LP, piece.count),
               sums_MKL.data_ptr<double>() + (m * num_folds() + piece.fold) * num_labels_);
    };
    for (const RowPiece& piece : pieces_) {
      add(probabilities(m, piece), piece, probabilities_MKL);
      if (logits_) add(inputs(m, piece), piece, inputs_MKL);
    }
  });
  ranks_.add_up({inputs_MKL, probabilities_MKL});
  const auto rows = double(num_rows_of_all());
  mean_inputs_ML_ = (logits_ ? inputs_MKL : probabilities_MKL).sum(1) / rows;
  centre_L_ =
      (probabilities_MKL.sum(at::IntArrayRef{0, 1}) / (double(num_models()) * rows)).contiguous();
}

void StackTables::divide_folds(const at::Tensor& counts_K) {
  const std::vector<at::Tensor> by_rank = ranks_.gather(counts_K);
  double all = 0;
  for (const at::Tensor& counts : by_rank) all += counts.sum().item<double>();
  for (int64_t fold = 0; fold < counts_K.numel(); ++fold) {
    double count = 0;
    std::vector<int64_t> owners;
    for (size_t r = 0; r < by_rank.size(); ++r) {
      const double here = by_rank[r][fold].item<double>();
      count += here;
      if (here > 0) owners.push_back(static_cast<int64_t>(r));
    }
    if (count == 0 || count == all) {
      throw Error(ErrorKind::kData,
                  fmt::format("stack: fold {} of {} holds {} of {} samples", fold, counts_K.numel(),
                              count, all),
                  "stacking needs at least two folds, each with samples");
    }
    if (owners.size() > 1) {
      throw Error(
          ErrorKind::kData,
          fmt::format("stack: rows of fold {} live on ranks {} and {}", fold, owners[0], owners[1]),
          "give all rows of a fold to one rank");
    }
    counts_K_.push_back(static_cast<int64_t>(count));
    owners_K_.push_back(owners[0]);
  }
}

int64_t StackTables::num_rows_of_all() const {
  return std::accumulate(counts_K_.begin(), counts_K_.end(), int64_t{0});
}

at::Tensor StackTables::probabilities(int64_t m, const RowPiece& piece) const {
  return gathered(oof_MNL_[kept_M_[static_cast<size_t>(m)]], rows_N_.data() + piece.first,
                  piece.count);
}

at::Tensor StackTables::inputs(int64_t m, const RowPiece& piece) const {
  at::Tensor values = probabilities(m, piece);
  if (logits_) {
    at::logit_(values, kLeastProbability);
    clear_padding(columns_of(values, piece.count));
  }
  return values;
}

std::vector<RowPiece> StackTables::pieces_without(const std::vector<int64_t>& folds) const {
  std::vector<RowPiece> result;
  std::copy_if(pieces_.begin(), pieces_.end(), std::back_inserter(result),
               [&](const RowPiece& piece) {
                 return std::find(folds.begin(), folds.end(), piece.fold) == folds.end();
               });
  return result;
}

at::Tensor StackTables::everywhere(const std::vector<at::Tensor>& parts_RC, int64_t num_columns,
                                   const std::vector<int64_t>& without) const {
  const at::Tensor here_NC =
      parts_RC.empty() ? at::empty({0, num_columns}, at::kDouble) : at::cat(parts_RC);
  if (ranks_.alone()) return here_NC;
  const std::vector<at::Tensor> by_rank = ranks_.gather(here_NC);
  std::vector<int64_t> taken(by_rank.size(), 0);
  std::vector<at::Tensor> parts;
  for (int64_t fold = 0; fold < num_folds(); ++fold) {
    if (std::find(without.begin(), without.end(), fold) != without.end()) continue;
    const auto owner = static_cast<size_t>(owners_K_[static_cast<size_t>(fold)]);
    const int64_t count = count_of(fold) * num_columns;
    parts.push_back(by_rank[owner].narrow(0, taken[owner], count).reshape({-1, num_columns}));
    taken[owner] += count;
  }
  return at::cat(parts);
}

at::Tensor StackTables::inputs_without(int64_t m, const std::vector<int64_t>& folds) const {
  std::vector<at::Tensor> parts;
  for (const RowPiece& piece : pieces_without(folds))
    parts.push_back(as_rows(inputs(m, piece), piece));
  return everywhere(parts, num_labels(), folds);
}

at::Tensor StackTables::targets_without(const std::vector<int64_t>& folds) const {
  std::vector<at::Tensor> parts;
  for (const RowPiece& piece : pieces_without(folds))
    parts.push_back(as_rows(targets(piece), piece));
  return everywhere(parts, num_labels(), folds);
}

void StackTables::put_rows(const at::Tensor& rows_RC, const RowPiece& piece,
                           const at::Tensor& table_NC) const {
  const at::Tensor dense_RC = rows_RC.contiguous();
  const int64_t num_columns = dense_RC.size(1);
  const double* from = dense_RC.const_data_ptr<double>();
  double* to = table_NC.data_ptr<double>();
  for (int64_t r = 0; r < piece.count; ++r)
    std::copy_n(from + r * num_columns, num_columns,
                to + rows_N_[static_cast<size_t>(piece.first + r)] * num_columns);
}

}  // namespace baleen
