#include "experiments/plan.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "experiments/journal.h"
#include "experiments/plan_cost.h"
#include "experiments/recipe.h"
#include "tests/experiments/memory_ranks.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

using ::testing::HasSubstr;

Recipe recipe_of(const std::vector<std::string>& networks = {"simplenet", "resnet18"}) {
  Recipe recipe;
  recipe.name = "fashion";
  recipe.dataset = "packed/fashion";
  recipe.loss.kind = "cross_entropy";
  for (const std::string& name : networks) {
    recipe.backbones.emplace_back();
    recipe.backbones.back().name = name;
  }
  recipe.stages.resize(2);
  recipe.stages[0].size_px = 20;
  recipe.stages[0].batch = 64;
  recipe.stages[1].size_px = 28;
  recipe.stages[1].batch = 32;
  recipe.stages[1].epochs = 2;
  return recipe;
}

DatasetFacts facts_of() {
  DatasetFacts facts;
  facts.digest = "d0";
  facts.target = "classes";
  facts.num_samples = 1000;
  facts.num_outputs = 10;
  facts.channels = 1;
  facts.fold_sizes = {334, 333, 333};
  facts.folds_digest = "f0";
  facts.test_digest = "t0";
  facts.num_test = 200;
  return facts;
}

TEST(PlanTest, CopiesAreTrainedOnAndNeverHeldOut) {
  DatasetFacts facts = facts_of();
  facts.fold_copies = {10, 20, 30};
  const Plan plan = make_plan(recipe_of(), facts);
  EXPECT_EQ(plan.chain("simplenet-f0-s1").train_rows, 666 + 50);
  EXPECT_EQ(plan.chain("simplenet-f0-s1").held_out_rows, 334);
  EXPECT_EQ(plan.chain("simplenet-f2-s1").train_rows, 667 + 30);
  EXPECT_THAT(print_plan(plan, 1, {}), ::testing::HasSubstr("1,000 samples"));
  EXPECT_THAT(print_plan(plan, 1, {}), ::testing::HasSubstr("60 copies for training"));
}

TEST(PlanTest, AVariantNamesItsChains) {
  Recipe recipe = recipe_of();
  recipe.backbones[1] = recipe.backbones[0];
  recipe.backbones[1].variant = "dehazed";
  const Plan plan = make_plan(recipe, facts_of());
  EXPECT_EQ(plan.chains[1].name, plan.chains[0].backbone_label + "-dehazed-f0-s1");
  EXPECT_EQ(plan.identity.at("backbones.1.variant"), "dehazed");
}

std::string configuration_error(const Recipe& recipe, const DatasetFacts& facts) {
  try {
    make_plan(recipe, facts);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfiguration);
    return error.what();
  }
  return "";
}

TEST(PlanTest, LooksOfAPredictionCost) {
  Recipe recipe = recipe_of({"resnet18"});
  const double plain = make_plan(recipe, facts_of()).chains[0].predict_cost;
  EXPECT_NEAR(plain, forward_gmac("resnet18", 28) * (334 + 200), 1e-9);
  recipe.prediction.tta = {"d4"};
  recipe.prediction.tta_random_passes = 4;
  EXPECT_NEAR(make_plan(recipe, facts_of()).chains[0].predict_cost, 12 * plain, 1e-6);
  recipe.prediction.tta_sizes_px = {28, 56};
  EXPECT_NEAR(make_plan(recipe, facts_of()).chains[0].predict_cost,
              12 * (334 + 200) * (forward_gmac("resnet18", 28) + forward_gmac("resnet18", 56)),
              1e-6);
}

TEST(PlanTest, ExpandsBackbonesFoldsAndSeedsIntoChainsWithTheirSteps) {
  Recipe recipe = recipe_of();
  recipe.seeds = {1, 7};
  recipe.backbones[1].batch_factor = 0.5;
  recipe.backbones[1].logical_shards = 2;
  const Plan plan = make_plan(recipe, facts_of());
  ASSERT_EQ(plan.chains.size(), 12u);
  EXPECT_EQ(plan.chains[0].name, "simplenet-f0-s1");
  EXPECT_EQ(plan.chains[1].name, "resnet18-f0-s1");
  EXPECT_EQ(plan.chains[11].name, "resnet18-f2-s7");
  for (size_t i = 0; i < plan.chains.size(); ++i)
    EXPECT_EQ(plan.chains[i].index, static_cast<int64_t>(i));
  const ChainSpec& net = plan.chain("simplenet-f0-s1");
  EXPECT_EQ(net.train_rows, 666);
  EXPECT_EQ(net.stages[0].steps_per_epoch, 10);  // 666 / 64
  EXPECT_EQ(net.stages[1].steps(), 40);          // 2 × 666 / 32
  EXPECT_EQ(net.steps(), 50);
  const ChainSpec& resnet = plan.chain("resnet18-f1-s7");
  EXPECT_EQ(resnet.stages[0].batch, 32);
  EXPECT_EQ(resnet.logical_shards, 2);
  EXPECT_EQ(resnet.seed, 7);
  EXPECT_EQ(plan.steps(), [&] {
    int64_t total = 0;
    for (const ChainSpec& chain : plan.chains) total += chain.steps();
    return total;
  }());
}

TEST(PlanTest, ItsHashFollowsResultsAndNothingElse) {
  const std::string hash = make_plan(recipe_of(), facts_of()).hash;
  Recipe other = recipe_of();
  other.run_dir = "elsewhere";
  other.name = "renamed";
  other.dataset = "moved/fashion";
  other.training.loader_threads = 7;
  other.training.checkpoint_every_steps = 100;
  other.report.samples = 3;
  other.reliability.retries = 0;
  other.seeds = {1};  // what `seed` says already
  EXPECT_EQ(make_plan(other, facts_of()).hash, hash);

  const auto differs = [&](const std::function<void(Recipe&, DatasetFacts&)>& change) {
    Recipe recipe = recipe_of();
    DatasetFacts facts = facts_of();
    change(recipe, facts);
    return make_plan(recipe, facts).hash != hash;
  };
  EXPECT_TRUE(differs([](Recipe& r, DatasetFacts&) { r.seed = 2; }));
  EXPECT_TRUE(differs([](Recipe& r, DatasetFacts&) { r.stages[1].optimizer.lr = 0.1; }));
  EXPECT_TRUE(differs([](Recipe& r, DatasetFacts&) { r.training.logical_shards = 2; }));
  EXPECT_TRUE(differs([](Recipe& r, DatasetFacts&) { r.training.threads_per_rank = 2; }));
  EXPECT_TRUE(differs([](Recipe& r, DatasetFacts&) { r.prediction.chunk = 32; }));
  EXPECT_TRUE(differs([](Recipe& r, DatasetFacts&) { r.stages[0].dropout = 0.0; }));
  EXPECT_TRUE(differs([](Recipe&, DatasetFacts& f) { f.digest = "d1"; }));
  EXPECT_TRUE(differs([](Recipe&, DatasetFacts& f) { f.folds_digest = "f1"; }));
  EXPECT_TRUE(differs([](Recipe&, DatasetFacts& f) { f.weights_digests["resnet18"] = "w"; }));
}

TEST(PlanTest, RefusesBatchesLargerThanAFoldAndDataWithoutTargets) {
  Recipe recipe = recipe_of();
  recipe.stages[1].batch = 667;
  EXPECT_THAT(configuration_error(recipe, facts_of()),
              HasSubstr("a batch of 667 is more than the 666 training rows"));
  DatasetFacts facts = facts_of();
  facts.target = "none";
  EXPECT_THAT(configuration_error(recipe_of(), facts), HasSubstr("no targets"));
}

TEST(PlanTest, IsReadBackFromJsonWithItsIdentity) {
  testing::TemporaryDirectory directory;
  const Plan plan = make_plan(recipe_of(), facts_of());
  write_file_atomically(directory / "plan.json", plan_to_json(plan));
  const StoredPlan stored = read_stored_plan(directory / "plan.json");
  EXPECT_EQ(stored.hash, plan.hash);
  EXPECT_EQ(stored.identity, stored_form(plan).identity);
  EXPECT_EQ(stored.identity.at("stages.1.size_px"), "28");
  EXPECT_EQ(stored.identity.at("data.dataset"), "d0");
  EXPECT_EQ(stored.identity.count("run_dir"), 0u);
  const auto json = nlohmann::json::parse(plan_to_json(plan));
  EXPECT_EQ(json["chains"].size(), 6u);
  EXPECT_EQ(json["optimizer_steps"], plan.steps());

  write_file_atomically(directory / "plan.json", "{\"hash\":");
  EXPECT_THROW(read_stored_plan(directory / "plan.json"), Error);
}

TEST(PlanTest, RanksWithAnotherPlanAreNamedOnEveryRank) {
  testing::MemoryRanks ranks(3);
  std::vector<std::string> messages(3);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 3; ++rank) {
    threads.emplace_back([&, rank] {
      Plan plan;
      plan.hash = rank == 2 ? "y" : "x";
      try {
        agree_on_plan(plan, *ranks.make_group(rank, {0, 1, 2}, 1));
      } catch (const Error& error) {
        messages[static_cast<size_t>(rank)] = error.message();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& message : messages)
    EXPECT_EQ(message, "ranks 2 made another plan than rank 0");
}

TEST(ForecastTest, OneRankTakesTheSumAndTwoRanksOverlap) {
  const Plan plan = make_plan(recipe_of({"resnet18"}), facts_of());
  CostRates rates;
  rates.observe("resnet18", plan.chains[0].cost, 10, 1, 1);
  const Forecast one = forecast(plan, 1, rates);
  double sum = 0;
  for (const ChainSpec& chain : plan.chains) sum += chain.cost * rates.seconds_per_gmac("resnet18");
  EXPECT_TRUE(one.measured);
  EXPECT_NEAR(one.makespan_s, sum, 1e-9);
  EXPECT_NEAR(one.makespan_s, 30, 0.1);
  const Forecast two = forecast(plan, 2, rates);
  EXPECT_NEAR(two.makespan_s, 20, 0.1);  // three equal chains on two ranks
  EXPECT_NEAR(two.busy, 0.75, 0.01);
  EXPECT_NEAR(forecast(plan, 2, rates, {plan.chains[0].name}).makespan_s, 10, 0.1);
  EXPECT_EQ(
      forecast(plan, 2, rates, {plan.chains[0].name, plan.chains[1].name, plan.chains[2].name})
          .makespan_s,
      0);
}

TEST(ForecastTest, LogicalShardsLetIdleRanksHelp) {
  Recipe recipe = recipe_of({"resnet18"});
  recipe.stages = {recipe.stages[0]};
  recipe.stages[0].size_px = 128;  // large shards: hardly any overhead
  DatasetFacts facts = facts_of();
  facts.fold_sizes = {500, 500};
  const Plan plan = make_plan(recipe, facts);
  const double alone = forecast(plan, 4, CostRates()).makespan_s;
  const double shared = forecast(plan, 4, CostRates(), {}, 2).makespan_s;
  EXPECT_LT(shared, 0.6 * alone);
  EXPECT_GT(shared, 0.5 * alone);
}

/// The ensemble of eleven networks by five folds, at the published costs; two stages each.
Plan ensemble_plan(int64_t num_folds, int64_t logical_shards) {
  Plan plan;
  for (const char* name :
       {"resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "densenet121", "densenet161",
        "densenet169", "densenet201", "inception_v3", "simplenet"}) {
    for (int64_t fold = 0; fold < num_folds; ++fold) {
      ChainSpec chain;
      chain.index = std::ssize(plan.chains);
      chain.name = fmt::format("{}-f{}", name, fold);
      chain.backbone_label = name;
      chain.logical_shards = logical_shards;
      const double cost = forward_gmac(name, 224) * 1e5;
      chain.stages = {{0, 128, 10, 256, 100, 10, 0.25 * cost},
                      {1, 224, 10, 256, 100, 30, 0.75 * cost}};
      chain.cost = chain.cost_with(logical_shards);
      plan.chains.push_back(chain);
    }
  }
  return plan;
}

TEST(ForecastTest, TheEnsembleEndsCloseToTheLowerBound) {
  const CostRates rates;
  const auto bound = [&](const Plan& plan, int ranks) {
    double total = 0, longest = 0;
    for (const ChainSpec& chain : plan.chains) {
      const double seconds = rates.expected_s(chain.backbone_label, chain.cost, 1, 1);
      total += seconds;
      longest = std::max(longest, seconds);
    }
    return std::max(total / ranks, longest);
  };
  const Plan alone = ensemble_plan(5, 1);
  const Plan shared = ensemble_plan(5, 8);
  for (int ranks : {1, 2, 3, 4, 8, 16, 64, 1024, 4096}) {
    SCOPED_TRACE(ranks);
    const double ratio = forecast(alone, ranks, rates).makespan_s / bound(alone, ranks);
    const double grouped = forecast(shared, ranks, rates).makespan_s / bound(shared, ranks);
    RecordProperty(fmt::format("makespan_{}_ranks", ranks),
                   fmt::format("{:.4f}, V = 8: {:.4f}", ratio, grouped));
    EXPECT_LE(ratio, ranks <= 8 ? 1.03 : ranks <= 16 ? 1.06 : 4.0 / 3 - 1.0 / (3 * ranks));
    EXPECT_LE(grouped, ranks <= 8    ? 1.03
                       : ranks <= 16 ? 1.06
                                     : 0.9)
        << "beyond 16 ranks groups beat the longest chain alone";
    EXPECT_GE(ratio, 1 - 1e-9);
  }
}

TEST(ForecastTest, FiveThousandChainsOnFourThousandRanksKeepToTheBound) {
  const CostRates rates;
  for (const int64_t shards : {1, 8}) {
    SCOPED_TRACE(shards);
    const Plan plan = ensemble_plan(500, shards);
    ASSERT_EQ(plan.chains.size(), 5500u);
    double total_s = 0, longest_s = 0;  // on one rank
    for (const ChainSpec& chain : plan.chains) {
      const double seconds = rates.expected_s(chain.backbone_label, chain.cost, 1, 1);
      total_s += seconds;
      longest_s = std::max(longest_s, seconds);
    }
    const double makespan_s = forecast(plan, 4096, rates).makespan_s;
    EXPECT_LE(makespan_s / std::max(total_s / 4096, longest_s), 4.0 / 3 - 1.0 / (3 * 4096));
  }
}

TEST(ForecastTest, ALateChainGrowsBetweenItsStages) {
  Plan plan = ensemble_plan(1, 4);
  plan.chains = {plan.chains[0], plan.chains[4]};  // ResNet-18 and ResNet-152
  plan.chains[1].index = 1;
  const Forecast expected = forecast(plan, 2, CostRates());
  ASSERT_EQ(expected.chains.size(), 3u);
  EXPECT_EQ(expected.chains[2].chain, 1);
  EXPECT_EQ(expected.chains[2].first_stage, 1);
  EXPECT_EQ(expected.chains[2].ranks, (std::vector<int>{0, 1}));
  EXPECT_EQ(expected.chains[2].start_s, expected.chains[0].end_s);
  plan.regroup_gain_s = 1e9;
  EXPECT_EQ(forecast(plan, 2, CostRates()).chains.size(), 2u);
  EXPECT_GT(forecast(plan, 2, CostRates()).makespan_s, 1.2 * expected.makespan_s);
}

TEST(PlanTest, CostsOfStagesAndStepsAddUp) {
  const ChainSpec chain = ensemble_plan(1, 4).chains[0];
  EXPECT_DOUBLE_EQ(chain.cost_from(0, 4), chain.cost);
  EXPECT_DOUBLE_EQ(chain.cost_from(2, 4), chain.predict_cost);
  EXPECT_NEAR(chain.share_done(1000), 1 - chain.cost_from(1, 4) / chain.cost, 1e-12);
  EXPECT_NEAR(chain.share_done(500), 0.5 * chain.share_done(1000), 1e-12);
  EXPECT_NEAR(chain.share_done(2000), 1, 1e-12);
  ChainSpec predicts = chain;
  predicts.predict_cost = chain.cost / 4;
  predicts.cost = chain.cost + predicts.predict_cost;
  EXPECT_NEAR(predicts.share_done(2000), 0.8, 1e-12);
  EXPECT_NEAR(predicts.share_done(2000, 0.5), 0.9, 1e-12);
  EXPECT_NEAR(predicts.share_done(700, 0), 0.8, 1e-12);  // early stopping left the rest out
  EXPECT_NEAR(predicts.share_done(700, 1), 1, 1e-12);
}

TEST(ShardOverheadTest, AgreesWithWhatWasMeasuredForResNet18) {
  const auto overhead = [](int64_t v, int64_t images, int64_t size_px) {
    return shard_overhead(v, forward_gmac("resnet18", size_px) * static_cast<double>(images));
  };
  EXPECT_NEAR(overhead(4, 16, 128), 1.02, 0.01);
  EXPECT_NEAR(overhead(2, 16, 64), 1.16, 0.03);
  EXPECT_NEAR(overhead(4, 8, 64), 1.5, 0.03);
  EXPECT_EQ(overhead(1, 1, 8), 1.0);
}

TEST(ForecastTest, MeasuredRatesComeFromWholeChainsOnly) {
  const Plan plan = make_plan(recipe_of({"resnet18"}), facts_of());
  JournalState journal;
  const auto add = [&](const ChainSpec& chain, int64_t starts, int64_t steps, double seconds) {
    JournalRecord record;
    record.name = chain.name;
    record.kind = JournalRecord::Kind::kChainAssigned;
    for (int64_t i = 0; i < starts; ++i) journal.records.push_back(record);
    record.kind = JournalRecord::Kind::kChainFinished;
    record.ranks = {0};
    record.seconds = seconds;
    record.optimizer_steps = steps;
    journal.finished_chains[chain.name] = record;
  };
  add(plan.chains[0], 2, plan.chains[0].steps(), 1);  // resumed: its time is that of the last part
  add(plan.chains[1], 1, plan.chains[1].steps() - 5, 1);  // stopped early
  EXPECT_FALSE(measured_rates(plan, journal).measured());
  add(plan.chains[2], 1, plan.chains[2].steps(), 42);
  EXPECT_NEAR(measured_rates(plan, journal).expected_s("resnet18", plan.chains[2].cost, 1, 1), 42,
              1e-9);
}

TEST(PrintedPlanTest, ShowsDataChainsScheduleAndWhatOtherShardsWouldGain) {
  const Plan plan = make_plan(recipe_of(), facts_of());
  const std::string text = print_plan(plan, 2, CostRates(), {"simplenet-f0-s1"});
  EXPECT_THAT(text, HasSubstr("run fashion"));
  EXPECT_THAT(
      text,
      HasSubstr("1,000 samples, 10 classes, 1 channel; 3 folds of 333 to 334; 200 to predict"));
  EXPECT_THAT(text, HasSubstr("6 chains = 2 backbones x 3 folds x 1 seed"));
  EXPECT_THAT(text,
              HasSubstr("20 px: 1 epoch x 10 steps of 64  →  28 px: 2 epochs x 20 steps of 32"));
  EXPECT_THAT(text, HasSubstr("(finished)"));
  EXPECT_THAT(text, HasSubstr("2 ranks"));
  EXPECT_THAT(text, HasSubstr("← this recipe"));
  EXPECT_THAT(text, HasSubstr("a guess until the first chain has been measured"));
  EXPECT_THAT(text, ::testing::Not(HasSubstr("nothing is left")));
}

}  // namespace
}  // namespace baleen
