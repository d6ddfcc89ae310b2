#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/config/document.h"
#include "experiments/recipe.h"
#include "experiments/sweep/sweep_config.h"

namespace baleen {

/// One combination of a sweep's values, as a recipe of its own.
struct Trial {
  int64_t number = 0;  ///< from 0
  std::string name;    ///< "0007": of its directory, and before the names of its chains
  std::vector<std::string> values;  ///< by axis, as one line of text
  Recipe recipe;                    ///< without `sweep`; runs by itself to the same bits
};

/// A sweep with all its trials, drawn or not yet.
struct SweepTrials {
  SweepConfig config;
  std::vector<SweepAxis> axes;
  std::vector<Trial> trials;
};

std::string trial_name(int64_t number);

/// "stages.0.optimizer.lr = 0.01, seed = 3".
std::string describe_values(const SweepTrials& sweep, const Trial& trial);

/// A trial's values of the keys that may change how long a step takes: trials that agree on them
/// are comparable in pace. Learning rates, schedules, seeds and the like are left out.
std::string pace_values(const SweepTrials& sweep, const Trial& trial);

/// Whether a recipe asks for a sweep.
bool has_sweep(const config::Document& document);

/// Decodes a recipe with a sweep: the sweep itself, and each trial's recipe as strictly as any.
/// @throws Error kConfiguration listing every mistake; one that a trial's value makes is reported
/// where the value is written, with the first trial that has it.
Recipe decode_sweep(const config::Document& document, const Extensions* extensions);

/// The sweep's keys, by dotted path, for a plan's identity.
std::map<std::string, std::string> sweep_identity(const SweepConfig& config);

}  // namespace baleen
