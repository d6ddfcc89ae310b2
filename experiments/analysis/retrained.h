#pragma once

#include <string>
#include <vector>

#include "experiments/ensemble/stack_job.h"

namespace baleen {

/// One model in competitions that were held again and again: trained on some of the samples, judged
/// on the others, of which random halves are the public and the private part.
struct RetrainedModel {
  std::string name;
  double mean = 0;         ///< of its scores on the held-out parts
  double retrain_std = 0;  ///< of these, over parts and trainings
  double gap_std = 0;      ///< of public − private for given predictions, mean over the parts
  double largest_gap = 0;  ///< of |public − private|
  double leads = 0;        ///< share of the held-out parts on which it is best
  double public_wins = 0, private_wins = 0;  ///< shares of all random halves
};

struct RetrainedBoards {
  std::string metric;
  int64_t num_runs = 0;
  int64_t num_parts = 0;  ///< held-out parts of all runs
  int64_t rounds = 0;     ///< random halves of each
  std::vector<RetrainedModel> models;
  double leader_stays = 0;  ///< share of random halves whose public leader leads in private, too
  /// Share of pairs of parts from different runs that have the same leader; NaN for one run.
  double same_leader = 0;
};

/// Each input of the job is a run, or a table with folds, whose networks were trained on other
/// samples than those of the other inputs: the same recipe with another `folds.seed`. A fold counts
/// as one competition's test set.
/// @throws Error kData, kConfiguration naming the run: other models than the first, no folds.
RetrainedBoards simulate_retrained(const StackJob& job);

std::string print_retrained(const RetrainedBoards& boards);
std::string retrained_to_json(const RetrainedBoards& boards);

}  // namespace baleen
