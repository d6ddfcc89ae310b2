#include "experiments/stacking/fit_on_ranks.h"

#include <ATen/ATen.h>

namespace baleen {
namespace {

std::vector<int64_t> rows_of(const StackInput& input, int rank, int size) {
  std::vector<int64_t> rows;
  for (size_t i = 0; i < input.folds.size(); ++i) {
    if (input.folds[i] % size == rank) rows.push_back(static_cast<int64_t>(i));
  }
  return rows;
}

int64_t first_test(const StackInput& input, int rank, int size) {
  return std::ssize(input.test_ids) * rank / size;
}

}  // namespace

StackInput share_of(const StackInput& input, int rank, int size) {
  StackInput share{.models = input.models,
                   .labels = input.labels,
                   .classes = input.classes,
                   .metric = input.metric};
  const std::vector<int64_t> rows = rows_of(input, rank, size);
  for (const int64_t row : rows) {
    share.ids.push_back(input.ids[static_cast<size_t>(row)]);
    share.folds.push_back(input.folds[static_cast<size_t>(row)]);
  }
  const at::Tensor index = at::tensor(rows, at::kLong);
  share.oof_MNL = input.oof_MNL.index_select(1, index);
  share.targets_NL = input.targets_NL.index_select(0, index);
  if (!input.test_MTL.defined()) return share;
  const int64_t begin = first_test(input, rank, size), end = first_test(input, rank + 1, size);
  share.test_ids.assign(input.test_ids.begin() + begin, input.test_ids.begin() + end);
  share.test_MTL = input.test_MTL.narrow(1, begin, end - begin);
  return share;
}

StackResult fit_on_ranks(const StackInput& input, const StackOptions& options,
                         Communicator& world) {
  const StackRanks ranks(world);
  if (ranks.alone()) return fit_stack(input, options);
  StackResult result = fit_stack(share_of(input, ranks.rank(), ranks.size()), options,
                                 /*keep_level1=*/false, ranks);
  const auto num_labels = std::ssize(input.labels);
  const auto assembled = [&](const at::Tensor& here_NL) {
    const std::vector<at::Tensor> parts = ranks.gather(here_NL);
    at::Tensor whole_NL = at::empty({std::ssize(input.ids), num_labels}, at::kDouble);
    for (int r = 0; r < ranks.size(); ++r) {
      whole_NL.index_copy_(0, at::tensor(rows_of(input, r, ranks.size()), at::kLong),
                           parts[static_cast<size_t>(r)].reshape({-1, num_labels}));
    }
    return whole_NL;
  };
  result.oof_NL = assembled(result.oof_NL);
  result.level1_mean_NL = assembled(result.level1_mean_NL);
  if (!input.test_ids.empty()) {
    const at::Tensor here =
        result.test_TL.defined() ? result.test_TL : at::empty({0, num_labels}, at::kDouble);
    result.test_TL = at::cat(ranks.gather(here)).reshape({-1, num_labels});
  }
  return result;
}

}  // namespace baleen
