#pragma once

#include <chrono>
#include <mutex>
#include <string>

namespace baleen {

/// What this rank does, and which collective it waits in: for whoever watches it. Any thread.
class Activity {
 public:
  /// A new piece of work begins.
  /// @param limit_s longest time it can take while all is well; 0: any
  void set_work(std::string text, double limit_s = 0);

  /// Marks the time between its making and its end as waiting for others.
  class Waiting {
   public:
    /// @param activity may be null
    /// @param collective a literal: "the sum of gradients"
    Waiting(Activity* activity, const char* collective);
    ~Waiting();
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

   private:
    Activity* activity_;
    const char* before_ = nullptr;
  };
  /// The same without a scope, for waits that begin in a callback. nullptr: waiting no more.
  void set_waiting(const char* collective);

  struct State {
    std::string work;
    std::string collective;  ///< waited in; empty: none
    double working_s = 0;    ///< since the work began
    double waiting_s = 0;    ///< since the wait began
    double limit_s = 0;
    long number = 0;  ///< of the work, counted up
  };
  State state() const;
  /// "resnet18-f0: stage 0, epoch 1, step 4, waiting in the sum of gradients for 3 s".
  std::string describe() const;

 private:
  using Clock = std::chrono::steady_clock;
  mutable std::mutex mutex_;
  std::string work_ = "starting";
  const char* collective_ = nullptr;
  double limit_s_ = 0;
  long number_ = 0;
  Clock::time_point work_since_ = Clock::now();
  Clock::time_point wait_since_ = Clock::now();
};

}  // namespace baleen
