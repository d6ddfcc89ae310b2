#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "core/base/error.h"
#include "data/pack/csv.h"
#include "experiments/mining/pair_mining.h"
#include "tests/support/mpi_world.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

struct Herd {
  MiningImages images;
  at::Tensor features_ND;
};

/// Individuals with 2 to 6 images each; every tenth image is a copy of the one before.
Herd make_herd(int64_t individuals) {
  Herd herd;
  for (int64_t id = 0; id < individuals; ++id) {
    for (int64_t image = 0; image < 2 + id % 5; ++image) {
      const int64_t n = std::ssize(herd.images.identity);
      const bool copy = image > 1 && n % 10 == 9;
      herd.images.identity.push_back(id);
      herd.images.picture.push_back(copy ? herd.images.picture.back() : n);
    }
  }
  auto generator = at::detail::createCPUGenerator(3);
  herd.features_ND = at::randn({std::ssize(herd.images.identity), 16}, generator);
  herd.features_ND /= herd.features_ND.norm(2, {1}, true);
  return herd;
}

/// Independent of the cut: each pair's own dot product.
PairScorer scorer_of(const Herd& herd) {
  return [features = herd.features_ND](std::span<const int64_t> a, std::span<const int64_t> b) {
    const auto take = [&](std::span<const int64_t> rows) {
      return features.index_select(0, at::tensor(std::vector<int64_t>(rows.begin(), rows.end())));
    };
    return at::sigmoid((take(a).unsqueeze(1) * take(b).unsqueeze(0)).sum(2));
  };
}

std::shared_ptr<Communicator> world() {
  int size = 1;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  std::vector<int> members;
  for (int rank = 0; rank < size; ++rank) members.push_back(rank);
  return testing::make_mpi_group(members, 1);
}

double total_score(const Herd& herd, const std::vector<int64_t>& partners) {
  double sum = 0.0;
  const PairScorer scorer = scorer_of(herd);
  for (int64_t i = 0; i < std::ssize(partners); ++i) {
    const std::vector<int64_t> a{i}, b{partners[i]};
    if (partners[i] >= 0) sum += scorer(a, b).item<double>();
  }
  return sum;
}

class PairMiningTest : public ::testing::TestWithParam<int64_t> {};

TEST_P(PairMiningTest, EveryImageOncePerListAndNoneWithItself) {
  const auto group = world();
  const Herd herd = make_herd(60);
  const int64_t n = std::ssize(herd.images.identity);
  MiningOptions options;
  options.block = GetParam();
  options.noise = 0.1;
  const auto lists = mine_pairs(herd.images, scorer_of(herd), options, 7, 0, *group);
  EXPECT_EQ(std::ssize(lists), 4);
  std::set<std::pair<int64_t, int64_t>> had;
  for (const MinedList& list : lists) {
    std::set<int64_t> second;
    for (int64_t i = 0; i < n; ++i) {
      const int64_t other = list.negative[i];
      EXPECT_GE(other, 0) << i;
      if (other < 0) continue;
      EXPECT_NE(herd.images.identity[i], herd.images.identity[other]);
      EXPECT_TRUE(second.insert(other).second) << other << " is second of two pairs";
      EXPECT_TRUE(had.insert(std::minmax(i, other)).second || list.negative[other] == i);
      const int64_t same = list.positive[i];
      EXPECT_GE(same, 0) << i;
      if (same < 0) continue;
      EXPECT_EQ(herd.images.identity[i], herd.images.identity[same]);
      EXPECT_NE(herd.images.picture[i], herd.images.picture[same]);
    }
  }
  group->close();
}

TEST_P(PairMiningTest, DoesNotDependOnRanksOrThreads) {
  const auto group = world();
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  const Herd herd = make_herd(40);
  MiningOptions options;
  options.block = GetParam();
  const auto together = mine_pairs(herd.images, scorer_of(herd), options, 7, 2, *group);
  const auto alone_group = testing::make_mpi_group({rank}, 2 + rank);
  options.threads = 3;
  const auto alone = mine_pairs(herd.images, scorer_of(herd), options, 7, 2, *alone_group);
  for (size_t list = 0; list < together.size(); ++list) {
    EXPECT_EQ(together[list].negative, alone[list].negative);
    EXPECT_EQ(together[list].positive, alone[list].positive);
  }
  const auto other_period = mine_pairs(herd.images, scorer_of(herd), options, 7, 3, *alone_group);
  EXPECT_NE(other_period[0].negative, alone[0].negative);
  alone_group->close();
  group->close();
}

INSTANTIATE_TEST_SUITE_P(Blocks, PairMiningTest, ::testing::Values(0, 50));

/// The contest's list of whales: 13,624 images of individuals with two or more, some of them
/// copies.
Herd whales(const std::filesystem::path& file) {
  const CsvTable table = CsvTable::read(file);
  const size_t name = table.column("Id");
  std::map<std::string, int64_t> images, number;
  for (size_t row = 0; row < table.num_rows(); ++row) ++images[table.at(row, name)];
  Herd herd;
  for (size_t row = 0; row < table.num_rows(); ++row) {
    const std::string& id = table.at(row, name);
    if (id == "new_whale" || images[id] < 2) continue;
    const int64_t n = std::ssize(herd.images.identity);
    herd.images.identity.push_back(number.emplace(id, std::ssize(number)).first->second);
    herd.images.picture.push_back(n);
  }
  // Of individuals with four images or more, the first two are one picture.
  std::map<int64_t, std::vector<int64_t>> of;
  for (int64_t n = 0; n < std::ssize(herd.images.identity); ++n)
    of[herd.images.identity[n]].push_back(n);
  for (const auto& [id, rows] : of)
    if (rows.size() > 3) herd.images.picture[rows[1]] = rows[0];
  herd.features_ND =
      at::randn({std::ssize(herd.images.identity), 32}, at::detail::createCPUGenerator(3));
  return herd;
}

TEST(PairMiningPropertiesTest, TheWhaleListGivesEveryImageItsPairs) {
  if (testing::real_data().empty()) GTEST_SKIP() << "no real data (BALEEN_DATA)";
  const auto group = world();
  const Herd herd = whales(testing::real_data() / "whale" / "train.csv");
  const MiningImages& images = herd.images;
  const auto n = std::ssize(images.identity);
  EXPECT_GT(n, 13'000);
  MiningOptions options;
  options.block = 256;
  options.lists = 2;
  const PairScorer scorer = [&](std::span<const int64_t> a, std::span<const int64_t> b) {
    const auto take = [&](std::span<const int64_t> rows) {
      return herd.features_ND.index_select(
          0, at::tensor(std::vector<int64_t>(rows.begin(), rows.end())));
    };
    return at::sigmoid(at::mm(take(a), take(b).t()));
  };
  for (const MinedList& list : mine_pairs(images, scorer, options, 7, 0, *group)) {
    std::vector<int64_t> as_negative(n, 0), as_positive(n, 0);
    int64_t same_id = 0, same_picture = 0;
    for (int64_t i = 0; i < n; ++i) {
      const int64_t other = list.negative[i], same = list.positive[i];
      if (other < 0 || same < 0) continue;  // then somebody is not counted below
      ++as_negative[other];
      ++as_positive[same];
      same_id += images.identity[other] == images.identity[i];
      same_picture += images.picture[same] == images.picture[i];
      EXPECT_EQ(images.identity[same], images.identity[i]) << i;
    }
    const auto once = [](int64_t count) { return count == 1; };
    EXPECT_EQ(std::count_if(as_negative.begin(), as_negative.end(), once), n);
    EXPECT_EQ(std::count_if(as_positive.begin(), as_positive.end(), once), n);
    EXPECT_EQ(same_id, 0);
    EXPECT_EQ(same_picture, 0);
  }
  group->close();
}

TEST(PairMiningPropertiesTest, NoiseMakesPairsEasier) {
  const auto group = world();
  const Herd herd = make_herd(60);
  MiningOptions options;
  options.lists = 1;
  const auto mine = [&](double noise, bool hard) {
    options.noise = noise;
    options.hard_positives = hard;
    return mine_pairs(herd.images, scorer_of(herd), options, 7, 0, *group).front();
  };
  const MinedList hardest = mine(0.0, true), random = mine(1000.0, true);
  EXPECT_GT(total_score(herd, hardest.negative), 1.1 * total_score(herd, random.negative));
  EXPECT_LT(total_score(herd, hardest.positive),
            total_score(herd, mine(0.0, false).positive) - 1e-3);
  group->close();
}

TEST(PairMiningPropertiesTest, AnIndividualWithMostImagesLeavesSomeWithoutPartner) {
  const auto group = world();
  Herd herd = make_herd(5);
  for (int64_t& id : herd.images.identity) id = std::max<int64_t>(id, 3) == 3 ? 3 : 4;
  const int64_t n = std::ssize(herd.images.identity);
  const auto few = std::count(herd.images.identity.begin(), herd.images.identity.end(), 4);
  MiningOptions options;
  options.lists = 1;
  const auto list = mine_pairs(herd.images, scorer_of(herd), options, 7, 0, *group).front();
  const auto without = std::count(list.negative.begin(), list.negative.end(), -1);
  EXPECT_EQ(n - without, 2 * few);
  group->close();
}

TEST(PairMiningPropertiesTest, BadScoresAndImagesAreErrorsOnEveryRank) {
  const auto group = world();
  Herd herd = make_herd(5);
  const auto kind = [&](const PairScorer& scorer) {
    try {
      mine_pairs(herd.images, scorer, {}, 7, 0, *group);
    } catch (const Error& error) {
      return error.kind();
    } catch (const PeerFailed&) {
      return ErrorKind::kNumeric;
    }
    return ErrorKind::kInternal;
  };
  EXPECT_EQ(kind([](std::span<const int64_t> a, std::span<const int64_t> b) {
              return at::full({std::ssize(a), std::ssize(b)}, NAN);
            }),
            ErrorKind::kNumeric);
  herd.images.identity.assign(herd.images.identity.size(), 1);
  EXPECT_EQ(kind(scorer_of(herd)), ErrorKind::kData);
  for (size_t i = 0; i < herd.images.identity.size(); ++i)
    herd.images.identity[i] = static_cast<int64_t>(i);
  EXPECT_EQ(kind(scorer_of(herd)), ErrorKind::kData);
  group->close();
}

TEST(MiningNoiseTest, FollowsPiottesTable) {
  EXPECT_EQ(mining_noise(1), 1000);
  EXPECT_EQ(mining_noise(10), 1000);
  EXPECT_EQ(mining_noise(11), 100);
  EXPECT_NEAR(mining_noise(16), 63.1, 0.05);
  EXPECT_NEAR(mining_noise(60), 1.585, 0.001);
  EXPECT_EQ(mining_noise(61), 1);
  EXPECT_EQ(mining_noise(200), 0.5);
  EXPECT_EQ(mining_noise(250), 0.25);
  EXPECT_EQ(mining_noise(251), 1);
  EXPECT_EQ(mining_noise(390), 0.25);
}

TEST(MinedPairsTest, PositivesComeBeforeNegatives) {
  const MinedList list{{1, -1}, {-1, 0}};
  const std::vector<int64_t> rows{10, 20};
  const std::vector<ImagePair> expected{{10, 20, false}, {20, 10, true}};
  EXPECT_EQ(pairs_of(list, rows), expected);
}

}  // namespace
}  // namespace baleen
