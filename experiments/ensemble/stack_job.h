#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/config/field.h"
#include "core/config/problems.h"
#include "data/folds.h"
#include "distributed/communicator.h"
#include "experiments/stacking/thresholds.h"
#include "experiments/stacking/two_level.h"

namespace baleen {

/// Predictions that take part in an ensemble: a run with all its models, or one table.
struct EnsembleInput {
  std::string path;
  std::string name;
  std::string test;
  std::string kind = "probabilities";
  double parameter = 1.0;
  double weight = 1.0;
  std::optional<double> public_score;
};

template <class Visitor>
void visit_fields(Visitor& v, EnsembleInput& o) {
  v.field("path", o.path,
          "run directory, CSV (also .gz) with ids in the first column, or HDF5 with ids, "
          "predictions and columns",
          config::required());
  v.field("name", o.name, "how tables call the model; empty: the file's name");
  v.field("test", o.test, "its predictions for the test set; runs bring their own");
  v.field("kind", o.kind,
          "what the numbers are: probabilities, logits, or distances and how they become scores",
          config::one_of({"probabilities", "logits", "distances_inverse", "distances_nested_log",
                          "distances_softmax", "distances_student_t", "distances_gaussian"}));
  v.field("parameter", o.parameter,
          "temperature of distances_softmax, perplexity of distances_gaussian",
          config::between(1e-9, 1e9));
  v.field("weight", o.weight, "in means, votes and fusions", config::at_least(0));
  v.field("public_score", o.public_score, "score on a public leaderboard: its square is the weight",
          config::between(0, 1));
}

/// How submission.csv is written, so that a competition takes it as it is.
struct SubmissionFormat {
  std::string id = "id";
  std::string column;
  std::string probability_of;
};

template <class Visitor>
void visit_fields(Visitor& v, SubmissionFormat& o) {
  v.field("id", o.id, "heading of the ids, e.g. image_name");
  v.field("column", o.column,
          "heading of the answers; empty: tags, class, or the label whose probability it is");
  v.field("probability_of", o.probability_of,
          "write this label's or class's score instead of what is decided; empty: decisions");
}

/// What `baleen stack` does.
struct StackJob {
  std::vector<EnsembleInput> inputs;
  std::string labels;
  std::string folds_from;
  std::string id_column;
  FoldOptions folds;
  std::string as = "auto";
  StackOptions stacking;
  ThresholdOptions thresholds;
  double vote = 0.5;
  std::string combine = "arithmetic";
  int64_t greedy_rounds = 20;
  double blend_step = 0.01;
  std::string objective = "log_loss";
  double stability = 0.9;
  double stability_spread = 1.1;
  bool keep_degenerate = false;
  std::string submit = "stack";
  SubmissionFormat submission;
  int64_t list_length = 5;
  std::string new_label;
  double new_label_threshold = 0.92;
  int64_t resamples = 1000;
  int64_t simulations = 1000;
  int64_t seed = 0;
  std::string output = "stack";
};

template <class Visitor>
void visit_fields(Visitor& v, StackJob& o) {
  v.field("inputs", o.inputs, "the models' predictions");
  v.field("labels", o.labels,
          "CSV of what is true: tags, 0/1 columns, or classes; empty: from the runs; without any, "
          "the inputs are submissions and are only combined, which tables with folds are refused "
          "for");
  v.field("folds_from", o.folds_from,
          "CSV with an id and `fold`; empty: from the inputs where they have folds, else drawn");
  v.field("id_column", o.id_column, "the column of ids; empty: the first");
  v.field("folds", o.folds, "how folds are drawn where none are given");
  v.field("as", o.as,
          "what submissions hold: probabilities, tags, ranked lists, or scores that become lists; "
          "auto: numbers are probabilities, a column `tags` or `labels` tags, other words lists",
          config::one_of({"auto", "probabilities", "tags", "lists", "scores"}));
  v.field("stacking", o.stacking, "two-level ridge");
  v.field("thresholds", o.thresholds, "from scores to labels");
  v.field("vote", o.vote, "share of the models that must decide for a label",
          config::between(0, 1));
  v.field("combine", o.combine, "how probabilities of submissions are combined",
          config::one_of({"arithmetic", "geometric", "rank", "majority"}));
  v.field("greedy_rounds", o.greedy_rounds, "models in the largest mean of the greedy selection",
          config::between(1, 10000));
  v.field("blend_step", o.blend_step, "least step of the coordinate search for weights",
          config::between(1e-6, 0.5));
  v.field("objective", o.objective,
          "what greedy selection and blend look at: log_loss, or the metric at "
          "thresholds.start",
          config::one_of({"log_loss", "metric"}));
  v.field("stability", o.stability,
          "stable models beat the median model in this share of simulated private parts",
          config::between(0, 1));
  v.field("stability_spread", o.stability_spread,
          "and the standard deviation of their public minus private scores is at most this many "
          "times the models' median",
          config::between(0, 1e9));
  v.field("keep_degenerate", o.keep_degenerate,
          "let models take part whose predictions never vary");
  v.field("submit", o.submit,
          "what test.csv and submission.csv hold: a name of the table, e.g. stack, mean, blend");
  v.field("submission", o.submission, "the form of submission.csv, for out-of-fold stacks");
  v.field("list_length", o.list_length, "labels per sample in ranked lists",
          config::between(1, 1000));
  v.field("new_label", o.new_label,
          "scores to lists: label of what is none of the known ones; empty: there is none");
  v.field("new_label_threshold", o.new_label_threshold,
          "it goes before the first label that scores less");
  v.field("resamples", o.resamples, "of the bootstrap", config::between(10, 1000000));
  v.field("simulations", o.simulations, "random divisions into public and private halves",
          config::between(1, 1000000));
  v.field("seed", o.seed, "of bootstrap and simulations", config::at_least(0));
  v.field("output", o.output, "folder that is written to");
}

void validate(StackJob& job, config::Problems& problems);

/// Stacks out-of-fold predictions where labels are known, else combines submissions; writes the
/// results below `job.output`. @returns the tables for people; empty but on the first rank
/// @param world [collective] shares the ridges among its ranks, with the same bits; null: one
/// process
/// @throws Error kData naming file and row of what does not fit together; kConfiguration, kStorage.
std::string run_stack_job(const StackJob& job, Communicator* world = nullptr);

/// The weights of the inputs: as given, or squares of public scores.
std::vector<double> weights_of(const StackJob& job);

/// What is wrong with models whose predictions cannot help, one line each: columns that never vary,
/// tables equal to another model's. @param useless receives models of nothing but constants
std::vector<std::string> find_degenerate(const std::vector<std::string>& models,
                                         const std::vector<std::string>& labels,
                                         const at::Tensor& p_MNL, std::vector<size_t>& useless);

/// The second half of run_stack_job: submissions without labels.
std::string combine_submissions(const StackJob& job);

}  // namespace baleen
