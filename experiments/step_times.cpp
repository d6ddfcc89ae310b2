#include "experiments/step_times.h"

#include <algorithm>
#include <cmath>

namespace baleen {

double median_of(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>((values.size() - 1) / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void StepTimes::add(double whole_s, const std::vector<double>& member_s) {
  constexpr size_t kRemembered = 64;
  whole_.push_back(whole_s);
  if (whole_.size() > kRemembered) whole_.pop_front();
  if (!members_.empty() && members_.front().size() != member_s.size()) members_.clear();
  members_.push_back(member_s);
  if (members_.size() > kWindow) members_.pop_front();
}

std::vector<double> StepTimes::member_medians() const {
  if (members_.size() < kWindow) return {};
  std::vector<double> medians;
  for (size_t member = 0; member < members_.front().size(); ++member) {
    std::vector<double> times;
    for (const std::vector<double>& step : members_) times.push_back(step[member]);
    medians.push_back(median_of(std::move(times)));
    if (medians.back() <= 0) return {};
  }
  return medians;
}

double StepTimes::limit_s() const {
  constexpr size_t kKnown = 5;
  if (whole_.size() < kKnown) return kFirstLimit_s;
  const double usual = median_of({whole_.begin(), whole_.end()});
  std::vector<double> deviations;
  for (const double time : whole_) deviations.push_back(std::abs(time - usual));
  return std::max(kLeastLimit_s, 10 * (usual + 5 * median_of(std::move(deviations))));
}

}  // namespace baleen
