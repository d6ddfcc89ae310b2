#pragma once

#include <mpi.h>

#include <memory>
#include <string>
#include <vector>

#include "distributed/activity.h"
#include "distributed/communicator.h"

namespace baleen {

/// Communicator over an MPI communicator of its own. Waiting sleeps between polls, so that a rank
/// that waits for the others at a stage's end leaves its core to them.
class MpiCommunicator final : public Communicator {
 public:
  /// Takes over `comm`; `world_ranks` maps its ranks to the world's.
  /// @param activity told of every wait for the others; may be null
  MpiCommunicator(MPI_Comm comm, std::vector<int> world_ranks,
                  std::shared_ptr<Activity> activity = nullptr);
  ~MpiCommunicator() override;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void barrier() override;
  bool any(bool here) override;
  std::vector<std::string> all_gather(const std::string& bytes) override;
  std::vector<std::string> gather(const std::string& bytes, int root) override;
  std::string broadcast(const std::string& bytes, int root) override;
  int64_t max(int64_t value) override;
  void close() override;

  MPI_Comm handle() const { return comm_; }
  const std::vector<int>& world_ranks() const { return world_ranks_; }
  Activity* activity() const { return activity_.get(); }

 private:
  void wait(MPI_Request request, const char* operation);

  MPI_Comm comm_;
  std::vector<int> world_ranks_;
  std::shared_ptr<Activity> activity_;
  int rank_ = 0;
  int size_ = 1;
};

}  // namespace baleen
