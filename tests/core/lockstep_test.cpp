#include "core/training/lockstep.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>

#include "core/base/error.h"

namespace baleen {
namespace {

at::Tensor row(double value) { return at::full({1}, value, at::kDouble); }

TEST(LockstepTest, EveryPassSeesTheRowsOfAllInOrder) {
  for (int64_t count : {1, 2, 5}) {
    int64_t num_gathers = 0;
    Lockstep lockstep([&](const at::Tensor& rows) {
      ++num_gathers;
      EXPECT_EQ(rows.size(0), count);
      return rows;
    });
    std::vector<std::vector<int64_t>> order;
    lockstep.run(count, [&](int64_t index, StatisticsExchange& exchange) {
      for (int64_t layer = 0; layer < 3; ++layer) {
        order.push_back({layer, index});
        const at::Tensor all = exchange.gather(row(static_cast<double>(10 * layer + index)));
        for (int64_t i = 0; i < count; ++i)
          EXPECT_EQ(all[i][0].item<double>(), static_cast<double>(10 * layer + i));
      }
    });
    EXPECT_EQ(num_gathers, 3);
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
    EXPECT_EQ(order.size(), static_cast<size_t>(3 * count));
  }
}

TEST(LockstepTest, EachPassDrawsFromItsOwnRandomStream) {
  const auto draws_of = [](int64_t count) {
    std::vector<at::Tensor> draws(static_cast<size_t>(count));
    Lockstep lockstep([](const at::Tensor& rows) { return rows; });
    lockstep.run(count, [&](int64_t index, StatisticsExchange& exchange) {
      at::manual_seed(static_cast<uint64_t>(100 + index));
      const at::Tensor first = at::rand({4});
      exchange.gather(row(0));
      const at::Tensor second = at::rand({4});
      exchange.gather(row(0));
      draws[static_cast<size_t>(index)] = at::cat({first, second, at::randn({5})});
    });
    return draws;
  };
  const auto together = draws_of(3);
  at::manual_seed(102);
  const at::Tensor alone = at::cat({at::rand({4}), at::rand({4}), at::randn({5})});
  EXPECT_TRUE(at::equal(together[2], alone));
  EXPECT_TRUE(at::equal(together[0], draws_of(1)[0]));
}

TEST(LockstepTest, AFailedPassEndsAllAndIsTheOneThatIsThrown) {
  for (int64_t culprit : {0, 1, 2}) {
    int64_t num_ended = 0;
    struct Counter {
      int64_t& count;
      ~Counter() { ++count; }
    };
    Lockstep lockstep([](const at::Tensor& rows) { return rows; });
    try {
      lockstep.run(3, [&](int64_t index, StatisticsExchange& exchange) {
        const Counter counter{num_ended};
        exchange.gather(row(1));
        if (index == culprit) throw std::runtime_error("out of luck");
        exchange.gather(row(2));
      });
      ADD_FAILURE() << "nothing was thrown";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "out of luck");
    }
    EXPECT_EQ(num_ended, 3);
  }
  Lockstep broken([](const at::Tensor&) -> at::Tensor { throw std::runtime_error("no peer"); });
  EXPECT_THROW(broken.run(2, [](int64_t, StatisticsExchange& e) { e.gather(row(1)); }),
               std::runtime_error);
}

TEST(LockstepTest, PassesThatPartAreRefused) {
  Lockstep lockstep([](const at::Tensor& rows) { return rows; });
  EXPECT_THROW(lockstep.run(2,
                            [](int64_t index, StatisticsExchange& exchange) {
                              if (index == 0) exchange.gather(row(1));
                            }),
               Error);
}

}  // namespace
}  // namespace baleen
