#pragma once

#include <string>
#include <vector>

#include "distributed/communicator.h"

namespace baleen {

/// What messages between rank 0 and another rank take.
struct LinkMeasure {
  int rank = 0;               ///< the other one
  std::string host;           ///< its host
  double round_trip_us = 0;   ///< of 8 bytes, the median
  double bytes_per_s = 0;     ///< one way, in messages of 4 MiB, the median
  double clock_offset_s = 0;  ///< its clock minus rank 0's, from the fastest round trip
};

/// [collective] Measures rank 0's links to the other ranks one after the other: to all of up to 64;
/// of more, to the first rank of each host and to every rank of rank 0's own.
/// @param hosts of every rank, in rank order
/// @returns the links on rank 0; empty elsewhere
/// @throws Error kCommunication naming the operation
std::vector<LinkMeasure> measure_links(Communicator& world, const std::vector<std::string>& hosts);

}  // namespace baleen
