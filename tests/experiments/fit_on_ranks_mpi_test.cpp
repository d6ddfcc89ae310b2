// A stack whose rows are divided among ranks by folds: to the bit what one process gives.

#include "experiments/stacking/fit_on_ranks.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <limits>
#include <numeric>

#include "core/base/error.h"
#include "tests/support/mpi_world.h"

namespace baleen {
namespace {

std::shared_ptr<Communicator> everyone() {
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  std::vector<int> members(static_cast<size_t>(size));
  std::iota(members.begin(), members.end(), 0);
  return testing::make_mpi_group(members, 1);
}

/// Three models, five folds of different sizes, a label that only fold 0 has.
StackInput example(int64_t num_samples = 1500, int64_t num_tests = 7) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(uint64_t{3});
  StackInput input;
  input.labels = {"a", "b", "c", "rare"};
  const at::Tensor y =
      (at::rand({num_samples, 4}, generator, at::kDouble) < 0.4).to(at::kDouble).contiguous();
  for (int64_t i = 0; i < num_samples; ++i) {
    input.ids.push_back(std::to_string(i));
    input.folds.push_back((i * i + i / 7) % 5);
    if (input.folds.back() != 0) y[i][3] = 0;
  }
  input.targets_NL = y;
  std::vector<at::Tensor> oof, test;
  for (int m = 0; m < 3; ++m) {
    input.models.push_back("model" + std::to_string(m));
    oof.push_back((y * 0.5 + 0.5 * at::rand(y.sizes(), generator, at::kDouble)).to(at::kFloat));
    test.push_back(at::rand({num_tests, 4}, generator, at::kFloat));
  }
  for (int64_t t = 0; t < num_tests; ++t) input.test_ids.push_back("t" + std::to_string(t));
  input.oof_MNL = at::stack(oof);
  input.test_MTL = at::stack(test);
  return input;
}

void expect_same_bits(const StackInput& input, const StackOptions& options, const char* what) {
  SCOPED_TRACE(what);
  const auto world = everyone();
  const StackResult alone = fit_stack(input, options);
  const StackResult shared = fit_on_ranks(input, options, *world);
  EXPECT_TRUE(at::equal(alone.oof_NL, shared.oof_NL));
  EXPECT_TRUE(at::equal(alone.level1_mean_NL, shared.level1_mean_NL));
  EXPECT_TRUE(at::equal(alone.test_TL, shared.test_TL));
  EXPECT_TRUE(at::equal(alone.weights_ML, shared.weights_ML));
  EXPECT_EQ(alone.models, shared.models);
  EXPECT_EQ(alone.constant_labels.size(), shared.constant_labels.size());
  for (size_t k = 0; k < alone.by_fold_K.size(); ++k) {
    for (size_t l = 0; l < input.labels.size(); ++l)
      EXPECT_EQ(alone.by_fold_K[k].level2_L[l].alphas_K, shared.by_fold_K[k].level2_L[l].alphas_K);
  }
  world->close();
}

TEST(FitOnRanks, GivesTheBitsOfOneProcess) {
  const StackInput input = example();
  expect_same_bits(input, {}, "default");
  expect_same_bits(input, {.nested = true}, "nested");
  expect_same_bits(input, {.inputs = "logits", .test = "refit"}, "logits, refit");
  expect_same_bits(input, {.alpha_per_label = true, .clip = true}, "a penalty for each label");
  expect_same_bits(input, {.alphas = {0}}, "least squares");
  expect_same_bits(input, {.constant_labels = "mean"}, "mean for constant labels");
  expect_same_bits(input, {.alphas = {1, 100}, .alpha_by = "metric", .nested = true}, "metric");
  expect_same_bits(input, {.alpha_by = "leave_one_fold_out", .nested = true}, "fold by fold");
  expect_same_bits(input, {.alphas = {0, 1}, .alpha_by = "leave_one_fold_out"}, "or least squares");
}

TEST(FitOnRanks, DropsAModelThatLacksAFoldOnAnotherRank) {
  StackInput input = example();
  for (size_t i = 0; i < input.folds.size(); ++i) {
    if (input.folds[i] == 3)
      input.oof_MNL[1][static_cast<int64_t>(i)].fill_(std::numeric_limits<float>::quiet_NaN());
  }
  expect_same_bits(input, {.missing_models = "drop"}, "drop");
}

TEST(FitOnRanks, EveryRankEndsWhereOneFindsABadNumber) {
  StackInput input = example();
  size_t row = 0;
  while (input.folds[row] != 4) ++row;
  input.oof_MNL[2][static_cast<int64_t>(row)][0] = std::numeric_limits<float>::infinity();
  const auto world = everyone();
  bool named = false, peer = false;
  try {
    (void)fit_on_ranks(input, {}, *world);
  } catch (const Error& error) {
    named =
        std::string(error.what()).find("model2 for sample " + input.ids[row]) != std::string::npos;
  } catch (const PeerFailed&) {
    peer = true;
  }
  EXPECT_EQ(named, 4 % world->size() == world->rank());
  EXPECT_EQ(peer, !named);
  world->close();
}

TEST(FitOnRanks, RefusesAFoldOnSeveralRanks) {
  const StackInput input = example();
  const auto world = everyone();
  if (world->size() > 1) {
    EXPECT_THROW((void)fit_stack(input, {}, false, StackRanks(*world)), Error);
  }
  world->close();
}

}  // namespace
}  // namespace baleen
