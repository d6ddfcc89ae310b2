#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "distributed/device.h"
#include "distributed/device_link_test.h"

namespace baleen {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(DeviceLinks, EachDeviceTakesPartOnceHoweverManyRanksHaveIt) {
  EXPECT_THAT(ranks_of_devices({"a", "a", "b", "b"}, {0, 1, 0, 1}), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(ranks_of_devices({"a", "a", "a", "b", "b"}, {0, 1, 0, 0, 0}), ElementsAre(0, 1, 3));
  EXPECT_THAT(ranks_of_devices({"a", "b", "c"}, {-1, 0, -1}), ElementsAre(1));
  EXPECT_THAT(ranks_of_devices({"a", "b"}, {-1, -1}), IsEmpty());
}

TEST(DeviceLinks, AProcessAloneMeasuresItsOwnDevice) {
  const DeviceLinkMeasure links = measure_device_links(nullptr);
  EXPECT_EQ(links.problem, "");
  EXPECT_EQ(links.num_devices, training_device("auto").is_cuda() ? 1 : 0);
  EXPECT_EQ(links.round_trip_us > 0, links.num_devices > 0);
  EXPECT_EQ(links.bytes_per_s, 0);
}

}  // namespace
}  // namespace baleen
