#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "distributed/communicator.h"

namespace baleen::testing {

/// A world whose ranks are threads of one process: control messages and groups in memory.
class MemoryRanks {
 public:
  explicit MemoryRanks(int num_ranks) : boxes_(static_cast<size_t>(num_ranks)) {
    for (int rank = 0; rank < num_ranks; ++rank)
      channels_.push_back(std::make_unique<Channel>(*this, rank));
  }

  ControlChannel& control(int rank) { return *channels_[static_cast<size_t>(rank)]; }

  std::shared_ptr<Communicator> make_group(int rank, const std::vector<int>& members, int tag) {
    std::lock_guard lock(mutex_);
    std::shared_ptr<Exchange>& exchange = exchanges_[{members, tag}];
    if (!exchange) exchange = std::make_shared<Exchange>(members.size());
    const auto position = std::find(members.begin(), members.end(), rank) - members.begin();
    auto group = std::make_shared<Group>(exchange, static_cast<int>(position));
    if (++exchange->joined == members.size()) exchanges_.erase({members, tag});
    return group;
  }

 private:
  struct Box {
    std::mutex mutex;
    std::condition_variable changed;
    std::map<int, std::deque<Message>> by_tag;
  };

  class Channel final : public ControlChannel {
   public:
    Channel(MemoryRanks& ranks, int rank) : ranks_(ranks), rank_(rank) {}
    void send(int destination, int tag, const std::string& bytes) override {
      Box& box = ranks_.boxes_.at(static_cast<size_t>(destination));
      std::lock_guard lock(box.mutex);
      box.by_tag[tag].push_back({rank_, bytes});
      box.changed.notify_all();
    }
    bool receive(int tag, double timeout_s, Message& message) override {
      Box& box = ranks_.boxes_[static_cast<size_t>(rank_)];
      std::unique_lock lock(box.mutex);
      std::deque<Message>& queue = box.by_tag[tag];
      box.changed.wait_for(lock, std::chrono::duration<double>(timeout_s),
                           [&] { return !queue.empty(); });
      if (queue.empty()) return false;
      message = std::move(queue.front());
      queue.pop_front();
      return true;
    }

   private:
    MemoryRanks& ranks_;
    int rank_;
  };

  /// What all members say, handed to all of them once the last one has spoken.
  struct Exchange {
    explicit Exchange(size_t size) : said(size) {}
    std::vector<std::string> all(int rank, const std::string& bytes) {
      std::unique_lock lock(mutex);
      said[static_cast<size_t>(rank)] = bytes;
      const int64_t round = rounds;
      if (++arrived == said.size()) {
        heard = said;
        arrived = 0;
        ++rounds;
        changed.notify_all();
      } else {
        changed.wait(lock, [&] { return rounds != round; });
      }
      return heard;
    }
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<std::string> said;
    std::vector<std::string> heard;
    size_t arrived = 0;
    size_t joined = 0;
    int64_t rounds = 0;
  };

  class Group final : public Communicator {
   public:
    Group(std::shared_ptr<Exchange> exchange, int rank)
        : exchange_(std::move(exchange)), rank_(rank) {}
    int rank() const override { return rank_; }
    int size() const override { return static_cast<int>(exchange_->said.size()); }
    void barrier() override { exchange_->all(rank_, ""); }
    bool any(bool here) override { return max(here ? 1 : 0) > 0; }
    std::vector<std::string> all_gather(const std::string& bytes) override {
      return exchange_->all(rank_, bytes);
    }
    std::vector<std::string> gather(const std::string& bytes, int root) override {
      std::vector<std::string> all = exchange_->all(rank_, bytes);
      if (rank_ != root) all.clear();
      return all;
    }
    std::string broadcast(const std::string& bytes, int root) override {
      return exchange_->all(rank_, bytes)[static_cast<size_t>(root)];
    }
    int64_t max(int64_t value) override {
      int64_t largest = value;
      for (const std::string& text : exchange_->all(rank_, std::to_string(value))) {
        largest = std::max<int64_t>(largest, std::stoll(text));
      }
      return largest;
    }
    void close() override { barrier(); }

   private:
    std::shared_ptr<Exchange> exchange_;
    int rank_;
  };

  std::vector<Box> boxes_;
  std::vector<std::unique_ptr<Channel>> channels_;
  std::mutex mutex_;
  std::map<std::pair<std::vector<int>, int>, std::shared_ptr<Exchange>> exchanges_;
};

}  // namespace baleen::testing
