#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace baleen {

/// How long a group's steps take: what is usual, by median and median absolute deviation, which one
/// odd step does not move.
class StepTimes {
 public:
  /// One step. @param whole_s what it took @param member_s each member's own part per logical
  /// shard, or nothing where it was not measured
  void add(double whole_s, const std::vector<double>& member_s);

  /// Medians of the last kWindow steps by member; empty before there are kWindow, or where nothing
  /// was measured.
  std::vector<double> member_medians() const;

  /// A step that takes longer stands still: ten times what is usual plus five deviations, at least
  /// kLeastLimit_s; kFirstLimit_s while nothing is known, as the first steps may load or compile.
  double limit_s() const;

  static constexpr size_t kWindow = 16;
  static constexpr double kLeastLimit_s = 120;
  static constexpr double kFirstLimit_s = 600;

 private:
  std::deque<double> whole_;
  std::deque<std::vector<double>> members_;
};

/// The middle value, the lower one of two. @param values not empty
double median_of(std::vector<double> values);

}  // namespace baleen
