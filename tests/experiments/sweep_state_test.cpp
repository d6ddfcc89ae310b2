#include "experiments/sweep/sweep_state.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "core/base/seeds.h"

namespace baleen {
namespace {

using Kind = JournalRecord::Kind;

/// Trials of `folds` chains with rungs after 1, 2, 4 ... epochs.
SweepRules rules_of(int64_t num_trials, int64_t num_rungs, int64_t reduction, int64_t folds = 1) {
  SweepRules rules;
  rules.metric = "accuracy";
  rules.halving = num_rungs > 1;
  rules.num_rungs = num_rungs;
  rules.reduction = reduction;
  for (int64_t t = 0; t < num_trials; ++t) {
    std::vector<SweepRules::Chain>& chains = rules.trials.emplace_back();
    for (int64_t f = 0; f < folds; ++f) {
      SweepRules::Chain chain{fmt::format("{:04}/net-f{}-s1", t, f), f, {}};
      for (int64_t k = 0; k + 1 < num_rungs; ++k) chain.until_epoch.push_back(int64_t{1} << k);
      chain.until_epoch.push_back(0);
      chains.push_back(chain);
    }
  }
  return rules;
}

JournalRecord result(const SweepRules& rules, int64_t trial, size_t chain, int64_t until,
                     double accuracy) {
  JournalRecord record;
  record.kind = until == 0 ? Kind::kChainFinished : Kind::kChainPaused;
  record.name = rules.trials[static_cast<size_t>(trial)][chain].name;
  record.epochs = until;
  record.metrics["accuracy"] = accuracy;
  return record;
}

/// Asynchronous successive halving as the paper's algorithm 2 has it, written down without a look
/// at the code: rungs are lists of (score, trial), and promotion takes trials out of them. A rung
/// that is complete promotes at least one.
class PaperAsha {
 public:
  PaperAsha(int64_t num_trials, int64_t num_rungs, size_t reduction)
      : num_trials_(num_trials),
        reduction_(reduction),
        rungs_(static_cast<size_t>(num_rungs)),
        promoted_(static_cast<size_t>(num_rungs)) {}

  void report(int64_t trial, size_t rung, double score) {
    rungs_[rung].push_back({score, trial});
    --busy_;
  }

  /// (trial, rung), or (-1, 0).
  std::pair<int64_t, size_t> get_job() {
    const std::pair<int64_t, size_t> job = next_job();
    if (job.first >= 0) ++busy_;
    return job;
  }

 private:
  std::pair<int64_t, size_t> next_job() {
    for (size_t k = rungs_.size() - 1; k-- > 0;) {
      for (const int64_t trial : top(k, rungs_[k].size() / reduction_)) {
        if (!promoted_[k].insert(trial).second) continue;
        return {trial, k + 1};
      }
    }
    if (drawn_ < num_trials_) return {drawn_++, 0};
    if (busy_ == 0 && rungs_.back().empty()) {
      size_t k = rungs_.size() - 2;
      while (rungs_[k].empty()) --k;
      const int64_t best = top(k, 1).front();
      promoted_[k].insert(best);
      return {best, k + 1};
    }
    return {-1, 0};
  }

  std::vector<int64_t> top(size_t k, size_t count) const {
    std::vector<std::pair<double, int64_t>> left = rungs_[k];
    std::vector<int64_t> best;
    while (best.size() < count) {
      auto champion = left.begin();
      for (auto it = left.begin(); it != left.end(); ++it) {
        if (it->first > champion->first ||
            (it->first == champion->first && it->second < champion->second))
          champion = it;
      }
      best.push_back(champion->second);
      left.erase(champion);
    }
    return best;
  }

  int64_t num_trials_;
  size_t reduction_;
  int64_t drawn_ = 0;
  int64_t busy_ = 0;
  std::vector<std::vector<std::pair<double, int64_t>>> rungs_;
  std::vector<std::set<int64_t>> promoted_;
};

double accuracy_of(int64_t trial, int64_t rung, size_t chain) {
  CounterRandom random(derive_seed(
      7, Stream::kSweep,
      {static_cast<uint64_t>(trial), static_cast<uint64_t>(rung), static_cast<uint64_t>(chain)}));
  return random.uniform();
}

TEST(SweepStateTest, HalvingPromotesAsThePaperSays) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    SCOPED_TRACE(seed);
    CounterRandom random(derive_seed(seed, Stream::kSweep, {1}));
    const auto num_trials = static_cast<int64_t>(1 + random.below(40));
    const auto num_rungs = static_cast<int64_t>(2 + random.below(4));
    const auto reduction = static_cast<int64_t>(2 + random.below(3));
    const size_t num_workers = 1 + random.below(6);
    const SweepRules rules = rules_of(num_trials, num_rungs, reduction);
    SweepState state(rules);
    PaperAsha paper(num_trials, num_rungs, static_cast<size_t>(reduction));
    std::vector<std::pair<int64_t, int64_t>> work;  // trial, rung
    for (;;) {
      while (work.size() < num_workers) {
        const auto [trial, rung] = paper.get_job();
        const std::optional<JournalRecord> decision = state.next();
        ASSERT_EQ(decision.has_value(), trial >= 0);
        if (trial < 0) break;
        ASSERT_EQ(decision->trial, trial);
        ASSERT_EQ(decision->kind, rung > 0 ? Kind::kTrialPromoted : Kind::kTrialDrawn);
        ASSERT_EQ(decision->rung, static_cast<int64_t>(rung));
        state.apply(*decision);
        work.emplace_back(trial, rung);
      }
      if (work.empty()) break;
      // Any of the workers ends first; some scores are equal, to try the order of ties.
      const size_t which = random.below(work.size());
      const auto [trial, rung] = work[which];
      work.erase(work.begin() + static_cast<std::ptrdiff_t>(which));
      const double score = std::round(8 * accuracy_of(trial, rung, 0)) / 8;
      const auto open = state.open_chains(trial);
      ASSERT_EQ(open.size(), 1u);
      state.apply(result(rules, trial, 0, open[0].second, score));
      paper.report(trial, static_cast<size_t>(rung), score);
    }
    int64_t finished = 0;
    for (int64_t t = 0; t < num_trials; ++t) {
      EXPECT_TRUE(state.phase(t) == TrialPhase::kFinished || state.phase(t) == TrialPhase::kPaused);
      finished += state.phase(t) == TrialPhase::kFinished;
    }
    EXPECT_GE(finished, 1);
  }
}

/// A sweep on one rank, from whatever a journal says to its end; all records, old and new.
std::vector<JournalRecord> finish(const SweepRules& rules, std::vector<JournalRecord> journal) {
  SweepState state(rules);
  for (const JournalRecord& record : journal) state.apply(record);
  const auto write = [&](JournalRecord record) {
    state.apply(record);
    journal.push_back(std::move(record));
  };
  for (;;) {
    while (std::optional<JournalRecord> stop = state.stop()) write(*stop);
    bool worked = false;
    for (int64_t t = 0; t < state.num_trials() && !worked; ++t) {
      for (const auto& [chain, until] : state.open_chains(t)) {
        write(result(rules, t, chain, until, accuracy_of(t, state.rung(t), chain)));
        worked = true;
        break;  // the median may have something to say before the next
      }
    }
    if (worked) continue;
    const std::optional<JournalRecord> next = state.next();
    if (!next) return journal;
    write(*next);
  }
}

std::string text_of(const JournalRecord& r) {
  return fmt::format("{} {} {} {} {} {}", name_of(r.kind), r.trial, r.rung, r.name, r.epochs,
                     r.reason);
}

void expect_resumes_anywhere(const SweepRules& rules) {
  const std::vector<JournalRecord> whole = finish(rules, {});
  std::set<std::string> once;
  for (const JournalRecord& record : whole)
    EXPECT_TRUE(once.insert(text_of(record)).second) << "twice: " << text_of(record);
  for (size_t length = 0; length < whole.size(); ++length) {
    const std::vector<JournalRecord> prefix(whole.begin(),
                                            whole.begin() + static_cast<std::ptrdiff_t>(length));
    const std::vector<JournalRecord> again = finish(rules, prefix);
    ASSERT_EQ(again.size(), whole.size()) << "resumed after record " << length;
    for (size_t i = 0; i < whole.size(); ++i)
      ASSERT_EQ(text_of(again[i]), text_of(whole[i])) << "resumed after record " << length;
  }
}

TEST(SweepStateTest, ResumesAfterAnyRecordOfTheJournalToTheSameEnd) {
  expect_resumes_anywhere(rules_of(13, 3, 2, 3));
  expect_resumes_anywhere(rules_of(5, 1, 3, 4));
  expect_resumes_anywhere(rules_of(8, 3, 3, 2));
  SweepRules stopping = rules_of(9, 1, 3, 5);
  stopping.stopping = {"median", 1, 2};
  expect_resumes_anywhere(stopping);
}

TEST(SweepStateTest, ATrialIsStoppedWhenItsFoldsAreBelowTheMedianOfTheOthers) {
  SweepRules rules = rules_of(5, 1, 3, 4);
  rules.stopping = {"median", 2, 3};
  SweepState state(rules);
  for (int64_t t = 0; t < 5; ++t) {
    JournalRecord drawn;
    drawn.kind = Kind::kTrialDrawn;
    drawn.trial = t;
    state.apply(drawn);
  }
  const auto report = [&](int64_t trial, size_t fold, double accuracy) {
    state.apply(result(rules, trial, fold, 0, accuracy));
  };
  // Folds 0 and 1 of trials 0 to 3: means .5, .7, .6, .55. Each has three others.
  const double first[] = {.4, .8, .6, .5};
  const double second[] = {.6, .6, .6, .6};
  for (int64_t t = 0; t < 4; ++t) report(t, 0, first[t]);
  EXPECT_FALSE(state.stop()) << "one fold is not enough";
  for (int64_t t = 0; t < 3; ++t) report(t, 1, second[t]);
  EXPECT_FALSE(state.stop()) << "two others are not enough";
  report(3, 1, second[3]);
  std::optional<JournalRecord> stop = state.stop();
  ASSERT_TRUE(stop);
  EXPECT_EQ(stop->trial, 0);
  EXPECT_EQ(stop->folds, 2);
  EXPECT_NEAR(stop->score, .5, 1e-12);
  EXPECT_NEAR(stop->median, .6, 1e-12);
  state.apply(*stop);
  EXPECT_EQ(state.phase(0), TrialPhase::kStopped);
  EXPECT_TRUE(state.open_chains(0).empty());
  // Trial 3 (.55) against .5, .7, .6: below, too. A stopped trial still counts for the others.
  stop = state.stop();
  ASSERT_TRUE(stop);
  EXPECT_EQ(stop->trial, 3);
  EXPECT_NEAR(stop->median, .6, 1e-12);
  state.apply(*stop);
  EXPECT_FALSE(state.stop()) << "the median itself is not below the median";
  // Trial 1 does badly on fold 2: nobody has that fold, so that there is nothing to compare with.
  report(1, 2, .1);
  EXPECT_FALSE(state.stop());
  report(2, 2, .6);
  report(2, 3, .6);
  EXPECT_EQ(state.phase(2), TrialPhase::kFinished);
  EXPECT_EQ(state.best(), 2);
  EXPECT_NEAR(*state.score(2), .6, 1e-12);
  EXPECT_FALSE(state.score(1));
}

TEST(SweepStateTest, TheBestTrialGoesOnWhereARungHasFewerThanTheReduction) {
  const SweepRules rules = rules_of(8, 3, 3);
  SweepState state(rules);
  for (int64_t t = 0; t < 8; ++t) {
    JournalRecord drawn;
    drawn.kind = Kind::kTrialDrawn;
    drawn.trial = t;
    state.apply(drawn);
    state.apply(result(rules, t, 0, 1, .1 * static_cast<double>(t)));
  }
  for (const int64_t expected : {7, 6}) {
    const std::optional<JournalRecord> promotion = state.next();
    ASSERT_TRUE(promotion);
    EXPECT_EQ(promotion->trial, expected);
    state.apply(*promotion);
  }
  state.apply(result(rules, 7, 0, 2, .5));
  EXPECT_FALSE(state.next()) << "trial 6 is in work";
  state.apply(result(rules, 6, 0, 2, .6));
  std::optional<JournalRecord> last = state.next();
  ASSERT_TRUE(last) << "two results, of which a third is none";
  EXPECT_EQ(last->trial, 6);
  EXPECT_EQ(last->rung, 2);
  EXPECT_DOUBLE_EQ(last->score, .6);
  state.apply(*last);
  EXPECT_FALSE(state.next());
  // It diverges: the next best has its turn.
  JournalRecord stopped;
  stopped.kind = Kind::kTrialStopped;
  stopped.trial = 6;
  stopped.reason = "numeric";
  state.apply(stopped);
  last = state.next();
  ASSERT_TRUE(last);
  EXPECT_EQ(last->trial, 7);
  state.apply(*last);
  state.apply(result(rules, 7, 0, 0, .5));
  EXPECT_FALSE(state.next());
  EXPECT_EQ(state.best(), 7);
}

TEST(SweepStateTest, ASmallerLossIsBetterWhereTheRulesSaySo) {
  SweepRules rules = rules_of(4, 2, 2);
  rules.metric = "loss";
  rules.larger_is_better = false;
  SweepState state(rules);
  const double losses[] = {.9, .2, std::numeric_limits<double>::quiet_NaN(), .3};
  for (int64_t t = 0; t < 4; ++t) {
    state.apply(*state.next());
    JournalRecord paused = result(rules, t, 0, 1, 0);
    paused.metrics = {{"loss", losses[t]}};
    if (t < 3) state.apply(paused);
    if (t == 3) state.apply(paused);
    if (t == 1) {
      const std::optional<JournalRecord> promotion = state.next();
      ASSERT_TRUE(promotion);
      EXPECT_EQ(promotion->kind, Kind::kTrialPromoted);
      EXPECT_EQ(promotion->trial, 1);
      EXPECT_DOUBLE_EQ(promotion->score, .2);
      state.apply(*promotion);
    }
  }
  const std::optional<JournalRecord> last = state.next();
  ASSERT_TRUE(last);
  EXPECT_EQ(last->trial, 3) << "of .9, .2, not a number, .3 the second best goes on";
}

TEST(SweepStateTest, ATrialThatDivergesCountsAsTheWorstOfItsRung) {
  const SweepRules rules = rules_of(2, 2, 2);
  SweepState state(rules);
  state.apply(*state.next());
  state.apply(*state.next());
  state.apply(result(rules, 1, 0, 1, .1));
  EXPECT_FALSE(state.next());
  JournalRecord stopped;
  stopped.kind = Kind::kTrialStopped;
  stopped.trial = 0;
  stopped.reason = "numeric";
  state.apply(stopped);
  const std::optional<JournalRecord> promotion = state.next();
  ASSERT_TRUE(promotion);
  EXPECT_EQ(promotion->trial, 1);
  EXPECT_EQ(state.phase(0), TrialPhase::kStopped);
}

TEST(SweepStateTest, AChainThatEndsEarlyCountsInTheRungsThatItDidNotReach) {
  const SweepRules rules = rules_of(4, 3, 2, 2);
  SweepState state(rules);
  for (int64_t t = 0; t < 4; ++t) {
    JournalRecord record = *state.next();  // earlier trials may be promoted first
    for (; record.kind != Kind::kTrialDrawn; record = *state.next()) state.apply(record);
    state.apply(record);
    state.apply(result(rules, t, 0, 1, .5 + .1 * static_cast<double>(t)));
    // Early stopping: trained to its end before the first rung's epoch.
    state.apply(result(rules, t, 1, 0, .5 + .1 * static_cast<double>(t)));
    if (t == 1 || t == 3) {
      const std::optional<JournalRecord> promotion = state.next();
      ASSERT_TRUE(promotion);
      EXPECT_EQ(promotion->trial, t);
      state.apply(*promotion);
      const auto open = state.open_chains(t);
      ASSERT_EQ(open.size(), 1u) << "the other chain has nothing left to train";
      EXPECT_EQ(open[0], (std::pair<size_t, int64_t>{0, 2}));
      state.apply(result(rules, t, 0, 2, .7));
    }
  }
  const std::optional<JournalRecord> last = state.next();
  ASSERT_TRUE(last);
  EXPECT_EQ(last->rung, 2);
  EXPECT_EQ(last->trial, 3) << "means of (.7, .6) and (.7, .8)";
}

}  // namespace
}  // namespace baleen
