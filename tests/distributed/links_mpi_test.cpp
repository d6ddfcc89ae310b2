#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "distributed/library_versions.h"
#include "distributed/link_test.h"
#include "tests/support/mpi_world.h"

namespace baleen {
namespace {

TEST(Links, OfTheFirstRankToEveryOtherAreMeasured) {
  MpiCommunicator world(testing::duplicate_world(), {});
  std::vector<std::string> hosts;
  for (int r = 0; r < world.size(); ++r) hosts.push_back("host" + std::to_string(r));
  const std::vector<LinkMeasure> links = measure_links(world, hosts);
  EXPECT_EQ(links.size(), world.rank() == 0 ? hosts.size() - 1 : 0u);
  for (size_t i = 0; i < links.size(); ++i) {
    EXPECT_EQ(links[i].rank, static_cast<int>(i) + 1);
    EXPECT_EQ(links[i].host, hosts[i + 1]);
    EXPECT_GT(links[i].round_trip_us, 0);
    EXPECT_LT(links[i].round_trip_us, 1e6);
    EXPECT_GT(links[i].bytes_per_s, 1e6);
    EXPECT_TRUE(std::isfinite(links[i].bytes_per_s));
    EXPECT_LT(std::abs(links[i].clock_offset_s), 0.5) << "one machine has one clock";
  }
  world.close();
}

TEST(Links, TheLibraryIsTheOneOfTheHeaders) {
  EXPECT_EQ(mpi_library_version(), mpi_header_version());
}

}  // namespace
}  // namespace baleen
