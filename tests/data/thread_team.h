#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "data/pack/team.h"

namespace baleen::testing {

/// Ranks of a PackTeam as threads of this process.
class ThreadTeam {
 public:
  explicit ThreadTeam(int64_t size)
      : size_(size), gathered_(static_cast<size_t>(size)), inboxes_(static_cast<size_t>(size)) {}

  /// Runs `work` on every rank; what each threw, or null, by rank.
  std::vector<std::exception_ptr> run(const std::function<void(const PackTeam&)>& work) {
    std::vector<std::exception_ptr> failures(static_cast<size_t>(size_));
    std::vector<std::jthread> threads;
    for (int64_t rank = 0; rank < size_; ++rank)
      threads.emplace_back([&, rank] {
        try {
          work(team(rank));
        } catch (...) {
          failures[static_cast<size_t>(rank)] = std::current_exception();
        }
      });
    threads.clear();
    return failures;
  }

 private:
  PackTeam team(int64_t rank) {
    PackTeam team;
    team.size = size_;
    team.rank = rank;
    team.all_gather = [this, rank](const std::string& bytes) {
      std::unique_lock lock(mutex_);
      const int64_t round = round_;
      gathered_[static_cast<size_t>(rank)] = bytes;
      if (++arrived_ == size_) {
        arrived_ = 0;
        result_ = gathered_;
        ++round_;
        changed_.notify_all();
      } else {
        changed_.wait(lock, [&] { return round_ > round; });
      }
      return result_;
    };
    team.send = [this, rank](int64_t to, const std::string& bytes) {
      const std::lock_guard lock(mutex_);
      inboxes_[static_cast<size_t>(to)].push_back({rank, bytes});
      changed_.notify_all();
    };
    team.receive = [this, rank](double timeout_s) -> std::optional<TeamMessage> {
      std::unique_lock lock(mutex_);
      auto& inbox = inboxes_[static_cast<size_t>(rank)];
      changed_.wait_for(lock, std::chrono::duration<double>(timeout_s),
                        [&] { return !inbox.empty(); });
      if (inbox.empty()) return std::nullopt;
      TeamMessage message = std::move(inbox.front());
      inbox.pop_front();
      return message;
    };
    return team;
  }

  const int64_t size_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> gathered_;
  std::vector<std::string> result_;
  int64_t arrived_ = 0;
  int64_t round_ = 0;
  std::vector<std::deque<TeamMessage>> inboxes_;
};

}  // namespace baleen::testing
