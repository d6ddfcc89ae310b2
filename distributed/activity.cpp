#include "distributed/activity.h"

#include <fmt/format.h>

#include <utility>

namespace baleen {

void Activity::set_work(std::string text, double limit_s) {
  std::lock_guard lock(mutex_);
  work_ = std::move(text);
  limit_s_ = limit_s;
  ++number_;
  work_since_ = Clock::now();
}

void Activity::set_waiting(const char* collective) {
  std::lock_guard lock(mutex_);
  collective_ = collective;
  wait_since_ = Clock::now();
}

Activity::Waiting::Waiting(Activity* activity, const char* collective) : activity_(activity) {
  if (!activity_) return;
  {
    std::lock_guard lock(activity_->mutex_);
    before_ = activity_->collective_;
  }
  activity_->set_waiting(collective);
}

Activity::Waiting::~Waiting() {
  if (activity_) activity_->set_waiting(before_);
}

Activity::State Activity::state() const {
  std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  State state;
  state.work = work_;
  state.working_s = std::chrono::duration<double>(now - work_since_).count();
  state.limit_s = limit_s_;
  state.number = number_;
  if (collective_) {
    state.collective = collective_;
    state.waiting_s = std::chrono::duration<double>(now - wait_since_).count();
  }
  return state;
}

std::string Activity::describe() const {
  const State now = state();
  if (now.collective.empty()) return now.work;
  return fmt::format("{}, waiting in {} for {:.0f} s", now.work, now.collective, now.waiting_s);
}

}  // namespace baleen
