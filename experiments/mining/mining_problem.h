#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

namespace baleen {

/// The assignment of partners among some images, list after list.
class MiningProblem {
 public:
  /// @param members positions of the images; rows and columns of the scores
  MiningProblem(std::vector<int64_t> members, bool both_orders);

  const std::vector<int64_t>& members() const { return members_; }
  /// Takes the costs of rows [first, first + R) and, as costs are symmetric, of these columns:
  /// `sign` times the scores. Rows in ascending order make all costs known.
  /// @param scores_RM float32, with the members from `first` on @throws Error kNumeric for NaN.
  void set_costs(int64_t first, const at::Tensor& scores_RM, double sign);
  /// Subtracts K · u_ij, u a function of (seed, positions).
  void add_noise(double amplitude, uint64_t seed);
  void forbid(int64_t row, int64_t column);
  /// The partner of each member, as positions, -1 where only forbidden ones were left; the pairs
  /// are forbidden from then on, with `both_orders` the other way round, too.
  std::vector<int64_t> next_list();

 private:
  float* row(int64_t i) { return costs_NN_.mutable_data_ptr<float>() + i * size(); }
  int64_t size() const { return static_cast<int64_t>(members_.size()); }
  std::vector<int64_t> solve();

  std::vector<int64_t> members_;
  bool both_orders_;
  at::Tensor costs_NN_;
};

}  // namespace baleen
