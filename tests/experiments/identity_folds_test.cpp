#include "experiments/metric/identity_folds.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

namespace baleen {
namespace {

constexpr int64_t kIds = 40;
constexpr int64_t kImages = 8;

FoldSubject herd() {
  FoldSubject subject;
  subject.target_kind = TargetKind::kSingleClass;
  for (int64_t id = 0; id < kIds; ++id) {
    subject.label_names.push_back(fmt::format("w{:02}", id));
    for (int64_t image = 0; image < kImages; ++image) {
      subject.ids.push_back(fmt::format("{}-{}", id, image));
      subject.labels.push_back({id});
    }
  }
  return subject;
}

/// Names of the ids whose images are all in one fold.
std::set<std::string> whole_ids(const FoldSubject& subject, const FoldAssignment& folds) {
  std::map<std::string, std::set<int64_t>> of_id;
  for (size_t i = 0; i < subject.ids.size(); ++i)
    of_id[subject.label_names[static_cast<size_t>(subject.labels[i].front())]].insert(
        folds.folds[i]);
  std::set<std::string> whole;
  for (const auto& [name, its_folds] : of_id)
    if (its_folds.size() == 1) whole.insert(name);
  return whole;
}

std::set<std::string> held_out(const std::string& split, double open_share, int64_t seed) {
  const FoldOptions options{.count = 3, .seed = seed};
  const FoldSubject subject = herd();
  return whole_ids(subject,
                   make_folds(subject_by_identity(subject, options, split, open_share), options));
}

TEST(IdentityFoldsTest, OpenHoldsAShareOfTheIdsOutAsAWhole) {
  // Eight images of one that is not: in one fold of three by chance once in 2,187 times.
  for (const double share : {0.0, 0.25, 0.5, 1.0})
    EXPECT_NEAR(static_cast<double>(held_out("open", share, 1).size()), share * kIds, 1) << share;
}

TEST(IdentityFoldsTest, OpenDrawsTheIdsBySeedAndName) {
  EXPECT_EQ(held_out("open", 0.5, 1), held_out("open", 0.5, 1));
  EXPECT_NE(held_out("open", 0.5, 1), held_out("open", 0.5, 2));
  // The same names in another order of the dataset.
  const FoldOptions options{.count = 3, .seed = 1};
  FoldSubject other = herd();
  std::reverse(other.label_names.begin(), other.label_names.end());
  for (auto& labels : other.labels) labels.front() = kIds - 1 - labels.front();
  const auto whole = [&](const FoldSubject& subject) {
    const FoldSubject by_id = subject_by_identity(subject, options, "open", 0.5);
    std::set<std::string> groups(by_id.groups.begin(), by_id.groups.end());
    return groups;
  };
  EXPECT_EQ(whole(other), whole(herd()));
}

TEST(IdentityFoldsTest, OpenKeepsNearDuplicatesOfOtherIdsTogether) {
  const FoldOptions options{.count = 3, .seed = 1};
  FoldSubject subject = herd();
  subject.groups.assign(subject.ids.size(), "");
  for (int64_t id = 0; id < kIds; ++id)
    for (const int64_t image : {0, 1})
      subject.groups[static_cast<size_t>(id * kImages + image)] = fmt::format("twins{}", id);
  const FoldAssignment folds =
      make_folds(subject_by_identity(subject, options, "open", 0.5), options);
  for (size_t first = 0; first < subject.ids.size(); first += kImages)
    EXPECT_EQ(folds.folds[first], folds.folds[first + 1]) << subject.ids[first];
}

TEST(IdentityFoldsTest, ClosedSpreadsIdsAndDisjointDoesNot) {
  EXPECT_TRUE(held_out("closed", 0.5, 1).empty());
  EXPECT_EQ(std::ssize(held_out("disjoint", 0.5, 1)), kIds);
}

}  // namespace
}  // namespace baleen
