#include "experiments/complete_part.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "experiments/finish_run.h"

namespace baleen {

PreparedRun complete_part(PreparedRun run, const JournalState& journal) {
  run.left_out.clear();
  const auto incomplete = [&run](const std::string& model) {
    return std::find_if(run.left_out.begin(), run.left_out.end(),
                        [&](const IncompleteModel& one) { return one.name == model; });
  };
  for (const ChainSpec& chain : run.plan.chains) {
    if (journal.finished_chains.contains(chain.name)) continue;
    const std::string model = model_name(run.recipe, chain);
    auto found = incomplete(model);
    if (found == run.left_out.end()) found = run.left_out.insert(found, {model, {}});
    found->chains.push_back(chain.name);
  }
  std::erase_if(run.plan.chains, [&](const ChainSpec& chain) {
    return incomplete(model_name(run.recipe, chain)) != run.left_out.end();
  });
  return run;
}

std::vector<std::string> describe_left_out(const PreparedRun& run) {
  std::vector<std::string> sentences;
  for (const IncompleteModel& model : run.left_out)
    sentences.push_back(fmt::format("{} is left out: {} {} not finished", model.name,
                                    fmt::join(model.chains, ", "),
                                    model.chains.size() == 1 ? "is" : "are"));
  return sentences;
}

}  // namespace baleen
