#pragma once

#include <string>
#include <vector>

#include "distributed/communicator.h"

namespace baleen {

/// What all-reduces over NCCL take between the devices of a job.
struct DeviceLinkMeasure {
  int num_devices = 0;       ///< that took part, with a rank each; 0: no rank has one
  int num_hosts = 0;         ///< theirs
  int num_sharing = 0;       ///< ranks left out: their device is another rank's, which NCCL refuses
  double round_trip_us = 0;  ///< of 4 bytes
  double bytes_per_s = 0;    ///< that each device sends and receives, with 64 MiB; 0: there is one
  std::string problem;       ///< what went wrong; empty: nothing
};

/// The first rank of each device, ascending.
/// @param hosts of every rank, in rank order
/// @param devices its device's number on its host; -1: it has none
std::vector<int> ranks_of_devices(const std::vector<std::string>& hosts,
                                  const std::vector<int>& devices);

/// [collective over the world] Sums over the devices of all ranks, checked and timed. What goes
/// wrong is told in the result, but a peer that never answers ends the job after a minute.
/// @param mpi null: this process is alone
DeviceLinkMeasure measure_device_links(MpiEnvironment* mpi);

}  // namespace baleen
