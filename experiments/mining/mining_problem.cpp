#include "experiments/mining/mining_problem.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/base/seeds.h"
#include "core/matching/assignment.h"

namespace baleen {
namespace {

constexpr float kForbidden = std::numeric_limits<float>::infinity();

}  // namespace

MiningProblem::MiningProblem(std::vector<int64_t> members, bool both_orders)
    : members_(std::move(members)),
      both_orders_(both_orders),
      costs_NN_(at::empty({size(), size()}, at::kFloat)) {}

void MiningProblem::set_costs(int64_t first, const at::Tensor& scores_RM, double sign) {
  if (scores_RM.dim() != 2 || scores_RM.size(1) != size() - first) {
    throw Error(ErrorKind::kInternal,
                fmt::format("scores of {} pairs, {} columns", scores_RM.numel(), size() - first));
  }
  if (!at::isfinite(scores_RM).all().item<bool>()) {
    throw Error(ErrorKind::kNumeric, "scores of pairs are not finite",
                "the network has diverged: lower the learning rate or the share of hard pairs");
  }
  const int64_t rows = scores_RM.size(0), columns = scores_RM.size(1);
  const at::Tensor upper = costs_NN_.narrow(0, first, rows).narrow(1, first, columns);
  upper.copy_(scores_RM).mul_(sign);
  costs_NN_.narrow(0, first + rows, columns - rows)
      .narrow(1, first, rows)
      .copy_(upper.narrow(1, rows, columns - rows).t());
}

void MiningProblem::add_noise(double amplitude, uint64_t seed) {
  if (amplitude == 0) return;
  constexpr uint64_t kMining = 0x6D696E65;  // apart from the order of pairs
  const auto scale = static_cast<float>(amplitude * 0x1.0p-24);
  for (int64_t i = 0; i < size(); ++i) {
    const uint64_t row_seed =
        derive_seed(seed, Stream::kPairs, {kMining, static_cast<uint64_t>(members_[i])});
    float* costs = row(i);
    for (int64_t j = 0; j < size(); ++j) {
      const uint64_t draw = mix64(row_seed + static_cast<uint64_t>(members_[j]));
      costs[j] -= scale * static_cast<float>(draw >> 40);
    }
  }
}

void MiningProblem::forbid(int64_t row_index, int64_t column) {
  row(row_index)[column] = kForbidden;
}

/// Columns of least total cost; where every choice has forbidden pairs, one with the fewest.
std::vector<int64_t> MiningProblem::solve() {
  const CostView<float> view{costs_NN_.const_data_ptr<float>(), size(), size()};
  if (auto found = find_assignment(view)) return std::move(found->column_of_row);
  float least = 0.0f, largest = 0.0f;
  float* costs = row(0);
  const int64_t count = size() * size();
  for (int64_t c = 0; c < count; ++c) {
    if (costs[c] == kForbidden) continue;
    least = std::min(least, costs[c]);
    largest = std::max(largest, costs[c]);
  }
  // One forbidden pair is dearer than all that the others could save.
  const float dear = 2.0f * static_cast<float>(size()) * (largest - least + 1.0f);
  std::replace(costs, costs + count, kForbidden, dear);
  std::vector<int64_t> columns = solve_assignment(view).column_of_row;
  std::replace(costs, costs + count, dear, kForbidden);
  return columns;
}

std::vector<int64_t> MiningProblem::next_list() {
  std::vector<int64_t> partners(members_.size(), -1);
  if (members_.empty()) return partners;
  const std::vector<int64_t> columns = solve();
  for (int64_t i = 0; i < size(); ++i)
    if (row(i)[columns[i]] != kForbidden) partners[i] = members_[columns[i]];
  for (int64_t i = 0; i < size(); ++i) {
    forbid(i, columns[i]);
    if (both_orders_) forbid(columns[i], i);
  }
  return partners;
}

}  // namespace baleen
