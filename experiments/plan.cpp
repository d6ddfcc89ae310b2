#include "experiments/plan.h"

#include <fmt/format.h>
#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "core/base/atomic_file.h"
#include "core/base/digest.h"
#include "core/base/error.h"
#include "data/augment/d4.h"
#include "distributed/communicator.h"
#include "experiments/journal.h"
#include "experiments/recipe.h"
#include "experiments/snapshots.h"

namespace baleen {
namespace {

using nlohmann::ordered_json;

void check_targets(const Recipe& recipe, const DatasetFacts& facts) {
  if (facts.target == "none") {
    throw Error(ErrorKind::kConfiguration,
                fmt::format("{} has no targets to learn", recipe.dataset),
                "pack it with classes or labels");
  }
}

StagePlan plan_stage(const Recipe& recipe, const ChainSpec& chain, int64_t index) {
  const StageOptions& options = recipe.stages_of(chain.backbone).at(static_cast<size_t>(index));
  StagePlan stage;
  stage.index = index;
  stage.size_px = options.size_px;
  stage.epochs = options.epochs;
  stage.batch = recipe.batch_of(chain.backbone, index);
  stage.steps_per_epoch = chain.epoch_images / stage.batch;
  if (stage.steps_per_epoch == 0) {
    throw Error(
        ErrorKind::kConfiguration,
        fmt::format("{}, stage {}: a batch of {} is more than the {} {} of fold {}", chain.name,
                    index, stage.batch, chain.epoch_images,
                    chain.epoch_images == chain.train_rows ? "training rows" : "images in an epoch",
                    chain.fold),
        "lower the stage's batch");
  }
  const std::string& network = recipe.backbones[static_cast<size_t>(chain.backbone)].name;
  const auto trained = static_cast<double>(stage.steps() * stage.batch);
  const auto validated = static_cast<double>(stage.epochs * chain.held_out_rows);
  stage.sample_gmac = forward_gmac(network, stage.size_px);
  stage.cost = stage.sample_gmac * (trained * (1 + kBackwardPasses) + validated);
  return stage;
}

ChainSpec plan_chain(const Recipe& recipe, const DatasetFacts& facts, int64_t backbone,
                     int64_t fold, int64_t seed) {
  const BackboneSection& section = recipe.backbones[static_cast<size_t>(backbone)];
  ChainSpec chain;
  chain.backbone = backbone;
  chain.backbone_label = section.label_or_name();
  chain.name = fmt::format("{}-f{}-s{}", chain.backbone_label, fold, seed);
  chain.fold = fold;
  chain.seed = seed;
  chain.held_out_rows = facts.fold_sizes[static_cast<size_t>(fold)];
  chain.train_rows = facts.num_samples - chain.held_out_rows;
  for (size_t k = 0; k < facts.fold_copies.size(); ++k)
    if (static_cast<int64_t>(k) != fold) chain.train_rows += facts.fold_copies[k];
  for (size_t k = 0; k < facts.fold_left_out.size(); ++k)
    if (static_cast<int64_t>(k) != fold) chain.train_rows -= facts.fold_left_out[k];
  chain.train_rows += facts.num_extra;
  chain.epoch_images = facts.epoch_images.empty()
                           ? recipe.training.sampling.epoch_samples(chain.train_rows)
                           : facts.epoch_images[static_cast<size_t>(fold)];
  chain.logical_shards = recipe.logical_shards_of(backbone);
  chain.min_ranks = section.min_ranks;
  chain.priority = section.priority;
  chain.dropout = section.dropout;
  chain.weights = section.weights;
  const auto num_stages = static_cast<int64_t>(recipe.stages_of(backbone).size());
  for (int64_t s = 0; s < num_stages; ++s) chain.stages.push_back(plan_stage(recipe, chain, s));
  const bool flips = recipe.task.flip_as_class && recipe.task.kind == "labels";
  const auto looks = static_cast<double>(d4_views(recipe.prediction.tta).size()) +
                     static_cast<double>(recipe.prediction.tta_random_passes);
  for (int64_t size_px : recipe.prediction_sizes_px(backbone)) {
    chain.predict_cost += forward_gmac(section.name, size_px) * looks *
                          static_cast<double>(chain.held_out_rows + facts.num_test);
  }
  chain.predict_cost *=
      static_cast<double>(snapshot_moments(recipe, chain).size() + 1) * (flips ? 2 : 1);
  chain.cost = chain.cost_with(chain.logical_shards);
  return chain;
}

/// The facts that a resume must agree with.
std::map<std::string, std::string> data_identity(const DatasetFacts& facts) {
  std::map<std::string, std::string> identity = {
      {"data.dataset", facts.digest},
      {"data.test", facts.test_digest.empty() ? "none" : facts.test_digest},
      {"data.folds", facts.folds_digest},
  };
  for (const auto& [key, digest] : {std::pair{"data.targets", &facts.targets_digest},
                                    std::pair{"data.training", &facts.training_digest},
                                    std::pair{"data.sampling", &facts.sampling_digest}})
    if (!digest->empty()) identity[key] = *digest;
  for (const auto& [label, digest] : facts.weights_digests)
    identity["data.weights." + label] = digest;
  return identity;
}

ordered_json to_json(const ChainSpec& chain) {
  ordered_json stages = ordered_json::array();
  for (const StagePlan& stage : chain.stages) {
    stages.push_back({{"size_px", stage.size_px},
                      {"epochs", stage.epochs},
                      {"batch", stage.batch},
                      {"steps_per_epoch", stage.steps_per_epoch}});
  }
  return {{"name", chain.name},
          {"backbone", chain.backbone_label},
          {"fold", chain.fold},
          {"seed", chain.seed},
          {"train_rows", chain.train_rows},
          {"held_out_rows", chain.held_out_rows},
          {"logical_shards", chain.logical_shards},
          {"gmac", chain.cost},
          {"stages", stages}};
}

}  // namespace

std::string digest_of_identity(const std::map<std::string, std::string>& identity) {
  std::string text;
  for (const auto& [key, value] : identity) text += fmt::format("{}={}\n", key, value);
  return digest_hex(text);
}

int64_t ChainSpec::steps() const {
  int64_t total = 0;
  for (const StagePlan& stage : stages) total += stage.steps();
  return total;
}

double ChainSpec::cost_of(const StagePlan& stage, int64_t num_shards) const {
  const double batch_gmac = stage.sample_gmac * static_cast<double>(stage.batch);
  return stage.cost * shard_overhead(num_shards, batch_gmac / static_cast<double>(num_shards));
}

double ChainSpec::cost_from(int64_t first_stage, int64_t num_shards) const {
  double total = predict_cost;
  for (const StagePlan& stage : stages) {
    if (stage.index >= first_stage) total += cost_of(stage, num_shards);
  }
  return total;
}

double ChainSpec::share_done(int64_t num_steps, double predicted) const {
  if (predicted >= 0)
    return cost > 0 ? 1 - predict_cost / cost * (1 - std::min(1.0, predicted)) : 1;
  double done = 0;
  for (const StagePlan& stage : stages) {
    const int64_t here = std::clamp<int64_t>(num_steps, 0, stage.steps());
    if (here > 0)
      done += cost_of(stage, logical_shards) * static_cast<double>(here) /
              static_cast<double>(stage.steps());
    num_steps -= here;
  }
  return cost > 0 ? std::min(1.0, done / cost) : 0;
}

int64_t ChainSpec::epochs_of_stages(int64_t num_stages) const {
  int64_t total = 0;
  for (const StagePlan& stage : stages) total += stage.index < num_stages ? stage.epochs : 0;
  return total;
}

int64_t ChainSpec::epochs() const {
  int64_t total = 0;
  for (const StagePlan& stage : stages) total += stage.epochs;
  return total;
}

double ChainSpec::cost_of_epochs(int64_t first, int64_t last, int64_t num_shards) const {
  double total = last == 0 ? predict_cost : 0;
  int64_t before = 0;
  for (const StagePlan& stage : stages) {
    const int64_t end = before + stage.epochs;
    const int64_t here =
        (last == 0 ? end : std::min(end, last)) - std::max(before, std::min(first, end));
    if (here > 0)
      total += cost_of(stage, num_shards) * static_cast<double>(here) /
               static_cast<double>(stage.epochs);
    before = end;
  }
  return total;
}

int64_t Plan::steps() const {
  int64_t total = 0;
  for (const ChainSpec& spec : chains) total += spec.steps();
  return total;
}

double Plan::cost() const {
  double total = 0;
  for (const ChainSpec& spec : chains) total += spec.cost;
  return total;
}

const ChainSpec& Plan::chain(const std::string& chain_name) const {
  for (const ChainSpec& spec : chains) {
    if (spec.name == chain_name) return spec;
  }
  throw Error(ErrorKind::kInternal, fmt::format("the plan has no chain '{}'", chain_name));
}

Plan make_plan(const Recipe& recipe, const DatasetFacts& facts) {
  check_targets(recipe, facts);
  Plan plan;
  plan.name = recipe.name;
  plan.data = facts;
  plan.regroup_gain_s = recipe.training.regroup_gain_s;
  plan.identity = recipe_identity(recipe);
  plan.recipe_hash = digest_of_identity(plan.identity);
  for (int64_t seed : recipe.chain_seeds()) {
    for (int64_t fold = 0; fold < static_cast<int64_t>(facts.fold_sizes.size()); ++fold) {
      for (int64_t backbone = 0; backbone < static_cast<int64_t>(recipe.backbones.size());
           ++backbone) {
        ChainSpec chain = plan_chain(recipe, facts, backbone, fold, seed);
        chain.index = static_cast<int64_t>(plan.chains.size());
        plan.chains.push_back(std::move(chain));
      }
    }
  }
  plan.hash = digest_of_identity(stored_form(plan).identity);
  return plan;
}

CostRates measured_rates(const Plan& plan, const JournalState& journal) {
  std::map<std::string, int64_t> starts;
  for (const JournalRecord& record : journal.records) {
    if (record.kind == JournalRecord::Kind::kChainAssigned) ++starts[record.name];
  }
  CostRates rates;
  for (const ChainSpec& chain : plan.chains) {
    const auto done = journal.finished_chains.find(chain.name);
    if (done == journal.finished_chains.end() || starts[chain.name] != 1) continue;
    if (done->second.optimizer_steps != chain.steps()) continue;  // stopped early
    rates.observe(chain.backbone_label, chain.cost, done->second.seconds, chain.logical_shards,
                  static_cast<int>(done->second.ranks.size()));
  }
  return rates;
}

int64_t epochs_done(const ChainSpec& chain, const JournalState& journal) {
  int64_t epochs = 0;
  if (const auto stages = journal.finished_stages.find(chain.name);
      stages != journal.finished_stages.end())
    epochs = chain.epochs_of_stages(stages->second);
  if (const auto paused = journal.paused_epochs.find(chain.name);
      paused != journal.paused_epochs.end())
    epochs = std::max(epochs, paused->second);
  return epochs;
}

StoredPlan stored_form(const Plan& plan) {
  StoredPlan stored{plan.hash, plan.identity};
  stored.identity.merge(data_identity(plan.data));
  return stored;
}

std::string plan_to_json(const Plan& plan) {
  const StoredPlan stored = stored_form(plan);
  ordered_json chains = ordered_json::array();
  for (const ChainSpec& chain : plan.chains) chains.push_back(to_json(chain));
  ordered_json j = {{"format", 1},
                    {"name", plan.name},
                    {"hash", stored.hash},
                    {"recipe_hash", plan.recipe_hash},
                    {"samples", plan.data.num_samples},
                    {"test_samples", plan.data.num_test},
                    {"optimizer_steps", plan.steps()},
                    {"chains", chains},
                    {"identity", stored.identity}};
  return j.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

StoredPlan read_stored_plan(const std::filesystem::path& file) {
  try {
    const auto j = nlohmann::json::parse(read_file(file));
    return {j.at("hash"), j.at("identity").get<std::map<std::string, std::string>>()};
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::kData, fmt::format("{} is not a plan: {}", file.string(), error.what()),
                "restore it from a backup, or start anew in another run directory");
  }
}

void agree_on_plan(const Plan& plan, Communicator& world) {
  const std::vector<std::string> hashes = world.all_gather(plan.hash);
  std::string differing;
  for (size_t rank = 1; rank < hashes.size(); ++rank) {
    if (hashes[rank] != hashes[0])
      differing += fmt::format("{}{}", differing.empty() ? "" : ", ", rank);
  }
  if (differing.empty()) return;
  throw Error(ErrorKind::kConfiguration,
              fmt::format("ranks {} made another plan than rank 0", differing),
              "recipe, dataset and weights must be the same files on all hosts");
}

}  // namespace baleen
