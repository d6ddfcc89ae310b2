#include "core/matching/assignment.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <numeric>

#include "core/base/error.h"
#include "core/base/seeds.h"
#include "tests/experiments/oracle.h"

namespace baleen {
namespace {

constexpr double kForbidden = std::numeric_limits<double>::infinity();

/// The problems of tests/parity/assignment_costs.py.
int64_t size_of(int64_t number, int64_t largest) {
  // 49 and the 8 kinds of problems have no divisor in common: each kind comes large, too.
  return number % 49 == 48 ? largest : 1 + number * 37 % std::max<int64_t>(1, largest / 5);
}

std::vector<double> problem(int64_t number, int64_t n, uint64_t seed) {
  CounterRandom random(static_cast<uint64_t>(number) + 1'000'000 * seed);
  std::vector<double> costs(static_cast<size_t>(n * n));
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      const double u = random.uniform();
      double cost = u;
      switch (number % 8) {
        case 1:
          cost = std::floor(5 * u);
          break;
        case 2:
          cost = u < 0.1 || j == (i + 1) % n ? 10 * u : kForbidden;
          break;
        case 3:
          cost = i / 4 == j / 4 ? kForbidden : -u;
          break;
        case 4:
          cost = j <= i || (u < 0.01 && j == i + 1) ? u : kForbidden;
          break;
        case 5:
          cost = i <= n / 2 && j >= n / 2 ? kForbidden : u;
          break;
        case 6:
          cost = std::floor(u * 1024) * std::exp2(std::floor(std::fmod(u * 65536, 1.0) * 30 - 15));
          break;
        case 7:
          cost = std::floor(64 * u) + static_cast<double>((i % 64) * (j % 64));
          break;
        default:
          break;
      }
      costs[static_cast<size_t>(i * n + j)] = cost;
    }
  }
  return costs;
}

/// The certificate: a permutation of allowed pairs whose duals leave no cheaper one.
template <class Cost>
void expect_optimal(const std::vector<Cost>& costs, int64_t n, const Assignment& found) {
  std::vector<int64_t> columns = found.column_of_row, all(static_cast<size_t>(n));
  std::sort(columns.begin(), columns.end());
  std::iota(all.begin(), all.end(), 0);
  ASSERT_EQ(columns, all) << "not a permutation";
  double largest = 0.0, worst = 0.0, duals = 0.0;
  for (int64_t i = 0; i < n; ++i) {
    duals += found.row_duals[i] + found.column_duals[i];
    for (int64_t j = 0; j < n; ++j) {
      const double cost = costs[i * n + j];
      if (cost == kForbidden) continue;
      largest = std::max(largest, std::abs(cost));
      worst = std::min(worst, cost - found.row_duals[i] - found.column_duals[j]);
    }
  }
  EXPECT_GE(worst, -1e-12 * largest);
  EXPECT_NEAR(found.total_cost, duals, 1e-12 * largest * static_cast<double>(n));
}

template <class Cost>
void compare(const std::vector<double>& exact, int64_t n, const nlohmann::json& least) {
  const std::vector<Cost> costs(exact.begin(), exact.end());
  for (const int64_t core : {int64_t{0}, int64_t{8}, n}) {
    SCOPED_TRACE(::testing::Message() << "core of " << core << " columns");
    const auto found = find_assignment(CostView<Cost>{costs.data(), n, n}, {core});
    ASSERT_EQ(found.has_value(), !least.is_null());
    if (!found) continue;
    EXPECT_NEAR(found->total_cost, least.get<double>(), 1e-12 * (1 + std::abs(found->total_cost)));
    expect_optimal(costs, n, *found);
  }
}

// BALEEN_ASSIGNMENT_PROBLEMS=1000 asks for all of them, up to 2,000 rows; BALEEN_ASSIGNMENT_SEED
// for others.
TEST(AssignmentTest, CostsWhatScipysCosts) {
  const char* asked = std::getenv("BALEEN_ASSIGNMENT_PROBLEMS");
  const int64_t count = asked ? std::atoll(asked) : 160;
  const int64_t largest = asked ? 2000 : 300;
  const char* other = std::getenv("BALEEN_ASSIGNMENT_SEED");
  const uint64_t seed = other ? std::strtoull(other, nullptr, 10) : 0;
  const auto least =
      testing::ask_oracle("assignment_costs.py", fmt::format("{} {} {}", count, largest, seed));
  if (!least) GTEST_SKIP() << "BALEEN_PYTHON is not set";
  ASSERT_EQ(std::ssize(*least), count);
  for (int64_t number = 0; number < count; ++number) {
    const int64_t n = size_of(number, largest);
    SCOPED_TRACE(::testing::Message() << "problem " << number << ", " << n << " rows");
    const auto costs = problem(number, n, seed);
    if (number / 8 % 2) {
      compare<float>(costs, n, (*least)[static_cast<size_t>(number)]);
    } else {
      compare<double>(costs, n, (*least)[static_cast<size_t>(number)]);
    }
    if (::testing::Test::HasFailure()) return;
  }
  const auto infeasible =
      std::count_if(least->begin(), least->end(), [](const auto& cost) { return cost.is_null(); });
  std::printf("%lld problems of up to %lld rows, seed %llu: %lld infeasible, all as scipy says\n",
              static_cast<long long>(count), static_cast<long long>(largest),
              static_cast<unsigned long long>(seed), static_cast<long long>(infeasible));
}

TEST(AssignmentTest, GoldenValue) {
  const std::vector<double> costs = {kForbidden, .3, .9,  .1,  .2,  kForbidden, .4, .8, .7, .6,
                                     kForbidden, .5, .15, .35, .25, kForbidden};
  const Assignment found = solve_assignment(CostView<double>{costs.data(), 4, 4});
  EXPECT_THAT(found.column_of_row, ::testing::ElementsAre(3, 0, 1, 2));
  EXPECT_NEAR(found.total_cost, 1.15, 1e-15);
}

TEST(AssignmentTest, RowsMayLieApart) {
  const std::vector<float> costs = {1, 0, -100, 0, 1, -100};
  const Assignment found = solve_assignment(CostView<float>{costs.data(), 2, 3});
  EXPECT_THAT(found.column_of_row, ::testing::ElementsAre(1, 0));
  EXPECT_TRUE(solve_assignment(CostView<float>{}).column_of_row.empty());
}

TEST(AssignmentTest, NaNNamesItsPlace) {
  std::vector<float> costs(10 * 10, 1.0f);
  for (const float bad : {std::nanf(""), -std::numeric_limits<float>::infinity()}) {
    costs[73] = bad;
    try {
      solve_assignment(CostView<float>{costs.data(), 10, 10});
      FAIL() << bad << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kNumeric);
      EXPECT_THAT(error.message(), ::testing::HasSubstr("row 7, column 3"));
    }
  }
}

TEST(AssignmentTest, ForbiddenPermutationsAreAnErrorThatSaysWhy) {
  // Rows 0, 1, 2 have columns 0 and 1 between them.
  std::vector<double> costs(25, 1.0);
  for (int64_t i = 0; i < 3; ++i) std::fill_n(costs.begin() + i * 5 + 2, 3, kForbidden);
  const CostView<double> view{costs.data(), 5, 5};
  EXPECT_FALSE(find_assignment(view).has_value());
  try {
    solve_assignment(view);
    FAIL() << "an impossible problem was solved";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    EXPECT_THAT(error.message(), ::testing::HasSubstr("3 rows"));
    EXPECT_THAT(error.message(), ::testing::HasSubstr("2 columns"));
  }
  std::fill(costs.begin(), costs.end(), kForbidden);
  EXPECT_FALSE(find_assignment(view).has_value());
}

}  // namespace
}  // namespace baleen
