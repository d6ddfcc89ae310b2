#include "core/training/lockstep.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/ThreadLocalState.h>

#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/base/error.h"

namespace baleen {
namespace {

/// Unwinds the passes beside one that failed; never leaves this file.
struct Abandoned : std::exception {};  // autograd passes std::exception through

class DirectExchange final : public StatisticsExchange {
 public:
  explicit DirectExchange(const Lockstep::Gather& gather) : gather_(gather) {}
  at::Tensor gather(const at::Tensor& row_K) override { return gather_(row_K.unsqueeze(0)); }

 private:
  const Lockstep::Gather& gather_;
};

constexpr int64_t kNobody = -1;

/// The baton: whose turn it is. Everything else is touched only by whoever holds it.
class Relay {
 public:
  void pass_to(int64_t next) {
    {
      const std::lock_guard lock(mutex_);
      turn_ = next;
    }
    changed_.notify_all();
  }
  void wait_for(int64_t me) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return turn_ == me; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int64_t turn_ = kNobody;
};

/// One shard's pass: a thread that waits for its turn.
class Runner final : public StatisticsExchange {
 public:
  Runner(Relay& relay, int64_t index) : relay_(relay), index_(index) {}

  void start(const Lockstep::Pass& pass) {
    thread_ = std::thread([this, &pass, state = at::ThreadLocalState()] {
      const at::ThreadLocalStateGuard inherited(state);
      relay_.wait_for(index_);
      try {
        if (!abandoned) pass(index_, *this);
      } catch (...) {
        if (!abandoned) failure = std::current_exception();
      }
      done = true;
      relay_.pass_to(kNobody);
    });
  }

  /// From the main thread: lets the pass run until it asks or ends.
  void resume() {
    at::Generator generator = at::globalContext().defaultGenerator(at::kCPU);
    {
      const std::lock_guard lock(generator.mutex());
      if (random_state_.defined()) generator.set_state(random_state_);
    }
    relay_.pass_to(index_);
    relay_.wait_for(kNobody);
    const std::lock_guard lock(generator.mutex());
    random_state_ = generator.get_state();
  }

  at::Tensor gather(const at::Tensor& row_K) override {
    if (abandoned) throw Abandoned{};
    question = row_K;
    relay_.pass_to(kNobody);
    relay_.wait_for(index_);
    if (abandoned) throw Abandoned{};
    return answer;
  }

  void join() { thread_.join(); }

  at::Tensor question, answer;
  bool done = false;
  bool abandoned = false;
  std::exception_ptr failure;

 private:
  Relay& relay_;
  int64_t index_;
  std::thread thread_;
  at::Tensor random_state_;  ///< where this pass stands in its own stream
};

using Runners = std::vector<std::unique_ptr<Runner>>;

/// Lets every pass that is not done end at once.
void abandon(const Runners& runners) {
  for (const auto& runner : runners) {
    runner->abandoned = true;
    while (!runner->done) runner->resume();
  }
}

/// One round: each pass up to its next question, then the answer to all. @returns whether to go on
bool take_round(const Runners& runners, const Lockstep::Gather& gather) {
  std::vector<at::Tensor> questions;
  for (const auto& runner : runners) {
    runner->question.reset();
    runner->resume();
    if (runner->failure) std::rethrow_exception(runner->failure);
    if (!runner->done) questions.push_back(runner->question);
  }
  if (questions.empty()) return false;
  if (questions.size() != runners.size()) {
    throw Error(ErrorKind::kInternal,
                "the shards of a batch did not ask for statistics equally often",
                "a network must take the same way for every batch: batch_norm: local has no such "
                "condition");
  }
  const at::Tensor answer = gather(at::stack(questions));
  for (const auto& runner : runners) runner->answer = answer;
  return true;
}

}  // namespace

void Lockstep::run(int64_t count, const Pass& pass) {
  if (count == 1) {
    DirectExchange exchange(gather_);
    pass(0, exchange);
    return;
  }
  Relay relay;
  Runners runners;
  for (int64_t i = 0; i < count; ++i) runners.push_back(std::make_unique<Runner>(relay, i));
  for (const auto& runner : runners) runner->start(pass);
  std::exception_ptr failure;
  try {
    while (take_round(runners, gather_)) {
    }
  } catch (...) {
    failure = std::current_exception();
    abandon(runners);
  }
  for (const auto& runner : runners) runner->join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace baleen
