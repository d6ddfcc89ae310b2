#include "core/nn/siamese_network.h"

#include <utility>

#include "core/nn/embedding_network.h"

namespace baleen {
namespace {

/// Asked while the branch still has its head.
std::shared_ptr<SymmetricHead> head_for(const Backbone& branch) {
  return std::make_shared<SymmetricHead>(feature_length(branch));
}

}  // namespace

SiameseNetwork::SiameseNetwork(std::shared_ptr<Backbone> branch)
    : SiameseNetwork(branch, head_for(*branch)) {}

SiameseNetwork::SiameseNetwork(const std::shared_ptr<Backbone>& branch,
                               std::shared_ptr<SymmetricHead> head)
    : DecoratedBackbone(branch, {branch->head_name()}), head_(std::move(head)) {
  register_module(kPairHeadName, head_);
}

}  // namespace baleen
