#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "experiments/after_chains.h"
#include "experiments/evaluation.h"
#include "experiments/journal.h"
#include "experiments/run.h"

namespace baleen {

/// What comes after the last chain: out-of-fold assembly with its proof, stacking, thresholds,
/// scores, merged metrics. Writes oof.h5, oof.csv, test.csv, stack/, metrics.jsonl and metrics.csv,
/// each atomically, and a journal record per step. Runs on rank 0 only. Takes seconds; is repeated
/// as a whole where it was cut short.
/// @param run with models left out where chains were set aside; the stack then is without them, or
/// there is none, as the recipe's stacking.missing_models says
/// @returns nothing where there is no stack
/// @throws Error kData when a prediction is missing or leaked; kStorage; kInterrupted.
std::optional<Evaluation> finish_run(const PreparedRun& run, const RunDirectory& directory,
                                     Journal& journal, const CheckStop& check_stop);

/// The model a chain's predictions belong to: the backbone's label, with "-sN" when several seeds
/// are trained.
std::string model_name(const Recipe& recipe, const ChainSpec& chain);

/// All of them, in the order of the plan, and behind each its snapshots where they are columns.
std::vector<std::string> model_names(const PreparedRun& run);

/// Runs one step and journals it with the digests of the files it wrote.
void journalled_step(Journal& journal, const RunDirectory& directory, const std::string& name,
                     const std::vector<std::filesystem::path>& files,
                     const std::function<void()>& action);

/// Puts the chains' own records, one per epoch, together in the order of the plan.
void merge_metrics(const PreparedRun& run, const RunDirectory& directory);

}  // namespace baleen
