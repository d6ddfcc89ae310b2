#include "data/class_sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "core/base/error.h"

namespace baleen {
namespace {

/// Rows 100, 101, ... of classes with these sizes.
struct Rows {
  explicit Rows(const std::vector<int64_t>& sizes) {
    for (size_t c = 0; c < sizes.size(); ++c)
      for (int64_t i = 0; i < sizes[c]; ++i) {
        class_of[100 + static_cast<int64_t>(rows.size())] = static_cast<int64_t>(c);
        rows.push_back(100 + static_cast<int64_t>(rows.size()));
        classes.push_back(static_cast<int64_t>(c));
      }
  }
  std::vector<int64_t> rows, classes;
  std::map<int64_t, int64_t> class_of;
};

TEST(ClassSamplerTest, EachBatchHasDistinctClassesOfMDistinctRows) {
  const Rows data({10, 7, 4, 5, 9, 1, 6});
  const ClassSampler sampler(data.rows, data.classes, {.per_class = 4, .seed = 3});
  EXPECT_EQ(sampler.num_classes(), 6);
  EXPECT_EQ(sampler.num_rows(), 41);
  const auto order = sampler.batches(0, 50, 16);
  ASSERT_EQ(order.size(), 800u);
  for (size_t batch = 0; batch < 50; ++batch) {
    std::set<int64_t> classes;
    for (size_t group = 0; group < 4; ++group) {
      std::set<int64_t> rows;
      std::set<int64_t> of_group;
      for (size_t j = 0; j < 4; ++j) {
        const int64_t row = order[batch * 16 + group * 4 + j];
        rows.insert(row);
        of_group.insert(data.class_of.at(row));
      }
      EXPECT_EQ(of_group.size(), 1u);
      EXPECT_GE(rows.size(), 2u);  // more only where a class shuffles anew in between
      classes.merge(of_group);
    }
    EXPECT_EQ(classes.size(), 4u);
    EXPECT_FALSE(classes.contains(5)) << "a class of one";
  }
}

TEST(ClassSamplerTest, AClassDealsAllItsRowsBeforeItRepeatsOne) {
  const Rows data({6, 6});
  const auto order = ClassSampler(data.rows, data.classes, {.per_class = 3}).batches(2, 100, 6);
  std::map<int64_t, int64_t> counts;
  for (const int64_t row : order) ++counts[row];
  for (const auto& [row, count] : counts) EXPECT_EQ(count, 50) << row;
}

TEST(ClassSamplerTest, ClassesComeEquallyOften) {
  const Rows data(std::vector<int64_t>(20, 5));
  const auto order = ClassSampler(data.rows, data.classes, {.per_class = 2}).batches(0, 1000, 8);
  std::map<int64_t, int64_t> counts;
  for (const int64_t row : order) ++counts[data.class_of.at(row)];
  for (const auto& [label, count] : counts)
    EXPECT_NEAR(static_cast<double>(count), 400, 80) << label;
}

TEST(ClassSamplerTest, FewClassesAndSmallOnesRepeat) {
  const Rows data({2, 3});
  const auto order = ClassSampler(data.rows, data.classes, {.per_class = 4}).batches(0, 1, 16);
  std::map<int64_t, int64_t> counts;
  for (const int64_t row : order) ++counts[data.class_of.at(row)];
  EXPECT_EQ(counts[0], 8);
  EXPECT_EQ(counts[1], 8);
}

/// Ids with too few images had queries that were copies of their own supports.
TEST(ClassSamplerTest, SupportsComeOnceAndTheirClassesHaveOneMore) {
  const Rows data({2, 3, 4, 5, 9});
  const ClassSampler sampler(data.rows, data.classes, {.per_class = 5, .seed = 3, .supports = 3});
  EXPECT_EQ(sampler.num_classes(), 3) << "of 4 images and more";
  const auto order = sampler.batches(0, 40, 15);
  for (size_t group = 0; group < order.size(); group += 5) {
    EXPECT_GT(data.class_of.at(order[group]), 1);
    for (size_t support = group; support < group + 3; ++support)
      EXPECT_EQ(std::count(order.begin() + static_cast<int64_t>(group),
                           order.begin() + static_cast<int64_t>(group + 5), order[support]),
                1);
  }
}

TEST(ClassSamplerTest, IsAFunctionOfSeedEpochAndStream) {
  const Rows data({5, 5, 5, 5});
  const auto order = [&](uint64_t seed, int64_t epoch, int64_t stream) {
    return ClassSampler(data.rows, data.classes, {.per_class = 2, .seed = seed, .stream = stream})
        .batches(epoch, 5, 4);
  };
  EXPECT_EQ(order(1, 2, 3), order(1, 2, 3));
  EXPECT_NE(order(1, 2, 3), order(2, 2, 3));
  EXPECT_NE(order(1, 2, 3), order(1, 3, 3));
  EXPECT_NE(order(1, 2, 3), order(1, 2, 4));
}

TEST(ClassSamplerTest, RefusesWhatCannotBeDealt) {
  const Rows singles({1, 1, 1});
  EXPECT_THROW(ClassSampler(singles.rows, singles.classes, {}).batches(0, 1, 8), Error);
  const Rows data({4, 4});
  EXPECT_THROW(ClassSampler(data.rows, data.classes, {.per_class = 4}).batches(0, 1, 10), Error);
}

}  // namespace
}  // namespace baleen
