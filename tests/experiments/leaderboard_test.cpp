// Simulated leaderboards against all halves there are, intervals against numpy's bootstrap.
#include "experiments/ensemble/leaderboard.h"

#include "tests/experiments/oracle.h"

namespace baleen {
namespace {

using testing::tensor_of;

TEST(Leaderboard, SharesAndSpreadsAreThoseOfAllHalves) {
  const auto oracle = testing::ask_oracle("second_stage.py", "leaderboard");
  if (!oracle) GTEST_SKIP() << "BALEEN_PYTHON is not set";
  const auto& all = (*oracle)["simulation"];
  const LeaderboardSimulation simulated =
      simulate_leaderboard(tensor_of((*oracle)["scores"]), (*oracle)["reference"],
                           {.rounds = 40000, .public_share = 0.5, .seed = 3});
  // Four standard deviations of a share of 40,000 rounds.
  constexpr double kShare = 4 * 0.5 / 200;
  EXPECT_NEAR(simulated.leader_stays, (*oracle)["leader_stays"].get<double>(), kShare);
  double leads = 0;
  for (size_t c = 0; c < 3; ++c) {
    const auto expect_share = [&](const char* name, double share) {
      EXPECT_NEAR(share, all[name][c].get<double>(), kShare) << name << " of candidate " << c;
    };
    expect_share("public_wins", simulated.public_wins[c]);
    expect_share("private_wins", simulated.private_wins[c]);
    expect_share("beats_reference", simulated.beats_reference[c]);
    EXPECT_NEAR(simulated.public_std[c] / all["public_std"][c].get<double>(), 1, 0.02);
    EXPECT_NEAR(simulated.gap_std[c] / all["gap_std"][c].get<double>(), 1, 0.02);
    EXPECT_NEAR(simulated.largest_gap[c], all["largest_gap"][c].get<double>(), 1e-12)
        << "one of 924 halves did not come in 40,000 rounds";
    leads += simulated.public_wins[c];
  }
  EXPECT_NEAR(leads, 1, 1e-9);
  EXPECT_EQ(simulated.beats_reference[1], 0) << "the reference beats itself";
}

TEST(Leaderboard, IntervalsAreNumpysOfMoreResamples) {
  const auto oracle = testing::ask_oracle("second_stage.py", "leaderboard");
  if (!oracle) GTEST_SKIP() << "BALEEN_PYTHON is not set";
  const BootstrapResult result =
      bootstrap_scores(tensor_of((*oracle)["many"]), (*oracle)["reference"], 20000, 4);
  const auto expect_interval = [](const Interval& interval, const nlohmann::json& low_high,
                                  double std) {
    // A 2.5 % quantile of 20,000 normal draws has an error of 0.019 standard deviations.
    EXPECT_NEAR(interval.low, low_high[0].get<double>(), 0.1 * std);
    EXPECT_NEAR(interval.high, low_high[1].get<double>(), 0.1 * std);
  };
  for (size_t c = 0; c < 3; ++c) {
    const double mean = (*oracle)["means"][c];
    EXPECT_NEAR(result.score_C[c].value, mean, 1e-12);
    EXPECT_NEAR(result.difference_C[c].value, mean - (*oracle)["means"][1].get<double>(), 1e-12);
    expect_interval(result.score_C[c], (*oracle)["intervals"][c], (*oracle)["std"][c]);
    expect_interval(result.difference_C[c], (*oracle)["difference_intervals"][c],
                    (*oracle)["difference_std"][c]);
  }
  EXPECT_FALSE(result.difference_C[1].excludes_zero());
}

}  // namespace
}  // namespace baleen
