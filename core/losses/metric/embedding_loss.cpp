#include "core/losses/metric/embedding_loss.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <functional>
#include <map>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/losses/metric/class_losses.h"
#include "core/losses/metric/pair_losses.h"

namespace baleen {
namespace {

struct Kind {
  Parameters defaults;
  bool triplets = false;
  std::function<std::unique_ptr<EmbeddingLoss>(const MiningOptions&, const Parameters&,
                                               const EmbeddingShape&)>
      make;
};

[[noreturn]] void refuse(std::string message, std::string hint) {
  throw Error(ErrorKind::kConfiguration, std::move(message), std::move(hint));
}

void require(bool condition, const std::string& kind, const char* name, const Parameters& given,
             const char* rule) {
  if (!condition)
    refuse(fmt::format("the loss '{}': {} is {}", kind, name, given.at(name)),
           fmt::format("it must be {}", rule));
}

bool is_flag(double value) { return value == 0.0 || value == 1.0; }
bool is_count(double value) { return value >= 1 && value <= 1e6 && value == std::floor(value); }

std::unique_ptr<EmbeddingLoss> make_margin(const MiningOptions& miner, const Parameters& p,
                                           const EmbeddingShape& shape) {
  require(p.at("alpha") >= 0, "margin", "alpha", p, "at least 0");
  require(p.at("nu") >= 0, "margin", "nu", p, "at least 0");
  require(is_flag(p.at("per_identity")), "margin", "per_identity", p, "0 or 1");
  require(is_flag(p.at("learn_beta")), "margin", "learn_beta", p, "0 or 1");
  const MarginLoss::Options options{p.at("alpha"), p.at("beta"), p.at("nu"),
                                    p.at("per_identity") != 0, p.at("learn_beta") != 0};
  return std::make_unique<MarginLoss>(miner, options, shape.num_identities);
}

/// Without a margin the smooth loss has no point beyond which there is none: an open band.
std::unique_ptr<EmbeddingLoss> make_triplet(MiningOptions miner, double margin, bool smooth) {
  if (margin > 0) miner.band = margin;
  return std::make_unique<TripletLoss>(std::move(miner), margin, smooth);
}

Kind angular(const char* name, bool angle, double margin) {
  return {{{"margin", margin}, {"scale", 64}},
          false,
          [=](const MiningOptions&, const Parameters& p, const EmbeddingShape& shape) {
            require(p.at("margin") >= 0 && p.at("margin") < 3, name, "margin", p, "in [0, 3)");
            require(p.at("scale") > 0, name, "scale", p, "above 0");
            return std::make_unique<AngularLoss>(
                AngularLoss::Options{angle, p.at("margin"), p.at("scale")}, shape);
          }};
}

std::unique_ptr<EmbeddingLoss> make_soft_triple(const MiningOptions&, const Parameters& p,
                                                const EmbeddingShape& shape) {
  require(is_count(p.at("centres")), "soft_triple", "centres", p, "a whole number from 1 on");
  require(p.at("gamma") > 0, "soft_triple", "gamma", p, "above 0");
  require(p.at("tau") >= 0, "soft_triple", "tau", p, "at least 0");
  SoftTripleLoss::Options options;
  options.lambda = p.at("lambda");
  options.gamma = p.at("gamma");
  options.tau = p.at("tau");
  options.delta = p.at("delta");
  options.centres = static_cast<int64_t>(p.at("centres"));
  return std::make_unique<SoftTripleLoss>(options, shape);
}

const std::map<std::string, Kind>& kinds() {
  using Miner = const MiningOptions&;
  using Given = const Parameters&;
  using Shape = const EmbeddingShape&;
  static const std::map<std::string, Kind> all = {
      {"margin",
       {{{"alpha", 0.2}, {"beta", 1.2}, {"nu", 0.0}, {"per_identity", 0}, {"learn_beta", 0}},
        true,
        make_margin}},
      {"triplet",
       {{{"margin", 0.3}},
        true,
        [](Miner miner, Given p, Shape) { return make_triplet(miner, p.at("margin"), false); }}},
      {"soft_triplet",
       {{{"margin", 0.0}},
        true,
        [](Miner miner, Given p, Shape) { return make_triplet(miner, p.at("margin"), true); }}},
      {"arcface", angular("arcface", true, 0.5)},
      {"cosface", angular("cosface", false, 0.35)},
      {"proto",
       {{{"shots", 1}},
        false,
        [](Miner, Given p, Shape) {
          require(is_count(p.at("shots")), "proto", "shots", p, "a whole number from 1 on");
          return std::make_unique<ProtoLoss>(static_cast<int64_t>(p.at("shots")));
        }}},
      {"soft_triple",
       {{{"lambda", 20}, {"gamma", 0.1}, {"tau", 0.2}, {"delta", 0.01}, {"centres", 10}},
        false,
        make_soft_triple}},
      {"center",
       {{{"rate", 0.5}},
        false,
        [](Miner, Given p, Shape shape) {
          require(p.at("rate") >= 0 && p.at("rate") <= 1, "center", "rate", p, "in [0, 1]");
          return std::make_unique<CenterLoss>(p.at("rate"), shape);
        }}},
      {"ring",
       {{{"radius", 1}},
        false,
        [](Miner, Given p, Shape) { return std::make_unique<RingLoss>(p.at("radius")); }}},
  };
  return all;
}

}  // namespace

std::unique_ptr<EmbeddingLoss> make_embedding_loss(const EmbeddingLossOptions& options,
                                                   const EmbeddingShape& shape) {
  const auto found = kinds().find(options.kind);
  if (found == kinds().end()) {
    std::vector<std::string> known;
    for (const auto& [name, kind] : kinds()) known.push_back(name);
    const std::string nearest = nearest_name(options.kind, known);
    refuse(fmt::format("unknown loss over embeddings '{}'", options.kind),
           fmt::format("{}known: {}",
                       nearest.empty() ? "" : fmt::format("did you mean '{}'? ", nearest),
                       fmt::join(known, ", ")));
  }
  const Kind& kind = found->second;
  if (!kind.triplets && options.miner != "auto")
    refuse(fmt::format("the loss '{}' has no triplets for the miner '{}'", options.kind,
                       options.miner),
           "leave miner out: it belongs to margin, triplet and soft_triplet");
  MiningOptions miner;
  miner.kind = options.miner;
  if (miner.kind == "auto") miner.kind = options.kind == "margin" ? "distance_weighted" : "hard";
  miner.cutoff = options.miner_cutoff;
  miner.limit = options.miner_limit;
  miner.dimension = shape.dimension;
  const Parameters complete = complete_parameters(fmt::format("the loss '{}'", options.kind),
                                                  kind.defaults, options.parameters);
  return kind.make(miner, complete, shape);
}

}  // namespace baleen
